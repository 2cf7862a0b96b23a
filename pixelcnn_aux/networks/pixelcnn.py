"""PixelCNN: the causal network of one factor of the model, equation (3)."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from pixelcnn_aux import arguments, layers
from pixelcnn_aux.arguments import Size, Tensor
from pixelcnn_aux.errors import expect
from pixelcnn_aux.inputs import check_multiple
from pixelcnn_aux.networks.network import Network, Stream
from pixelcnn_aux.serialization import register
from pixelcnn_aux.topology import DecidesInRasterOrder, Topology, append_ones


@register()
class PixelCNN(Network, DecidesInRasterOrder):
    """Parameters of every pixel's distribution, from the pixels before it in raster order.

    Two streams (Salimans et al., 2017): the vertical one sees all rows above a pixel; the horizontal
    one sees the pixels to the left, and the rows above through the vertical one. Features of the auxiliary
    image condition every block: the vertical skip is [skip, features], the horizontal one
    [vertical, skip, features].

    Args:
      topology: a `Topology`, the steps after the first convolutions.
      filters: int, the channels of both streams.
      num_params: int, the channels of the output.
      vertical_kernel, horizontal_kernel: (height, width) of the two streams' convolutions.
      dropout: float, the rate in the blocks.

    Raises:
      ValueError: for arguments of other types, or out of range.
    """

    def __init__(
        self,
        topology: Topology | Sequence,
        filters: int,
        num_params: int,
        *,
        vertical_kernel: Size = (2, 3),
        horizontal_kernel: Size = (2, 2),
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)
        self.follow(topology)
        self.filters = filters = arguments.whole("filters", filters)
        self.num_params = arguments.whole("num_params", num_params, 1, arguments.MAX_PER_PIXEL)
        self.vertical_kernel = arguments.size("vertical_kernel", vertical_kernel)
        self.horizontal_kernel = arguments.size("horizontal_kernel", horizontal_kernel)
        self.dropout = dropout = arguments.rate("dropout", dropout, layers.MAX_DROPOUT)
        # Mixed precision is for the streams alone: pixels and parameters would not survive it.
        full = self.variable_dtype
        self.above = layers.DownShiftedConv2D(filters, (2, 3), dtype=full, name="above")
        self.row_above = layers.DownShiftedConv2D(filters, (1, 3), dtype=full, name="row_above")
        self.left = layers.DownRightShiftedConv2D(filters, (2, 1), dtype=full, name="left")
        kernels = {"vertical": self.vertical_kernel, "horizontal": self.horizontal_kernel}
        how = {"dropout": dropout, "dtype": self.dtype_policy}
        self.vertical, self.horizontal = (
            Stream(self.topology, name, filters, kernel_size=kernel, name=name, **how)
            for name, kernel in kernels.items()
        )
        self.last = layers.WeightNormDense(self.num_params, dtype=full, name="last")

    def call(
        self, x: Tensor, features: Sequence[Tensor] = (), training: bool | None = None
    ) -> Tensor:
        """As `Network.call`. Raises ValueError for H or W that `multiple` does not divide."""
        check_multiple(x, self.multiple)
        x, given = append_ones(x), self.activate(features)  # [B, H, W, C + 1]
        first = layers.shift_down(self.above(x))  # [B, H, W, filters]
        _, vertical = self.vertical(first, after=given, training=training)
        first = layers.shift_down(self.row_above(x)) + layers.shift_right(self.left(x))
        horizontal, _ = self.horizontal(first, before=vertical, after=given, training=training)
        return self.last(ops.elu(horizontal[-1]))  # [B, H, W, num_params]

    def activate(self, features: Sequence[Tensor]) -> list[Tensor] | None:
        """The concat_elu of the features that condition each activation of a stream; None without any."""
        expected = f"features at {self.num_resolutions} resolutions"
        fits, remedy = len(features) in (0, self.num_resolutions), "Give an output for each"
        expect(fits, expected, len(features), remedy)
        features = [layers.concat_elu(f) for f in features]  # [B, h, w, 2 F]
        return [features[level] for level in self.topology.levels()] if features else None
