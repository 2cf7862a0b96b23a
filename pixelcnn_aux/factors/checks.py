"""Consistency checks of the parts of a factor, and of the factors and transforms of a chain.

Declarations of transforms and likelihoods are tried on a few images. All functions raise a ValueError that
names the part that does not fit.
"""

import math
import re
import sys
from typing import Any

import numpy as np

from pixelcnn_aux import sums
from pixelcnn_aux.auxiliary import Transform
from pixelcnn_aux.base import arguments, arrays, rounding, serialization
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.conditions import Condition
from pixelcnn_aux.factors.inputs import Inputs
from pixelcnn_aux.likelihoods import Categorical, Likelihood, LogisticMixture
from pixelcnn_aux.networks import Embedding, MaskedPixelCNN, Network, ParallelPixelCNN
from pixelcnn_aux.sums import Bounds, FixedSum

# The classes of a factor's parts, in the order of descriptions.
PARTS: dict[str, Any] = {
    "likelihood": Likelihood,
    "network": Network,
    "embedding": Embedding,
    "auxiliary_likelihood": Likelihood,
    "fixed_sum": FixedSum,
    "condition": Condition,
}
MODULES = ("network", "embedding")
_MOST_VALUES = 2**18  # colors of a pixel times parameters


def check_names(names):
    """Checks that factors have different names that are valid folder names other than "total"."""
    expected = "one factor or more, each with a name of its own"
    expect(names and len(set(names)) == len(names), expected, names, "Give others by `names`")
    expected = "names of letters, digits, _ and -, in ASCII, not first _ or -, and not 'total'"
    for name in names:
        fits = isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][\w-]*", name, re.ASCII)
        expect(fits and name != "total", expected, repr(name), "Give another by `names`")


def check_parts(factor, definitions):
    """Checks the classes of a factor's parts, and that the parts fit each other.

    `definitions` are its "network" and, maybe None, "embedding".
    """
    for name, cls in PARTS.items():
        optional = name not in ("likelihood", "network")
        own = definitions.get(name) if name in MODULES else getattr(factor, name)
        arguments.instance(name, own, cls, optional)
    likelihood, network = factor.likelihood, definitions["network"]
    embedding = definitions.get("embedding")
    below, fixed_sum = factor.auxiliary_likelihood, factor.fixed_sum
    expected = "an embedding and the likelihood of its input, or neither"
    received = f"embedding={embedding}, auxiliary_likelihood={below}"
    expect((embedding is None) == (below is None), expected, received, "Give both, or neither")
    for each_likelihood in filter(None, (likelihood, below)):
        each_likelihood.check_declared()
    fits = network.num_params == likelihood.num_params
    expected = f"a network with num_params={likelihood.num_params}, as the likelihood takes"
    expect(fits, expected, f"num_params={network.num_params}", "Build it with the likelihood's")
    if embedding is not None:
        outputs, inputs = embedding.num_resolutions, network.num_resolutions
        expected = f"an embedding with outputs at its network's {inputs} resolutions"
        expect(outputs == inputs, expected, f"outputs at {outputs}", "Choose its topology to fit")
        fits = not embedding.differences or isinstance(likelihood, LogisticMixture)
        expected, remedy = "a LogisticMixture, whose unit scales differences", "Omit differences"
        expect(fits, expected, type(likelihood).__name__, remedy)
    if fixed_sum is not None:
        _check_fixed_sum_of_factor(factor, network, embedding)
    expected = "a fixed_sum, since the likelihood is centered"
    remedy = "Give the transform's, or a likelihood with centered=False"
    expect(fixed_sum is not None or not likelihood.centered, expected, None, remedy)


