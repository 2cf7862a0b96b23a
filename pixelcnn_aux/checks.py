"""What fits what: the parts of a factor, the factors and transforms of a chain, and images and a factor."""

import math
import re

import keras
import numpy as np
from keras import ops

from pixelcnn_aux import arguments, backend, conditions, layers, serialization, sums
from pixelcnn_aux.auxiliary import Transform
from pixelcnn_aux.errors import expect
from pixelcnn_aux.inputs import Inputs
from pixelcnn_aux.likelihoods import Likelihood
from pixelcnn_aux.networks import Embedding, Network, ParallelPixelCNN
from pixelcnn_aux.sums import Bounds, FixedSum


def check_names(names):
    """Raises ValueError for names that do not tell factors apart, also as folders and beside a "total"."""
    if not names or len(set(names)) != len(names):
        raise ValueError(
            f"Expected one factor or more, each with a name of its own. Received: {names}. Give others by "
            "`names`."
        )
    for name in names:
        if (
            not isinstance(name, str)
            or not re.fullmatch(r"[A-Za-z0-9][\w-]*", name, re.ASCII)
            or name == "total"
        ):
            raise ValueError(
                "Expected names of letters, digits, _ and -, in ASCII and not with _ or - first, other than "
                "'total', which names the sum. "
                f"Received: {name!r}. Give another by `names`."
            )


def check_parts(factor):
    """Raises ValueError where the parts of a `Factor` are of other classes or do not fit each other."""
    likelihood, network, embedding = factor.likelihood, factor.network, factor.embedding
    below, fixed_sum = factor.auxiliary_likelihood, factor.fixed_sum
    arguments.instance("likelihood", likelihood, Likelihood)
    arguments.instance("network", network, Network)
    arguments.instance("embedding", embedding, Embedding, optional=True)
    arguments.instance("auxiliary_likelihood", below, Likelihood, optional=True)
    arguments.instance("fixed_sum", fixed_sum, FixedSum, optional=True)
    arguments.instance("condition", factor.condition, conditions.Condition, optional=True)
    if (embedding is None) != (below is None):
        raise ValueError(
            "Expected an embedding and the likelihood of what it embeds, or neither. "
            f"Received: embedding={embedding}, auxiliary_likelihood={below}. Give both, or neither."
        )
    for one in filter(None, (likelihood, below)):
        one.check_declared()
    backend.check_same_dtype(factor, *factor.parts())
    if network.num_params != likelihood.num_params:
        raise ValueError(
            f"Expected a network with num_params={likelihood.num_params}, as the likelihood takes. "
            f"Received: num_params={network.num_params}. Build it with the likelihood's."
        )
    if embedding is not None and embedding.num_resolutions != network.num_resolutions:
        raise ValueError(
            f"Expected an embedding with outputs at its network's {network.num_resolutions} resolutions. "
            f"Received: outputs at {embedding.num_resolutions}. Choose its topology to fit."
        )
    if fixed_sum is None and likelihood.centered:
        raise ValueError(
            "Expected a fixed_sum, since the likelihood is centered on what it says. Received: None. "
            "Give the transform's, or a likelihood with centered=False."
        )
    if fixed_sum is not None:
        _check_fixed_sum(factor)


def _check_fixed_sum(factor):
    likelihood, embedding, fixed_sum = factor.likelihood, factor.embedding, factor.fixed_sum
    channels = likelihood.num_channels
    if embedding is None:
        raise ValueError(
            "Expected no fixed_sum: this factor is unconditional. Received: one. Give None."
        )
    if likelihood.bounded_noise_size is None:
        raise ValueError(
            "Expected a likelihood that has bounds, within which a fixed_sum holds pixels. Received: "
            f"{type(likelihood).__name__}. Give it bounds (likelihoods.Likelihood), or no fixed_sum."
        )
    ratio, side = factor.auxiliary_ratio, factor.network.side
    in_groups = isinstance(factor.network, ParallelPixelCNN)
    if fixed_sum.ratio != ratio or side not in ((ratio,) if in_groups else (1, ratio)):
        raise ValueError(
            f"Expected the networks of the factor {factor.name!r} to make an image of {fixed_sum.ratio} "
            f"times the size of x_hat, as its fixed_sum has blocks. Received: an embedding that does at "
            f"{embedding.ratio} times, and a network of blocks of side {side}. Choose the embedding's "
            "topology, or the sum, to fit."
        )
    found = (fixed_sum.num_values, fixed_sum.num_channels)
    told = channels if fixed_sum.num_channels is None else 1
    fits = found[0] == likelihood.num_values and found[1] in (None, channels)
    if not fits or factor.auxiliary_likelihood.num_channels != told:
        raise ValueError(
            f"Expected the factor {factor.name!r} to know a fixed_sum of {likelihood.num_values} values, "
            f"within each of {channels} channels or over all of them, that tells x_hat's. Received: "
            f"one of {found[0]} values, over {found[1]} channels. Give what the transform of x to x_hat "
            "declares."
        )


