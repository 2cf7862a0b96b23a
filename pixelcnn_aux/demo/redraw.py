"""Draws what is missing of a picture, several times: pixels, colors, or a region.

Actions are generators of `Shown`. They take a picture, uint8 [H, W, 3], and reduce it to what is drawn in
seconds.
"""

import time

import numpy as np
from PIL import Image

from pixelcnn_aux.data.resizing import resize
from pixelcnn_aux.demo import uploads
from pixelcnn_aux.demo.draw import checked, since
from pixelcnn_aux.demo.models import unknown
from pixelcnn_aux.demo.shown import Figure, Shown
from pixelcnn_aux.programs.image_grid import shown

DRAWS = 3
MAX_PIXELS = 2**14  # of a draw: some thirty windows of 32 x 32
# What is missing, in words, and the model of the package that draws it.
ENLARGEMENTS = {"twice as large": 2, "four times as large": 4}
COLORS = "colored"
DEFAULTS = {**dict.fromkeys(ENLARGEMENTS, "cifar10-pyramid"), COLORS: "cifar10-grayscale"}
COMPLETES = "cifar10-pixelcnn"


def redraw(models, name, what, picture, seed, shift):
    """Enlarges or colors a picture, beside what needs no model.

    Args:
      models: `Models`.
      name: str, of one of them.
      what: str, a key of `DEFAULTS`.
      picture: uint8 [H, W, 3].
      seed, shift: as for `draw`.
    """
    if what == COLORS:
        return color(models, name, picture, seed, shift)
    return enlarge(models, name, ENLARGEMENTS[what], picture, seed, shift)


def enlarge(models, name, times, picture, seed, shift):
    """Enlarges a picture so many times."""
    small = uploads.reduced(uploads.chosen(picture), MAX_PIXELS // times**2)
    height, width, _ = small.shape
    large = width * times, height * times
    bicubic = np.asarray(Image.fromarray(small).resize(large, Image.Resampling.BICUBIC))
    figures = (
        Figure(f"What is enlarged, {width} x {height} pixels", [small]),
        Figure("By bicubic interpolation", [bicubic]),
    )
    if picture.shape[0] >= large[1] and picture.shape[1] >= large[0]:
        figures += (Figure("The picture itself", [resize(picture, large[::-1])]),)

    def draw(model, seeds, shift):
        return model.enlarge(small[np.newaxis], times, seeds, shift, condition=unknown(model, 1))

    return _several(models, name, draw, figures, seed, shift)


def color(models, name, picture, seed, shift):
    """Colors the grays of a picture."""
    ours = uploads.reduced(uploads.chosen(picture), MAX_PIXELS)

    def draw(model, seeds, shift):
        return model.colorize(ours[np.newaxis], seeds, shift, condition=unknown(model, 1))

    grays = np.asarray(Image.fromarray(ours).convert("L").convert("RGB"))
    figures = Figure("The picture's grays", [grays]), Figure("The picture itself", [ours])
    return _several(models, name, draw, figures, seed, shift)


def complete(models, name, picture, painted, seed, shift):
    """Draws the region of a picture that is painted: `painted` is as for `uploads.mask`."""
    ours = uploads.reduced(uploads.chosen(picture), MAX_PIXELS)
    mask = uploads.mask(painted, ours.shape[:2])

    def draw(model, seeds, shift):
        return model.complete(ours[np.newaxis], mask, seeds, shift, condition=unknown(model, 1))

    middle = np.where(mask[0] == 1, ours, np.uint8(127))
    figures = Figure("What is known", [middle]), Figure("The picture itself", [ours])
    return _several(models, name, draw, figures, seed, shift)


def _several(models, name, draw, figures, seed, shift):
    """Yields `Shown` of the figures and of draws, one after another.

    `draw` is a function of a model, a seed [1, 2] and a shift, which returns uint8 [1, H, W, C].
    """
    seeds, shift = checked(seed, shift, DRAWS)
    yield Shown(f"Loading {name}", 0, figures)
    model, start = models.load(name), time.monotonic()
    images = []
    for number, pair in enumerate(seeds):
        yield Shown(f"Drawing, {number + 1} of {DRAWS}", number / DRAWS, figures + _drawn(images))
        [image] = shown(draw(model, [pair], shift), model.likelihood.num_values)
        images.append(image)
    yield Shown(f"Drew {DRAWS} by {name} in {since(start)}", None, figures + _drawn(images))


def _drawn(images):
    return (Figure("Drawn", list(images)),) if images else ()