def _check_fixed_sum_of_factor(factor, network, embedding):
    likelihood, fixed_sum = factor.likelihood, factor.fixed_sum
    expect(embedding is not None, "no fixed_sum: this factor is unconditional", "one", "Give None")
    expected = "a likelihood that has bounds, within which a fixed_sum holds pixels"
    remedy = "Give it bounds (likelihoods.Likelihood), or no fixed_sum"
    expect(likelihood.bounded_noise_size is not None, expected, type(likelihood).__name__, remedy)
    side = network.side
    ratio = side * embedding.ratio
    sides = (ratio,) if isinstance(network, ParallelPixelCNN) else (1, ratio)
    image = f"an image of {fixed_sum.ratio} times the size of x_hat, as its fixed_sum has blocks"
    expected = f"the networks of the factor {factor.name!r} to make {image}"
    blocks = f"a network of blocks of side {side}"
    received = f"an embedding that does at {embedding.ratio} times, and {blocks}"
    remedy = "Choose the embedding's topology, or the sum, to fit"
    expect(fixed_sum.ratio == ratio and side in sides, expected, received, remedy)
    summed, channels = fixed_sum.num_channels, likelihood.num_channels
    values = likelihood.num_values
    fits = summed in (None, channels) and fixed_sum.num_values == values
    fits = fits and factor.auxiliary_likelihood.num_channels == (channels if summed is None else 1)
    expected = (
        f"the factor {factor.name!r} to know a fixed_sum of {values} values, within each of {channels} "
        "channels or over all of them, that gives the channels of x_hat"
    )
    received = f"one of {fixed_sum.num_values} values, over {summed} channels"
    expect(fits, expected, received, "Give what the transform of x to x_hat declares")


def check_rounded(factor):
    """Checks the parts of a factor of whole numbers."""

    def check(fits, expected, received):
        expected = f"{expected}, of a factor of whole numbers"
        expect(fits, expected, received, "Give it, or a factor that is not rounded")

    likelihood, fixed_sum = factor.likelihood, factor.fixed_sum
    network, embedding = (factor.definitions.get(name) for name in MODULES)
    fits = isinstance(network, (ParallelPixelCNN, MaskedPixelCNN))
    check(fits, "a ParallelPixelCNN or MaskedPixelCNN", type(network).__name__)
    fits = isinstance(likelihood, (LogisticMixture, Categorical))
    check(fits, "a LogisticMixture or Categorical", type(likelihood).__name__)
    fits = fixed_sum is None or fixed_sum.num_channels is None
    check(fits, "a sum within each channel", "one over all channels")
    fits = embedding is None or not embedding.gated
    check(fits, "an embedding without gates", "one with gates")
    check(factor.condition is None, "no condition", factor.condition)
    check(factor.dtype == "float32", "float32", factor.dtype)
    if likelihood.centered:
        units = fixed_sum and fixed_sum.center_units
        expected = f"center_units={rounding.CENTERS}, and a unit that is a power of two"
        fits = units == rounding.CENTERS and math.frexp(likelihood.unit)[0] == 0.5
        check(fits, expected, f"center_units={units}, unit={likelihood.unit}")


def check_takes_condition(factor):
    """Checks that layers of each network take a factor's condition."""
    for part in factor.definitions if factor.condition else ():
        expect(
            any(x.startswith(f"{part}/") and x.endswith("/h") for x in factor.shapes),
            f"blocks, which take the condition, in the networks of the factor {factor.name!r}",
            f"none in {type(factor.definitions[part]).__name__}",
            "Build it with networks.GatedResidualBlock, or without a condition",
        )


def check_chain(factors, transforms, image_size):
    """Checks that factors and transforms of a chain fit each other, on a few images."""
    traceable = "keras" in sys.modules  # graphs may evaluate transforms, too
    received = f"{len(factors)} factors, {len(transforms)} transforms"
    remedy = "Give a factor for each auxiliary image and one for the full image"
    expect(len(factors) == len(transforms) + 1, "one factor more than transforms", received, remedy)
    expected = "an unconditional first factor"
    fits, received = not factors[0].is_conditional, f"{factors[0].name!r}, which has an embedding"
    expect(fits, expected, received, "Put the factor of its auxiliary image before it")
    first, *later = (serialization.serialize(factor.condition) for factor in factors)
    received = ", ".join(f"{factor.name}: {factor.condition}" for factor in factors)
    fits, expected = all(x == first for x in later), "the same condition for all factors"
    expect(fits, expected, received, "Build them with one")
    downwards = factors[::-1]
    links = list(zip(transforms, downwards, downwards[1:]))
    for transform, factor, below in links:
        check_declared(transform)
        _check_link(transform, factor, below)
    likelihood = downwards[0].likelihood
    if image_size is None:
        whole = math.prod(transform.ratio for transform in transforms)
        image_size = [
            whole * math.lcm(*(factor.definitions["network"].multiple for factor in factors))
        ] * 2
    shape, num_values = (3, *image_size, likelihood.num_channels), likelihood.num_values
    images = np.random.default_rng(0).integers(0, num_values, shape)
    images = images.astype(arguments.pixel_dtype(num_values))
    images[0], images[1] = 0, num_values - 1
    condition = factors[0].condition and factors[0].condition.unknown(len(images))
    for transform, factor, below in links:
        auxiliary = checked_output(transform, images, below.likelihood, traceable)
        factor.inputs(Inputs(images, auxiliary, condition))
        check_known(transform, images, auxiliary)
        check_fixed_sum(transform, images, auxiliary, factor.likelihood, below.likelihood)
        images = auxiliary
    factors[0].inputs(Inputs(images, condition=condition))


