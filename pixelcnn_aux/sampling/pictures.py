"""Pictures of any size: enlarged, completed.

They are drawn whole, also larger ones than those of a model's size: networks are convolutional.

A model of photographs knows textures, and one of small images what things look like. Together they complete a
photograph small first: the part around the hole is reduced until the second one sees it whole, and its draw,
held to what the known pixels leave possible, is enlarged by the first one scale by scale.
"""

import itertools
import math
import operator

import numpy as np

from pixelcnn_aux import batches
from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.inputs import check_images
from pixelcnn_aux.base.resizing import resize
from pixelcnn_aux.factors.conditional import in_bits_per_dim
from pixelcnn_aux.sampling.chains import checked, draw, kept_pixels, names_from, sample
from pixelcnn_aux.sampling.particles import MAX_PARTICLES

# The further shift of the log-scales of what is enlarged again, and of completions: edges stay straight.
_SMOOTHER = np.float32(-0.7)
# Of completions, where surroundings vary: how much higher it is at most, as chosen by eye, on photographs.
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
    given, (count, *sides, _) = padded(model, images, times), images.shape
    size = tuple(times * side for side in given.shape[1:3])
    request, given = checked(model, request, count)._replace(size=size), {names[times]: given}
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
    rows, drawn = (own, checked(scenes, request._replace(condition=None), count)), images.copy()
    for index in range(count):
        one = slice(index, index + 1)
        each = batches.by_leaf(operator.itemgetter(one), (images, mask, *rows))
        drawn[one] = _small_first(model, scenes, *each, particles)
    return drawn


def multiple(model):
    """Sides of the images that a model takes are multiples of this."""
    ratios = itertools.accumulate((x.ratio for x in model.transforms), operator.mul, initial=1)
    sides = (x.smallest_inputs().images.shape[1] for x in reversed(model.factors.values()))
    return math.lcm(*map(operator.mul, ratios, sides))


