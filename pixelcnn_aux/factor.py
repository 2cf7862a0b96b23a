"""Factor: one conditional distribution p(x | x_hat) of the chain, a Keras model."""

import contextlib
import contextvars
import functools

import keras
from keras import ops

from pixelcnn_aux import arguments, backend, dtypes, layers, networks, serialization
from pixelcnn_aux.auxiliary import check_images, check_sides_known
from pixelcnn_aux.likelihoods import Likelihood
from pixelcnn_aux.networks.stream import check_sides
from pixelcnn_aux.sums import FixedSum

METHODS = ("incremental", "full")

# How a saved file names the loss that is the factor's own.
_OWN_LOSS = "likelihood.bits_per_dim"

_limit = contextvars.ContextVar("limit_on_parameters", default=lambda name: None)


@contextlib.contextmanager
def at_most(limit):
    """Within it, factors of more parameters are refused before there is memory for any of them.

    No factor needs more than its weights have in a file, whatever the description beside them says.

    Args:
      limit: function of a factor's name -> (int, str that says why), or None where nothing is known of it:
        `arguments.MAX_PARAMETERS` holds for all.
    """
    token = _limit.set(limit)
    try:
        yield
    finally:
        _limit.reset(token)


@serialization.register()
class Factor(keras.Model):
    """p(x | x_hat) = PixelCNN(x; f_w(x_hat)), or p(x) where nothing is given: equation (3).

    A Keras model from (images, auxiliary), or from images alone, to the parameters of the pixels'
    distributions. Plain Keras trains and saves it:

        factor.compile("adam", jit_compile=False)
        factor.fit(batches)   # of ((images, auxiliary), images), or of (images, images)
        factor.save("factor.keras")

    The loss, where `compile` is given no other, are the bits per dimension of the images, given what x_hat
    says about them.

    Args:
      likelihood: `Likelihood` of the pixels of x.
      network: `PixelCNN` with `likelihood.num_params` output channels.
      embedding: `Embedding`, f_w; None for an unconditional factor.
      auxiliary_likelihood: `Likelihood` of x_hat, for its channels and number of pixel values; None
        for an unconditional factor.
      fixed_sum: `sums.FixedSum`, what x_hat tells of x and the likelihood is to know; None for nothing, as in
        the paper.

    Attributes:
      exact: bool, whether images have no probability where x_hat is not theirs. log p(x | x_hat) is exact
        then, and not a bound.
      auxiliary_ratio: int, the sides of x over those of x_hat.

    Raises:
      ValueError: for parts that do not fit each other, or more than `arguments.MAX_PARAMETERS` parameters.
    """

    def __init__(
        self,
        likelihood,
        network,
        embedding=None,
        auxiliary_likelihood=None,
        fixed_sum=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        arguments.instance("likelihood", likelihood, Likelihood)
        arguments.instance("network", network, networks.PixelCNN)
        arguments.instance("embedding", embedding, networks.Embedding, True)
        arguments.instance("auxiliary_likelihood", auxiliary_likelihood, Likelihood, True)
        arguments.instance("fixed_sum", fixed_sum, FixedSum, True)
        if (embedding is None) != (auxiliary_likelihood is None):
            raise ValueError(
                "Expected an embedding and the likelihood of what it embeds, or neither. "
                f"Received: embedding={embedding}, auxiliary_likelihood={auxiliary_likelihood}. "
                "Give both, or neither."
            )
        if fixed_sum is None and likelihood.centered:
            raise ValueError(
                "Expected a fixed_sum, since the likelihood is centered on what it says. Received: None. "
                "Give the transform's, or a likelihood with centered=False."
            )
        if fixed_sum is not None and embedding is None:
            raise ValueError(
                "Expected no fixed_sum: this factor is unconditional. Received: one. Give None."
            )
        for one in filter(None, (likelihood, auxiliary_likelihood)):
            one.check_declared()
        dtypes.check_same(self, *filter(None, (network, embedding)))
        if fixed_sum is not None and likelihood.bounded_noise_size is None:
            raise ValueError(
                "Expected a likelihood that has bounds, within which a fixed_sum holds pixels. Received: "
                f"{type(likelihood).__name__}. Give it bounds (likelihoods.Likelihood), or no fixed_sum."
            )
        self.likelihood = likelihood
        self.fixed_sum = fixed_sum
        self.network = network
        self.embedding = embedding
        self.auxiliary_likelihood = auxiliary_likelihood
        self._compiled = {
            method.__name__: backend.compiled(method, self)
            for method in (
                *(self._features, self._params),
                *(self._log_prob, self._pixel_log_prob, self._bound_and_exact),
            )
        }
        levels = [0] if embedding is None else embedding.topology.levels()
        # An embedding may end at a finer resolution than that of x_hat, which is the one of x.
        self.auxiliary_ratio = 2 ** -min(levels)
        if fixed_sum is not None:
            self._check_fixed_sum()
        self._check_num_parameters()
        self._create_weights()

    def _check_fixed_sum(self):
        fixed_sum, channels = self.fixed_sum, self.likelihood.num_channels
        if fixed_sum.ratio != self.auxiliary_ratio:
            raise ValueError(
                f"Expected the factor {self.name!r} to embed x_hat at {fixed_sum.ratio} times its sides, the "
                f"side of the blocks of its fixed_sum. Received: an embedding that does at "
                f"{self.auxiliary_ratio} times. Choose the embedding's topology, or the sum, to fit."
            )
        found = [fixed_sum.num_values, fixed_sum.num_channels]
        told = channels if fixed_sum.num_channels is None else 1
        fits = found[0] == self.likelihood.num_values and found[1] in (None, channels)
        if not fits or self.auxiliary_likelihood.num_channels != told:
            raise ValueError(
                "Expected the factor {!r} to know a fixed_sum of {} values, within each of {} channels or "
                "over all of them, that tells as many as x_hat has. Received: one of {} values, over {} "
                "channels. Give what the transform of x to x_hat declares.".format(
                    self.name, self.likelihood.num_values, channels, *found
                )
            )

    def num_parameters(self):
        """int, of all weights that it has or will have."""
        channels = self.likelihood.num_channels
        if self.embedding is None:
            return self.network.num_parameters(channels)
        of_embedding = self.embedding.num_parameters(self.auxiliary_likelihood.num_channels)
        return of_embedding + self.network.num_parameters(channels, self.embedding.num_features)

    def _check_num_parameters(self):
        count = self.num_parameters()
        ceiling = (arguments.MAX_PARAMETERS, "whatever the machine")
        most, why = min(_limit.get()(self.name) or ceiling, ceiling)
        if count > most:
            raise ValueError(
                f"Expected factor {self.name!r} with at most {most:,} parameters, {why}. Received: another "
                f"network, of {count:,}. Choose fewer filters, blocks or mixture components."
            )

    def _create_weights(self):
        """Evaluates the networks once, on the smallest images that they take."""
        levels = [0] if self.embedding is None else self.embedding.topology.levels()
        resolutions = max(self.network.topology.levels()) + 1
        if self.embedding is not None:
            outputs = [levels[index] - min(levels) for index in self.embedding.topology.outputs]
            if outputs != [*range(resolutions)]:
                raise ValueError(
                    f"Expected an embedding with outputs at the {resolutions} resolutions of its network, "
                    f"each half the one before. Received: sides divided by {[2**k for k in outputs]}. Choose "
                    "its topology to fit."
                )
        side = max(2 ** max(self.network.topology.levels()), 2 ** (max(levels) - min(levels)))
        images = ops.zeros([1, side, side, self.likelihood.num_channels], "uint8")
        # Evaluation builds the layers, one after another. Keras would first trace every network to that end,
        # once more at each level of nesting.
        for layer in (self, *self.parts()):
            layer.built = True
        if self.embedding is None:
            params = self(images)
        else:
            side //= self.auxiliary_ratio
            channels = self.auxiliary_likelihood.num_channels
            params = self((images, ops.zeros([1, side, side, channels], "uint8")))
        if params.shape[-1] != self.likelihood.num_params:
            raise ValueError(
                f"Expected a network with num_params={self.likelihood.num_params}, as the likelihood takes. "
                f"Received: num_params={params.shape[-1]}. Build it with the likelihood's."
            )

    def get_config(self):
        return {
            **super().get_config(),
            "likelihood": serialization.serialize(self.likelihood),
            "network": _unnamed(serialization.serialize(self.network)),
            "embedding": _unnamed(serialization.serialize(self.embedding)),
            "auxiliary_likelihood": serialization.serialize(self.auxiliary_likelihood),
            "fixed_sum": serialization.serialize(self.fixed_sum),
        }

    @classmethod
    def from_config(cls, config):
        """The factor that `get_config` described, randomly initialized.

        Raises ValueError for a description that names a class which is not registered.
        """
        kinds = {
            "likelihood": Likelihood,
            "network": networks.PixelCNN,
            "embedding": networks.Embedding,
            "auxiliary_likelihood": Likelihood,
            "fixed_sum": FixedSum,
        }
        parts = {
            name: serialization.deserialize(config.get(name), kind) for name, kind in kinds.items()
        }
        for name in ("likelihood", "network"):
            if parts[name] is None:
                raise ValueError(
                    f"Expected the description of a factor with a {name}. Received: none. "
                    "Take it from the run again."
                )
        return cls(**{**config, **parts})

    def get_build_config(self):
        return None  # The constructor builds it.

    def get_compile_config(self):
        config = super().get_compile_config()
        if config and self.loss == self.likelihood.bits_per_dim:
            config["loss"] = _OWN_LOSS  # a method: it comes back with the factor
        return config

    def compile_from_config(self, config):
        if config.get("loss") != _OWN_LOSS:
            super().compile_from_config(config)
            return
        others = {name: value for name, value in config.items() if name != "loss"}
        others = keras.saving.deserialize_keras_object(others)
        self.compile(loss=self.likelihood.bits_per_dim, **others)
        self.optimizer.build(self.trainable_variables)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if self.loss not in (None, self.likelihood.bits_per_dim):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        images = x if self.embedding is None else x[0]
        known = (images, *self._known(self.fixed_sum, x).values())
        return BitsPerDim(self.likelihood, self.variable_dtype)(known, y_pred, sample_weight)

    @property
    def exact(self):
        return self.fixed_sum is not None and self.fixed_sum.exact

    def with_fixed_sum(self, fixed_sum):
        """A factor of the same networks, not copies, that knows another sum, or none."""
        parts = (self.likelihood, self.network, self.embedding, self.auxiliary_likelihood)
        return type(self)(*parts, fixed_sum, name=self.name, dtype=self.dtype_policy)

    @functools.cached_property
    def sampler(self):
        """`sampling.Sampler`, which draws the factor's images.

        Raises RuntimeError without TensorFlow, and ValueError for a factor in mixed precision.
        """
        backend.require_tensorflow("sampling")
        self.check_one_precision()
        from pixelcnn_aux import sampling  # here, since it needs TensorFlow and nothing else does

        return sampling.Sampler(self)

    def check_one_precision(self):
        """Raises ValueError for a factor in mixed precision, which is not evaluated pixel by pixel."""
        if self.compute_dtype != self.variable_dtype:
            raise ValueError(
                f"Expected a factor in float32 or float64, to be evaluated pixel by pixel. Received: "
                f'{self.dtype_policy.name}. Give its weights to one of model.new_factor(name, "float32").'
            )

    def parts(self):
        """The networks that the factor consists of."""
        return [self.network] if self.embedding is None else [self.network, self.embedding]

    def call(self, inputs, training=None):
        images, auxiliary = inputs if isinstance(inputs, (tuple, list)) else (inputs, None)
        features = () if auxiliary is None else self._features(auxiliary, training=training)
        centers = self.fixed_sum.centers(images, auxiliary) if self.likelihood.centered else None
        return self.network(self.seen(images, centers), features, training=training)

    def seen(self, pixels, centers=None):
        """What the network sees of pixels.

        Args:
          pixels: [..., C], whole values in any dtype.
          centers: float [..., C] or [..., 1], as from `FixedSum.centers`; only if the likelihood is centered.

        Returns:
          float [..., C]: the values `scaled`. If the likelihood is centered, how many of its units they are
          from their centers: x_hat has told the rest, beside which this would hardly be seen.
        """
        if not self.likelihood.centered:
            return self.scaled(pixels)
        deviations = ops.cast(pixels, self.variable_dtype) - ops.cast(centers, self.variable_dtype)
        return deviations / self.likelihood.unit

    def scaled(self, images, likelihood=None):
        """Pixel values 0 .. num_values - 1 -> floats in [-1, 1], as the networks see them."""
        half = ((likelihood or self.likelihood).num_values - 1) / 2
        return (ops.cast(images, self.variable_dtype) - half) / half

    def _features(self, auxiliary, training=False):
        return self.embedding(self.scaled(auxiliary, self.auxiliary_likelihood), training=training)

    def _params(self, inputs):
        return self(inputs, training=False)

    def _log_prob(self, inputs):
        return _of_images(self._pixel_log_prob(inputs))

    def _pixel_log_prob(self, inputs):
        return self._nats(self._params(inputs), inputs, self.fixed_sum)

    def _bound_and_exact(self, inputs):
        params, bounding = self._params(inputs), None
        if self.likelihood.centered:
            bounding = self.fixed_sum.with_exact(False)
        return [_of_images(self._nats(params, inputs, x)) for x in (bounding, self.fixed_sum)]

    def _nats(self, params, inputs, fixed_sum):
        images = inputs if self.embedding is None else inputs[0]
        return self.likelihood.log_prob(params, images, **self._known(fixed_sum, inputs))

    def _known(self, fixed_sum, inputs):
        """What a sum says about images: keyword arguments of `likelihood.log_prob`."""
        if fixed_sum is None:
            return {}
        return dict(zip(("low", "high", "center"), fixed_sum.of_images(*inputs)))

    def _evaluate(self, name, inputs):
        """What a compiled method of this name gives for images that are checked, or for none of them."""
        method = self._compiled[name]
        if not _are_none(inputs):
            return method(inputs)
        one = keras.tree.map_structure(lambda x: ops.zeros((1, *x.shape[1:]), "uint8"), inputs)
        return keras.tree.map_structure(lambda y: y[:0], method(one))

    def inputs(self, images, auxiliary=None):
        """What `call` takes, once it is known to fit the factor.

        Args:
          images: uint8 [B, H, W, C].
          auxiliary: uint8 [B, h, w, c], or None for an unconditional factor.

        Raises:
          ValueError: for images of another dtype, shape or range.
        """
        likelihood = self.likelihood
        images = check_images(images, likelihood.num_channels, likelihood.num_values)
        check_sides(images, self.network.topology)
        if self.embedding is None:
            if auxiliary is not None:
                raise ValueError(
                    "Expected no auxiliary images: this factor is unconditional. Received: some. "
                    "Give the images alone."
                )
            return images
        auxiliary = self._check_auxiliary(auxiliary)
        (batch, height, width), ratio = images.shape[:3], self.auxiliary_ratio
        check_sides_known((height, width))
        if height % ratio or width % ratio:
            raise ValueError(
                f"Expected images with sides that are multiples of {ratio}, so many times those of their "
                f"auxiliary images. Received: {height} x {width}. Choose another image size."
            )
        expected = (batch, height // ratio, width // ratio, self.auxiliary_likelihood.num_channels)
        batches = {batch, auxiliary.shape[0]} - {None}  # unknown ones may yet be the same
        if len(batches) > 1 or tuple(auxiliary.shape[1:]) != expected[1:]:
            raise ValueError(
                f"Expected auxiliary images of shape {list(expected)} beside images of shape "
                f"{list(images.shape)}. Received: {list(auxiliary.shape)}. "
                "Give those that the model's transform makes of the images."
            )
        return images, auxiliary

    def _check_auxiliary(self, auxiliary):
        if auxiliary is None:
            raise ValueError(
                "Expected auxiliary images: this factor is conditional. Received: none. "
                "Give a pair: images, and auxiliary images."
            )
        likelihood = self.auxiliary_likelihood
        auxiliary = check_images(
            auxiliary, likelihood.num_channels, likelihood.num_values, "auxiliary images"
        )
        check_sides(auxiliary, self.embedding.topology)
        return auxiliary

    def features(self, auxiliary):
        """f_w(x_hat): uint8 [B, h, w, c] -> list of float [B, h_k, w_k, F], finest first.

        They are of the dtype that the model computes in.

        Raises ValueError for images of another dtype, shape or range, or an unconditional factor.
        """
        if self.embedding is None:
            raise ValueError(
                "Expected a conditional factor. Received: one that embeds nothing. "
                "Ask one that was built with an embedding."
            )
        return self._evaluate("_features", self._check_auxiliary(auxiliary))

    def params(self, images, auxiliary=None, method="full"):
        """Parameters of every pixel's distribution given the pixels before it.

        Args:
          images: uint8 [B, H, W, C].
          auxiliary: uint8 [B, h, w, c], or None for an unconditional factor.
          method: "full", the network evaluated over whole images; or "incremental", pixel by pixel as
            `AuxiliaryModel.sample` does, with the pixels of `images` in place of draws: equal but for
            rounding. The latter is TensorFlow's.

        Returns:
          float [B, H, W, P] of the model's dtype.

        Raises:
          ValueError: for images of another dtype, shape or range, another method, or "incremental" of a
            factor in mixed precision.
          RuntimeError: for "incremental" under another backend than TensorFlow.
        """
        arguments.choice("method", method, METHODS)
        inputs = self.inputs(images, auxiliary)
        if method == "full" or _are_none(inputs):  # which have no first pixel
            return self._evaluate("_params", inputs)
        if self.embedding is None:
            return self.sampler.forced_params((), inputs)
        images, auxiliary = inputs
        return self.sampler.forced_params(self._evaluate("_features", auxiliary), images, auxiliary)

    def log_prob(self, images, auxiliary=None):
        """log p(x | x_hat) in nats: uint8 [B, H, W, C], uint8 [B, h, w, c] -> float [B] of the model's dtype.

        If `exact`, -inf for images that contradict x_hat.

        Raises ValueError for images of another dtype, shape or range.
        """
        return self._evaluate("_log_prob", self.inputs(images, auxiliary))

    def pixel_log_prob(self, images, auxiliary=None):
        """log p(pixel | the pixels before it, x_hat) in nats: float [B, H, W], which add up to `log_prob`.

        Takes and raises what `log_prob` does, and is of the same dtype.
        """
        return self._evaluate("_pixel_log_prob", self.inputs(images, auxiliary))

    def bound_and_exact(self, images, auxiliary=None):
        """`log_prob` as if the factor were not exact, and as it is, evaluating the networks once.

        Args:
          images, auxiliary: as for `log_prob`.

        Returns:
          float [B] of the model's dtype twice, in nats. They are the same where the factor is not exact.

        Raises:
          ValueError: as `log_prob`.
        """
        return self._evaluate("_bound_and_exact", self.inputs(images, auxiliary))

    def initialize_from_data(self, images, auxiliary=None):
        """Fits `g` and `b` of every layer to a batch: see `layers.initialization_from_data`.

        Takes and raises what `log_prob` does, and ValueError for no images. To be called once, eagerly,
        before training; under a strategy, inside its scope.
        """
        inputs = self.inputs(images, auxiliary)
        if _are_none(inputs):
            raise ValueError(
                "Expected images to fit the first weights to. Received: none. Give a batch of them."
            )
        with layers.initialization_from_data():
            self(inputs, training=False)


class BitsPerDim(keras.losses.Loss):
    """`Likelihood.bits_per_dim` of images and, if anything, what is known about them.

    Args:
      likelihood: `Likelihood`.
      dtype: str, that of the parameters, in which it is computed.
    """

    def __init__(self, likelihood, dtype):
        super().__init__(dtype=dtype)
        self._likelihood = likelihood

    def call(self, known, params):
        images, *bounds = known
        return self._likelihood.bits_per_dim(images, params, *bounds)


def _are_none(inputs):
    """Whether what a network takes is of no images."""
    return keras.tree.flatten(inputs)[0].shape[0] == 0


def _of_images(nats):
    """Sums over the pixels of each image: [B, H, W] -> [B]."""
    return ops.sum(nats, axis=(1, 2))


def _unnamed(description):
    """The description of a network without its name, which counts how many this process has made."""
    if description is None:
        return None
    config = {key: value for key, value in description["config"].items() if key != "name"}
    return {**description, "config": config}
