"""AuxiliaryModel: a chain of factors, p(X) >= p(x_n) p(x_{n-1} | x_n) ... p(X | x_1), equations (2), (5).

Every model of the paper is a constructor in `models`; nothing here knows which is which.
"""

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
        """A factor like that of this name, with randomly initialized weights."""
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
      `AuxiliaryModel` with randomly initialized weights.

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


def load(path, dtype="float32"):
    """The model that training left in a workdir, with averaged weights.

    Args:
      path: the workdir.
      dtype: "float32" or "float64", of every float in the model.

    Returns:
      `AuxiliaryModel`. Factors not trained yet keep their first weights; what needs one of them says so.

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
