"""ParallelPixelCNN: the network of a factor that decides one pixel of every block at once."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from pixelcnn_aux import arguments, layers
from pixelcnn_aux.arguments import Size, Tensor
from pixelcnn_aux.networks.network import Network, Stream
from pixelcnn_aux.serialization import register
from pixelcnn_aux.topology import DecidesGroups


@register()
class ParallelPixelCNN(DecidesGroups, Network):
    """Parameters of every pixel's distribution, from the groups of pixels before it (Reed et al., 2017).

    An image is a lattice of blocks, each of side x side pixels. The pixels at one place of all blocks are a
    group, which is decided at once from the auxiliary image and the places before: an image of any size takes
    side ** 2 evaluations. The upper left place comes first. Each group has its own residual network over the
    lattice, in which nothing is shifted. Features are at the resolution of the lattice, that of the auxiliary
    image.

    Args:
      blocks: int, the residual blocks of each group's network, or a list with one for each place.
      filters: int, the channels of the networks.
      num_params: int, the channels of the output.
      parts: list of int, one for each place in raster order: the number of groups that its pixels are
        divided into. With 1, all blocks are decided at once, and neighbors do not see each other; with 2,
        every other block, as on a chessboard, and then the rest given these. Blocks may be single pixels:
        [8] divides an image into 8 groups, by diagonals.
      kernel_size: (height, width) of all convolutions.
      dropout: float, the rate in the blocks.

    Attributes:
      groups: list of `Group`, in the order in which they are decided.

    Raises:
      ValueError: for arguments of other types, or out of range.
    """

    def __init__(
        self,
        blocks: int | Sequence[int],
        filters: int,
        num_params: int,
        *,
        parts: Sequence[int] = (1, 1, 1, 1),
        kernel_size: Size = (3, 3),
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)
        self.divide(parts, blocks, kernel_size)
        kernel_size = self.kernel_size
        self.filters = filters = arguments.whole("filters", filters)
        self.num_params = arguments.whole("num_params", num_params, 1, arguments.MAX_PER_PIXEL)
        self.dropout = dropout = arguments.rate("dropout", dropout, layers.MAX_DROPOUT)
        full = self.variable_dtype  # as in `PixelCNN`
        how = {"kernel_size": kernel_size, "dropout": dropout, "dtype": self.dtype_policy}
        indices = range(len(self.groups))
        self.firsts = [
            layers.WeightNormConv2D(filters, kernel_size, dtype=full, name=f"{k}_first")
            for k in indices
        ]
        how |= {"gated": False}
        self.streams = [
            Stream(shape, "unshifted", filters, name=f"{k}_stream", **how)
            for k, shape in enumerate(self.topologies)
        ]
        self.lasts = [
            layers.WeightNormDense(self.num_params, dtype=full, name=f"{k}_last") for k in indices
        ]

    def get_config(self):
        return {**super().get_config(), "parts": self.place_parts}

    def call(
        self, x: Tensor, features: Sequence[Tensor] = (), training: bool | None = None
    ) -> Tensor:
        """As `Network.call`, on images of any size; features have a pixel for each block."""
        return self.all_params(x, features, training=training)

    def known_at_first(self, lattice: Sequence[Any], features: Sequence[Tensor]) -> list[Tensor]:
        """The inputs of the first group's network, for a lattice (B, h, w): list of float [B, h, w, ...]."""
        # Next to ones, zeros in the image differ from the zeros outside of it.
        ones = ops.ones((*lattice, 1), self.variable_dtype)
        return [ones, *(layers.silu(ops.cast(x, self.variable_dtype)) for x in features)]

    def group_params(self, k: int, known: Sequence[Tensor], training: bool | None = None) -> Tensor:
        """The parameters of group k in all blocks: float [B, h, w, num_params].

        `known` is `known_at_first` and the pixels of each place before the group's as the network sees them;
        also of its own place, if another part of it came before. Those that are not decided are zeros.
        """
        first = self.firsts[k](ops.concatenate(known, axis=-1))  # [B, h, w, filters]
        activations, _ = self.streams[k](first, training=training)
        return self.lasts[k](layers.silu(activations[-1]))