def check_takes_condition(factor):
    """Raises ValueError, which names it, for a network of a `Factor` that its condition does not reach."""
    for part in () if factor.condition is None else factor.parts():
        if all(layer.h is None for layer in layers.normalized_layers(part)):
            raise ValueError(
                f"Expected gated blocks, which take the condition, in the networks of the factor "
                f"{factor.name!r}. Received: none in {type(part).__name__}. Build it with "
                "layers.GatedResidualBlock, or without a condition."
            )


def check_chain(factors, transforms, image_size):
    """Raises ValueError where factors and transforms of an `AuxiliaryModel` do not fit each other.

    The transforms are applied to a few images, and traced as a pipeline does.
    """
    if len(factors) != len(transforms) + 1:
        raise ValueError(
            f"Expected one factor more than transforms. Received: {len(factors)} factors, {len(transforms)} "
            "transforms. Give a factor for each auxiliary image and one for the full image."
        )
    if factors[0].embedding is not None:
        raise ValueError(
            "Expected a first factor that is unconditional, since nothing comes before it. "
            f"Received: {factors[0].name!r}, which has an embedding. Put what it is given before it."
        )
    kinds = [serialization.serialize(factor.condition) for factor in factors]
    if any(kind != kinds[0] for kind in kinds):
        raise ValueError(
            "Expected the same condition for all factors. Received: "
            f"{', '.join(f'{factor.name}: {factor.condition}' for factor in factors)}. Build them with one."
        )
    downwards = factors[::-1]
    links = list(zip(transforms, downwards, downwards[1:]))
    for transform, factor, below in links:
        check_declared(transform)
        _check_link(transform, factor, below)
    likelihood = downwards[0].likelihood
    if image_size is None:
        whole = math.prod(transform.ratio for transform in transforms)
        image_size = [whole * math.lcm(*(factor.network.multiple for factor in factors))] * 2
    shape, num_values = (3, *image_size, likelihood.num_channels), likelihood.num_values
    images = np.random.default_rng(0).integers(0, num_values, shape)
    images = images.astype(arguments.pixel_dtype(num_values))
    images[0], images[1] = 0, num_values - 1
    kind = factors[0].condition
    condition = kind and kind.unknown(len(images))
    for transform, factor, below in links:
        given = checked_output(transform, images, below.likelihood)
        factor.inputs(Inputs(images, given, condition))
        check_known(transform, images, given)
        check_fixed_sum(transform, images, given, factor.likelihood, below.likelihood)
        images = given
    factors[0].inputs(Inputs(images, condition=condition))


def _check_link(transform, factor, below):
    """Raises ValueError where a transform does not lead from one factor's image to that of the one below."""
    name = type(transform).__name__

    def check(what, expected, received, remedy):
        if received != expected:
            raise ValueError(f"Expected {what} {expected}. Received: {received}. {remedy}.")

    ratio = "no embedding" if factor.embedding is None else factor.auxiliary_ratio
    embeds = f"the factor {factor.name!r} to embed images of {name}, whose height is its own image's over"
    check(embeds, transform.ratio, ratio, "Choose an embedding's topology to fit")
    models = _kind(below.likelihood)
    embeds = f"the factor {factor.name!r} to embed what {below.name!r} models,"
    check(embeds, models, _kind(factor.auxiliary_likelihood), "Build it with that likelihood")
    gives = "{} channels of {} values".format(*declared_values(transform, factor.likelihood))
    modeled = f"the factor {below.name!r} to model what {name} gives,"
    check(modeled, gives, models, "Choose the likelihood to fit")
    if factor.fixed_sum is not None:
        # How a factor uses the sum is its own affair.
        use, sums = {"exact": True, "center_units": None}, factor.fixed_sum
        declared = declared_sum(transform, factor.likelihood)
        declared = declared and {**declared.get_config(), **use}
        knows = {**sums.get_config(), **use}
        what = f"the factor {factor.name!r} to know the sum that {name} declares,"
        check(what, declared, knows, "Build it with the transform's")


def _kind(likelihood):
    return f"{likelihood.num_channels} channels of {likelihood.num_values} values"


def check_declared(transform):
    """Raises ValueError, which names it, for a transform that declares what there is not."""
    if not isinstance(transform, Transform):
        raise ValueError(
            f"Expected objects of class auxiliary.Transform. Received: {transform!r}. Derive its class from "
            "that one."
        )

    def check(fits, what, received):
        expected = f"{type(transform).__name__} with {what}"
        expect(fits, expected, arguments.short_repr(received), "Correct what it declares")

    ratio, channels, values = transform.ratio, transform.channels, transform.num_values
    whole, largest = arguments.is_whole, 2**arguments.MAX_HALVINGS
    power = whole(ratio, 1, largest) and not ratio & (ratio - 1)
    check(power, f"a ratio that is a power of two, of at most {largest}", ratio)
    fits = channels is None or whole(channels, 1, 256)
    check(fits, "channels from 1 to 256, or None", channels)
    fits = values is None or whole(values, 2, arguments.MAX_VALUES)
    check(fits, f"num_values from 2 to {arguments.MAX_VALUES:,}, or None", values)