def padded(model, images, times=1):
    """Pictures [B, h, w, C] with their last rows and columns repeated, so that a model draws them.

    They are to be enlarged so many times. A model of one size draws none that are smaller than that.
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
    """dict, times -> name of the factor whose images a model enlarges so many times, the least first."""
    names, times = {}, 1
    for transform, name in zip(model.transforms, reversed(list(model.factors)[:-1])):
        times *= transform.ratio
        kinds = {_kind(x) for x in (model.factors[name], model)}
        if times > 1 and len(kinds) == 1:
            names.setdefault(times, name)
    return names


def _kind(model):
    return model.likelihood.num_channels, model.likelihood.num_values


def _check_scenes(model, scenes):
    """Raises ValueError for scenes that cannot decide the small pictures of a model."""
    names = _enlargements(model)
    remedy = "Take a model such as photographs, or scenes=None"
    expect(names, "a model that enlarges, for scenes", f"factors {list(model.factors)}", remedy)
    wanted, found = ("{} channels of {} values".format(*_kind(x)) for x in (model, scenes))
    fits = len(scenes.factors) == 1 and scenes.image_size is not None and wanted == found
    fits = fits and scenes.likelihood.bounded_noise_size is not None
    kind = f"{type(scenes.likelihood).__name__} of {found}, image_size={scenes.image_size}"
    expected = f"scenes of one factor and one size, with bounds, of {wanted}"
    received = f"factors {list(scenes.factors)}, {kind}"
    expect(fits, expected, received, "Take a model such as cifar10-pixelcnn")
    scenes.require(scenes.factors)


def _small_first(model, scenes, images, mask, request, of_scenes, particles):
    """A picture, [1, H, W, C], whose hole is decided by scenes; the requests of both models are checked."""
    if mask.all():
        return images
    names, [factor], sides = _enlargements(model), scenes.factors, images.shape[1:3]
    times, unit, part = _around(model, scenes, mask, names)
    name, (whole, known) = names[times], (_to_multiples(x, unit, (1, 1)) for x in (images, mask))
    model.require(names_from(model, [name]))
    known = known[part]
    height, width = size = known.shape[1:3]
    kept = kept_pixels(model, whole[part], known, 1, {}, size, joined=True)
    # Where nothing is known after the first pixel to draw, there is little to weigh particles by.
    blocks = known.reshape(height // times, times, width // times, times)
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
    return _cropped(whole, *sides)


def _further_shifts(images, small, known, last):
    """The further shifts of log-scales, float32 [h, w], by which a hole varies as its surroundings do.

    They follow from the cells of a picture [1, H, W, C] that are known, [h, w]: above all from those nearby
    that are as bright, as the small picture has it, [1, h, w, C]. Values are 0 .. last.
    """
    (height, width), times = known.shape, images.shape[1] // len(known)
    cells = images.reshape(height, times, width, times, -1) * np.float32(255 / last)
    steps = (np.log1p(np.abs(np.diff(cells, axis=axis))) for axis in (1, 3))
    details = sum(x.mean(axis=(1, 3, 4)) for x in steps) / 2
    levels = np.arange(9)[:, np.newaxis, np.newaxis]  # of brightness
    alike = np.maximum(1 - np.abs(small.mean(axis=-1) * (8 / last) - levels), 0.01)  # [9, h, w]
    rows, columns = (
        np.exp(-np.abs(np.subtract.outer(x, x)) / 2) for x in map(np.arange, known.shape)
    )
    sums, counts = (
        (alike * (rows @ (alike * x) @ columns)).sum(axis=0) for x in (known * details, known)
    )
    # Rounded, so that the order in which a machine adds numbers up does not matter.
    variation = np.round(sums / np.maximum(counts, 1e-9) - 1, 2)
    return _SMOOTHER + variation.clip(0, _VARIED).astype(np.float32)


def _around(model, scenes, mask, names):
    """How many times what scenes draw is enlarged, of `names`; the unit of sides; and the part around a hole.

    That is an index of pictures [1, H, W, C] whose sides are multiples of the unit.
    """
    ends = []
    for axes in ((0, 2, 3), (0, 1, 3)):
        hole = np.flatnonzero((mask == 0).any(axis=axes))
        ends.append((int(hole[0]), int(hole[-1]) + 1))
    longest, seen = max(end - start for start, end in ends), min(scenes.image_size)
    # Scenes see as much around the hole as it takes, if there is such an enlargement.
    times = next((x for x in names if 2 * longest <= x * seen), max(names))
    unit, part = math.lcm(times * multiple(scenes), multiple(model)), [slice(None)]
    for (start, end), side, least in zip(ends, mask.shape[1:3], scenes.image_size):
        length = max(times * least, end - start + times * least // 2)
        length = min(length + -length % unit, side + -side % unit)
        first = min(max((start + end - length) // 2, 0), max(side - length, 0))
        part.append(slice(first, first + length))
    return times, unit, tuple(part)


def as_seen_whole(model, images):
    """Pictures [B, H, W, C], reduced until they just cover the model's images; smaller ones padded.

    For a model of images of any size they are as they were.
    """
    scale = max(map(operator.truediv, model.image_size or (), images.shape[1:3]), default=1)
    if scale >= 1:
        return padded(model, images)
    of = multiple(model)
    sides = (of * round(scale * side / of) for side in images.shape[1:3])
    size = [*map(max, model.image_size, sides)]
    small = [resize(image, size) for image in images]
    return np.reshape(small, (-1, *size, images.shape[-1])).astype(images.dtype)


def drawn_with_bits(model, call, how, has_bits=True):
    """Pictures that a model draws, uint8 [N, h, w, 3], and their bits per dimension, float [N]; or zeros.

    `call` is the name of a method with its first arguments, and `how` are others. Bits are those of all
    trained factors, of pictures as the model sees them whole.
    """
    method, *args = call
    drawn = np.asarray(getattr(model, method)(*args, **how))
    drawn = drawn.reshape(-1, *drawn.shape[-3:])
    if not has_bits:
        return drawn, np.zeros(len(drawn))
    seen, bits = as_seen_whole(model, drawn), np.zeros(len(drawn))
    condition = model.checked_condition(how.get("condition"), len(drawn))
    trained = {x: factor for x, factor in model.factors.items() if x not in model.untrained}
    for index in range(len(drawn)):  # one by one, since they may be large
        one = slice(index, index + 1)
        inputs = model.inputs(seen[one], condition if condition is None else condition[one])
        nats = {x: np.asarray(factor.log_prob(inputs[x])) for x, factor in trained.items()}
        [bits[index]] = in_bits_per_dim(nats, seen.shape[1:])["total"]
    return drawn, bits
