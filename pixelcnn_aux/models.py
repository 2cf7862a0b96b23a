"""Constructors of models: `chain`, of any transforms, and the paper's models, a few lines each over it."""

from pixelcnn_aux import arguments, checks, dtypes, likelihoods, networks
from pixelcnn_aux.auxiliary import Grayscale, HalfResolution
from pixelcnn_aux.auxiliary_model import AuxiliaryModel, known_sum
from pixelcnn_aux.factor import Factor
from pixelcnn_aux.networks import topology


def chain(
    transforms,
    image_size,
    network,
    embedding,
    names=None,
    num_components=10,
    exact=True,
    centered=True,
    dtype=None,
):
    """Builds a model of RGB images from its transforms.

    What the transforms declare decides about each auxiliary image's likelihood, about what is embedded, and
    about what a factor knows of its image before it sees any pixel.

    Args:
      transforms: list of `auxiliary.Transform` from the full image down.
      image_size: (H, W) of the full image.
      network: dict, the arguments of `networks.PixelCNN` but for `num_params`: "topology", a
        `networks.topology.Topology`, "filters", kernels, "dropout". The same for every factor, or a list with
        one dict for each factor in the order of sampling.
      embedding: dict, the arguments of `networks.Embedding`, likewise; the first factor's is not used, since
        it is unconditional, and may be None.
      names: list of str, of the factors in the order of sampling; by default each transform's `name`, and
        "image" for the last.
      num_components: int, logistics in the mixtures.
      exact: bool, whether factors rule out the images that contradict their auxiliary image. Those do whose
        transform declares the sum that it fixes; `model.exact` says whether all do.
      centered: bool, whether mixtures have their locations around what that sum says, and their networks see
        how far pixels are from it; likewise.
      dtype: str, "float32" or "float64", of every float in the model, or one of Keras's mixed policies;
        Keras's default where None.

    Returns:
      `AuxiliaryModel`, randomly initialized.

    Raises:
      ValueError: where the arguments do not fit each other; see `AuxiliaryModel`.
    """
    image_size = arguments.size("image_size", image_size)
    exact, centered = arguments.flag("exact", exact), arguments.flag("centered", centered)
    if dtype is not None:
        arguments.choice("dtype", dtype, (*dtypes.DTYPES, *dtypes.POLICIES))
        dtypes.check(dtype)
    transforms = list(transforms)
    of_images = [likelihoods.LogisticMixture(num_components)]
    for transform in transforms:
        of_images.append(_auxiliary_likelihood(transform, of_images[-1], num_components))
    sums = []
    for position, transform in enumerate(transforms):
        if centered:
            of_images[position] = _centered(of_images[position], transform)
        sums.append(known_sum(transform, of_images[position], exact))
    of_images.reverse()  # the order of sampling
    sums = [None, *reversed(sums)]
    if names is None:
        names = [*(transform.name for transform in reversed(transforms)), "image"]
    if len(names) != len(of_images):
        raise ValueError(
            f"Expected {len(of_images)} names of factors. Received: names={list(names)}. "
            "Give one for each image of the chain."
        )
    checks.check_names(list(names))
    networks_of = _one_each("network", network, len(of_images), optional=False)
    embeddings_of = _one_each("embedding", embedding, len(of_images), optional=True)
    factors = []
    for position, likelihood in enumerate(of_images):
        # In this order, which the weights drawn from a seed depend on.
        own = networks.PixelCNN(
            num_params=likelihood.num_params, dtype=dtype, **networks_of[position]
        )
        f_w = given = None
        if position:
            given = of_images[position - 1]
            if embeddings_of[position] is None:
                raise ValueError(
                    f"Expected an embedding for the factor {names[position]!r}, which is given an auxiliary "
                    "image. Received: None. Give the arguments of one."
                )
            f_w = networks.Embedding(dtype=dtype, **embeddings_of[position])
        factors.append(
            Factor(likelihood, own, f_w, given, sums[position], dtype=dtype, name=names[position])
        )
    return AuxiliaryModel(factors, transforms, image_size)


