"""`chain`, which builds a model from transforms, and constructors of the paper's models."""

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypedDict, Unpack

from pixelcnn_aux.auxiliary import Grayscale, HalfResolution, Transform
from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.arguments import Config, Size
from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.conditions import Condition
from pixelcnn_aux.factors import checks
from pixelcnn_aux.factors.factor import Factor
from pixelcnn_aux.likelihoods import Categorical, Likelihood, LogisticMixture
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.networks import Embedding, Network, PixelCNN, architectures

# Names of the factors of a `parallel_pyramid`, by the number of halvings.
_FRACTIONS = ("half", "quarter", "eighth", "sixteenth", "32nd", "64th", "128th", "256th")


class ChainOptions(TypedDict, total=False):
    """Arguments of `chain` that all models accept; see `chain`."""

    num_components: int
    exact: bool
    centered: bool
    dtype: str
    condition: Condition | None


def chain(
    transforms: Iterable[Transform],
    image_size: Size | None,
    network: Config | Callable[..., Network] | Sequence[Config | Callable[..., Network]],
    *,
    embedding: Config | None | Sequence[Config | None] = None,
    names: Sequence[str] | None = None,
    num_components: int = 10,
    exact: bool = True,
    centered: bool = True,
    dtype: str = "float32",
    channels: int = 3,
    bits: int = 8,
    condition: Condition | None = None,
) -> AuxiliaryModel:
    """Builds a model of images from its transforms.

    The declarations of the transforms determine each auxiliary image's likelihood, the embeddings' inputs,
    and the sums that factors know before they see any pixel.

    Args:
      transforms: list of `auxiliary.Transform` from the full image down.
      image_size: (H, W) of the full image; None for images of any size, if the factors accept them.
      network: dict, the arguments of `networks.PixelCNN` without `num_params`: "topology", a
        `networks.topology.Topology`, "filters", kernels, "dropout". Or a function of `num_params` that
        returns another `networks.Network`. The same for every factor, or a list with one per factor in the
        order of sampling.
      embedding: dict, the arguments of `networks.Embedding`, or a list likewise; the first, unconditional
        factor's is ignored, and may be None.
      names: list of str, of the factors in the order of sampling; by default each transform's `name`, and
        "image" for the last.
      num_components: int, logistics in the mixtures.
      exact: bool, whether factors rule out images that contradict their auxiliary image, if their transform
        declares the sum that it fixes; `model.exact` says whether all do.
      centered: bool, whether mixtures have their locations around the expectation by that sum, and networks
        see the differences of pixels from it, under the same condition.
      dtype: str, "float32" or "float64", of every float in the model.
      channels, bits: int, of the images: 1 to 16 channels of 1 to 16 bits. Images are uint8 up to 8 bits, and
        uint16 above.
      condition: `conditions.Condition` of whole images, such as `conditions.Classes(10)`, or None.

    Returns:
      `AuxiliaryModel`, randomly initialized.

    Raises:
      ValueError: for arguments that do not fit each other; see `AuxiliaryModel`.
    """
    if image_size is not None:
        image_size = arguments.size("image_size", image_size)
    exact, centered = arguments.flag("exact", exact), arguments.flag("centered", centered)
    transforms = list(transforms)
    image = LogisticMixture(
        num_components,
        num_values=2 ** arguments.whole("bits", bits, 1, 16),
        num_channels=arguments.whole("channels", channels, 1, 16),
    )
    likelihoods = [image]  # from the full image down
    for transform in transforms:
        likelihoods.append(_auxiliary_likelihood(transform, likelihoods[-1], num_components))
    sums = []
    for position, transform in enumerate(transforms):
        if centered:
            likelihoods[position] = _centered(likelihoods[position], transform)
        sums.append(checks.sum_for_factor(transform, likelihoods[position], exact))
    likelihoods.reverse()  # the order of sampling
    sums = [None, *reversed(sums)]
    if names is None:
        names = [*(transform.name for transform in reversed(transforms)), "image"]
    expected = f"{len(likelihoods)} names of factors"
    remedy = "Give one for each image of the chain"
    expect(len(names) == len(likelihoods), expected, f"names={list(names)}", remedy)
    checks.check_names(list(names))
    makers = _one_each("network", network, len(likelihoods))
    embeddings = _one_each("embedding", embedding, len(likelihoods))
    factors = []
    for position, likelihood in enumerate(likelihoods):
        # Random weights depend on this order.
        make, num_params = makers[position], likelihood.num_params
        if callable(make):
            expected = "network as a function of an argument named num_params"
            with restated(expected, repr(make), "Name it so", TypeError):
                inspect.signature(make).bind(num_params=num_params)
            parts: Any = {"network": make(num_params=num_params)}
        else:
            parts = {"network": PixelCNN(**make, num_params=num_params)}
        if position:
            parts["embedding"] = Embedding(**embeddings[position])
            parts["auxiliary_likelihood"] = likelihoods[position - 1]
        parts |= {"fixed_sum": sums[position], "condition": condition}
        factors.append(Factor(likelihood, **parts, dtype=dtype, name=names[position]))
    return AuxiliaryModel(factors, transforms, image_size)


