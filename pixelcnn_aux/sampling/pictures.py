"""Pictures of any size: colored, enlarged, completed.

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
from keras import ops

from pixelcnn_aux import arguments, batches
from pixelcnn_aux.inputs import check_images
from pixelcnn_aux.sampling.chains import checked_draws, draw, kept_pixels, names_from, noise


def colorize(model, images, *how):
    """`AuxiliaryModel.colorize`."""
    names = list(model.factors)
    channels = [model.factors[name].likelihood.num_channels for name in names[-2:]]
    if channels != [1, 3]:
        raise ValueError(
            "Expected a model whose last factor has three channels and is given an auxiliary image of one, "
            f"its grays. Received: factors {names}, the last ones of {channels} channels. Take another "
            "model, such as cifar10-grayscale."
        )
    images = np.asarray(check_images(images, num_values=model.likelihood.num_values))
    if images.shape[-1] not in (1, 3):
        raise ValueError(
            f"Expected images as uint8 [B, H, W, 1 or 3]. Received: shape {list(images.shape)}. Give "
            "photographs, or grays from 0 to 255."
        )
    photographs = images if images.shape[-1] == 3 else np.repeat(images, 3, axis=-1)
    photographs = _padded(model, names[-1], photographs)
    given = {names[-2]: model.transforms[0](photographs)}
    drawn = _draw(model, *_nothing_known(model, photographs.shape[:3]), given, *how)
    return _cut(drawn, *images.shape[1:3])


def enlarge(model, images, times, *how):
    """`AuxiliaryModel.enlarge`."""
    names, likelihood = _enlargements(model), model.likelihood
    if times not in names:
        can = (
            f"{list(names)} times"
            if names
            else "none: it has no auxiliary images of lower resolution"
        )
        raise ValueError(
            f"Expected times as an enlargement of the model, of factors {list(model.factors)}: {can}. "
            f"Received: {times}. Choose another, or take another model, such as photographs."
        )
    images = np.asarray(check_images(images, likelihood.num_channels, likelihood.num_values))
    given = _padded(model, names[times], images)
    count, *size, _ = given.shape
    nothing = _nothing_known(model, (count, *(times * side for side in size)))
    drawn = _draw(model, *nothing, {names[times]: ops.convert_to_tensor(given)}, *how)
    return _cut(drawn, *(times * side for side in images.shape[1:3]))


def complete(model, images, mask, *how):
    """`AuxiliaryModel.complete`."""
    likelihood = model.likelihood
    images = np.asarray(check_images(images, likelihood.num_channels, likelihood.num_values))
    mask = np.asarray(check_images(mask, 1, 2, "a mask"))
    if mask.shape[:3] != images.shape[:3]:
        raise ValueError(
            f"Expected a mask of shape {[*images.shape[:3], 1]}. Received: {list(mask.shape)}. Give one for "
            "each image, of its size."
        )
    name = list(model.factors)[-1]
    drawn = _draw(model, *(_padded(model, name, x) for x in (images, mask)), {}, *how)
    return _cut(drawn, *images.shape[1:3])


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


def _draw(model, known, mask, given, seeds, log_scale_shift, mode, jit_compile, condition):
    """The full images, NumPy's. `given` is as for `chains.draw`, and all pictures as `Grid.pad` has them."""
    count = len(known)
    if seeds is None:
        seeds = np.stack([np.zeros(count, np.int32), np.arange(count, dtype=np.int32)], axis=1)
    seeds, shifts = checked_draws(seeds, log_scale_shift, mode, jit_compile)
    if len(seeds) != count:
        raise ValueError(
            f"Expected seeds as int32 [{count}, 2], two numbers for each image. Received: "
            f"{list(seeds.shape)}. Give them, or none."
        )
    condition = model.checked_condition(condition, count)
    names = names_from(model, given)
    model.require(names)
    if not count:
        return known
    kept = kept_pixels(model, known, mask, count, given, known.shape[1:3])
    if model.image_size is None:
        sizes = model.sizes(known.shape[1:3])
        how = {"mode": mode, "jit_compile": jit_compile}
        [*_, drawn] = draw(model, seeds, shifts, given, kept, condition, sizes, **how).values()
        return ops.convert_to_numpy(drawn)
    image = next(map(ops.convert_to_numpy, given.values()), None)
    for name in names:
        image = _draw_in_windows(
            model,
            name,
            seeds,
            ops.convert_to_numpy(shifts),
            image,
            kept[name],
            condition,
            mode,
            jit_compile,
        )
    return image