def _auxiliary_likelihood(transform, likelihood, num_components):
    """The likelihood of what a transform gives of an image with this likelihood."""
    checks.check_declared(transform)
    channels, num_values = checks.declared(transform, likelihood)
    own = transform.likelihood()
    if own is None:
        rgb = likelihoods.LogisticMixture(num_components)
        if (channels, num_values) == (rgb.num_channels, rgb.num_values):
            return rgb
        return likelihoods.Categorical(num_values, channels)
    what = type(own).__name__
    if isinstance(own, likelihoods.Likelihood):
        own.check_declared()
        if (own.num_channels, own.num_values) == (channels, num_values):
            checks.check_draws(own)
            return own
        what += f" of {own.num_channels} channels of {own.num_values} values"
    raise ValueError(
        f"Expected {type(transform).__name__}.likelihood() to give a Likelihood of {channels} channels of "
        f"{num_values} values, as it declares. Received: {what}. Correct one of them."
    )


def _centered(likelihood, transform):
    """The likelihood, centered if it is a mixture that is not and the transform tells where."""
    mixture = type(likelihood) is likelihoods.LogisticMixture and not likelihood.centered
    fixed_sum = checks.declared_sum(transform, likelihood) if mixture else None
    if fixed_sum is None:
        return likelihood
    return likelihoods.LogisticMixture(likelihood.num_components, True, fixed_sum.spread)


def _one_each(what, given, count, optional):
    """The arguments of each of so many factors, of one dict or a list of them; None where optional."""
    each = given if isinstance(given, (list, tuple)) else [given] * count
    fits = all(isinstance(one, dict) or (one is None and optional) for one in each)
    if len(each) != count or not fits:
        received = f"{len(each)}" if fits else arguments.shown(given)
        raise ValueError(
            f"Expected {what} as a dict, or a list of {count}, one for each factor. "
            f"Received: {received}. Give the arguments of each."
        )
    return list(each)


def pixelcnn_pp(
    image_size=(32, 32),
    filters=160,
    blocks=5,
    resolutions=3,
    num_components=10,
    dropout=0.5,
    dtype=None,
    exact=False,
    centered=False,
):
    """Plain PixelCNN++ (Salimans et al., 2017): a chain of one factor, "image".

    Args:
      image_size: (H, W), multiples of 2 ** (resolutions - 1).
      filters: int, the channels of both streams.
      blocks: int, gated blocks in each segment between resamplings.
      resolutions: int.
      num_components: int, logistics in the mixture.
      dropout: float, the rate in the blocks.
      dtype: str, of every float in the model.
      exact, centered: bool, as for `chain`. There is no auxiliary image here that they could be about.
    """
    network = _network(topology.pixelcnn_pp(blocks, resolutions), filters, dropout)
    return chain([], image_size, network, None, None, num_components, exact, centered, dtype)


def grayscale(
    image_size=(32, 32),
    filters=160,
    gray_blocks=5,
    image_blocks=3,
    embedding_blocks=3,
    resolutions=3,
    num_components=10,
    dropout=0.5,
    dtype=None,
    bits=4,
    exact=False,
    centered=False,
):
    """Grayscale PixelCNN (section 3.1): "grayscale", `bits` a pixel, then "image" given it.

    Args:
      gray_blocks, image_blocks, embedding_blocks: int, gated blocks in each segment between
        resamplings, of p(X_hat), of p(X | X_hat) and of f_w.
      image_size, filters, resolutions, num_components, dropout, dtype: as for `pixelcnn_pp`.
      bits: int, of a gray pixel.
      exact, centered: bool, as for `chain`; False in the paper.
    """
    _check_counts(
        gray_blocks=gray_blocks, image_blocks=image_blocks, embedding_blocks=embedding_blocks
    )
    grays, image, embedding = (
        _network(topology.pixelcnn_pp(blocks, resolutions), filters, dropout)
        for blocks in (gray_blocks, image_blocks, embedding_blocks)
    )
    return chain(
        [Grayscale(bits)],
        image_size,
        [grays, image],
        embedding,
        None,
        num_components,
        exact,
        centered,
        dtype,
    )


