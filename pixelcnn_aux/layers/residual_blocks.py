"""Residual blocks of two convolutions with dropout between them: gated, as in PixelCNN++, or plain."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from pixelcnn_aux import arguments, backend, topology
from pixelcnn_aux.arguments import Size, Tensor
from pixelcnn_aux.errors import expect
from pixelcnn_aux.layers import contexts, shifted, weight_norm
from pixelcnn_aux.layers.straight_through import silu
from pixelcnn_aux.serialization import register

MAX_DROPOUT = 255 / 256
# The convolution of each kind of stream, and the transposed convolution that doubles the resolution.
STREAMS = {
    "unshifted": (weight_norm.WeightNormConv2D, weight_norm.WeightNormConv2DTranspose),
    "vertical": (shifted.DownShiftedConv2D, shifted.DownShiftedConv2DTranspose),
    "horizontal": (shifted.DownRightShiftedConv2D, shifted.DownRightShiftedConv2DTranspose),
    "masked": (shifted.MaskedConv2D, None),
}


@register()
class Dropout(keras.layers.Layer):
    """Sets elements to zero at a rate, and multiplies the others so that their mean stays.

    It takes 8 random bits for each element, a quarter of what a uniform number takes. Each replica of a
    strategy draws its own masks.

    Args:
      rate: float from 0 to 255 / 256, rounded to the nearest multiple of 1 / 256 (attribute `rate`).
    """

    def __init__(self, rate: float, **kwargs: Any):
        super().__init__(**kwargs)
        self._dropped = round(256 * arguments.rate("rate", rate, MAX_DROPOUT))  # values of a byte
        self.rate = self._dropped / 256
        if self._dropped:
            self.seed_generator = keras.random.SeedGenerator()
        self.built = True

    def seed(self, training: bool | None) -> Tensor:
        """The seed of the next mask; None if there is no mask to draw.

        It is separate from the call, so that a block that is evaluated again draws the same mask.
        """
        if not training or not self._dropped:
            return None
        return backend.replica_seed(self.seed_generator.next())

    def call(self, x: Tensor, seed: Tensor = None) -> Tensor:
        if seed is None:
            return x
        kept = backend.random_bytes(ops.shape(x), seed) >= self._dropped
        return ops.where(kept, x / (1.0 - self.rate), ops.zeros_like(x))

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


@register()
class Projection(weight_norm.WeightNormDense):
    """A 1 x 1 projection of concat_elu(concat(parts)), from the concat_elu of each part.

    [..., 2 C_k] for each part -> [..., filters]. Adding the products of the parts saves the concatenation,
    and a part that conditions many blocks is activated only once.
    """

    def build(self, shapes):
        self.channels = [shape[-1] for shape in shapes]
        super().build((sum(self.channels),))

    def split(self, kernel: Tensor) -> list[Tensor]:
        """The kernel of each part: [..., sum of all 2 C_k, filters] -> list of [..., 2 C_k, filters]."""
        return topology.kernels_of_parts(kernel, self.channels)

    def apply_kernel(self, parts: Sequence[Tensor], kernel: Tensor) -> Tensor:
        pairs = zip(parts, self.split(kernel), strict=True)
        return sum(weight_norm.product(*pair) for pair in pairs)  # [..., filters]

    def compute_output_shape(self, shapes):
        return (*shapes[0][:-1], self.filters)


class _Block(keras.layers.Layer):
    """Two convolutions of a stream, with dropout between them."""

    def __init__(self, filters, kernel_size, stream, dropout, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.rate = filters, kernel_size, dropout
        self.stream = arguments.choice("stream", stream, STREAMS)

    def _layer(self, kind, name, *args, **how):
        return kind(*args, dtype=self.dtype_policy, name=name, **how)

    def _convolution(self, name, filters, **how):
        convolution, _ = STREAMS[self.stream]
        return self._layer(convolution, name, filters, self.kernel_size, **how)

    def build(self, *shapes):
        """Leaves it to the layers, which are built as they are called."""

    def parts(self) -> list[Any]:
        """The layers that the block consists of."""
        return [self.conv_in, self.conv_out]

    def get_config(self):
        size = {"filters": self.filters, "kernel_size": self.kernel_size}
        return {**super().get_config(), **size, "stream": self.stream, "dropout": self.rate}


@register()
class GatedResidualBlock(_Block):
    """x + a * sigmoid(b), where (a, b) are the halves of a two-layer convolutional network of x.

    ``conv(concat_elu(x))``, plus a 1 x 1 projection of ``concat_elu(concat(skips))`` if there are skips,
    then dropout, then ``conv(concat_elu(.))`` to twice the channels. All that conditions the block at a
    pixel is a skip, including f_w(X_hat) of equation (3). A condition of the whole image
    (`layers.Context`) adds to the bias of the second convolution, as PixelCNN++'s h does. Only the two
    convolutions know whether x is an image [B, H, W, C], a row [B, W, C] or a pixel [B, C].

    Args:
      filters: int, the channels of x and of the output.
      kernel_size: (height, width) of both convolutions.
      stream: "unshifted", "vertical" or "horizontal".
      dropout: float, the rate of dropout before the second convolution (section 3.3).
    """

    def __init__(
        self, filters: int, kernel_size: Size, stream: str, *, dropout: float = 0.0, **kwargs: Any
    ):
        super().__init__(filters, kernel_size, stream, dropout, **kwargs)
        self.conv_in = self._convolution("conv_in", filters)
        self.projection = self._layer(Projection, "projection", filters)
        self.dropout = self._layer(Dropout, "dropout", dropout)
        # A small scale at first: every block starts out close to the identity.
        how = {"init_scale": 0.1, "conditional": True}
        self.conv_out = self._convolution("conv_out", 2 * filters, **how)

    def build(self, x_shape, activated_shape=None, skips_shape=None):
        expected = f"{self.filters} channels, the block's filters: it adds to its input"
        received, remedy = f"an input of shape {tuple(x_shape)}", "Build a block of other filters"
        expect(x_shape[-1] == self.filters, expected, received, remedy)
        if contexts.current().counts is not None:
            return
        doubled = (*x_shape[:-1], 2 * self.filters)
        self.conv_in.build(doubled)
        if skips_shape:
            self.projection.build(skips_shape)
        self.conv_out.build(doubled)

    def parts(self) -> list[Any]:
        return [self.conv_in, self.projection, self.conv_out]

    def call(
        self,
        x: Tensor,
        activated: Tensor = None,
        skips: Sequence[Tensor] | None = None,
        training: bool | None = None,
    ) -> Tensor:
        """float [..., filters] -> float [..., filters].

        `activated` is concat_elu(x), if the caller has it already. `skips` are the concat_elu of each skip,
        float [..., 2 C_k], as many in all calls.
        """
        activated = backend.concat_elu(x) if activated is None else activated
        seed = self.dropout.seed(training)

        def evaluate(x, activated, *skips):
            y = self.conv_in(activated)  # [..., filters]
            if skips:
                y = y + self.projection(x=list(skips))
            y = backend.concat_elu(y)  # [..., 2 filters]
            if seed is not None:
                y = self.dropout(y, seed=seed)
            a, b = ops.split(self.conv_out(y), 2, axis=-1)  # [..., filters] each
            return x + a * ops.sigmoid(b)

        return contexts.evaluate_block(evaluate, x, activated, *(skips or ()))


@register()
class ResidualBlock(_Block):
    """x + conv(silu(conv(silu(x)))): a third of the products of a `GatedResidualBlock` of as many filters.

    A condition of the whole image (`layers.Context`) adds to the bias of the first convolution.

    Args: as for `GatedResidualBlock`, and a `stream` may be "masked".
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Size,
        dropout: float = 0.0,
        stream: str = "unshifted",
        **kwargs: Any,
    ):
        super().__init__(filters, kernel_size, stream, dropout, **kwargs)
        self.conv_in = self._convolution("conv_in", filters, conditional=True)
        self.dropout = self._layer(Dropout, "dropout", dropout)
        self.conv_out = self._convolution("conv_out", filters, init_scale=0.1)

    def call(self, x: Tensor, *given: Tensor, training: bool | None = None) -> Tensor:
        """float [B, H, W, filters] -> float [B, H, W, filters]; `given` adds to the first convolution's."""
        seed = self.dropout.seed(training)

        def evaluate(x, *given):
            y = silu(sum((ops.cast(g, x.dtype) for g in given), start=self.conv_in(silu(x))))
            if seed is not None:
                y = self.dropout(y, seed=seed)
            return x + self.conv_out(y)

        return contexts.evaluate_block(evaluate, x, *given)
