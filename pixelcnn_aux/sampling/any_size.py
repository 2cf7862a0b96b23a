"""Enlarging and completing pictures of any size.

Networks are convolutional, so that a model draws pictures larger than its own size in one piece.

A model of photographs knows textures, and a model of small images (`scenes`) knows objects. Together they
complete a photograph from coarse to fine: the part around the hole is reduced until scenes see it whole, and
their draw, within the intervals that the known pixels allow, is enlarged by the first model scale by scale.
"""

import itertools
import math
import operator

import numpy as np

from pixelcnn_aux import batches
from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.image_checks import check_images
from pixelcnn_aux.base.resizing import resize
from pixelcnn_aux.factors.factor import in_bits_per_dim
from pixelcnn_aux.sampling.chains import checked, draw, kept_pixels, names_from, sample
from pixelcnn_aux.sampling.particles import MAX_PARTICLES

# Additional shift of log-scales, for images to be enlarged again and completions: it keeps edges straight.
_SMOOTHER = np.float32(-0.7)
# The largest increase of this shift in completions with varied surroundings: chosen by eye, on photographs.
_VARIED = 0.9


def enlarge(model, images, times, request):
    """`AuxiliaryModel.enlarge`; `request` is the user's `DrawRequest`."""
    names, likelihood = _enlargements(model), model.likelihood
    possible = ", ".join(map(str, names)) or "none: the model has no images of lower resolution"
    remedy = "Choose another, or take another model, such as photographs"
    fits = arguments.is_whole(times, 1, arguments.LARGEST) and times in names
    expected = f"times to enlarge by, one of {possible}"
    expect(fits, expected, arguments.short_repr(times), remedy)
    images = np.asarray(check_images(images, likelihood.num_channels, likelihood.num_values))
    count, *sides, _ = images.shape
    images = padded(model, images, times)
    size = tuple(times * side for side in images.shape[1:3])
    request, given = checked(model, request, count)._replace(size=size), {names[times]: images}
    smoother = {"log_scale_shift": request.log_scale_shift + _SMOOTHER}
    own = dict.fromkeys(names_from(model, given)[:-1], smoother)
    [*_, drawn] = sample(model, request, given, None, None, own=own).values()
    return _cropped(drawn, *(times * side for side in sides))


def complete(model, images, mask, request, particles, scenes):
    """`AuxiliaryModel.complete`; `request` is the user's `DrawRequest`."""
    particles = arguments.whole("particles", particles, 1, MAX_PARTICLES)
    likelihood = model.likelihood
    images = np.asarray(check_images(images, likelihood.num_channels, likelihood.num_values))
    mask = np.asarray(check_images(mask, 1, 2, what="a mask"))
    fits, expected = mask.shape[:3] == images.shape[:3], f"a mask of shape {[*images.shape[:3], 1]}"
    expect(fits, expected, list(mask.shape), "Give one for each image, of its size")
    count, *sides, _ = images.shape
    own = checked(model, request, count)
    if scenes is None:
        known, mask = (padded(model, x) for x in (images, mask))
        own = own._replace(size=known.shape[1:3])
        [*_, drawn] = sample(model, own, None, known, mask, particles).values()
        return _cropped(drawn, *sides)
    _check_scenes(model, scenes)
    of_scenes = checked(scenes, request._replace(condition=None), count)
    drawn = images.copy()
    for index in range(count):
        one = slice(index, index + 1)
        rows = batches.by_leaf(operator.itemgetter(one), (images, mask, own, of_scenes))
        drawn[one] = _coarse_to_fine(model, scenes, *rows, particles)
    return drawn


def multiple(model):
    """The divisor of the sides of all images that a model takes."""
    ratios = itertools.accumulate((x.ratio for x in model.transforms), operator.mul, initial=1)
    sides = (x.smallest_inputs().images.shape[1] for x in reversed(model.factors.values()))
    return math.lcm(*map(operator.mul, ratios, sides))


