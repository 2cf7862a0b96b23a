"""Pictures of any size: enlarged, completed.

A model of one size draws them in windows of that size. Windows overlap, and each one is given what those
before it in raster order have added, so that seams agree. It waits for its neighbors alone, so that all
windows of a wave are drawn at once:

    0 1 2 3 4 ...
    2 3 4 5 6 ...     the wave of each window: its column, and two for each row above it
    4 5 6 7 8 ...
"""

import operator
from typing import NamedTuple

import numpy as np

from pixelcnn_aux import arguments, batches
from pixelcnn_aux.errors import expect
from pixelcnn_aux.inputs import check_images
from pixelcnn_aux.progress import late_bar
from pixelcnn_aux.sampling.chains import (
    checked,
    draw,
    draw_in_batches,
    kept_pixels,
    names_from,
    noise,
)
from pixelcnn_aux.sampling.particles import MAX_PARTICLES


def enlarge(model, images, times, request):
    """`AuxiliaryModel.enlarge`; `request` is the user's `DrawRequest`."""
    names, likelihood = _enlargements(model), model.likelihood
    possible = f"{list(names)} times" if names else "none: it has no images of lower resolution"
    expected = f"times as an enlargement by factors {list(model.factors)}: {possible}"
    remedy = "Choose another, or take another model, such as photographs"
    expect(times in names, expected, times, remedy)
    images = np.asarray(check_images(images, likelihood.num_channels, likelihood.num_values))
    given = _padded(model, names[times], images)
    count, *size, _ = given.shape
    nothing = _nothing_known(model, (count, *(times * side for side in size)))
    drawn = _draw(model, *nothing, {names[times]: given}, request)
    return drawn[:, : times * images.shape[1], : times * images.shape[2]]


def complete(model, images, mask, request, particles):
    """`AuxiliaryModel.complete`; `request` is the user's `DrawRequest`."""
    particles = arguments.whole("particles", particles, 1, MAX_PARTICLES)
    likelihood = model.likelihood
    images = np.asarray(check_images(images, likelihood.num_channels, likelihood.num_values))
    mask = np.asarray(check_images(mask, 1, 2, what="a mask"))
    fits, expected = mask.shape[:3] == images.shape[:3], f"a mask of shape {[*images.shape[:3], 1]}"
    expect(fits, expected, list(mask.shape), "Give one for each image, of its size")
    name = list(model.factors)[-1]
    padded = (_padded(model, name, x) for x in (images, mask))
    drawn = _draw(model, *padded, {}, request, particles)
    return drawn[:, : images.shape[1], : images.shape[2]]


def _enlargements(model):
    """dict, times -> name of the factor whose images a model enlarges so many times, the least first."""
    names, times = {}, 1
    for transform, name in zip(model.transforms, reversed(list(model.factors)[:-1])):
        times *= transform.ratio
        kinds = {
            (x.num_channels, x.num_values)
            for x in (model.factors[name].likelihood, model.likelihood)
        }
        if times > 1 and len(kinds) == 1:
            names.setdefault(times, name)
    return names


def _padded(model, name, pictures):
    """Pictures of a factor's images as they are drawn: whole, or in windows of the model's size."""
    return pictures if model.image_size is None else Grid.of(model, name).pad(pictures)


def _nothing_known(model, shape):
    """Full images of which nothing is known, and their mask. `shape` is [B, H, W]."""
    dtype = arguments.pixel_dtype(model.likelihood.num_values)
    images = np.zeros((*shape, model.likelihood.num_channels), dtype)
    return images, np.zeros((*shape, 1), np.uint8)


def _draw(model, known, mask, given, request, particles=1):
    """The full images, NumPy's. `given` is as for `chains.draw`, and all pictures as `Grid.pad` has them."""
    count, size = len(known), known.shape[1:3]
    request, names = checked(model, request, count), names_from(model, given)
    model.require(names)
    if not count:
        return known
    kept = kept_pixels(model, known, mask, count, given, size)
    if model.image_size is None or (particles > 1 and size == model.image_size):
        rows = model, request._replace(size=size), given, kept
        drawn = draw(*rows) if particles == 1 else draw_in_batches(*rows, particles)
        return list(drawn.values())[-1]
    image = next(iter(given.values()), None)
    for name in names:
        image = _draw_in_windows(model, name, request._replace(auxiliary=image), kept[name])
    return image


