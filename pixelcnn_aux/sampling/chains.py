"""Draws from a chain: each factor draws an image given the image of the previous factor."""

import functools
import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pixelcnn_aux.base import arguments, arrays
from pixelcnn_aux.base.errors import did_you_mean, expect
from pixelcnn_aux.base.image_checks import check_images
from pixelcnn_aux.batches import NUMPY
from pixelcnn_aux.sampling import philox
from pixelcnn_aux.sampling.particles import MAX_PARTICLES, weighed
from pixelcnn_aux.scanning.requests import METHODS

_PER_PIXEL = 12 / 255  # largest change of a color, as a share of all values: chosen by eye
_CHUNK = 2**14  # pixels whose noise is computed at once, in a cache


def sample(model, request, given, known, mask, particles=1, *, own=None):
    """`AuxiliaryModel.sample`, in batches. Without known pixels, `own` replaces `kept_pixels`."""
    particles = arguments.whole("particles", particles, 1, MAX_PARTICLES)
    fits, remedy = particles == 1 or known is not None, "Give them, or particles=1"
    expect(fits, "known pixels, which particles are weighed by", "none", remedy)
    request, names = checked(model, request), list(model.factors)[:-1]
    if arguments.instance("given", given, dict, optional=True) is not None:
        fits, expected = len(given) == 1, f"one auxiliary image of {names} to start from"
        remedy = did_you_mean(next(iter(given), None), names, "Give one of them")
        expect(fits and set(given) <= set(names), expected, list(given), remedy)
    given, batch = dict(given or {}), len(request.seeds)
    sizes = model.sizes(request.size or _size_of(model, given, known))
    [*_, size] = sizes.values()
    for name in given:
        likelihood = model.factors[name].likelihood
        shape = [batch, *sizes[name], likelihood.num_channels]
        remedy = "Resize them, or ask model.colorize or model.enlarge, which take larger ones"
        images = _checked(f"given[{name!r}]", given[name], shape, likelihood.num_values, remedy)
        given[name] = images
    model.require(names_from(model, given))
    kept = own
    if known is not None or mask is not None:
        kept = kept_pixels(model, known, mask, batch, given, size)
    height, width = size
    return NUMPY.in_batches(
        functools.partial(draw, model, particles=particles),
        (request._replace(size=size), given, kept),
        (particles * height, width),
        jit_compile=request.jit_compile,
    )


def checked(model, request, count=None):
    """A `DrawRequest` with arrays of `count` seeds, shifts and conditions; of any number for None.

    Seeds that are a whole number, or None for `count` of them, become [0, 0], [0, 1] and so on.
    """
    arguments.choice("mode", request.mode, arguments.MODES)
    arguments.choice("method", request.method, METHODS)
    arguments.flag("jit_compile", request.jit_compile)
    arguments.choice("by", request.by, arguments.BACKENDS, optional=True)
    fits, expected = request.by != "numpy" or not request.jit_compile, "jit_compile=False"
    expect(fits, f"{expected} with by='numpy'", True, "Leave one of them out")
    seeds: Any = count if request.seeds is None else request.seeds
    if arguments.is_whole(seeds, 0, 2**31 - 1):
        seeds = np.stack([np.zeros(seeds, np.int32), np.arange(seeds, dtype=np.int32)], axis=1)
    seeds = arguments.array("seeds", seeds)
    shifts = arguments.array("log_scale_shift", request.log_scale_shift)
    fits = not any(map(arrays.is_symbolic, (seeds, shifts)))
    expected = "seeds and log_scale_shift that have values"
    remedy = "Draw outside of tf.function and of data sets' pipelines"
    expect(fits, expected, "those of a graph that is traced", remedy)
    seeds, shifts = np.asarray(seeds), np.asarray(shifts)
    dtype, shape = seeds.dtype.name, list(seeds.shape)
    fits, remedy = dtype == "int32" and shape[1:] == [2], "Give two numbers for each, or how many"
    expect(fits, "seeds as int32 [B, 2]", f"{dtype} {shape}", remedy)
    batch, is_flag, shifts = len(seeds), shifts.dtype == bool, shifts.astype(np.float32)
    expected = f"seeds as int32 [{count}, 2], two numbers for each image"
    expect(count in (None, batch), expected, shape, "Give them, or none")
    fits = shifts.shape in ((), (batch,)) and np.isfinite(shifts).all() and not is_flag
    expected = f"log_scale_shift as a finite number, or one for each of {batch} images"
    received, remedy = request.log_scale_shift, "Give 0 to draw as trained, less to vary less"
    expect(fits, expected, arguments.short_repr(received), remedy)
    condition = model.checked_condition(request.condition, batch)
    return request._replace(
        seeds=seeds,
        log_scale_shift=np.broadcast_to(shifts, (batch,)),
        condition=None if condition is None else np.asarray(condition),
    )


