"""Draws what is missing of a picture, several times: pixels, colors, or a region.

Actions are generators of `Shown`. They take a picture, uint8 [H, W, 3], and reduce it to what is drawn in
seconds.
"""

import functools
import time

import numpy as np
from PIL import Image

from pixelcnn_aux.data.resizing import resize
from pixelcnn_aux.demo import uploads
from pixelcnn_aux.demo.draw import checked, since
from pixelcnn_aux.demo.models import IN_WINDOWS, most_pixels
from pixelcnn_aux.demo.shown import Figure, Shown
from pixelcnn_aux.image_grid import shown

DRAWS = 3
# What is missing, in words, and the model of the package that draws it.
ENLARGEMENTS = {"twice as large": 2, "four times as large": 4}
COLORS = "colored"
DEFAULTS = {**dict.fromkeys(ENLARGEMENTS, "photographs"), COLORS: "cifar10-grayscale"}
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

    def begin(model, picture):
        if what == COLORS:
            return _coloring(model, picture)
        return _enlargement(model, ENLARGEMENTS[what], picture)

    return _several(models, name, begin, picture, seed, shift)


def complete(models, name, picture, painted, seed, shift):
    """Draws the region of a picture that is painted: `painted` is as for `uploads.mask`."""
    begin = functools.partial(_completion, painted=painted)
    return _several(models, name, begin, picture, seed, shift)


def _enlargement(model, times, picture):
    small = uploads.reduced(picture, most_pixels(model) // times**2)
    height, width, _ = small.shape
    large = width * times, height * times
    bicubic = np.asarray(Image.fromarray(small).resize(large, Image.Resampling.BICUBIC))
    figures = (
        Figure(f"What is enlarged, {width} x {height} pixels", [small]),
        Figure("By bicubic interpolation", [bicubic]),
    )
    if picture.shape[0] >= large[1] and picture.shape[1] >= large[0]:
        figures += (Figure("The picture itself", [resize(picture, large[::-1])]),)
    return figures, functools.partial(model.enlarge, small[np.newaxis], times)


def _coloring(model, picture):
    ours = uploads.reduced(picture, most_pixels(model))
    grays = np.asarray(Image.fromarray(ours).convert("L").convert("RGB"))
    figures = Figure("The picture's grays", [grays]), Figure("The picture itself", [ours])
    return figures, functools.partial(model.colorize, ours[np.newaxis])


def _completion(model, picture, painted):
    ours = uploads.reduced(picture, IN_WINDOWS)  # what is painted on
    mask = uploads.mask(painted, ours.shape[:2])
    middle = np.where(mask[0] == 1, ours, np.uint8(127))
    figures = Figure("What is known", [middle]), Figure("The picture itself", [ours])
    return figures, functools.partial(model.complete, ours[np.newaxis], mask)


def _several(models, name, begin, picture, seed, shift):
    """Yields `Shown` of what stands beside draws, and of these, one after another.

    `begin` is a function of a model and a picture, which returns `Figure`s and a function of seeds [1, 2] and
    a shift, which draws uint8 [1, H, W, C].
    """
    picture, (seeds, shift) = uploads.chosen(picture), checked(seed, shift, DRAWS)
    yield Shown(f"Loading {name}", 0)
    model, start = models.load(name), time.monotonic()
    figures, draw = begin(model, picture)
    images = []
    for number, pair in enumerate(seeds):
        yield Shown(f"Drawing, {number + 1} of {DRAWS}", number / DRAWS, figures + _drawn(images))
        drawn = draw(seeds=[pair], log_scale_shift=shift)
        [image] = shown(drawn, model.likelihood.num_values)
        images.append(image)
    yield Shown(f"Drew {DRAWS} by {name} in {since(start)}", None, figures + _drawn(images))


def _drawn(images):
    return (Figure("Drawn", list(images)),) if images else ()
