"""What a model's likelihood tells of a picture."""

import math
import time

import numpy as np

from pixelcnn_aux.data.image_folder import fit
from pixelcnn_aux.demo import uploads
from pixelcnn_aux.demo.draw import since
from pixelcnn_aux.demo.models import unknown
from pixelcnn_aux.demo.shown import Figure, Shown, Table
from pixelcnn_aux.programs import image_files
from pixelcnn_aux.programs.image_grid import shown

MAX_PIXELS = 2**14  # of a picture that a model of any size scores
# The rows of the table.
MEANINGS = {
    "bits": "bits",
    "bits_less_png": "bits less those of PNG",
    "bits_less_webp": "bits less those of WebP",
    "bits_less_jpeg_xl": "bits less those of JPEG XL",
    "bound_less_exact": "the bound less the exact figure",
}


def score(models, name, picture):
    """Scores a picture, cropped and resized to the model's size, by factor.

    Args:
      models: `Models`.
      name: str, of one of them.
      picture: uint8 [H, W, 3].

    Yields `Shown`.
    """
    picture = uploads.chosen(picture)
    yield Shown(f"Loading {name}", 0)
    model, start = models.load(name).with_exact(True), time.monotonic()
    size = model.image_size
    image = uploads.reduced(picture, MAX_PIXELS) if size is None else fit(picture, size)
    own = model.auxiliaries(image[np.newaxis])
    figures = tuple(
        Figure(factor, [shown(x, model.factors[factor].likelihood.num_values)[0]])
        for factor, x in own.items()
    )
    yield Shown("Scoring", 0.5, figures)
    scores, names = statistics(model, image[np.newaxis]), [*model.factors, "total"]
    rows = [
        [text, *(f"{scores[key][x][0]:.4f}" if x in scores[key] else "" for x in names)]
        for key, text in MEANINGS.items()
        if key in scores
    ]
    caption = "In bits per dimension of the image"
    table = Table(caption, ["score", *names], rows)
    height, width, _ = image.shape
    yield Shown(f"Scored {width} x {height} pixels in {since(start)}", None, figures, (table,))


def statistics(model, images):
    """Scores of images uint8 [N, H, W, C]: dict, score -> dict, factor or "total" -> float [N].

    They are the keys of `MEANINGS`, in bits per dimension of the full image. Bits less those of a file are of
    the image so far, by all factors up to that one.
    """
    bounds, exact = model.bound_and_exact(images, unknown(model, len(images)))
    found = {"bits": {name: np.asarray(x) for name, x in exact.items()}}
    so_far, dims, (*_, last) = 0.0, math.prod(images.shape[1:]), model.factors
    for name, own in model.auxiliaries(images).items():
        so_far, own = so_far + found["bits"][name], np.asarray(own)
        for kind in image_files.holding(model.factors[name].likelihood):
            files = image_files.bits_per_dim(kind, own) * own[0].size / dims
            key = f"bits_less_{kind.lower().replace(' ', '_')}"
            found.setdefault(key, {})["total" if name == last else name] = so_far - files
    found["bound_less_exact"] = {
        name: np.asarray(bounds[name]) - x for name, x in found["bits"].items()
    }
    return found