def _check_link(transform, factor, below):
    """Checks that a transform maps a factor's image to that of the factor below."""
    name = type(transform).__name__

    def check(clause, expected, received, remedy):
        expect(received == expected, f"{clause} {expected}", received, remedy)

    ratio = factor.auxiliary_ratio if factor.is_conditional else "no embedding"
    embeds = f"the factor {factor.name!r} to embed images of {name}, whose height is its own image's over"
    check(embeds, transform.ratio, ratio, "Choose an embedding's topology to fit")
    modeled = _channels_and_values(below.likelihood)
    embeds = f"the factor {factor.name!r} to embed what {below.name!r} models,"
    embedded = _channels_and_values(factor.auxiliary_likelihood)
    check(embeds, modeled, embedded, "Build it with that likelihood")
    gives = "{} channels of {} values".format(*declared_values(transform, factor.likelihood))
    models = f"the factor {below.name!r} to model what {name} gives,"
    check(models, gives, modeled, "Choose the likelihood to fit")
    if factor.fixed_sum is not None:
        usage = {"exact": True, "center_units": None}  # may differ between factors
        declared = declared_sum(transform, factor.likelihood)
        declared = declared and {**declared.get_config(), **usage}
        known = {**factor.fixed_sum.get_config(), **usage}
        knows = f"the factor {factor.name!r} to know the sum that {name} declares,"
        check(knows, declared, known, "Build it with the transform's")


def _channels_and_values(likelihood):
    return f"{likelihood.num_channels} channels of {likelihood.num_values} values"


def check_declared(transform):
    """Checks the class of a transform and the attributes that it declares."""
    expected, remedy = "objects of class auxiliary.Transform", "Derive its class from that one"
    expect(isinstance(transform, Transform), expected, repr(transform), remedy)

    def check(fits, declaration, received):
        expected = f"{type(transform).__name__} with {declaration}"
        expect(fits, expected, arguments.short_repr(received), "Correct what it declares")

    ratio, channels, values = transform.ratio, transform.channels, transform.num_values
    whole, largest = arguments.is_whole, 2**arguments.MAX_HALVINGS
    power = whole(ratio, 1, largest) and not ratio & (ratio - 1)
    check(power, f"a ratio that is a power of two, of at most {largest}", ratio)
    check(channels is None or whole(channels, 1, 256), "channels from 1 to 256, or None", channels)
    fits = values is None or whole(values, 2, arguments.MAX_VALUES)
    check(fits, f"num_values from 2 to {arguments.MAX_VALUES:,}, or None", values)


def declared_values(transform, likelihood):
    """(channels, number of values) of the auxiliary images of images with this likelihood."""
    channels = likelihood.num_channels if transform.channels is None else transform.channels
    num_values = likelihood.num_values if transform.num_values is None else transform.num_values
    return channels, num_values