def pixelcnn_pp(
    image_size: Size = (32, 32),
    *,
    filters: int = 160,
    blocks: int = 5,
    resolutions: int = 3,
    dropout: float = 0.5,
    channels: int = 3,
    bits: int = 8,
    **options: Unpack[ChainOptions],
) -> AuxiliaryModel:
    """Plain PixelCNN++ (Salimans et al., 2017): a chain of one factor, "image".

    Args:
      image_size: (H, W), multiples of 2 ** (resolutions - 1).
      filters: int, the channels of both streams.
      blocks: int, gated blocks in each segment between resamplings.
      resolutions: int.
      dropout: float, the rate in the blocks.
      num_components, dtype, channels, bits, condition: as for `chain`; exact and centered have no effect,
        since there is no auxiliary image.
    """
    return chain(
        [],
        image_size,
        architectures.pixelcnn_pp(blocks, resolutions, filters=filters, dropout=dropout),
        channels=channels,
        bits=bits,
        **options,
    )


def grayscale(
    image_size: Size = (32, 32),
    *,
    filters: int | Sequence[int] = 160,
    gray_blocks: int = 5,
    image_blocks: int = 3,
    embedding_blocks: int = 3,
    resolutions: int = 3,
    dropout: float = 0.5,
    bits: int = 4,
    **options: Unpack[ChainOptions],
) -> AuxiliaryModel:
    """Grayscale PixelCNN (section 3.1): "grayscale" of `bits`, then "image" given it.

    Args:
      gray_blocks, image_blocks, embedding_blocks: int, gated blocks in each segment between
        resamplings, of p(X_hat), of p(X | X_hat) and of f_w.
      filters: int, the channels of these three networks; or a list with one for each.
      image_size, resolutions, dropout: as for `pixelcnn_pp`.
      bits: int, of a gray pixel.
      num_components, dtype, exact, centered, condition: as for `chain`; exact=False, centered=False is the
        paper's bound.
    """
    _check_counts(
        gray_blocks=gray_blocks, image_blocks=image_blocks, embedding_blocks=embedding_blocks
    )
    each_filters = arguments.whole_each("filters", filters, 3, "network")
    grays, image, embedding = (
        architectures.pixelcnn_pp(blocks, resolutions, filters=filters, dropout=dropout)
        for blocks, filters in zip((gray_blocks, image_blocks, embedding_blocks), each_filters)
    )
    return chain(
        [Grayscale(bits)],
        image_size,
        [grays, image],
        embedding=embedding,
        **options,
    )


