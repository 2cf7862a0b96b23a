"""What fits what: the parts of a factor, the factors and transforms of a chain, and images and a factor."""

import math
import re

import numpy as np

from pixelcnn_aux import arguments, blocks, conditions, declarations, dtypes, layers, serialization
from pixelcnn_aux.inputs import Inputs, check_images, check_multiple, check_sides_known
from pixelcnn_aux.likelihoods import Likelihood
from pixelcnn_aux.networks import Embedding, Network, ParallelPixelCNN
from pixelcnn_aux.sums import FixedSum


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
    dtypes.check_same(factor, *factor.parts())
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
        declarations.check_declared(transform)
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
        given = declarations.checked_output(transform, images, below.likelihood)
        factor.inputs(Inputs(images, given, condition))
        declarations.check_known(transform, images, given)
        declarations.check_fixed_sum(transform, images, given, factor.likelihood, below.likelihood)
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
    gives = "{} channels of {} values".format(*declarations.declared(transform, factor.likelihood))
    modeled = f"the factor {below.name!r} to model what {name} gives,"
    check(modeled, gives, models, "Choose the likelihood to fit")
    if factor.fixed_sum is not None:
        # How a factor uses the sum is its own affair.
        use, sums = {"exact": True, "center_units": None}, factor.fixed_sum
        declared = declarations.declared_sum(transform, factor.likelihood)
        declared = declared and {**declared.get_config(), **use}
        knows = {**sums.get_config(), **use}
        what = f"the factor {factor.name!r} to know the sum that {name} declares,"
        check(what, declared, knows, "Build it with the transform's")


def _kind(likelihood):
    return f"{likelihood.num_channels} channels of {likelihood.num_values} values"


def checked_inputs(factor, inputs):
    """`Inputs` that fit a factor, as tensors. Raises ValueError as `Factor.inputs`."""
    images, auxiliary, condition = inputs
    likelihood = factor.likelihood
    images = check_images(images, likelihood.num_channels, likelihood.num_values)
    check_multiple(images, factor.network.multiple)
    condition = conditions.checked(factor.condition, condition, images.shape[0])
    if factor.embedding is None:
        if auxiliary is not None:
            raise ValueError(
                "Expected no auxiliary images: this factor is unconditional. Received: some. "
                "Give the images alone."
            )
        return Inputs(images, condition=condition)
    auxiliary = checked_auxiliary(factor, auxiliary)
    (batch, height, width), ratio = images.shape[:3], factor.auxiliary_ratio
    check_sides_known((height, width))
    if not blocks.is_whole((height, width), ratio // factor.network.side):
        raise ValueError(
            f"Expected images of a height and width that are multiples of {ratio}, the ratio to "
            f"their auxiliary images. Received: {height} x {width}. Choose another image size."
        )
    channels = factor.auxiliary_likelihood.num_channels
    expected = (batch, *blocks.lattice((height, width), ratio), channels)
    batches = {batch, auxiliary.shape[0]} - {None}  # unknown ones may yet be the same
    if len(batches) > 1 or tuple(auxiliary.shape[1:]) != expected[1:]:
        raise ValueError(
            f"Expected auxiliary images of shape {list(expected)} beside images of shape "
            f"{list(images.shape)}. Received: {list(auxiliary.shape)}. "
            "Give those that the model's transform makes of the images."
        )
    return Inputs(images, auxiliary, condition)


def checked_embedded(factor, auxiliary, condition):
    """`Inputs` without images, as `Factor.features` takes them; raises ValueError as it."""
    auxiliary = checked_auxiliary(factor, auxiliary)
    return Inputs(
        None, auxiliary, conditions.checked(factor.condition, condition, auxiliary.shape[0])
    )


def checked_auxiliary(factor, auxiliary):
    """uint8 [B, h, w, c] that a factor embeds, as a tensor. Raises ValueError as `Factor.features`."""
    if factor.embedding is None:
        raise ValueError(
            "Expected a conditional factor. Received: one that embeds nothing. "
            "Ask one that was built with an embedding."
        )
    if auxiliary is None:
        raise ValueError(
            "Expected auxiliary images: this factor is conditional. Received: none. "
            "Give images, and their auxiliary images."
        )
    likelihood = factor.auxiliary_likelihood
    auxiliary = check_images(
        auxiliary, likelihood.num_channels, likelihood.num_values, "auxiliary images"
    )
    check_multiple(auxiliary, factor.embedding.multiple)
    return auxiliary
