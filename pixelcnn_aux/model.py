"""AuxiliaryModel: a chain of factors, p(X) >= p(x_n) p(x_{n-1} | x_n) ... p(X | x_1), equations (2), (5).

Every model of the paper is a constructor at the end of this module; nothing else knows which is which.
"""

import functools
import math
from typing import NamedTuple

import keras
import tensorflow as tf

from pixelcnn_aux import auxiliary, likelihoods, networks, sampling, workdir
from pixelcnn_aux.auxiliary import check_images
from pixelcnn_aux.factor import Factor

# So many pixels of full images are drawn at once, since the embedding is evaluated on whole images: 128
# images of 32 x 32.
MAX_PIXELS = 2**17


class Stage(NamedTuple):
    """A factor of a chain, and the transform that gives the auxiliary image it is conditioned on."""

    name: str
    factor: Factor
    psi: object  # None for the first factor of a chain, which is unconditional


class AuxiliaryModel:
    """A chain of factors over images of one size.

    Args:
      stages: list of `Stage` in the order of sampling: the last one models the full image.
      image_size: (H, W) of the full image, which `sample` draws; `log_prob` takes any size.
      config: dict, the arguments of `chain` that build the model again.
    """

    def __init__(self, stages, image_size, config):
        self.stages = list(stages)
        self.image_size = tuple(image_size)
        self.config = config
        self.factors = {stage.name: stage.factor for stage in self.stages}
        self.untrained = ()  # names of the factors that `load` found no weights for

    def auxiliaries(self, images):
        """The image that each factor models.

        Args:
          images: uint8 [B, H, W, C], full images.

        Returns:
          dict, name -> uint8 [B, h, w, c], in the order of sampling; the last is `images`.

        Raises:
          ValueError: for images of another dtype or number of channels.
        """
        head = self.stages[-1].factor.likelihood
        images = check_images(images, head.num_channels, head.num_values)
        chain = [images]
        for stage in reversed(self.stages[1:]):
            chain.append(stage.psi(chain[-1]))
        return dict(zip(self.factors, reversed(chain)))

    def pair(self, name, images):
        """What the factor `name` sees of full images: (its image, its auxiliary image or None)."""
        chain = self.auxiliaries(images)
        names = list(chain)
        position = self._position(name)
        return chain[name], chain[names[position - 1]] if position > 0 else None

    def new_factor(self, name):
        """A factor like that of this name, with newly drawn weights."""
        position = self._position(name)
        before = self.config["stages"][position - 1] if position > 0 else None
        dtype = self.factors[name].dtype_policy
        return _factor(self.config["stages"][position], before, dtype)

    def _position(self, name):
        if name not in self.factors:
            raise ValueError(f"Expected a factor of {list(self.factors)}. Received: {name!r}")
        return list(self.factors).index(name)

    def require(self, names):
        """Raises ValueError, which names them, where factors of these names are not trained yet."""
        missing = [name for name in names if name in self.untrained]
        if missing:
            raise ValueError(
                f"Expected trained factors: {', '.join(map(repr, missing))} not trained yet. "
                f"Train with --factor {missing[0]}."
            )

    def log_probs(self, images):
        """Each factor's log-likelihood of the image that it models.

        Args:
          images: uint8 [B, H, W, C], full images.

        Returns:
          dict, name -> float32 [B], in nats.

        Raises:
          ValueError: as `log_prob`.
        """
        self.require(self.factors)
        chain = [None, *self.auxiliaries(images).values()]
        return {
            name: factor.log_prob(image, given)
            for (name, factor), image, given in zip(self.factors.items(), chain[1:], chain)
        }

    def log_prob(self, images):
        """log p(X, X_hat), which bounds log p(X) from below, equation (5).

        Args:
          images: uint8 [B, H, W, C].

        Returns:
          float32 [B], in nats.

        Raises:
          ValueError: for images of another dtype or shape, or where a factor is not trained yet.
        """
        return tf.add_n(list(self.log_probs(images).values()))

    def bits_per_dim(self, images):
        """Negative log-likelihood of each factor and of the chain, in bits per dimension of the full image.

        Args:
          images: uint8 [B, H, W, C].

        Returns:
          dict, factor name -> float32 [B], and "total", their sum. Every entry is divided by H * W * C of
          the full image, auxiliary factors' too: so the entries add up (section 4.1).

        Raises:
          ValueError: as `log_prob`.
        """
        images = tf.convert_to_tensor(images)
        return in_bits_per_dim(self.log_probs(images), images.shape[1:])

    def sizes(self):
        """dict, factor name -> (H, W) of the image that the factor draws."""
        sizes = [self.image_size]
        for stage in reversed(self.stages[1:]):
            sizes.append(stage.psi.size(sizes[-1]))
        return dict(zip(self.factors, reversed(sizes)))

    def sample(
        self,
        seeds,
        log_scale_shift=0.0,
        mode="sample",
        method="incremental",
        given=None,
        known=None,
        mask=None,
        jit_compile=False,
    ):
        """Draws images, each factor in turn given what the one before it drew.

        More images than fit in memory are drawn in several batches, with a progress bar.

        Args:
          seeds: int32 [B, 2]. Image b depends on seeds[b] alone.
          log_scale_shift: float, or float32 [B]: added to the mixtures' log-scales (figure 4).
          mode: "sample", or "map" for the paper's MAP sampling: a drawn component's location.
          method: "incremental", every activation evaluated once; or "full", the network evaluated anew for
            every pixel, which is some hundred times slower.
          given: dict with one auxiliary image, name -> uint8 [B, h, w, c], to start from. What lies
            above it in the chain is absent from the result.
          known, mask: uint8 [B, H, W, C], full images, and uint8 [B, H, W, 1], 1 at the pixels of theirs to
            keep and 0 at those to draw: completion. An auxiliary image's pixel is kept where all pixels
            that it is computed from are. A pixel is drawn given the known ones before it in raster order:
            this is a draw from the distribution given all of them where they precede all others.
          jit_compile: bool, whether XLA compiles the drawing: once for each batch size, which takes
            minutes for deep networks, and some times faster from then on.

        Returns:
          dict, name -> uint8 [B, h, w, c], in the order of sampling, the image given included.

        Raises:
          ValueError: for seeds of another shape or dtype, an image given or known or a mask that does not
            fit, an unknown mode or method, or where a factor is not trained yet.
        """
        sampling.check_method(method)
        seeds = tf.convert_to_tensor(seeds)
        if seeds.dtype != tf.int32 or seeds.shape[1:] != [2] or len(seeds) == 0:
            raise ValueError(
                "Expected seeds as int32 [B, 2], at least one. "
                f"Received: {seeds.dtype.name} {seeds.shape.as_list()}"
            )
        batch = len(seeds)
        given = {} if given is None else self._check_given(given, batch)
        self.require(self._names_from(given))
        shifts = tf.cast(log_scale_shift, tf.float32)
        if shifts.shape not in ([], [batch]):
            raise ValueError(
                f"Expected log_scale_shift as a number or one for each of {batch} images. "
                f"Received: shape {shifts.shape.as_list()}"
            )
        shifts = tf.broadcast_to(shifts, [batch])
        completed = {} if known is mask is None else self.completed(known, mask, batch)

        def draw(rows):
            """The images of these seeds, rows being a slice."""
            images, kept = tf.nest.map_structure(lambda x: x[rows], (given, completed))
            return self.draw(seeds[rows], shifts[rows], mode, images, kept, method, jit_compile)

        batches = -(-batch * math.prod(self.image_size) // MAX_PIXELS)
        size = -(-batch // batches)
        if size >= batch:
            return draw(slice(batch))
        bar, parts = keras.utils.Progbar(batch, unit_name="image"), []
        for first in range(0, batch, size):
            parts.append(draw(slice(first, first + size)))
            bar.update(min(first + size, batch))
        return {name: tf.concat([part[name] for part in parts], axis=0) for name in parts[0]}

    def draw(
        self,
        seeds,
        log_scale_shift,
        mode="sample",
        given=None,
        completed=None,
        method="incremental",
        jit_compile=False,
    ):
        """What `sample` does with arguments that are checked: all at once, and also within a graph.

        Args:
          seeds: int32 [B, 2].
          log_scale_shift: float32 [B].
          completed: from `completed`.
          mode, given, method, jit_compile: as for `sample`.

        Returns:
          As `sample`.
        """
        sizes, drawn = self.sizes(), dict(given or {})
        image = next(iter(drawn.values()), None)
        for name in self._names_from(drawn):
            factor = self.factors[name]
            image = drawn[name] = factor.sampler.draw_images(
                () if image is None else factor.features(image),
                sampling.noise(factor, seeds, self._position(name), sizes[name], mode),
                log_scale_shift,
                completed[name] if completed else None,
                method,
                jit_compile,
            )
        return drawn

    def _names_from(self, given):
        """The factors that are left to draw."""
        names = list(self.factors)
        return names[max((names.index(name) + 1 for name in given), default=0) :]

    def completed(self, known, mask, batch):
        """What the factors keep of full images, for `draw`.

        Args:
          known, mask: as for `sample`.
          batch: B, or None where it is not known while a graph is traced.

        Returns:
          dict, name -> (uint8 [B, h, w, c], uint8 [B, h, w, 1]).

        Raises:
          ValueError: as `sample`.
        """
        if (known is None) != (mask is None):
            raise ValueError(
                "Expected known images and a mask, or neither. "
                f"Received: known={'None' if known is None else 'images'}, "
                f"mask={'None' if mask is None else 'a mask'}"
            )
        head = self.stages[-1].factor.likelihood
        known = check_images(known, head.num_channels, head.num_values, "known images")
        images = self.auxiliaries(known)
        mask = check_images(mask, 1, 2, "a mask")
        for what, x in (("known", known), ("mask", mask)):
            expected = [batch, *self.image_size]
            if x.shape[:3].as_list() != expected:
                raise ValueError(
                    f"Expected {what} of shape {[*expected, x.shape[-1]]}, one for each seed. "
                    f"Received: {x.shape.as_list()}"
                )
        masks = [mask]
        for stage in reversed(self.stages[1:]):
            masks.append(stage.psi.known(masks[-1]))
        return dict(zip(images, zip(images.values(), reversed(masks))))

    def _check_given(self, given, batch):
        names = list(self.factors)[:-1]
        if len(given) != 1 or not set(given) <= set(names):
            raise ValueError(
                f"Expected one auxiliary image of {names} to start from. Received: {list(given)}"
            )
        [(name, images)] = given.items()
        head = self.factors[name].likelihood
        images = check_images(images, head.num_channels, head.num_values, f"given[{name!r}]")
        expected = [batch, *self.sizes()[name], head.num_channels]
        if images.shape.as_list() != expected:
            raise ValueError(
                f"Expected given[{name!r}] of shape {expected}, one for each seed. "
                f"Received: {images.shape.as_list()}"
            )
        return {name: images}


def in_bits_per_dim(log_probs, shape):
    """dict, name -> nats [B] -> bits per dimension of full images of (H, W, C), and "total", their sum."""
    bits = math.log(2.0) * math.prod(shape)
    result = {name: -nats / bits for name, nats in log_probs.items()}
    return {**result, "total": tf.add_n(list(result.values()))}


def chain(stages, image_size, dtype=None):
    """Builds a model from its description: the constructor that all others call.

    Args:
      stages: list of dicts in the order of sampling, each with
        "name": str;
        "likelihood": ["LogisticMixture" or "Categorical", arguments];
        "network": arguments of `PixelCNN` but for `num_params`, which the likelihood sets;
        "psi": ["Grayscale" or "HalfResolution", arguments], the transform from the stage's image to
          that of the stage before it; absent from the first stage, as is
        "embedding": arguments of `Embedding`.
        A topology is written as [name of a function of `networks.topology`, arguments].
      image_size: (H, W) of the full image.
      dtype: str, of every float in the model; Keras's default where None.

    Returns:
      `AuxiliaryModel` with newly drawn weights.

    Raises:
      ValueError: if there are no stages.
    """
    if not stages:
        raise ValueError(f"Expected at least one stage. Received: stages={stages!r}")
    factors = [_factor(stage, before, dtype) for before, stage in zip([None, *stages], stages)]
    psis = [None, *(_make(stage["psi"]) for stage in stages[1:])]
    names = [stage["name"] for stage in stages]
    return AuxiliaryModel(
        map(Stage, names, factors, psis),
        image_size,
        {"stages": stages, "image_size": list(image_size)},
    )


def _factor(stage, before, dtype):
    """The factor that a stage describes, conditioned on the image of the stage before it, if any."""
    head = _make(stage["likelihood"])
    network = networks.PixelCNN(
        num_params=head.num_params, dtype=dtype, **_with_topology(stage["network"])
    )
    embedding = given = None
    if before:
        embedding = networks.Embedding(dtype=dtype, **_with_topology(stage["embedding"]))
        given = _make(before["likelihood"])
    return Factor(head, network, embedding, given, dtype=dtype, name=stage["name"])


# What a description may name, and nothing else: it may come from a file.
_PARTS = {
    part.__name__: part
    for part in (
        auxiliary.Grayscale,
        auxiliary.HalfResolution,
        likelihoods.Categorical,
        likelihoods.LogisticMixture,
        networks.topology.flat,
        networks.topology.pixelcnn_pp,
        networks.topology.super_resolution,
    )
}


def _make(description):
    name, arguments = description
    return _PARTS[name](**arguments)


def _with_topology(arguments):
    return {**arguments, "topology": _make(arguments["topology"])}


def _pixelcnn_pp(blocks, resolutions, filters, dropout):
    shape = ["pixelcnn_pp", {"blocks": blocks, "resolutions": resolutions}]
    return {"topology": shape, "filters": filters, "dropout": dropout}


def _rgb(num_components, network, **conditioning):
    """The description of a stage of colour images, of the full size unless it is given another name."""
    likelihood = ["LogisticMixture", {"num_components": num_components}]
    return {"name": "image", "likelihood": likelihood, "network": network, **conditioning}


def _coloured(num_components, network, embedding):
    """The description of the stage of full images given their grays."""
    return _rgb(num_components, network, embedding=embedding, psi=["Grayscale", {"bits": 4}])


def _grays(network, **conditioning):
    """The description of a stage of 4-bit grays, likewise."""
    likelihood = ["Categorical", {"num_values": 16}]
    return {"name": "grayscale", "likelihood": likelihood, "network": network, **conditioning}


def _light(blocks, filters, dropout):
    """Pyramid PixelCNN's network of each scale (section 4.2)."""
    kernels = {"vertical_kernel": [3, 3], "horizontal_kernel": [3, 3]}
    shape = ["flat", {"blocks": blocks}]
    return {"topology": shape, "filters": filters, "dropout": dropout, **kernels}


def _super_resolution(blocks, depth, filters, dropout):
    shape = ["super_resolution", {"blocks": blocks, "depth": depth}]
    return {"topology": shape, "filters": filters, "dropout": dropout}


def _scales(stage, image_size, base_size, network, embedding):
    """The descriptions of a pyramid's stages, the base first, and each one's (H, W).

    Args:
      stage: function of a stage's network and conditioning to its description.
      image_size, base_size: (H, W).
      network, embedding: descriptions of all scales' networks.
    """
    sizes = [tuple(image_size)]
    while sizes[-1] != tuple(base_size):
        height, width = sizes[-1]
        if height <= base_size[0] or height % 2 or width % 2:
            raise ValueError(
                "Expected an image size that halvings take to the base size. "
                f"Received: image_size={tuple(image_size)}, base_size={tuple(base_size)}"
            )
        sizes.append((height // 2, width // 2))
    given = {"embedding": embedding, "psi": ["HalfResolution", {}]}
    stages = [stage(network, **(given if position else {})) for position in range(len(sizes))]
    return stages, sizes[::-1]


def pixelcnn_pp(
    image_size=(32, 32),
    filters=160,
    blocks=5,
    resolutions=3,
    num_components=10,
    dropout=0.5,
    dtype=None,
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
    """
    image = _rgb(num_components, _pixelcnn_pp(blocks, resolutions, filters, dropout))
    return chain([image], image_size, dtype)


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
):
    """Grayscale PixelCNN (section 3.1): "grayscale", 4 bits a pixel, then "image" given it.

    Args:
      gray_blocks, image_blocks, embedding_blocks: int, gated blocks in each segment between
        resamplings, of p(X_hat), of p(X | X_hat) and of f_w.
      image_size, filters, resolutions, num_components, dropout, dtype: as for `pixelcnn_pp`.
    """
    grays = _grays(_pixelcnn_pp(gray_blocks, resolutions, filters, dropout))
    image = _coloured(
        num_components,
        _pixelcnn_pp(image_blocks, resolutions, filters, dropout),
        _pixelcnn_pp(embedding_blocks, resolutions, filters, dropout),
    )
    return chain([grays, image], image_size, dtype)


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
):
    """Pyramid PixelCNN (section 3.2): half-resolutions, each given the one before, the smallest first.

    The factors are named by their sizes, "8x8", "16x16", ... (height x width).

    Args:
      image_size: (H, W); halvings must take it to `base_size`.
      base_size: (H, W) of the first factor's image.
      filters: int, the channels of all streams.
      blocks: int, gated blocks of p(x | x_hat), all at one resolution.
      embedding_blocks: int, gated blocks in a group of f_w, of which there are 2 `depth` + 1.
      depth: int, the resolutions of f_w below that of the image; `base_size` must be a multiple of
        2 ** (depth - 1).
      num_components, dropout, dtype: as for `pixelcnn_pp`.
    """
    stages, sizes = _scales(
        functools.partial(_rgb, num_components),
        image_size,
        base_size,
        _light(blocks, filters, dropout),
        _super_resolution(embedding_blocks, depth, filters, dropout),
    )
    named = [{**stage, "name": f"{h}x{w}"} for stage, (h, w) in zip(stages, sizes)]
    return chain(named, image_size, dtype)


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
):
    """The combination that the paper leaves as future work: a pyramid of 4-bit grays, then the colours.

    The factors are "grayscale_8x8", "grayscale_16x16", ..., "grayscale" of the full size, and "image".

    Args:
      image_size, base_size, filters, blocks, embedding_blocks, depth: of the grays, as for `pyramid`.
      image_filters, image_blocks, image_embedding_blocks, resolutions, num_components: of the image given
        the grays, as `filters`, `image_blocks`, ... of `grayscale`.
      dropout, dtype: as for `pixelcnn_pp`.
    """
    stages, sizes = _scales(
        _grays,
        image_size,
        base_size,
        _light(blocks, filters, dropout),
        _super_resolution(embedding_blocks, depth, filters, dropout),
    )
    smaller = [{**stage, "name": f"grayscale_{h}x{w}"} for stage, (h, w) in zip(stages[:-1], sizes)]
    image = _coloured(
        num_components,
        _pixelcnn_pp(image_blocks, resolutions, image_filters, dropout),
        _pixelcnn_pp(image_embedding_blocks, resolutions, image_filters, dropout),
    )
    return chain([*smaller, stages[-1], image], image_size, dtype)


def load(path, dtype="float32"):
    """The model that training left in a workdir, with averaged weights.

    Args:
      path: the workdir.
      dtype: "float32" or "float64", of every float in the model.

    Returns:
      `AuxiliaryModel`. Factors not trained yet keep newly drawn weights; what needs one of them says so.

    Raises:
      FileNotFoundError: if `path` is no workdir.
      ValueError: if its description or a weights file is damaged.
    """
    description = workdir.read(path)["model"]
    try:
        model = chain(**description, dtype=dtype)
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(
            f"Expected the description of a model in {path}. Received one that cannot be built "
            f"({type(error).__name__}: {error}): was it made by another version?"
        ) from error
    found = {name: workdir.load_weights(path, name, model.factors[name]) for name in model.factors}
    model.untrained = tuple(name for name in found if not found[name])
    return model
