"""Factor: one conditional distribution p(x | x_hat) of the chain, a Keras model."""

import keras
import tensorflow as tf

from pixelcnn_aux import layers, sampling
from pixelcnn_aux.auxiliary import check_images
from pixelcnn_aux.networks.stream import check_sides


class Factor(keras.Model):
    """p(x | x_hat) = PixelCNN(x; f_w(x_hat)), or p(x) where nothing is given: equation (3).

    A Keras model from (images, auxiliary), or from images alone, to the parameters of the pixels'
    distributions. Plain Keras trains it:

        factor.compile("adam", loss=factor.likelihood.bits_per_dim, jit_compile=False)
        factor.fit(batches)   # of ((images, auxiliary), images), or of (images, images)

    Args:
      likelihood: `LogisticMixture` or `Categorical`, of the pixels of x.
      network: `PixelCNN` with `likelihood.num_params` output channels.
      embedding: `Embedding`, f_w; None for an unconditional factor.
      given: the likelihood of x_hat, for its channels and number of pixel values; None for an
        unconditional factor.

    Attributes:
      sampler: `sampling.Sampler`, which draws its images.
    """

    def __init__(self, likelihood, network, embedding=None, given=None, **kwargs):
        super().__init__(**kwargs)
        if (embedding is None) != (given is None):
            raise ValueError(
                "Expected an embedding and the likelihood of what it embeds, or neither. "
                f"Received: embedding={embedding}, given={given}"
            )
        self.likelihood = likelihood
        self.network = network
        self.embedding = embedding
        self.given = given
        self._compiled = {
            method.__name__: tf.function(method, reduce_retracing=True)
            for method in (self._features, self._params, self._log_prob)
        }
        self.sampler = sampling.Sampler(self)
        self._create_weights()

    def _create_weights(self):
        """Evaluates the networks once, on the smallest images that they take."""
        levels = [0] if self.embedding is None else self.embedding.topology.levels()
        # An embedding may end at a finer resolution than that of x_hat, which is the one of x.
        self.auxiliary_ratio = 2 ** -min(levels)
        side = max(2 ** max(self.network.topology.levels()), 2 ** (max(levels) - min(levels)))
        images = tf.zeros([1, side, side, self.likelihood.num_channels], tf.uint8)
        if self.given is None:
            self(images)
        else:
            side //= self.auxiliary_ratio
            self((images, tf.zeros([1, side, side, self.given.num_channels], tf.uint8)))

    def call(self, inputs, training=None):
        images, auxiliary = inputs if isinstance(inputs, (tuple, list)) else (inputs, None)
        features = () if auxiliary is None else self._features(auxiliary, training=training)
        return self.network(self.scaled(images), features, training=training)

    def scaled(self, images, likelihood=None):
        """Pixel values 0 .. num_values - 1 -> floats in [-1, 1], as the networks see them."""
        half = ((likelihood or self.likelihood).num_values - 1) / 2
        return (tf.cast(images, self.compute_dtype) - half) / half

    def _features(self, auxiliary, training=False):
        return self.embedding(self.scaled(auxiliary, self.given), training=training)

    def _params(self, inputs):
        return self(inputs, training=False)

    def _log_prob(self, inputs):
        images = inputs if self.given is None else inputs[0]
        return tf.reduce_sum(self.likelihood.log_prob(self._params(inputs), images), axis=[1, 2])

    def inputs(self, images, auxiliary=None):
        """What `call` takes, once it is known to fit the factor.

        Args:
          images: uint8 [B, H, W, C].
          auxiliary: uint8 [B, h, w, c], or None for an unconditional factor.

        Raises:
          ValueError: for images of another dtype, shape or range.
        """
        head = self.likelihood
        images = check_images(images, head.num_channels, head.num_values)
        check_sides(images, self.network.topology)
        if self.given is None:
            if auxiliary is not None:
                raise ValueError("Expected no auxiliary images: this factor is unconditional.")
            return images
        auxiliary = self._check_auxiliary(auxiliary)
        batch, height, width = images.shape[:3]
        expected = [batch, height // self.auxiliary_ratio, width // self.auxiliary_ratio]
        if auxiliary.shape[:3].as_list() != expected:
            raise ValueError(
                f"Expected auxiliary images of shape {[*expected, self.given.num_channels]} beside "
                f"images of shape {images.shape.as_list()}. Received: {auxiliary.shape.as_list()}"
            )
        return images, auxiliary

    def _check_auxiliary(self, auxiliary):
        if auxiliary is None:
            raise ValueError("Expected auxiliary images: this factor is conditional.")
        head = self.given
        auxiliary = check_images(auxiliary, head.num_channels, head.num_values, "auxiliary images")
        check_sides(auxiliary, self.embedding.topology)
        return auxiliary

    def features(self, auxiliary):
        """f_w(x_hat): uint8 [B, h, w, c] -> list of float32 [B, h_k, w_k, F], finest first.

        Raises ValueError for images of another dtype, shape or range.
        """
        if self.embedding is None:
            raise ValueError("Expected a conditional factor: this one embeds nothing.")
        return self._compiled["_features"](self._check_auxiliary(auxiliary))

    def params(self, images, auxiliary=None, method="full"):
        """Parameters of every pixel's distribution given the pixels before it.

        Args:
          images: uint8 [B, H, W, C].
          auxiliary: uint8 [B, h, w, c], or None for an unconditional factor.
          method: "full", the network evaluated over whole images; or "incremental", pixel by pixel as
            `AuxiliaryModel.sample` does, with the pixels of `images` in place of draws: equal but for
            rounding.

        Returns:
          float32 [B, H, W, P].

        Raises:
          ValueError: for images of another dtype, shape or range, or another method.
        """
        sampling.check_method(method)
        inputs = self.inputs(images, auxiliary)
        if method == "full":
            return self._compiled["_params"](inputs)
        if self.given is None:
            return self.sampler.forced_params((), inputs)
        images, auxiliary = inputs
        return self.sampler.forced_params(self._compiled["_features"](auxiliary), images)

    def log_prob(self, images, auxiliary=None):
        """log p(x | x_hat) in nats: uint8 [B, H, W, C], uint8 [B, h, w, c] -> float32 [B].

        Raises ValueError for images of another dtype, shape or range.
        """
        return self._compiled["_log_prob"](self.inputs(images, auxiliary))

    def initialize_from_data(self, images, auxiliary=None):
        """Fits `g` and `b` of every layer to a batch: see `layers.initialization_from_data`.

        To be called once, eagerly, before training; under a strategy, inside its scope.
        """
        with layers.initialization_from_data():
            self(self.inputs(images, auxiliary), training=False)
