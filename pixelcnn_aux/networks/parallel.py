"""ParallelPixelCNN: the network of a factor that decides a pixel of every block at once."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from keras import ops

from pixelcnn_aux import arguments, layers, sums
from pixelcnn_aux.arguments import Size, Tensor
from pixelcnn_aux.networks import topology
from pixelcnn_aux.networks.network import Network
from pixelcnn_aux.networks.stream import Stream
from pixelcnn_aux.scanning import GroupScan
from pixelcnn_aux.serialization import register

MAX_SIDE = 8


class Group(NamedTuple):
    """Pixels that are decided at once: those at one place of the blocks, of all blocks or a part of them."""

    place: int  # in raster order
    part: int = 0  # the blocks whose row + column, modulo `parts`, is this
    parts: int = 1

    def chosen(self, these: Tensor, others: Tensor) -> Tensor:
        """[B, h, w, ...]: of this group's blocks `these`, of the other ones `others`."""
        if self.parts == 1:
            return these
        _, height, width, *_ = ops.shape(these)
        diagonal = ops.arange(height)[:, None] + ops.arange(width)
        return ops.where((diagonal % self.parts == self.part)[..., None], these, others)


@register()
class ParallelPixelCNN(Network):
    """Parameters of every pixel's distribution, from the groups of pixels before it (Reed et al., 2017).

    An image is a lattice of blocks, each of side x side pixels. All blocks' pixels at one place, the upper
    left first, are a group that is decided at once, from what the auxiliary image says of all blocks, and
    from the places before: so an image takes side ** 2 evaluations, whatever its size. Each group has a
    residual network of its own, over the lattice; nothing in it is shifted. Features are at the resolution of
    the lattice, that of the auxiliary image.

    Args:
      blocks: int, residual blocks of each group's network, or a list with one for each place.
      filters: int, the channels of the networks.
      num_params: int, the channels of the output.
      parts: list of int, one for each place in raster order: into how many groups its pixels are divided. At
        1 all blocks' are decided at once, so that neighbors do not know of each other; at 2 every other
        block's, as on a chessboard, and then the rest given these. Blocks may be single pixels: [8] divides
        an image into 8 groups, by diagonals.
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
        parts: Sequence[int] = (1, 1, 1, 1),
        kernel_size: Size = (3, 3),
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.autocast = False
        self.place_parts = parts = [arguments.whole("parts", part, 1, 16) for part in parts]
        self.side = math.isqrt(len(parts))
        if self.side**2 != len(parts) or not 1 <= self.side <= MAX_SIDE:
            raise ValueError(
                f"Expected parts for each place of a block of side 1 to {MAX_SIDE}: 1, 4, 9, ... of them. "
                f"Received: {len(parts)}. Give (1, 1, 1, 1) for blocks of 2 x 2."
            )
        self.blocks = blocks = arguments.whole_each("blocks", blocks, len(parts), "place")
        self.filters = filters = arguments.whole("filters", filters)
        self.period = math.lcm(*parts)
        self.num_params = arguments.whole("num_params", num_params, 1, arguments.MAX_PER_PIXEL)
        self.kernel_size = kernel_size = arguments.size("kernel_size", kernel_size)
        self.radius = max(kernel_size) // 2 * (1 + 2 * max(blocks))
        self.dropout = dropout = arguments.rate("dropout", dropout, layers.MAX_DROPOUT)
        self.groups = [
            Group(place, part, count) for place, count in enumerate(parts) for part in range(count)
        ]
        full, dtype = self.variable_dtype, self.dtype_policy  # as in `PixelCNN`

        def of_each_group(layer):
            return [layer(k, blocks[group.place]) for k, group in enumerate(self.groups)]

        self.firsts = of_each_group(
            lambda k, _: layers.WeightNormConv2D(
                filters, kernel_size, dtype=full, name=f"{k}_first"
            )
        )
        self.streams = of_each_group(
            lambda k, count: Stream(
                topology.flat(count),
                "unshifted",
                filters,
                kernel_size,
                dropout,
                gated=False,
                dtype=dtype,
                name=f"{k}_stream",
            )
        )
        self.lasts = of_each_group(
            lambda k, _: layers.WeightNormDense(self.num_params, dtype=full, name=f"{k}_last")
        )

    def parts(self) -> list[Any]:
        """The layers that the network consists of."""
        return [*self.firsts, *self.streams, *self.lasts]

    def get_config(self):
        return {
            **super().get_config(),
            "blocks": self.blocks,
            "filters": self.filters,
            "num_params": self.num_params,
            "parts": self.place_parts,
            "kernel_size": list(self.kernel_size),
            "dropout": self.dropout,
        }

    def call(
        self, x: Tensor, features: Sequence[Tensor] = (), training: bool | None = None
    ) -> Tensor:
        """As `Network.call`, of images of any size; features have a pixel for each block."""
        places, size = sums.by_place(x, self.side), x.shape[1:3]
        lattice = ops.shape(places[0])[:3]
        params = self.decide(
            lattice, size, features, lambda group, _: places[group.place], training
        )
        return sums.from_places(params, self.side, size)

    def decide(
        self,
        lattice: Sequence[Any],
        size: Sequence[Any],
        features: Sequence[Tensor],
        decider: Callable[[Group, Tensor], Tensor],
        training: bool | None = None,
    ) -> list[Tensor]:
        """Evaluates the groups in turn, each from those before it.

        Args:
          lattice: (B, h, w), of blocks.
          size: (H, W); None for a side that is not known, whose blocks are all complete.
          features: as for `call`.
          decider: function of a `Group` and of the parameters that its pixels have, float
            [B, h, w, num_params], of all blocks, that returns the pixels as the network sees them, float
            [B, h, w, C]. What it gives of blocks that are not of the group is not used, nor of pixels that
            incomplete blocks lack.
          training: bool, whether to drop out.

        Returns:
          The parameters that the pixels were decided from, by place: list of float [B, h, w, num_params].
        """
        known = self.known_at_first(lattice, features)
        exists = sums.existing_by_place(size, self.side)
        by_place: list[Tensor] = []
        for k, group in enumerate(self.groups):
            params = self.group_params(k, known, training)
            pixels = decider(group, params)
            if exists is not None:
                pixels = pixels * ops.cast(exists[group.place], pixels.dtype)
            before = ops.zeros_like(pixels), params
            if group.part:
                before = known.pop(), by_place.pop()
            known.append(group.chosen(pixels, before[0]))
            by_place.append(group.chosen(params, before[1]))
        return by_place

    def known_at_first(self, lattice: Sequence[Any], features: Sequence[Tensor]) -> list[Tensor]:
        """What the first group is decided from: list of float [B, h, w, ...].

        Args:
          lattice: (B, h, w), of blocks.
          features: as for `call`.
        """
        # By ones, zeros in the image differ from those outside of it.
        ones = ops.ones((*lattice, 1), self.variable_dtype)
        return [ones, *(layers.silu(ops.cast(x, self.variable_dtype)) for x in features)]

    def group_params(self, k: int, known: Sequence[Tensor], training: bool | None = None) -> Tensor:
        """Evaluates the network of a group.

        Args:
          k: int, which of `groups`.
          known: list, of `known_at_first`, then of float [B, h, w, C], the pixels at each place before the
            group's as the network sees them; and those at its own place, if it is not the first part of that.
            Zeros where there are none, or none yet.
          training: bool, whether to drop out.

        Returns:
          float [B, h, w, num_params], of all blocks.
        """
        first = self.firsts[k](ops.concatenate(known, axis=-1))  # [B, h, w, filters]
        activations, _ = self.streams[k](first, training=training)
        return self.lasts[k](layers.silu(activations[-1]))

    def scan(
        self,
        network_inputs: Callable[..., Tensor],
        shape: tuple[int, int, int],
        batch: Tensor,
        remainders: Any = None,
        keep_params: bool = False,
        method: str = "incremental",
    ) -> Any:
        """As `Network.scan`, all pixels of a group at once."""
        return GroupScan(self, network_inputs, shape, batch, remainders, keep_params, method)
