"""Factor: one conditional distribution p(x | x_hat) of the chain, a Keras model."""

import math
from collections.abc import Callable
from typing import Any, Self

from keras import ops

from pixelcnn_aux import arguments, backend, checks, layers, networks, serialization, summaries
from pixelcnn_aux.annotations import ArrayLike, Tensor
from pixelcnn_aux.batches import in_batches
from pixelcnn_aux.conditions import Condition
from pixelcnn_aux.inputs import Inputs
from pixelcnn_aux.likelihoods import Likelihood
from pixelcnn_aux.pixelwise_model import PixelwiseModel
from pixelcnn_aux.sums import FixedSum


@serialization.register()
class Factor(PixelwiseModel):
    """p(x | x_hat) = PixelCNN(x; f_w(x_hat)), or p(x) where nothing is given: equation (3).

    A Keras model from `Inputs`, or a tuple or dict of their fields, or images alone, to the parameters of the
    pixels' distributions. A call evaluates all images at once; `log_prob` and the other methods take any
    number of them and evaluate them in batches. Plain Keras trains and saves it:

        factor.compile("adam", jit_compile=False)
        factor.fit(batches)   # of ((images, auxiliary), images), or of (images, images)
        factor.save("factor.keras")

    The loss, where `compile` is given no other, is the bits per dimension of the images, given what x_hat
    says about them.

    Images are uint8 where their likelihood is of up to 256 values, and uint16 where it is of more.

    Args:
      likelihood: `Likelihood` of the pixels of x.
      network: `networks.Network` with `likelihood.num_params` output channels.
      embedding: `networks.Embedding`, f_w; None for an unconditional factor.
      auxiliary_likelihood: `Likelihood` of x_hat, for its channels and number of pixel values; None
        for an unconditional factor.
      fixed_sum: `sums.FixedSum`, what x_hat tells of x and the likelihood is to know; None for nothing, as in
        the paper.
      condition: `conditions.Condition`, what else is known of the image; None for nothing, as in the paper.
        It comes to the networks' gated blocks, and methods take it as the third of the fields of `Inputs`.

    Attributes:
      exact: bool, whether images have no probability where x_hat is not theirs. log p(x | x_hat) is exact
        then, and not a bound.
      auxiliary_ratio: int, the height of x over that of x_hat.
      num_parameters: int, of its layers in this package. Within `layers.planned` it has no weights.

    Raises:
      ValueError: for parts that do not fit each other, or more than `arguments.MAX_PARAMETERS` parameters.
    """

    def __init__(
        self,
        likelihood: Likelihood,
        network: networks.Network,
        embedding: networks.Embedding | None = None,
        auxiliary_likelihood: Likelihood | None = None,
        fixed_sum: FixedSum | None = None,
        condition: Condition | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.likelihood = likelihood
        self.network = network
        self.embedding = embedding
        self.auxiliary_likelihood = auxiliary_likelihood
        self.fixed_sum = fixed_sum
        self.condition = condition
        checks.check_parts(self)
        self.auxiliary_ratio = 1 if embedding is None else embedding.ratio
        with layers.planned() as plan:
            self._evaluate_smallest()
        self.num_parameters = sum(plan.values())
        arguments.at_most_parameters(self.name, self.num_parameters)
        if not layers.is_planning():
            with layers.weights_alone():
                self._evaluate_smallest()
            checks.check_takes_condition(self)

    def _evaluate_smallest(self):
        """Evaluates the networks on the smallest images that they take."""
        side, auxiliary = self.network.multiple, None
        if self.embedding is not None:
            side = math.lcm(side, self.embedding.multiple * self.auxiliary_ratio)
            small = side // self.auxiliary_ratio
            shape = [1, small, small, self.auxiliary_likelihood.num_channels]
            auxiliary = ops.zeros(
                shape, arguments.pixel_dtype(self.auxiliary_likelihood.num_values)
            )
        shape = [1, side, side, self.likelihood.num_channels]
        images = ops.zeros(shape, arguments.pixel_dtype(self.likelihood.num_values))
        condition = self.condition and ops.convert_to_tensor(self.condition.unknown(1))
        self(Inputs(images, auxiliary, condition))

    @property
    def exact(self) -> bool:
        return self.fixed_sum is not None and self.fixed_sum.exact

    def __repr__(self):
        return summaries.factor_line(self)

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Prints a table of the layers, with their outputs for images of H x W and their parameters.

        Args:
          print_fn: function of a str, which prints it.
        """
        print_fn(summaries.factor_table(self))

    def with_fixed_sum(self, fixed_sum: FixedSum | None) -> Self:
        """A factor of the same networks, not copies, that knows another sum, or none."""
        parts = (self.likelihood, self.network, self.embedding, self.auxiliary_likelihood)
        how = {"name": self.name, "dtype": self.dtype_policy}
        return type(self)(*parts, fixed_sum, self.condition, **how)

    def parts(self) -> list[Any]:
        """The networks that the factor consists of."""
        return [self.network] if self.embedding is None else [self.network, self.embedding]

    def call(self, inputs, training=None):
        images, auxiliary, condition = Inputs.of(inputs)  # uint8 [B, H, W, C], [B, h, w, c]
        centers = self.fixed_sum.centers(images, auxiliary) if self.likelihood.centered else None
        x = self.network_inputs(images, centers)  # float [B, H, W, C]
        with self.given(condition):
            features = () if auxiliary is None else self._embed(auxiliary, training)
            return self.network(x, features, training=training)  # [B, H, W, P]

    def network_inputs(self, pixels: Tensor, centers: Tensor = None) -> Tensor:
        """What the network sees of pixels.

        Args:
          pixels: [..., C], whole values in any dtype.
          centers: float [..., C] or [..., 1], as from `FixedSum.centers`; only if the likelihood is centered.

        Returns:
          float [..., C]: the values `scaled`. If the likelihood is centered, their distances from the centers
          in its units: x_hat has told the rest, beside which these would hardly be seen.
        """
        if not self.likelihood.centered:
            return self.scaled(pixels)
        deviations = ops.cast(pixels, self.variable_dtype) - ops.cast(centers, self.variable_dtype)
        return deviations / self.likelihood.unit

    def scaled(self, images: Tensor, likelihood: Likelihood | None = None) -> Tensor:
        """Pixel values 0 .. num_values - 1 -> floats in [-1, 1], as the networks see them."""
        half = ((likelihood or self.likelihood).num_values - 1) / 2
        return (ops.cast(images, self.variable_dtype) - half) / half

    def _embed(self, auxiliary, training=False):
        return self.embedding(self.scaled(auxiliary, self.auxiliary_likelihood), training=training)

    def _bounds(self, inputs, fixed_sum):
        """What a sum says about images: `Bounds`, or None where there is no sum."""
        return fixed_sum and fixed_sum.bounds(inputs.images, inputs.auxiliary)

    def _nats(self, params, inputs, fixed_sum):
        """log p(pixel | those before it, x_hat): [B, H, W]."""
        return self.likelihood.log_prob(params, inputs.images, self._bounds(inputs, fixed_sum))

    @backend.compiled
    def _features(self, inputs):
        with self.given(inputs.condition):
            return self._embed(inputs.auxiliary)

    @backend.compiled
    def _full_params(self, inputs):
        return self(inputs, training=False)

    @backend.compiled
    def _pixel_log_prob(self, inputs):
        return self._nats(self(inputs, training=False), inputs, self.fixed_sum)

    @backend.compiled
    def _log_prob(self, inputs):
        nats = self._nats(self(inputs, training=False), inputs, self.fixed_sum)
        return ops.sum(nats, axis=(1, 2))

    @backend.compiled
    def _log_prob_given(self, inputs, conditions):
        batch = ops.shape(inputs.images)[0]

        def given(condition):
            everywhere = ops.broadcast_to(condition, (batch, *self.condition.shape))
            found = inputs._replace(condition=everywhere)
            nats = self._nats(self(found, training=False), found, self.fixed_sum)
            return ops.sum(nats, axis=(1, 2))

        return ops.transpose(ops.vectorized_map(given, conditions))

    @backend.compiled
    def _log_density(self, inputs):
        (images, auxiliary, _), centers = inputs, None
        if self.likelihood.centered:
            centers = self.fixed_sum.centers(images, auxiliary)
            centers = ops.cast(centers, self.variable_dtype) + ops.zeros_like(images)
        params = self(inputs, training=False)
        return ops.sum(self.likelihood.log_density(params, images, centers), axis=(1, 2))

    @backend.compiled
    def _bound_and_exact(self, inputs):
        params, bounding = self(inputs, training=False), None
        if self.likelihood.centered:
            bounding = self.fixed_sum.with_exact(False)
        both = [self._nats(params, inputs, x) for x in (bounding, self.fixed_sum)]
        return [ops.sum(nats, axis=(1, 2)) for nats in both]

    def inputs(self, images: ArrayLike | Inputs, auxiliary: ArrayLike | None = None) -> Inputs:
        """`Inputs` that are known to fit the factor: what `call` takes.

        Args:
          images: uint8 [B, H, W, C]; or `Inputs`, or a tuple like it, with all that there is.
          auxiliary: uint8 [B, h, w, c]; None for an unconditional factor.

        Raises:
          ValueError: for images or a condition of another dtype, shape or range, one without the other.
        """
        inputs = Inputs(*images) if isinstance(images, tuple) else Inputs(images, auxiliary)
        return checks.checked_inputs(self, inputs)

    def features(self, auxiliary: ArrayLike, condition: ArrayLike | None = None) -> list[Tensor]:
        """f_w(x_hat): uint8 [B, h, w, c] -> list of float [B, h_k, w_k, F], finest first.

        They are of the dtype that the model computes in.

        Raises ValueError for images or a condition of another dtype, shape or range, or a factor that embeds
        none.
        """
        return _evaluate(self._features, checks.checked_embedded(self, auxiliary, condition))

    def params(
        self,
        images: ArrayLike | Inputs,
        auxiliary: ArrayLike | None = None,
        method: str = "full",
    ) -> Tensor:
        """Parameters of every pixel's distribution given the pixels before it.

        Args:
          images, auxiliary: as for `inputs`.
          method: "full", the network evaluated over whole images; or "incremental", pixel by pixel as
            `AuxiliaryModel.sample` does, with the pixels of `images` in place of draws (teacher forcing):
            equal but for rounding. The latter needs TensorFlow.

        Returns:
          float [B, H, W, P] of the model's dtype.

        Raises:
          ValueError: as `inputs`, for another method, or for "incremental" of a factor in mixed precision.
          RuntimeError: for "incremental" under another backend than TensorFlow.
        """
        arguments.choice("method", method, networks.METHODS)
        evaluate = self._full_params if method == "full" else self.forced_params
        return _evaluate(evaluate, self.inputs(images, auxiliary))

    def log_prob(self, images: ArrayLike | Inputs, auxiliary: ArrayLike | None = None) -> Tensor:
        """log p(x | x_hat) in nats: uint8 [B, H, W, C], uint8 [B, h, w, c] -> float [B] of the model's dtype.

        If `exact`, -inf for images that contradict x_hat.

        Raises ValueError as `inputs`.
        """
        return _evaluate(self._log_prob, self.inputs(images, auxiliary))

    def log_prob_given(self, inputs: Inputs, conditions: ArrayLike) -> Tensor:
        """`log_prob` of images given each of several conditions: float [B, K].

        What does not depend on a condition is computed once: the first layers up to where a first condition
        is added, auxiliary images' too, and bounds.

        Args:
          inputs: `Inputs`, as from `inputs`, whose condition does not matter. They are one batch.
          conditions: [K, ...], as `conditions` has them.
        """
        return self._log_prob_given(inputs, ops.convert_to_tensor(conditions))

    def log_density(self, inputs: Inputs) -> Tensor:
        """As `log_prob`, of images whose values need not be whole, by which it is differentiable.

        Args:
          inputs: `Inputs` of floats, as from `AuxiliaryModel.moved_inputs`. They are one batch.

        Raises:
          NotImplementedError: for a likelihood without `_log_density`.
          ValueError: for an exact factor.
        """
        if self.exact:
            raise ValueError(
                "Expected a model that is not exact, to evaluate its density. Received: one that is: images "
                "have no probability unless they fit their auxiliary images to the last bit. Ask "
                "model.with_exact(False)."
            )
        return self._log_density(inputs)

    def pixel_log_prob(
        self, images: ArrayLike | Inputs, auxiliary: ArrayLike | None = None
    ) -> Tensor:
        """log p(pixel | the pixels before it, x_hat) in nats: float [B, H, W], which add up to `log_prob`.

        Takes and raises what `log_prob` does, and is of the same dtype.
        """
        return _evaluate(self._pixel_log_prob, self.inputs(images, auxiliary))

    def bound_and_exact(
        self, images: ArrayLike | Inputs, auxiliary: ArrayLike | None = None
    ) -> tuple[Tensor, Tensor]:
        """`log_prob` as if the factor were not exact, and as it is, evaluating the networks once.

        Args:
          images, auxiliary: as for `log_prob`.

        Returns:
          float [B] of the model's dtype twice, in nats. They are the same where the factor is not exact.

        Raises:
          ValueError: as `log_prob`.
        """
        return _evaluate(self._bound_and_exact, self.inputs(images, auxiliary))

    def initialize_from_data(
        self, images: ArrayLike | Inputs, auxiliary: ArrayLike | None = None
    ) -> None:
        """Fits `g` and `b` of every layer to a batch: see `layers.initialization_from_data`.

        Takes and raises what `log_prob` does, and ValueError for no images. To be called once, eagerly,
        before training; under a strategy, inside its scope.
        """
        inputs = self.inputs(images, auxiliary)
        if inputs.images.shape[0] == 0:
            raise ValueError(
                "Expected images to fit the first weights to. Received: none. Give a batch of them."
            )
        with layers.initialization_from_data():
            self(inputs, training=False)


def _evaluate(method, inputs):
    """What a compiled method gives for `Inputs` of any number of images."""
    images = inputs.auxiliary if inputs.images is None else inputs.images
    return in_batches(method, inputs, images.shape[1:3])
