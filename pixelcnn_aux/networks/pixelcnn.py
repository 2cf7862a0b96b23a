"""PixelCNN: the causal network of one factor of the model, equation (3)."""

import functools
from collections.abc import Sequence
from typing import Any

from pixelcnn_aux.base import arguments, arrays
from pixelcnn_aux.base.arguments import Size, Tensor
from pixelcnn_aux.base.serialization import register
from pixelcnn_aux.networks.array_layers import Layers
from pixelcnn_aux.networks.blocks import WHOLE, GatedResidualBlock, Stream
from pixelcnn_aux.networks.network import Network, append_ones
from pixelcnn_aux.networks.topology import Topology


@register()
class PixelCNN(Network):
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

    Raises ValueError for arguments of wrong types or out of range.
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
    ):
        self._init_topology(topology)
        self._init_common(filters, num_params, dropout)
        self.vertical_kernel = arguments.size("vertical_kernel", vertical_kernel)
        self.horizontal_kernel = arguments.size("horizontal_kernel", horizontal_kernel)

    def make(self, layers: Layers) -> None:
        # Only the streams use mixed precision: pixels and parameters would not survive it.
        first = functools.partial(layers.convolution, filters=self.filters, precise=True)
        self.above = first("above", kernel_size=(2, 3), stream="vertical")
        self.row_above = first("row_above", kernel_size=(1, 3), stream="vertical")
        self.left = first("left", kernel_size=(2, 1), stream="horizontal")
        part = functools.partial(Stream, self.topology, filters=self.filters, dropout=self.dropout)
        vertical = part("vertical", kernel_size=self.vertical_kernel)
        self.vertical = layers.part("vertical", vertical)
        horizontal = part("horizontal", kernel_size=self.horizontal_kernel)
        self.horizontal = layers.part("horizontal", horizontal)
        self.last = layers.dense("last", self.num_params, precise=True)

    def forward(self, x: Tensor, features: Sequence[Tensor] = ()) -> Tensor:
        self.check_inputs(x, features)
        x, after = append_ones(x), self.skips(features)  # [B, H, W, C + 1]
        return self.params(self.left_of(x, self.rows_above(x, after), after))

    def rows_above(self, x: Any, after: Any, scan: Any = WHOLE) -> list[Any]:
        """The activated vertical stream of pixels with ones x, which conditions the horizontal one."""
        _, activated = self.vertical(scan.first(x, self.above), after=after, scan=scan)
        return activated

    def left_of(self, x: Any, vertical: Any, after: Any, scan: Any = WHOLE) -> Any:
        """The last activation of the horizontal stream: float [B, H, W, filters]."""
        first = scan.first(x, self.row_above, self.left)
        activations, _ = self.horizontal(first, before=vertical, after=after, scan=scan)
        return activations[-1]

    def params(self, x: Tensor) -> Tensor:
        """Parameters by the last activation: float [..., num_params]."""
        return self.last(arrays.elu(x))

    def skips(self, features: Sequence[Tensor]) -> list[Tensor] | None:
        """The concat_elu of the features that condition each activation of a stream; None without any."""
        features = [GatedResidualBlock.activate(f) for f in features]  # [B, h, w, 2 F]
        return [features[level] for level in self.topology.levels()] if features else None