def padded(model, images, times=1):
    """Pictures [B, h, w, C] to be enlarged, with repeated last rows and columns to fit a model.

    They become at least as large as the images of a model with a size.
    """
    if model.image_size is None:
        return images
    least = (-(-side // times) for side in model.image_size)
    return _to_multiples(images, multiple(model) // times, least)


def _to_multiples(images, of, least):
    sides = zip(images.shape[1:3], least)
    missing = [(0, max(most, side + -side % of) - side) for side, most in sides]
    return np.pad(images, [(0, 0), *missing, (0, 0)], mode="edge")


def _cropped(images, height, width):
    return images[:, :height, :width]


def _enlargements(model):
    """dict, times -> name of the factor whose images a model enlarges by this factor, in ascending order."""
    names, times = {}, 1
    for transform, name in zip(model.transforms, reversed(list(model.factors)[:-1])):
        times *= transform.ratio
        if times > 1 and _values(model.factors[name]) == _values(model):
            names.setdefault(times, name)
    return names


def _values(model):
    likelihood = model.likelihood
    return f"{likelihood.num_channels} channels of {likelihood.num_values} values"


def _check_scenes(model, scenes):
    """Raises ValueError for scenes that cannot draw the small pictures of a model."""
    remedy = "Take a model such as photographs, or scenes=None"
    received = f"factors {list(model.factors)}"
    expect(_enlargements(model), "a model that enlarges, for scenes", received, remedy)
    fits = len(scenes.factors) == 1 and scenes.image_size is not None
    fits = fits and _values(scenes) == _values(model)
    fits = fits and scenes.likelihood.bounded_noise_size is not None
    expected = f"scenes of one factor and one size, with bounds, of {_values(model)}"
    likelihood = f"{type(scenes.likelihood).__name__} of {_values(scenes)}"
    received = f"factors {list(scenes.factors)}, {likelihood}, image_size={scenes.image_size}"
    expect(fits, expected, received, "Take a model such as cifar10-pixelcnn")
    scenes.require(scenes.factors)


def _coarse_to_fine(model, scenes, images, mask, request, of_scenes, particles):
    """Completes a picture, [1, H, W, C], with scenes; `request` and `of_scenes` are checked requests."""
    if mask.all():
        return images
    names, [factor] = _enlargements(model), scenes.factors
    times, unit, part = _around(model, scenes, mask, names)
    name = names[times]
    model.require(names_from(model, [name]))
    whole, mask = (_to_multiples(x, unit, (1, 1)) for x in (images, mask))
    mask = mask[part]
    height, width = size = mask.shape[1:3]
    kept = kept_pixels(model, whole[part], mask, 1, {}, size, joined=True)
    # Without known pixels after the first drawn one, there is little to weigh particles by.
    blocks = mask.reshape(height // times, times, width // times, times)
    first = blocks.min(axis=(1, 3)).argmin()
    is_weighed = blocks.max(axis=(1, 3)).ravel()[first:].any()
    own = of_scenes._replace(size=(height // times, width // times))
    small = draw(scenes, own, {}, {factor: kept[name]}, particles if is_weighed else 1)[factor]
    shift, last = request.log_scale_shift, model.likelihood.num_values - 1
    further = _further_shifts(whole[part], small, blocks.min(axis=(1, 3)), last)
    # Above the log-scales of training, textures turn into noise.
    shifts = np.minimum(shift + further, np.maximum(shift, 0))
    for x in names_from(model, [name]):
        ratio = model.sizes(size)[x][0] // len(shifts)
        kept[x]["log_scale_shift"] = np.kron(shifts, np.ones((1, ratio, ratio), shifts.dtype))
    [*_, whole[part]] = draw(model, request._replace(size=size), {name: small}, kept).values()
    return _cropped(whole, *images.shape[1:3])


def _further_shifts(images, small, is_known, last):
    """Additional shifts of log-scales, float32 [h, w], so that a hole varies as much as its surroundings."""
    # Nearby known cells of a similar brightness, by the small picture, count most.
    (height, width), times = is_known.shape, images.shape[1] // len(is_known)
    cells = images.reshape(height, times, width, times, -1) * np.float32(255 / last)
    steps = (np.log1p(np.abs(np.diff(cells, axis=axis))) for axis in (1, 3))
    details = sum(x.mean(axis=(1, 3, 4)) for x in steps) / 2
    levels = np.arange(9)[:, np.newaxis, np.newaxis]  # of brightness
    alike = np.maximum(1 - np.abs(small.mean(axis=-1) * (8 / last) - levels), 0.01)  # [9, h, w]
    rows, columns = (
        np.exp(-np.abs(np.subtract.outer(x, x)) / 2) for x in map(np.arange, is_known.shape)
    )
    sums, counts = (
        (alike * (rows @ (alike * x) @ columns)).sum(axis=0) for x in (is_known * details, is_known)
    )
    # Rounded, so that the result does not depend on the order of sums on a machine.
    variation = np.round(sums / np.maximum(counts, 1e-9) - 1, 2)
    return _SMOOTHER + variation.clip(0, _VARIED).astype(np.float32)


def _around(model, scenes, mask, names):
    """The factor of enlargement, of `names`; the divisor of sides; the index of the part around a hole."""
    ends = []
    for axes in ((0, 2, 3), (0, 1, 3)):
        hole = np.flatnonzero((mask == 0).any(axis=axes))
        ends.append((int(hole[0]), int(hole[-1]) + 1))
    longest, visible = max(end - start for start, end in ends), min(scenes.image_size)
    # If possible, scenes see surroundings as large as the hole.
    times = next((x for x in names if 2 * longest <= x * visible), max(names))
    unit, part = math.lcm(times * multiple(scenes), multiple(model)), [slice(None)]
    for (start, end), side, least in zip(ends, mask.shape[1:3], scenes.image_size):
        length = max(times * least, end - start + times * least // 2)
        length = min(length + -length % unit, side + -side % unit)
        first = min(max((start + end - length) // 2, 0), max(side - length, 0))
        part.append(slice(first, first + length))
    return times, unit, tuple(part)


def as_seen_whole(model, images):
    """Pictures [B, H, W, C], reduced until they just cover the model's size, or padded to it.

    Unchanged for a model without a size.
    """
    scale = max(map(operator.truediv, model.image_size or (), images.shape[1:3]), default=1)
    if scale >= 1:
        return padded(model, images)
    unit = multiple(model)
    sides = (unit * round(scale * side / unit) for side in images.shape[1:3])
    size = [*map(max, model.image_size, sides)]
    small = [resize(image, size) for image in images]
    return np.reshape(small, (-1, *size, images.shape[-1])).astype(images.dtype)


def draw_and_score(model, draw, options, has_bits=True):
    """Pictures that a model draws by `draw(**options)`, uint8 [N, h, w, 3]; and their bits per dimension.

    Bits, float [N], are those of all trained factors for pictures `as_seen_whole`, or zeros without
    `has_bits`.
    """
    drawn = np.asarray(draw(**options))
    drawn = drawn.reshape(-1, *drawn.shape[-3:])
    if not has_bits:
        return drawn, np.zeros(len(drawn))
    seen, bits = as_seen_whole(model, drawn), np.zeros(len(drawn))
    condition = model.checked_condition(options.get("condition"), len(drawn))
    trained = {x: factor for x, factor in model.factors.items() if x not in model.untrained}
    for index in range(len(drawn)):  # one by one, since pictures may be large
        one = slice(index, index + 1)
        inputs = model.inputs(seen[one], condition if condition is None else condition[one])
        nats = {x: np.asarray(factor.log_prob(inputs[x])) for x, factor in trained.items()}
        [bits[index]] = in_bits_per_dim(nats, seen.shape[1:])["total"]
    return drawn, bits


def upper_half(images):
    """The mask of known pixels if the upper half of images [..., H, W, C] is known: uint8 [..., H, W, 1]."""
    mask = np.zeros((*images.shape[:-1], 1), np.uint8)
    mask[..., : images.shape[-3] // 2, :, :] = 1
    return mask