def declared_sum(transform, likelihood):
    """The checked `FixedSum` that a transform declares for images with this likelihood, or None."""
    name = type(transform).__name__
    fixed_sum = transform.fixed_sum(likelihood.num_values)
    arguments.instance(f"{name}.fixed_sum", fixed_sum, FixedSum, optional=True)
    if fixed_sum is not None:
        values, channels = likelihood.num_values, likelihood.num_channels
        expected = f"the fixed sum of {name} to be of {values} values"
        received, remedy = fixed_sum.num_values, "Build it with the argument of `fixed_sum`"
        expect(received == values, expected, f"num_values={received}", remedy)
        received = fixed_sum.num_channels
        expected = f"the fixed sum of {name} to be over all of {channels} channels of images, or within each"
        remedy = "Correct it, or choose a transform of such images"
        expect(received in (None, channels), expected, received, remedy)
    return fixed_sum


def sum_for_factor(transform, likelihood, exact):
    """The checked `FixedSum` of a factor, to rule out values or for centers alone; or None."""
    exact = exact and likelihood.bounded_noise_size is not None
    is_used = exact or likelihood.centered
    fixed_sum = declared_sum(transform, likelihood) if is_used else None
    return fixed_sum and fixed_sum.with_exact(exact and fixed_sum.exact)


def check_distribution(likelihood):
    """Checks draws of a likelihood, also within bounds, and that probabilities of few values sum to 1."""
    random, last = np.random.default_rng(0), likelihood.num_values - 1
    name, channels = type(likelihood).__name__, likelihood.num_channels
    # Large ones make extreme draws.
    params = random.normal(0, 4, (100, likelihood.num_params)).astype(np.float32)
    ends = random.integers(0, last, (2, 100, channels), np.int32, endpoint=True)
    low, high = np.sort(ends, axis=0)
    bounds_of_pixels = Bounds(low, high, low.astype(np.float32))
    colors = None  # all values of a pixel, [n, C]
    if likelihood.num_params * likelihood.num_values**channels <= _MOST_VALUES:
        colors = np.indices([likelihood.num_values] * channels).reshape(channels, -1).T

    def bounds(channel, earlier):
        return Bounds(*(x[:, channel] for x in bounds_of_pixels))

    for bounded, least, most in ((False, 0, last), (True, low, high)):
        size = likelihood.bounded_noise_size if bounded else likelihood.noise_size
        if size is None or (likelihood.centered and not bounded):
            continue
        noise = likelihood.noise(random.random((100, size), np.float32), bounded=bounded)
        drawn = likelihood.draw(params, noise, bounds=bounds if bounded else None)
        wrong, within = drawn != np.clip(np.round(drawn), least, most), ", within bounds" * bounded
        expected = f"{name} to draw int32, whole numbers from 0 to {last}{within}"
        received = drawn[wrong][0] if wrong.any() else drawn.dtype
        fits = not wrong.any() and drawn.dtype == np.int32
        expect(fits, expected, received, f"Correct {'_bounded_draw' if bounded else '_draw'}")
        for row in range(4 if colors is not None else 0):
            of_pixel = (np.broadcast_to(x[row], colors.shape) for x in bounds_of_pixels)
            here = np.broadcast_to(params[row], (len(colors), likelihood.num_params))
            nats = likelihood.log_prob(here, colors, Bounds(*of_pixel) if bounded else None)
            total = np.exp(np.asarray(nats, np.float64)).sum()
            expected = f"{name} to have probabilities that sum to 1{within}"
            remedy = f"Correct {'_bounded_log_prob' if bounded else '_log_prob'}"
            expect(abs(total - 1) < 1e-3, expected, f"a sum of {total:.4g}", remedy)