def pyramid(
    image_size: Size = (128, 128),
    base_size: Size = (8, 8),
    *,
    filters: int | Sequence[int] = 100,
    blocks: int | Sequence[int] = 3,
    embedding_blocks: int = 3,
    depth: int = 2,
    dropout: float = 0.5,
    channels: int = 3,
    bits: int = 8,
    resolutions: int | Sequence[int] = 1,
    **options: Unpack[ChainOptions],
) -> AuxiliaryModel:
    """Pyramid PixelCNN (section 3.2): half resolutions, each given the smaller one.

    The factors are named by their sizes, "8x8", "16x16", ... (height x width).

    Args:
      image_size: (H, W); halvings must take it to `base_size`.
      base_size: (H, W) of the first factor's image.
      filters: int, the channels of all streams. The same for every scale, or a list with one for each,
        the smallest first.
      blocks: int, gated blocks of p(x | x_hat), in each segment between resamplings; or a list likewise.
      embedding_blocks: int, gated blocks in a group of f_w, of which there are 2 `depth` + 1.
      depth: int, the resolutions of f_w below that of the image; `base_size` must be a multiple of
        2 ** (depth - 1).
      dropout: float, the rate in the blocks.
      num_components, dtype, exact, centered, channels, bits, condition: as for `chain`; exact=False,
        centered=False is the paper's bound.
      resolutions: int, of p(x | x_hat) and its f_w, or a list with one for each scale: 1 for the paper's
        light networks, or more for those of `pixelcnn_pp`.
    """
    _check_counts(embedding_blocks=embedding_blocks, depth=depth)
    sizes = _halvings(image_size, base_size)
    each_filters = arguments.whole_each("filters", filters, len(sizes), "scale")
    each_blocks = arguments.whole_each("blocks", blocks, len(sizes), "scale")
    each_resolutions = arguments.whole_each("resolutions", resolutions, len(sizes), "scale")
    return chain(
        [HalfResolution() for _ in sizes[1:]],
        image_size,
        [
            architectures.light(blocks, filters=filters, dropout=dropout)
            if levels == 1
            else architectures.pixelcnn_pp(blocks, levels, filters=filters, dropout=dropout)
            for blocks, levels, filters in zip(each_blocks, each_resolutions, each_filters)
        ],
        embedding=[
            architectures.super_resolution(
                embedding_blocks, max(depth, levels - 1), levels, filters=filters, dropout=dropout
            )
            for levels, filters in zip(each_resolutions, each_filters)
        ],
        names=[_name(size) for size in reversed(sizes)],
        channels=channels,
        bits=bits,
        **options,
    )