class Grid(NamedTuple):
    """Where the windows of a factor's pictures are: in rows and columns."""

    size: tuple  # of a window
    stride: tuple  # from one window to the next
    margin: tuple  # the last ones of a window, which the next window draws anew

    @classmethod
    def of(cls, model, name):
        """The grid of the factor `name` of a model: at the same places of a picture for all factors.

        A quarter of a window overlaps the next one. That is given the first half of it, and draws the other
        anew: networks take the end of a window for that of the picture, where frames are likely.
        """
        smallest, size = (model.sizes()[x] for x in (next(iter(model.factors)), name))
        fits = not any(side % least for side, least in zip(size, smallest))
        expected = (
            f"sides that are multiples of the smallest images', {smallest}, to draw in windows"
        )
        remedy = "Build the model with image_size=None: then pictures are drawn whole"
        expect(fits, expected, size, remedy)
        strides = [max(side * 3 // 4, 1) for side in smallest]
        margins = [(side - stride) // 2 for side, stride in zip(smallest, strides)]
        scales = [side // least for side, least in zip(size, smallest)]
        return cls(size, *(tuple(map(operator.mul, x, scales)) for x in (strides, margins)))

    def shape(self, height, width):
        """(rows, columns) of the windows that cover a picture of this size."""
        sides = zip((height, width), self.size, self.stride)
        return tuple(1 + max(0, -(-(side - s) // t)) for side, s, t in sides)

    def pad(self, pictures):
        """Repeats the last row and column of [B, H, W, C] to where the last windows end; NumPy's."""
        sides = zip(pictures.shape[1:3], self.shape(*pictures.shape[1:3]), self.size, self.stride)
        missing = [(0, s + (count - 1) * t - side) for side, count, s, t in sides]
        return np.pad(pictures, [(0, 0), *missing, (0, 0)], mode="edge")

    def window(self, picture, row, column):
        """The view of a window of a picture [H, W, C]."""
        (h, w), (y, x) = self.size, self.stride
        return picture[row * y : row * y + h, column * x : column * x + w]

    def body(self, picture, row, column):
        """The view of what a window adds to a picture: all but its margin, unless the picture ends there."""
        starts = row * self.stride[0], column * self.stride[1]
        sides = zip(starts, self.size, self.margin, picture.shape)
        height, width = (
            size - margin * (start + size < side) for start, size, margin, side in sides
        )
        return self.window(picture, row, column)[:height, :width]


def _draw_in_windows(model, name, request, kept):
    """A factor's images of pictures as `Grid.pad` has them, `kept` as of `kept_pixels`: [B, H, W, C]."""
    factor, position, grid = model.factors[name], model.position(name), Grid.of(model, name)
    auxiliary_grid = Grid.of(model, list(model.factors)[position - 1]) if position else None
    [(kind, state)] = kept.items()
    # What is known: between what values pixels lie, or the pixels and where they are. Windows add to it.
    pixels, other = map(np.array, state)
    within = kind == "within"
    auxiliary, condition, size = request.auxiliary, request.condition, pixels.shape[1:3]
    noises = noise(factor, request.seeds, position, size, mode=request.mode, bounded=within)
    shifts = request.log_scale_shift

    def is_open(place):
        picture, *where = place
        known, others = (grid.body(x[picture], *where) for x in (pixels, other))
        return (known != others).any() if within else not others.all()

    def cut(grid, pictures, places):
        return np.stack([grid.window(pictures[picture], *where) for picture, *where in places])

    waves = _waves(len(pixels), *grid.shape(*size))
    bar, done = late_bar(sum(map(len, waves)), "window"), 0
    for wave in waves:
        if places := list(filter(is_open, wave)):
            which = [picture for picture, *_ in places]
            rows = request._replace(
                seeds=None,
                size=grid.size,
                log_scale_shift=shifts[which],
                condition=None if condition is None else condition[which],
                auxiliary=None if auxiliary is None else cut(auxiliary_grid, auxiliary, places),
                noise=cut(grid, noises, places),
                **{kind: (cut(grid, pixels, places), cut(grid, other, places))},
            )
            how = {"jit_compile": request.jit_compile, "by_tensors": False}
            drawn = batches.in_batches(factor.draw, rows, grid.size, **how)
            for (picture, *where), window in zip(places, np.asarray(drawn)):
                body = grid.body(pixels[picture], *where)
                height, width, _ = body.shape
                body[:] = window[:height, :width]
                grid.body(other[picture], *where)[:] = body if within else 1
        done += len(wave)
        bar(done)
    return pixels


def _waves(count, rows, columns):
    """The windows that are drawn at once, of `count` pictures: list of lists of (picture, row, column)."""
    return [
        [
            (picture, row, wave - 2 * row)
            for picture in range(count)
            for row in range(rows)
            if 0 <= wave - 2 * row < columns
        ]
        for wave in range(columns + 2 * (rows - 1))
    ]
