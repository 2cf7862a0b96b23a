"""MaskedPixelCNN: a light causal network of one stream, which decides pixels along diagonals."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pixelcnn_aux import sums
from pixelcnn_aux.base import arguments, arrays
from pixelcnn_aux.base.arguments import Size, Tensor
from pixelcnn_aux.base.serialization import register
from pixelcnn_aux.networks import activations
from pixelcnn_aux.networks.array_layers import Layers
from pixelcnn_aux.networks.blocks import WHOLE, Stream
from pixelcnn_aux.networks.network import Network, append_ones
from pixelcnn_aux.networks.topology import MAX_SIDE, flat


class _OnDemand:
    """A sequence whose items are computed when they are used."""

    def __init__(self, function: Callable[[int], Tensor]):
        self._function = function

    def __getitem__(self, k: int) -> Tensor:
        return self._function(k)


@register()
class MaskedPixelCNN(Network):
    """Parameters of every pixel's distribution, by masked convolutions (van den Oord et al., 2016).

    It has one stream of residual blocks without gates. Features of the auxiliary image condition the first
    activation and each block: each feature stands for side x side pixels, with a projection for each pixel.

    Args:
      blocks: int, residual blocks.
      filters: int, the channels of the stream.
      num_params: int, the channels of the output.
      kernel_size: (height, width) of all convolutions. The width determines how far a row lags behind the
        row above it, if all are decided at once: (width + 1) // 2 columns.
      side: int, the height and width of the block of pixels that a feature stands for.
      dropout: float, the rate in the blocks.

    Raises ValueError for arguments of wrong types or out of range.
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
    ):
        self._init_topology(flat(blocks))
        self.blocks = blocks
        self.kernel_size = height, width = arguments.size("kernel_size", kernel_size)
        self.side = arguments.whole("side", side, 1, MAX_SIDE)
        self._init_common(filters, num_params, dropout)
        # The lag of a row behind the row above it, in columns; the rows of a block are decided at different
        # times.
        self.delay = max(1 + (width - 1) // 2, self.side)
        pixels = max(height - 1, width // 2) * (1 + 2 * blocks)
        self.radius = -(-pixels // self.side)

    def turns(self, size: Size) -> np.ndarray:
        return np.add.outer(self.delay * np.arange(size[0]), np.arange(size[1]))

    def make(self, layers: Layers) -> None:
        self.rounded, size = layers.rounded, (self.filters, self.kernel_size)
        # First and last layers are precise, as in `PixelCNN`.
        self.first = layers.convolution("first", *size, "masked", itself=False, precise=True)
        # Projections of features have outputs for all pixels of a block. A small initial scale saves bits.
        outputs = self.side**2 * self.filters
        self.given = [
            layers.dense(f"{k}_given", outputs, precise=True, init_scale=0.1)
            for k in range(1 + self.blocks)
        ]
        options: Any = {"kernel_size": self.kernel_size, "dropout": self.dropout, "gated": False}
        stream = Stream(self.topology, "masked", self.filters, **options)
        self.stream = layers.part("stream", stream)
        self.last = layers.dense("last", self.num_params, precise=True)

    def forward(self, x: Tensor, features: Sequence[Tensor] = ()) -> Tensor:
        """`Network.forward`, on images of any size; features have a pixel for each block."""
        self.check_inputs(x, features)
        size, features = x.shape[1:3], [activations.silu(f, self.rounded) for f in features]

        def projected(k):
            parts = arrays.split(self.given[k](features[0]), self.side**2, axis=-1)
            return sums.from_places(parts, self.side, size)

        x = self.first(append_ones(x))  # [B, H, W, filters]
        given: Any = None
        if features:
            # NumPy computes one at a time, since each is as large as an activation.
            is_plain = arrays.is_plain(x)
            given = _OnDemand(projected) if is_plain else [*map(projected, range(len(self.given)))]
        return self.params(x, given)

    def params(self, x: Tensor, given: Sequence[Tensor] | None, scan: Any = WHOLE) -> Tensor:
        """Evaluates the layers after the first convolution. Features, `given`, add to x and to each block."""
        if given is not None:
            x += given[0]
        activated, _ = self.stream(x, after=given, scan=scan)
        return self.last(activations.silu(activated[-1], self.rounded))

    def summed_layers(self) -> list[list[Any]]:
        """See `ParallelPixelCNN.summed_layers`."""
        added = self.stream.sum_of(self.first), *([x.conv_in] for x in self.stream.steps)
        given = [[x] if x is not None else [] for x in self.given]
        return [layers + more for layers, more in zip(added, given)]

    def input_kinds(self, layer: Any, features: int) -> list[str]:
        """See `ParallelPixelCNN.input_kinds`."""
        del features
        return ["pixel"] * (layer.channels - 1) + ["one"] if layer is self.first else []