def parallel_pyramid(
    image_size: Size | None = None,
    *,
    halvings: int = 4,
    filters: int | Sequence[int] = 64,
    blocks: int | Sequence[int] = 3,
    trunk_blocks: int = 2,
    parts: Sequence[int] = (1, 1, 1, 1),
    base_filters: int = 32,
    base_blocks: int = 3,
    base_parts: int | None = None,
    masked: int = 0,
    masked_blocks: int = 4,
    dropout: float = 0.0,
    channels: int = 3,
    bits: int = 8,
    whole_numbers: bool = False,
    **options: Unpack[ChainOptions],
) -> AuxiliaryModel:
    """A pyramid that decides a pixel of every block at once (Reed et al., 2017): four evaluations per scale.

    Its largest images may decide the pixels of a diagonal at once instead: more evaluations, and fewer bits.
    The smallest image, the base, is modeled pixel by pixel, as in `pyramid`, or in groups. The factors are
    named by the relative sides of their images: "sixteenth", "eighth", "quarter", "half", "image".

    Args:
      image_size: (H, W) of the images; None for images of any size from 1 x 1.
      halvings: int, from the full image to the base; halves of odd sides are rounded up.
      filters: int, the channels of each network above the base; or a list with one for each, the smallest
        first.
      blocks: int, residual blocks of each group of pixels; or a list with one for each place of a block.
      trunk_blocks: int, residual blocks that see the auxiliary image, for all groups. Those of more than 8
        bits in up to 4 channels see its `differences`, too.
      parts: as for `networks.ParallelPixelCNN`.
      base_filters, base_blocks: int, the channels and gated blocks of the base's network.
      base_parts: int, the number of groups of the base's pixels, by diagonals, so that the whole chain is
        decided in groups. None for pixel by pixel.
      masked: int, the number of largest images that a `networks.MaskedPixelCNN` models.
      masked_blocks: int, residual blocks of each `networks.MaskedPixelCNN`.
      dropout: float, the rate in the blocks.
      num_components, dtype, exact, centered, channels, bits, condition: as for `chain`.
      whole_numbers: bool, whether factors are `rounded`. Train such a model from the weights of one that is
        not.
    """
    halvings = arguments.whole("halvings", halvings, 1, len(_FRACTIONS))
    masked = arguments.whole("masked", masked, 0, halvings)
    options_of_scales: Any = [
        {"filters": n, "dropout": dropout}
        for n in arguments.whole_each("filters", filters, halvings, "scale")
    ]
    base_options: Any = {"filters": base_filters, "dropout": dropout}
    base: Any = architectures.light(base_blocks, **base_options)
    if base_parts is not None:
        base = architectures.parallel(base_blocks, [base_parts], **base_options)
    differences = bits > 8 and channels <= 4
    trunk = functools.partial(architectures.trunk, trunk_blocks, differences=differences)
    networks = [
        architectures.masked(masked_blocks, **network_options)
        if scale >= halvings - masked
        else architectures.parallel(blocks, parts, **network_options)
        for scale, network_options in enumerate(options_of_scales)
    ]
    model = chain(
        [HalfResolution() for _ in range(halvings)],
        image_size,
        [base, *networks],
        embedding=[None, *(trunk(**x) for x in options_of_scales)],
        names=[*reversed(_FRACTIONS[:halvings]), "image"],
        channels=channels,
        bits=bits,
        **options,
    )
    if arguments.flag("whole_numbers", whole_numbers):
        return _with_rounded_factors(model)
    return model


def grayscale_pyramid(
    image_size: Size = (32, 32),
    base_size: Size = (8, 8),
    *,
    filters: int = 100,
    blocks: int = 3,
    embedding_blocks: int = 3,
    depth: int = 2,
    image_filters: int = 160,
    image_blocks: int = 3,
    image_embedding_blocks: int = 3,
    resolutions: int = 3,
    dropout: float = 0.5,
    bits: int = 4,
    **options: Unpack[ChainOptions],
) -> AuxiliaryModel:
    """A pyramid of grays, then the colors: the combination that the paper leaves as future work.

    The factors are "grayscale_8x8", "grayscale_16x16", ..., "grayscale" of the full size, and "image".

    Args:
      image_size, base_size, filters, blocks, embedding_blocks, depth: of the grays, as for `pyramid`.
      image_filters, image_blocks, image_embedding_blocks, resolutions, num_components: of the image given the
        grays, as `filters`, `image_blocks`, ... of `grayscale`.
      dropout: float, the rate in the blocks.
      bits: int, of a gray pixel.
      dtype, exact, centered, condition: as for `chain`.
    """
    _check_counts(
        embedding_blocks=embedding_blocks,
        image_filters=image_filters,
        image_blocks=image_blocks,
        image_embedding_blocks=image_embedding_blocks,
    )
    _, *smaller = _halvings(image_size, base_size)
    image, embedding = (
        architectures.pixelcnn_pp(n, resolutions, filters=image_filters, dropout=dropout)
        for n in (image_blocks, image_embedding_blocks)
    )
    options_of_grays: Any = {"filters": filters, "dropout": dropout}
    grays = architectures.light(blocks, **options_of_grays)
    doubling = architectures.super_resolution(embedding_blocks, depth, **options_of_grays)
    return chain(
        [Grayscale(bits), *(HalfResolution() for _ in smaller)],
        image_size,
        [*(grays for _ in smaller), grays, image],
        embedding=[None, *(doubling for _ in smaller), embedding],
        names=[*(f"grayscale_{_name(size)}" for size in reversed(smaller)), "grayscale", "image"],
        **options,
    )