def pyramid(
    image_size=(128, 128),
    base_size=(8, 8),
    filters=100,
    blocks=3,
    embedding_blocks=3,
    depth=2,
    num_components=10,
    dropout=0.5,
    dtype=None,
    exact=False,
    centered=False,
):
    """Pyramid PixelCNN (section 3.2): half-resolutions, each given the one before, the smallest first.

    The factors are named by their sizes, "8x8", "16x16", ... (height x width).

    Args:
      image_size: (H, W); halvings must take it to `base_size`.
      base_size: (H, W) of the first factor's image.
      filters: int, the channels of all streams. The same for every scale, or a list with one for each,
        the smallest first.
      blocks: int, gated blocks of p(x | x_hat), all at one resolution; or a list likewise.
      embedding_blocks: int, gated blocks in a group of f_w, of which there are 2 `depth` + 1.
      depth: int, the resolutions of f_w below that of the image; `base_size` must be a multiple of
        2 ** (depth - 1).
      num_components, dropout, dtype: as for `pixelcnn_pp`.
      exact, centered: bool, as for `chain`; False in the paper.
    """
    _check_counts(embedding_blocks=embedding_blocks)
    sizes = _halvings(image_size, base_size)
    filters = _of_scales("filters", filters, len(sizes))
    blocks = _of_scales("blocks", blocks, len(sizes))
    embedding = topology.super_resolution(embedding_blocks, depth)
    names = [_name(size) for size in reversed(sizes)]
    return chain(
        [HalfResolution() for _ in sizes[1:]],
        image_size,
        [_light(*scale, dropout) for scale in zip(blocks, filters)],
        [_network(embedding, channels, dropout) for channels in filters],
        names,
        num_components,
        exact,
        centered,
        dtype,
    )


def grayscale_pyramid(
    image_size=(32, 32),
    base_size=(8, 8),
    filters=100,
    blocks=3,
    embedding_blocks=3,
    depth=2,
    image_filters=160,
    image_blocks=3,
    image_embedding_blocks=3,
    resolutions=3,
    num_components=10,
    dropout=0.5,
    dtype=None,
    bits=4,
    exact=False,
    centered=False,
):
    """The combination that the paper leaves as future work: a pyramid of grays, then the colors.

    The factors are "grayscale_8x8", "grayscale_16x16", ..., "grayscale" of the full size, and "image".

    Args:
      image_size, base_size, filters, blocks, embedding_blocks, depth: of the grays, as for `pyramid`.
      image_filters, image_blocks, image_embedding_blocks, resolutions, num_components: of the image given
        the grays, as `filters`, `image_blocks`, ... of `grayscale`.
      dropout, dtype, bits, exact, centered: as for `grayscale`.
    """
    _check_counts(
        embedding_blocks=embedding_blocks,
        image_filters=image_filters,
        image_blocks=image_blocks,
        image_embedding_blocks=image_embedding_blocks,
    )
    _, *smaller = _halvings(image_size, base_size)
    image, embedding = (
        _network(topology.pixelcnn_pp(n, resolutions), image_filters, dropout)
        for n in (image_blocks, image_embedding_blocks)
    )
    grays = _light(blocks, filters, dropout)
    doubling = _network(topology.super_resolution(embedding_blocks, depth), filters, dropout)
    names = [f"grayscale_{_name(size)}" for size in reversed(smaller)]
    return chain(
        [Grayscale(bits), *(HalfResolution() for _ in smaller)],
        image_size,
        [*(grays for _ in smaller), grays, image],
        [None, *(doubling for _ in smaller), embedding],
        [*names, "grayscale", "image"],
        num_components,
        exact,
        centered,
        dtype,
    )


def _check_counts(**counts):
    """Raises ValueError for a count out of range, under the name that its constructor has for it."""
    for name, count in counts.items():
        arguments.whole(name, count)


def _of_scales(name, given, count):
    """list of int, one for each of so many scales, of one int or of such a list."""
    each = given if isinstance(given, (list, tuple)) else [given] * count
    if len(each) != count:
        raise ValueError(
            f"Expected {name} as a whole number, or a list of {count}, one for each scale. "
            f"Received: {arguments.shown(given)}. Give as many."
        )
    return [arguments.whole(name, one) for one in each]


def _network(shape, filters, dropout):
    return {"topology": shape, "filters": filters, "dropout": dropout}


def _light(blocks, filters, dropout):
    """Pyramid PixelCNN's network of each scale (section 4.2), with the kernels of the authors' code."""
    kernels = {"vertical_kernel": (3, 3), "horizontal_kernel": (3, 3)}
    return {**_network(topology.flat(blocks), filters, dropout), **kernels}


def _name(size):
    return f"{size[0]}x{size[1]}"


def _halvings(image_size, base_size):
    """The (H, W) of a pyramid's images from the full one down to the base."""
    base_size = arguments.size("base_size", base_size)
    sizes = [arguments.size("image_size", image_size)]
    while sizes[-1] != base_size:
        height, width = sizes[-1]
        if height <= base_size[0] or height % 2 or width % 2:
            raise ValueError(
                "Expected an image size that halvings take to the base size. "
                f"Received: image_size={sizes[0]}, base_size={base_size}. "
                "Choose a base size times a power of two."
            )
        sizes.append((height // 2, width // 2))
    return sizes