def declared_values(transform, likelihood):
    """(channels, number of values) of what a transform gives of images with this likelihood."""
    channels = likelihood.num_channels if transform.channels is None else transform.channels
    num_values = likelihood.num_values if transform.num_values is None else transform.num_values
    return channels, num_values


def declared_sum(transform, likelihood):
    """The `FixedSum` that a transform declares of images with this likelihood; None for none.

    Raises ValueError, which names the transform, for a sum of other values, or what is none.
    """
    fixed_sum = transform.fixed_sum(likelihood.num_values)
    arguments.instance(f"{type(transform).__name__}.fixed_sum", fixed_sum, FixedSum, optional=True)
    if fixed_sum is not None and fixed_sum.num_values != likelihood.num_values:
        raise ValueError(
            f"Expected the fixed sum of {type(transform).__name__} to be of {likelihood.num_values} values. "
            f"Received: num_values={fixed_sum.num_values}. Build it with the num_values that `fixed_sum` is "
            "given."
        )
    channels = likelihood.num_channels
    if fixed_sum is not None and fixed_sum.num_channels not in (None, channels):
        raise ValueError(
            f"Expected the fixed sum of {type(transform).__name__} to be over all of {channels} channels of "
            f"images, or within each. Received: {fixed_sum.num_channels}. Correct it, or choose a transform "
            "of such images."
        )
    return fixed_sum


def known_sum(transform, likelihood, exact):
    """The sum that a factor is to know: `sums.FixedSum`; None for nothing.

    Args:
      transform: `auxiliary.Transform`, which gives its auxiliary images.
      likelihood: `Likelihood` of its images. It needs the sum if it is centered.
      exact: bool, whether to rule out what contradicts the sum, if the likelihood can.

    Raises:
      ValueError: for a transform whose sum is of other values than its images.
    """
    exact = exact and likelihood.bounded_noise_size is not None
    known = exact or likelihood.centered
    fixed_sum = declared_sum(transform, likelihood) if known else None
    return fixed_sum and fixed_sum.with_exact(exact and fixed_sum.exact)


def check_draws(likelihood):
    """Raises ValueError, which names it, for a likelihood whose draws are no pixel values, or out of bounds.

    Not under JAX, where nothing is drawn, and which would compile every operation.
    """
    if backend.NAME != "tensorflow":
        return
    random, last = np.random.default_rng(0), likelihood.num_values - 1
    # Some are large, so that draws are far out.
    params = random.normal(0, 4, (100, likelihood.num_params)).astype(np.float32)
    ends = random.integers(0, last, (2, 100, likelihood.num_channels), np.int32, endpoint=True)
    low, high = np.sort(ends, axis=0)
    known = Bounds(low, high, low.astype(np.float32))

    def bounds(channel, earlier):
        return Bounds(*(ops.convert_to_tensor(x[:, channel]) for x in known))

    for bounded, least, most in ((False, 0, last), (True, low, high)):
        size = likelihood.bounded_noise_size if bounded else likelihood.noise_size
        if size is None or (likelihood.centered and not bounded):
            continue
        noise = likelihood.noise(random.random((100, size), np.float32), bounded=bounded)
        drawn = likelihood.draw(params, noise, bounds=bounds if bounded else None)
        drawn = ops.convert_to_numpy(drawn)
        wrong = drawn != np.clip(np.round(drawn), least, most)
        if wrong.any() or drawn.dtype != np.int32:
            received = drawn[wrong][0] if wrong.any() else drawn.dtype
            raise ValueError(
                f"Expected {type(likelihood).__name__} to draw int32, whole numbers from 0 to {last}"
                f"{', within bounds' * bounded}. Received: {received}. Correct "
                f"{'_bounded_draw' if bounded else '_draw'}."
            )