def rounded(model: AuxiliaryModel) -> AuxiliaryModel:
    """A model of factors that compute with whole numbers, with the rounded weights of another model.

    It may be trained further, and rounded again. Raises ValueError for a factor that cannot be rounded: see
    `Factor`.
    """
    rounded_model = _with_rounded_factors(model)
    factors = (
        factor.with_weights(model.factors[name].weights).with_rounded_weights()
        for name, factor in rounded_model.factors.items()
    )
    return AuxiliaryModel(factors, model.transforms, model.image_size)


def _with_rounded_factors(model):
    """A model of rounded factors with new weights, which are not rounded."""
    factors = []
    for factor in model.factors.values():
        parts = {"auxiliary_likelihood": factor.auxiliary_likelihood, "condition": factor.condition}
        parts |= {"fixed_sum": factor.fixed_sum and factor.fixed_sum.rounded(), "name": factor.name}
        parts |= factor.definitions | {"dtype": factor.dtype, "rounded": True}
        factors.append(Factor(factor.likelihood, **parts))
    return AuxiliaryModel(factors, model.transforms, model.image_size)


def _check_counts(**counts):
    """Raises ValueError for a count out of range, under its name as an argument."""
    for name, count in counts.items():
        arguments.whole(name, count)


def _name(size):
    return f"{size[0]}x{size[1]}"


def _halvings(image_size, base_size):
    """The (H, W) of a pyramid's images from the full one down to the base."""
    base_size = arguments.size("base_size", base_size)
    sizes = [arguments.size("image_size", image_size)]
    while sizes[-1] != base_size:
        height, width = sizes[-1]
        if height <= base_size[0] or height % 2 or width % 2:
            expected = "an image size that halvings take to the base size"
            received = f"image_size={sizes[0]}, base_size={base_size}"
            expect(False, expected, received, "Choose a base size times a power of two")
        sizes.append((height // 2, width // 2))
    return sizes


def _auxiliary_likelihood(transform, likelihood, num_components):
    """The likelihood of the auxiliary image that a transform makes of an image with this likelihood."""
    checks.check_declared(transform)
    channels, num_values = checks.declared_values(transform, likelihood)
    own = transform.likelihood()
    if own is None:
        like_image = type(likelihood) is LogisticMixture
        like_image = like_image and likelihood.num_channels == channels
        if num_values > 256 or (like_image and num_values**channels >= 256):
            return LogisticMixture(num_components, num_values=num_values, num_channels=channels)
        return Categorical(num_values, channels)
    received = type(own).__name__
    if isinstance(own, Likelihood):
        own.check_declared()
        if (own.num_channels, own.num_values) == (channels, num_values):
            checks.check_distribution(own)
            return own
        received += f" of {own.num_channels} channels of {own.num_values} values"
    raise ValueError(
        f"Expected {type(transform).__name__}.likelihood() to give a Likelihood of {channels} channels of "
        f"{num_values} values, as it declares. Received: {received}. Correct one of them."
    )


def _centered(likelihood, transform):
    """The likelihood, centered if it is a mixture and the transform declares a sum."""
    can_center = type(likelihood) is LogisticMixture and not likelihood.centered
    fixed_sum = checks.declared_sum(transform, likelihood) if can_center else None
    if fixed_sum is None:
        return likelihood
    changes = {"centered": True, "unit": fixed_sum.spread}
    return LogisticMixture(**{**likelihood.get_config(), **changes})


def _one_each(name, value, count):
    """The arguments of `count` networks or embeddings, a list; the first embedding's may be None."""
    each = value if isinstance(value, (list, tuple)) else [value] * count
    fits = [isinstance(x, dict) or (name == "network" and callable(x)) for x in each]
    if name == "embedding":
        fits[:1] = [True]
    if len(each) != count or not all(fits):
        received = f"{len(each)}" if all(fits) else arguments.short_repr(value)
        expected = f"{name} as a dict, or a list of {count}, one for each factor"
        expect(False, expected, received, "Give the arguments of each")
    return list(each)