def _size_of(model, given, known):
    """(H, W) of the draws of a model without a size, by `given` or `known` images; None if unknown."""
    if model.image_size is not None:
        return None
    if known is not None:
        return tuple(np.shape(known)[1:3])
    if not given:
        return None
    [(name, images)] = given.items()
    above = model.transforms[: len(model.transforms) - model.position(name)]
    times = math.prod(transform.ratio for transform in above)
    return [times * side for side in np.shape(images)[1:3]]


def draw(model, request, given=None, kept=None, particles=1):
    """`sample` for checked arguments and `kept_pixels`, in one batch. Works within a graph, too."""
    if particles > 1:
        return weighed(functools.partial(draw, model), particles, request, given, kept)
    drawn, sizes = dict(given or {}), model.sizes(request.size)
    image = next(iter(drawn.values()), None)
    for name in names_from(model, drawn):
        fields = (kept or {}).get(name, {})
        own = request._replace(size=sizes[name], auxiliary=image, **fields)
        factor = model.factors[name]
        image = drawn[name] = factor.draw(_with_noise(model, factor, own))
        if request.particles is not None:
            request.particles.images.append(image)
    return drawn


def draw_factor(model, factor, request):
    """The images of a factor, named as one of the chain's, for its own `DrawRequest`."""
    return factor.draw(_with_noise(model, factor, request))


def _with_noise(model, factor, request):
    stream, bounded = model.position(factor.name), request.within is not None
    if request.particles is not None:
        stream = request.particles.streams(stream)
    noise = Noise(factor, request.seeds, stream, request.size, mode=request.mode, bounded=bounded)
    return request._replace(noise=noise)


def names_from(model, given):
    """The names of the factors to draw, in order: all after a `given` one, of a dict of images."""
    names = list(model.factors)
    return names[max((names.index(name) + 1 for name in given), default=0) :]


def kept_pixels(model, known, mask, batch, given=None, size=None, *, joined=False):
    """Fields of the `DrawRequest` of each factor that hold it to known pixels: dict, name -> dict.

    They are "completed", known pixels and a mask, or "within", intervals of values. If `joined`, the known
    pixels around an unknown one restrict it, too; not in a graph.
    """
    _check_can_complete(model, given or {})
    received = "known={}, mask={}".format(
        "None" if known is None else "images", "None" if mask is None else "a mask"
    )
    fits, expected = (known is None) == (mask is None), "known images and a mask, or neither"
    expect(fits, expected, received, "Give both, or neither")
    shape, channels = [batch, *(size or model.image_size)], model.likelihood.num_channels
    known = _checked("known images", known, [*shape, channels], model.likelihood.num_values)
    mask = _checked("a mask", mask, [*shape, 1], num_values=2)
    images, masks = model.images_of(known), [mask]
    for transform in model.transforms:
        masks.append(transform.known(masks[-1]))
    kept, above = {}, None  # the fixed sum of the exact factor above
    # From the full image down: through a sum, the known pixels of an image leave an interval for each value
    # of its auxiliary image.
    for (name, factor), mask in zip(reversed(model.factors.items()), masks):
        if above is None:
            last = factor.likelihood.num_values - 1
            ends = (arrays.cast(x, images[name].dtype) for x in (0, last))
            if joined:
                ends = _around_known(images[name], mask, last)
            low, high = (arrays.where(mask == 1, images[name], x) for x in ends)
        else:
            low, high = (arrays.cast(above.auxiliary(x), images[name].dtype) for x in (low, high))
            if given and name in given:
                _check_agrees(name, given[name], low, high)
        has_interval = above is not None or factor.fixed_sum is not None
        fields = {"within": (low, high)} if has_interval else {"completed": (images[name], mask)}
        kept[name] = fields
        above = factor.fixed_sum if factor.exact else None
    return kept


def _around_known(images, mask, last):
    """Intervals, (least, most), centered at the mean of known neighbors, that grow with the distance."""
    # Centers of the intervals, then a channel of 1; 0 where undefined so far.
    middles = np.concatenate([images, np.ones_like(mask)], axis=-1, dtype=np.float32) * mask
    steps = np.where(mask == 1, np.float32(0), np.inf)
    for step in range(1, math.ceil(1 / _PER_PIXEL)):
        around = middles
        for axis in (1, 2):
            padded = np.pad(around, [(int(i == axis),) * 2 for i in range(4)])
            around = sliding_window_view(padded, 3, axis).sum(axis=-1)
        is_next = (middles[..., -1:] == 0) & (around[..., -1:] > 0)
        middles = np.where(is_next, around / np.maximum(around[..., -1:], 1), middles)
        steps[is_next] = step
    ends = (middles[..., :-1] + last * _PER_PIXEL * x for x in (-steps, steps))
    return [np.rint(x.clip(0, last)).astype(images.dtype) for x in ends]