def checked_output(transform, images, likelihood):
    """transform(images), which fits what the transform declares and a likelihood models."""
    name = type(transform).__name__

    def refuse(what, expected, received):
        raise ValueError(
            f"Expected the transform {name} to give {what} {expected}. Received: {received}. Correct "
            "what it declares, or what it gives."
        )

    height, width = transform.size(tuple(images.shape[1:3]))  # says itself which sizes it takes
    taken, dtype = images.dtype.name, arguments.pixel_dtype(likelihood.num_values)
    try:
        result = ops.convert_to_tensor(transform(images))
        masks = np.zeros((2, *images.shape[1:3], 1), np.uint8)
        masks[1] = 1
        known = ops.convert_to_tensor(transform.known(masks))
        traced = backend.traced_shape(transform, images.shape[1:], taken)
        backend.traced_shape(transform.known, masks.shape[1:], "uint8")
    except Exception as error:
        raise ValueError(
            f"Expected the transform {name} to take {taken} images of {list(images.shape[1:])}, any "
            f"number of them, also in a graph. Received: {type(error).__name__}: {str(error).rstrip('.')}. "
            "Write it in keras.ops or TensorFlow."
        ) from error
    shape = [height, width, likelihood.num_channels]
    if _dtype_and_shape(result) != (dtype, [len(images), *shape]):
        refuse(
            f"{dtype} images of shape",
            [len(images), *shape],
            "{} {}".format(*_dtype_and_shape(result)),
        )
    if traced[1:] != shape:
        refuse("images of a shape known in a graph,", [None, *shape], traced or "an unknown one")
    if (height, width) != sums.num_blocks(images.shape[1:3], transform.ratio):
        refuse("a height and width divided by its ratio,", transform.ratio, f"{height} x {width}")
    if _dtype_and_shape(known) != ("uint8", [2, height, width, 1]):
        refuse(
            "uint8 masks of shape", [2, height, width, 1], "{} {}".format(*_dtype_and_shape(known))
        )
    nowhere, everywhere = ops.convert_to_numpy(known)
    if nowhere.any() or not (everywhere == 1).all():
        refuse("masks", "of 0 where nothing is known, and of 1 where all is", "others")
    result = ops.convert_to_numpy(result)
    if result.max() >= likelihood.num_values:
        refuse("values below", likelihood.num_values, result.max())
    return result


def check_known(transform, images, auxiliary):
    """Raises ValueError, which names it, for a transform that takes values for known that are not.

    Args:
      transform: `Transform`.
      images: [B, H, W, C], to try it on.
      auxiliary: [B, h, w, c], what the transform gives of them.
    """
    batch, height, width, _ = auxiliary.shape
    mask = np.random.default_rng(0).integers(0, 2, (batch, height, width, 1), np.uint8)
    mask = mask.repeat(transform.ratio, axis=1).repeat(transform.ratio, axis=2)
    mask = mask[:, : images.shape[1], : images.shape[2]]
    others = np.where(mask, images, np.roll(images, 1, axis=0))
    known = ops.convert_to_numpy(transform.known(mask))
    wrong = known * (ops.convert_to_numpy(transform(others)) != auxiliary)
    if wrong.any():
        raise ValueError(
            f"Expected {type(transform).__name__}.known to give 1 only where all pixels that a value is "
            "computed from are known. Received: 1 at values that change with others. Define `known`, as a "
            f"transform does that looks beyond its block of {transform.ratio} x {transform.ratio} pixels."
        )


def check_fixed_sum(transform, images, auxiliary, likelihood, below):
    """Raises ValueError, which names it, for a transform whose sum does not fix its auxiliary images.

    Args:
      transform: `Transform`; one that declares no sum passes.
      images: [B, H, W, C], to try it on.
      auxiliary: [B, h, w, c], what the transform gives of them.
      likelihood, below: `Likelihood` of the images, and of the auxiliary images.
    """
    fixed_sum = declared_sum(transform, likelihood)
    if fixed_sum is None:
        return

    def check(fits, what, received):
        if not fits:
            raise ValueError(
                f"Expected the fixed sum of {type(transform).__name__} {what}. Received: {received}. "
                "Correct it, or give None."
            )

    ratio, channels = fixed_sum.ratio, fixed_sum.num_channels
    check(ratio == transform.ratio, f"to be over blocks of side {transform.ratio}", ratio)
    models = likelihood.num_channels if channels is None else 1
    check(below.num_channels == models, f"to tell {models} channels", below.num_channels)
    # Each auxiliary value may be drawn, and then has to be of some image.
    lowest, highest = (fixed_sum.first, below.num_values * fixed_sum.step + fixed_sum.first)
    windows = (
        f"to have sums for the values 0 .. {below.num_values - 1}, from 0 to {fixed_sum.largest}"
    )
    check(
        lowest + fixed_sum.step > 0 and highest - fixed_sum.step <= fixed_sum.largest,
        windows,
        f"windows from {lowest} to {highest - 1}",
    )
    told = ops.convert_to_numpy(fixed_sum.auxiliary(images))
    wrong = told != ops.convert_to_numpy(auxiliary)
    check(not wrong.any(), "to tell its values", f"others for {wrong.mean():.1%} of them")


def _dtype_and_shape(tensor):
    """(dtype, shape) as plain values."""
    return keras.backend.standardize_dtype(tensor.dtype), list(tensor.shape)