def checked_output(transform, images, likelihood, traceable=True):
    """transform(images), checked against the transform's declarations and the likelihood."""
    name = type(transform).__name__

    def check(fits, output, expected, received):
        expected = f"the transform {name} to give {output} {expected}"
        expect(fits, expected, received, "Correct its declarations or its output")

    height, width = transform.size(tuple(images.shape[1:3]))  # raises for unsupported sizes
    image_dtype, dtype = images.dtype.name, arguments.pixel_dtype(likelihood.num_values)
    try:
        result = np.asarray(transform(images))
        masks = np.zeros((2, *images.shape[1:3], 1), np.uint8)
        masks[1] = 1
        known, traced = np.asarray(transform.known(masks)), [None, *result.shape[1:]]
        if traceable:
            traced = arrays.backend().traced_shape(transform, images.shape[1:], image_dtype)
            arrays.backend().traced_shape(transform.known, masks.shape[1:], "uint8")
    except Exception as error:
        raise ValueError(
            f"Expected the transform {name} to take {image_dtype} images of {list(images.shape[1:])}, any "
            f"number of them, also in a graph. Received: {type(error).__name__}: {str(error).rstrip('.')}. "
            "Write it in keras.ops or TensorFlow."
        ) from error
    shape = [height, width, likelihood.num_channels]
    received, expected = _dtype_and_shape(result), f"{dtype} {[len(images), *shape]}"
    check(received == expected, f"{dtype} images of shape", [len(images), *shape], received)
    received = traced or "an unknown one"
    check(traced[1:] == shape, "images of a shape known in a graph,", [None, *shape], received)
    fits = (height, width) == sums.num_blocks(images.shape[1:3], transform.ratio)
    check(fits, "a height and width divided by its ratio,", transform.ratio, f"{height} x {width}")
    received, shape = _dtype_and_shape(known), [2, height, width, 1]
    check(received == f"uint8 {shape}", "uint8 masks of shape", shape, received)
    nowhere, everywhere = known
    fits = not nowhere.any() and (everywhere == 1).all()
    received = f"{nowhere.max()} and {everywhere.min()}"
    check(fits, "masks", "of 0 if no pixel is known, and of 1 if all are", received)
    check(result.max() < likelihood.num_values, "values below", likelihood.num_values, result.max())
    return result


def _dtype_and_shape(x):
    return f"{x.dtype.name} {list(x.shape)}"


def check_known(transform, images, auxiliary):
    """Checks that values marked by `Transform.known` do not depend on unknown pixels."""
    batch, height, width, _ = auxiliary.shape
    random = np.random.default_rng(0)
    mask = random.integers(0, 2, (batch, height, width, 1), np.uint8)
    mask = mask.repeat(transform.ratio, axis=1).repeat(transform.ratio, axis=2)
    mask = mask[:, : images.shape[1], : images.shape[2]]
    mask[1:] &= random.random(mask[1:].shape) < 0.9  # only a part of some blocks
    changed = np.where(mask, images, np.roll(images, 1, axis=0))
    wrong = np.asarray(transform.known(mask)) * (np.asarray(transform(changed)) != auxiliary)
    name = type(transform).__name__
    expected = f"{name}.known to give 1 only if all pixels that a value is computed from are known"
    block = f"its block of {transform.ratio} x {transform.ratio} pixels"
    remedy = f"Define `known`, as docs/extending.md does for a transform that looks beyond {block}"
    expect(not wrong.any(), expected, "1 at values that change with unknown pixels", remedy)


def check_fixed_sum(transform, images, auxiliary, likelihood, below):
    """Checks that a transform's declared sum, if any, fixes its auxiliary images, with likelihood `below`."""
    fixed_sum = declared_sum(transform, likelihood)
    if fixed_sum is None:
        return

    def check(fits, property, received):
        expected = f"the fixed sum of {type(transform).__name__} {property}"
        expect(fits, expected, received, "Correct it, or give None")

    ratio, channels = fixed_sum.ratio, fixed_sum.num_channels
    check(ratio == transform.ratio, f"to be over blocks of side {transform.ratio}", ratio)
    models = likelihood.num_channels if channels is None else 1
    check(below.num_channels == models, f"to fix {models} channels", below.num_channels)
    # Every auxiliary value may be drawn, and then must have an image.
    lowest, highest = fixed_sum.first, below.num_values * fixed_sum.step + fixed_sum.first
    fits = lowest + fixed_sum.step > 0 and highest - fixed_sum.step <= fixed_sum.largest
    has = f"to have sums for the values 0 .. {below.num_values - 1}, from 0 to {fixed_sum.largest}"
    check(fits, has, f"windows from {lowest} to {highest - 1}")
    wrong = np.asarray(fixed_sum.auxiliary(images) != auxiliary)
    check(not wrong.any(), "to give its values", f"others for {wrong.mean():.1%} of them")
