"""What a model's likelihood tells of a picture."""

import time

import numpy as np

import pixelcnn_aux as pa
from pixelcnn_aux.data.image_folder import fit
from pixelcnn_aux.demo import heat, uploads
from pixelcnn_aux.demo.draw import since
from pixelcnn_aux.demo.shown import Figure, Shown, Table
from pixelcnn_aux.image_grid import shown

MAX_PIXELS = 2**14  # of a picture that a model of any size scores
# The rows of the table.
MEANINGS = {
    "bits": "bits",
    "bits_less_entropy": "bits less their entropy",
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
    model, start = models.exact(name), time.monotonic()
    size = model.image_size
    image = uploads.reduced(picture, MAX_PIXELS) if size is None else fit(picture, size)
    own = model.auxiliaries(image[np.newaxis])
    figures = tuple(
        Figure(factor, [shown(x, model.factors[factor].likelihood.num_values)[0]])
        for factor, x in own.items()
    )
    yield Shown("Scoring", 0.5, figures)
    scores, names = pa.scores.score(model, image[np.newaxis]), [*model.factors, "total"]
    found = pa.scores.pixel_bits(model, image)
    maps = (heat.of_excess(factor, bits - entropy) for factor, (bits, entropy) in found.items())
    rows = [
        [text, *(f"{scores[key][x][0]:.4f}" if x in scores[key] else "" for x in names)]
        for key, text in MEANINGS.items()
        if key in scores
    ]
    caption = "In bits per dimension of the image"
    table = Table(caption, ["score", *names], rows)
    height, width, _ = image.shape
    yield Shown(
        f"Scored {width} x {height} pixels in {since(start)}", None, (*figures, *maps), (table,)
    )