def _cut(images, height, width):
    return ops.convert_to_tensor(images[:, :height, :width])


class Grid(NamedTuple):
    """Where the windows of a factor's pictures are: in rows and columns."""

    size: tuple  # of a window
    stride: tuple  # from one window to the next
    margin: tuple  # the last ones of a window, which the next window draws anew

    @classmethod
    def of(cls, model, name):
        """The grid of the factor `name` of a model.

        The windows of all factors are at the same places of a picture, each with all pixels of its blocks. A
        quarter of a window overlaps the next one. That is given the first half of it, and draws the other
        anew: networks take the end of a window for that of the picture, where frames are likely.
        """
        smallest, size = (model.sizes()[x] for x in (next(iter(model.factors)), name))
        if any(side % least for side, least in zip(size, smallest)):
            raise ValueError(
                f"Expected a model whose sides are multiples of its smallest images', {smallest}, to draw "
                f"pictures in windows. Received: {size}. Build it with image_size=None: then pictures are "
                "drawn whole."
            )
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


def _draw_in_windows(
    model, name, seeds, log_scale_shift, auxiliary, kept, condition, mode, jit_compile
):
    """A factor's images of pictures: uint8 [B, H, W, C], NumPy's.

    Args as for `chains.draw`, but for `name`, the factor's; `auxiliary`, uint8 [B, h, w, c], what it is
    given, None for the first one; and `kept`, a dict, what `kept_pixels` says of it. Pictures are as
    `Grid.pad` has them.
    """
    factor, position, grid = model.factors[name], model.position(name), Grid.of(model, name)
    auxiliary_grid = Grid.of(model, list(model.factors)[position - 1]) if position else None
    [(kind, state)] = kept.items()
    # What is known: between what values pixels lie, or the pixels and where they are. Windows add to it.
    pixels, other = map(np.array, state)
    within = kind == "within"
    noises = ops.convert_to_numpy(
        noise(factor, seeds, position, pixels.shape[1:3], mode, bounded=within)
    )

    def draw(windows):
        given, noises, shifts, known, condition = windows
        features = () if given is None else factor.features(given, condition)
        how = {kind: known, "condition": condition, "jit_compile": jit_compile}
        return factor.draw(features, noises, shifts, given, **how)

    def is_open(place):
        picture, *where = place
        known, others = (grid.body(x[picture], *where) for x in (pixels, other))
        return (known != others).any() if within else not others.all()

    def cut(grid, pictures, places):
        return np.stack([grid.window(pictures[picture], *where) for picture, *where in places])

    waves = _waves(len(pixels), *grid.shape(*pixels.shape[1:3]))
    bar, done = batches.late_bar(sum(map(len, waves)), "window"), 0
    for wave in waves:
        if places := list(filter(is_open, wave)):
            given = None if auxiliary is None else cut(auxiliary_grid, auxiliary, places)
            known = cut(grid, pixels, places), cut(grid, other, places)
            shown = [picture for picture, *_ in places]
            here = None if condition is None else np.asarray(condition)[shown]
            rows = given, cut(grid, noises, places), log_scale_shift[shown], known, here
            drawn = batches.in_batches(draw, rows, grid.size, jit_compile)
            for (picture, *where), window in zip(places, ops.convert_to_numpy(drawn)):
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
