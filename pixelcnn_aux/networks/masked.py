"""MaskedPixelCNN: a light causal network of one stream, whose pixels are decided along diagonals."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from pixelcnn_aux import arguments, layers, sums
from pixelcnn_aux.arguments import Size, Tensor
from pixelcnn_aux.networks.network import Network, Stream
from pixelcnn_aux.serialization import register
from pixelcnn_aux.topology import DecidesInMaskedOrder, append_ones


@register()
class MaskedPixelCNN(DecidesInMaskedOrder, Network):
    """Parameters of every pixel's distribution, by masked convolutions (van den Oord et al., 2016).

    One stream of residual blocks without gates. Features of the auxiliary image condition the first
    activation and each block: each stands for side x side pixels, and has a projection for each of them.

    Args:
      blocks: int, residual blocks.
      filters: int, the channels of the stream.
      num_params: int, the channels of the output.
      kernel_size: (height, width) of all convolutions. The width says how far a row must be behind the one
        above it, if all are decided at once: (width + 1) // 2 columns.
      side: int, the height and width of the blocks of pixels that features stand for.
      dropout: float, the rate in the blocks.

    Raises:
      ValueError: for arguments of other types, or out of range.
    """

    def __init__(
        self,
        blocks: int,
        filters: int,
        num_params: int,
        *,
        kernel_size: Size = (2, 5),
        side: int = 2,
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)
        self.mask(blocks, kernel_size, side)
        kernel_size = self.kernel_size
        self.filters = filters = arguments.whole("filters", filters)
        self.num_params = arguments.whole("num_params", num_params, 1, arguments.MAX_PER_PIXEL)
        self.dropout = dropout = arguments.rate("dropout", dropout, layers.MAX_DROPOUT)
        full = self.variable_dtype  # as in `PixelCNN`
        self.first = layers.MaskedConv2D(
            filters, kernel_size, itself=False, dtype=full, name="first"
        )
        # Features of a block have outputs for each of its pixels: little at first, by which bits are fewer.
        how = {"init_scale": 0.1, "dtype": full}
        self.given = [
            layers.WeightNormDense(side**2 * filters, name=f"{k}_given", **how)
            for k in range(1 + blocks)
        ]
        how = {"kernel_size": kernel_size, "dropout": dropout, "dtype": self.dtype_policy}
        self.stream = Stream(self.topology, "masked", filters, gated=False, name="stream", **how)
        self.last = layers.WeightNormDense(self.num_params, dtype=full, name="last")

    def call(
        self, x: Tensor, features: Sequence[Tensor] = (), training: bool | None = None
    ) -> Tensor:
        """As `Network.call`, on images of any size; features have a pixel for each block."""
        size, x = x.shape[1:3], self.first(append_ones(x))  # [B, H, W, filters]
        given = []
        for f in map(layers.silu, features):
            by_place = [ops.split(layer(f), self.side**2, axis=-1) for layer in self.given]
            given = [sums.from_places(parts, self.side, size) for parts in by_place]
            x = x + given[0]
        activations, _ = self.stream(x, after=given, training=training)
        return self.last(layers.silu(activations[-1]))