def can_complete(model):
    """Whether an `AuxiliaryModel` can draw images given known pixels: bool."""
    try:
        _check_can_complete(model, {})
    except ValueError:
        return False
    return True


def _check_can_complete(model, given):
    """Raises ValueError if a factor to draw cannot be held to the known pixels."""
    above = None  # the factor drawn next; the loop goes down from the full image
    for name in reversed(names_from(model, given)):
        factor = model.factors[name]
        if above and above.exact and factor.likelihood.bounded_noise_size is None:
            raise ValueError(
                f"Expected a likelihood of {name!r} that has bounds, since the exact factor {above.name!r} "
                "has to agree with its images and with the known pixels. "
                f"Received: {type(factor.likelihood).__name__}. Give it bounds "
                f"(likelihoods.Likelihood), give an image of {name!r}, draw without known pixels, or take "
                "model.with_exact(False)."
            )
        if factor.exact and not factor.fixed_sum.dense:
            raise ValueError(
                f"Expected sums of {name!r} with a step of their largest weight or more, so that some values "
                f"agree whatever pixels are known. Received: step={factor.fixed_sum.step}. Draw without "
                "known pixels, or build the model with exact=False."
            )
        above = factor


def _check_agrees(name, images, low, high):
    """Raises ValueError if an auxiliary image lies outside the interval that the known pixels leave."""
    contradicts = (images < low) | (images > high)
    if contradicts.any():
        index = tuple(np.argwhere(contradicts)[0].tolist())
        least, most = low[index], high[index]
        raise ValueError(
            f"Expected given[{name!r}] to agree with the known pixels: in image {index[0]}, row {index[1]}, "
            f"column {index[2]}, {least if least == most else f'{least} to {most}'}. "
            f"Received: {images[index]}. Give the auxiliary image of the known pixels, or mask out what "
            "contradicts it."
        )


def _checked(name, images, shape, num_values, remedy=None):
    """Checks images of a shape [B, H, W, C], with B seeds; returns an array, unless a graph is traced."""
    images = check_images(images, shape[-1], num_values, what=name)
    images = images if arrays.is_symbolic(images) else np.asarray(images)
    batch, *size, _ = shape
    own_batch, *own_size, _ = images.shape
    remedy = remedy or "Resize them, or ask model.complete, which takes pictures of any size"
    expected, received = (" x ".join(map(str, x)) for x in (size, own_size))
    expected = f"{name} of {expected}, the size that the model draws"
    expect(own_size == size, expected, received, remedy)
    expect(own_batch == batch, f"{name} for each of {batch} seeds", own_batch, "Give as many")
    return images


class Noise:
    """The noise of a factor's draws: for each image a function of its seed and of the factor's position.

    noise[:, rows, columns], with two slices, is float [B, h, w, noise_size] of the factor's dtype for a part
    of the images, or [B, h, w, bounded_noise_size] for draws within bounds and factors with a fixed sum.
    NumPy draws it; for seeds in a graph, TensorFlow draws the same numbers, of all rows. A function that XLA
    compiles must not draw noise: the numbers would differ.
    """

    def __init__(self, factor, seeds, stream, size, *, mode="sample", bounded=False):
        likelihood, self._seeds, self._stream = factor.likelihood, seeds, stream
        bounded = bounded or factor.fixed_sum is not None
        noise_size = likelihood.bounded_noise_size if bounded else likelihood.noise_size
        self._shape, self._dtype = (*size, noise_size), factor.dtype
        self._latest = None, None
        self._from_uniforms = lambda uniforms: likelihood.noise(uniforms, mode, bounded)

    def __getitem__(self, index):
        _, rows, columns = index
        numbers = self._stream, self._shape, self._dtype
        if arrays.is_symbolic(self._seeds):
            uniforms = arrays.backend().uniforms(self._seeds, *numbers)
            return self._from_uniforms(uniforms[:, rows, columns])
        latest, noise = self._latest
        if latest != (rows, columns):  # all groups of pixels use the noise of the same tile
            seeds, (height, width, size) = np.asarray(self._seeds), self._shape
            (top, bottom, _), (left, right, _) = rows.indices(height), columns.indices(width)
            noise = np.empty((len(seeds), bottom - top, right - left, size), self._dtype)
            # A few rows at a time, since philox takes several times the memory of its result.
            at_once = max(1, _CHUNK // max(len(seeds) * (right - left), 1))
            for first in range(top, bottom, at_once):
                band = slice(first, min(first + at_once, bottom))
                uniforms = philox.uniforms(seeds, *numbers, band, columns)
                noise[:, first - top : band.stop - top] = self._from_uniforms(uniforms)
            self._latest = (rows, columns), noise
        return noise


def noise(*args, **kwargs):
    """`Noise` of whole images, with the same arguments."""
    return Noise(*args, **kwargs)[:, :, :]
