"""A model that is evaluated over whole images: features, parameters and likelihoods, in batches."""

from typing import NamedTuple

from keras import ops

from pixelcnn_aux import arguments, backend, checks, networks, tiling
from pixelcnn_aux.annotations import ArrayLike, Tensor
from pixelcnn_aux.batches import in_batches
from pixelcnn_aux.inputs import Inputs
from pixelcnn_aux.pixelwise_model import PixelwiseModel


class PixelNats(NamedTuple):
    """What a factor says of each pixel given the pixels before it and x_hat: float [B, H, W], in nats."""

    log_prob: Tensor  # log p(pixel)
    bound: Tensor  # the same as if the factor were not exact
    entropy: Tensor  # what -log p(pixel) was expected to be: `Likelihood.entropy`


class EvaluatedModel(PixelwiseModel):
    """What a `Factor` says of any number of images.

    A subclass also has the methods `call`, `_embed` and `_bounds`.
    """

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
        return self._both(self(inputs, training=False), inputs)

    def _both(self, params, inputs):
        """`_nats` as if the factor were not exact, and as it is."""
        bounding = self.fixed_sum.with_exact(False) if self.likelihood.centered else None
        return [self._nats(params, inputs, x) for x in (bounding, self.fixed_sum)]

    @backend.compiled
    def _pixel_nats(self, inputs):
        params = self(inputs, training=False)
        bound, nats = self._both(params, inputs)
        bounds = self._bounds(inputs, self.fixed_sum)
        return PixelNats(nats, bound, self.likelihood.entropy(params, inputs.images, bounds))

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
            equal but for rounding.

        Returns:
          float [B, H, W, P] of the model's dtype.

        Raises:
          ValueError: as `inputs`, for another method, or for "incremental" of a factor in mixed precision.
        """
        arguments.choice("method", method, networks.METHODS)
        evaluate = self._full_params if method == "full" else self.forced_params
        return _evaluate(evaluate, self.inputs(images, auxiliary))

    def log_prob(self, images: ArrayLike | Inputs, auxiliary: ArrayLike | None = None) -> Tensor:
        """log p(x | x_hat) in nats: uint8 [B, H, W, C], uint8 [B, h, w, c] -> float [B] of the model's dtype.

        If `exact`, -inf for images that contradict x_hat.

        Raises ValueError as `inputs`.
        """
        return tiling.added_up(self, self._pixel_log_prob, self.inputs(images, auxiliary))

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
        return tiling.side_by_side(self, self._pixel_log_prob, self.inputs(images, auxiliary))

    def pixel_nats(
        self, images: ArrayLike | Inputs, auxiliary: ArrayLike | None = None
    ) -> PixelNats:
        """`PixelNats` of the model's dtype: also what each pixel was expected to cost.

        Takes and raises what `log_prob` does, and NotImplementedError for a likelihood that does not tell the
        probabilities of a channel's values.
        """
        return tiling.side_by_side(self, self._pixel_nats, self.inputs(images, auxiliary))

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
        return tiling.added_up(self, self._bound_and_exact, self.inputs(images, auxiliary))


def _evaluate(method, inputs):
    """What a compiled method gives for `Inputs` of any number of images."""
    images = inputs.auxiliary if inputs.images is None else inputs.images
    return in_batches(method, inputs, images.shape[1:3])
