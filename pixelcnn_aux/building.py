"""`chain`: a model from its transforms, which decide about likelihoods, embeddings and what factors know."""

from collections.abc import Callable, Iterable, Sequence

from pixelcnn_aux import arguments, checks, declarations, dtypes, likelihoods
from pixelcnn_aux.annotations import Config, Size
from pixelcnn_aux.auxiliary import Transform
from pixelcnn_aux.auxiliary_model import AuxiliaryModel
from pixelcnn_aux.conditions import Condition
from pixelcnn_aux.factor import Factor
from pixelcnn_aux.networks import Network, architectures


def chain(
    transforms: Iterable[Transform],
    image_size: Size | None,
    network: Config | Callable[..., Network] | Sequence[Config | Callable[..., Network]],
    embedding: Config | None | Sequence[Config | None],
    names: Sequence[str] | None = None,
    num_components: int = 10,
    exact: bool = True,
    centered: bool = True,
    dtype: str | None = None,
    channels: int = 3,
    bits: int = 8,
    condition: Condition | None = None,
) -> AuxiliaryModel:
    """Builds a model of images from its transforms.

    What the transforms declare decides about each auxiliary image's likelihood, about what is embedded, and
    about what a factor knows of its image before it sees any pixel.

    Args:
      transforms: list of `auxiliary.Transform` from the full image down.
      image_size: (H, W) of the full image; None for images of any size, if the factors take them.
      network: dict, the arguments of `networks.PixelCNN` but for `num_params`: "topology", a
        `networks.topology.Topology`, "filters", kernels, "dropout". Or a function of `num_params` and `dtype`
        that gives another `networks.Network`. The same for every factor, or a list with one for each factor
        in the order of sampling.
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
      channels, bits: int, of the images: 1 to 16 channels of 1 to 16 bits. Images are uint8 up to 8 bits, and
        uint16 above.
      condition: `conditions.Condition`, such as `conditions.Classes(10)`, what is known of each image as a
        whole; None for nothing.

    Returns:
      `AuxiliaryModel`, randomly initialized.

    Raises:
      ValueError: where the arguments do not fit each other; see `AuxiliaryModel`.
    """
    if image_size is not None:
        image_size = arguments.size("image_size", image_size)
    exact, centered = arguments.flag("exact", exact), arguments.flag("centered", centered)
    if dtype is not None:
        arguments.choice("dtype", dtype, (*dtypes.DTYPES, *dtypes.POLICIES))
        dtypes.check(dtype)
    transforms = list(transforms)
    num_values = 2 ** arguments.whole("bits", bits, 1, 16)
    image = likelihoods.LogisticMixture(
        num_components,
        num_channels=arguments.whole("channels", channels, 1, 16),
        num_values=num_values,
    )
    chained = [image]  # from the full image down
    for transform in transforms:
        chained.append(_auxiliary_likelihood(transform, chained[-1], num_components))
    sums = []
    for position, transform in enumerate(transforms):
        if centered:
            chained[position] = _centered(chained[position], transform)
        sums.append(declarations.known_sum(transform, chained[position], exact))
    chained.reverse()  # the order of sampling
    sums = [None, *reversed(sums)]
    if names is None:
        names = [*(transform.name for transform in reversed(transforms)), "image"]
    if len(names) != len(chained):
        raise ValueError(
            f"Expected {len(chained)} names of factors. Received: names={list(names)}. "
            "Give one for each image of the chain."
        )
    checks.check_names(list(names))
    own_networks = _one_each("network", network, len(chained))
    embeddings = _one_each("embedding", embedding, len(chained))
    factors = []
    for position, likelihood in enumerate(chained):
        # In this order, which the weights drawn from a seed depend on.
        own = architectures.network(own_networks[position], likelihood.num_params, dtype)
        f_w = auxiliary_likelihood = None
        if position:
            f_w = architectures.embedding(embeddings[position], dtype)
            auxiliary_likelihood = chained[position - 1]
        factors.append(
            Factor(
                likelihood,
                own,
                f_w,
                auxiliary_likelihood,
                sums[position],
                condition,
                dtype=dtype,
                name=names[position],
            )
        )
    return AuxiliaryModel(factors, transforms, image_size)


def _auxiliary_likelihood(transform, likelihood, num_components):
    """The likelihood of what a transform gives of an image with this likelihood."""
    declarations.check_declared(transform)
    channels, num_values = declarations.declared(transform, likelihood)
    own = transform.likelihood()
    if own is None:
        like_image = type(likelihood) is likelihoods.LogisticMixture
        like_image = like_image and likelihood.num_channels == channels
        if num_values > 256 or (like_image and num_values**channels >= 256):
            return likelihoods.LogisticMixture(
                num_components, num_channels=channels, num_values=num_values
            )
        return likelihoods.Categorical(num_values, channels)
    what = type(own).__name__
    if isinstance(own, likelihoods.Likelihood):
        own.check_declared()
        if (own.num_channels, own.num_values) == (channels, num_values):
            declarations.check_draws(own)
            return own
        what += f" of {own.num_channels} channels of {own.num_values} values"
    raise ValueError(
        f"Expected {type(transform).__name__}.likelihood() to give a Likelihood of {channels} channels of "
        f"{num_values} values, as it declares. Received: {what}. Correct one of them."
    )


def _centered(likelihood, transform):
    """The likelihood, centered if it is a mixture that is not and the transform tells where."""
    mixture = type(likelihood) is likelihoods.LogisticMixture and not likelihood.centered
    fixed_sum = declarations.declared_sum(transform, likelihood) if mixture else None
    if fixed_sum is None:
        return likelihood
    told = {"centered": True, "unit": fixed_sum.spread}
    return likelihoods.LogisticMixture(**{**likelihood.get_config(), **told})


def _one_each(what, given, count):
    """The arguments of each of `count` factors, of those of all or a list of them.

    The first factor has no embedding: its may be None.
    """
    each = given if isinstance(given, (list, tuple)) else [given] * count
    fits = [isinstance(one, dict) or (what == "network" and callable(one)) for one in each]
    if what == "embedding":
        fits[:1] = [True]
    if len(each) != count or not all(fits):
        received = f"{len(each)}" if all(fits) else arguments.shown(given)
        raise ValueError(
            f"Expected {what} as a dict, or a list of {count}, one for each factor. "
            f"Received: {received}. Give the arguments of each."
        )
    return list(each)
