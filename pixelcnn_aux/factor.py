"""Factor: one conditional distribution p(x | x_hat) of the chain, a Keras model."""

import math
from collections.abc import Callable
from typing import Any, Self

from keras import ops

from pixelcnn_aux import arguments, checks, layers, networks, serialization, summaries
from pixelcnn_aux.annotations import ArrayLike, Tensor
from pixelcnn_aux.conditions import Condition
from pixelcnn_aux.evaluated_model import EvaluatedModel
from pixelcnn_aux.inputs import Inputs
from pixelcnn_aux.likelihoods import Likelihood
from pixelcnn_aux.sums import FixedSum


@serialization.register()
class Factor(EvaluatedModel):
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
      mixes_precisions: bool, whether it may compute in a policy of mixed precision.
      exact: bool, whether images have no probability where x_hat is not theirs. log p(x | x_hat) is exact
        then, and not a bound.
      auxiliary_ratio: int, the height of x over that of x_hat.
      num_parameters: int, of its layers in this package. Within `layers.planned` it has no weights.

    Raises:
      ValueError: for parts that do not fit each other, or more than `arguments.MAX_PARAMETERS` parameters.
    """

    mixes_precisions = True

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
    def auxiliary_ratio(self) -> int:
        return 1 if self.embedding is None else self.network.side * self.embedding.ratio

    @property
    def radius(self) -> int | None:
        """How many blocks of an image the networks see in each direction; None where that is not known."""
        seen = [part.radius for part in self.parts()]
        return None if None in seen else sum(seen)

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
