"""ParallelPixelCNN: the network of a factor that decides one pixel of every block at once."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pixelcnn_aux import sums
from pixelcnn_aux.base import arguments, arrays
from pixelcnn_aux.base.arguments import Size, Tensor
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.serialization import register
from pixelcnn_aux.networks import activations
from pixelcnn_aux.networks.blocks import Stream
from pixelcnn_aux.networks.network import Network
from pixelcnn_aux.networks.topology import MAX_SIDE, flat


class Group(NamedTuple):
    """Pixels that are decided at once: those at one place of all blocks, or of a part of the blocks."""

    place: int  # in raster order
    part: int = 0  # the group has the blocks whose row + column, modulo `parts`, is this
    parts: int = 1

    def chosen(self, these: Tensor, others: Tensor) -> Tensor:
        """[B, h, w, ...]: `these` in the blocks of this group, `others` in the other blocks."""
        if self.parts == 1:
            return these
        _, height, width, *_ = arrays.shape(these)
        diagonal = arrays.arange(height)[:, None] + arrays.arange(width)
        return arrays.where((diagonal % self.parts == self.part)[..., None], these, others)


@register()
class ParallelPixelCNN(Network):
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
    ):
        self.parts = parts = [arguments.whole("parts", part, 1, 16) for part in parts]
        self.side = math.isqrt(len(parts))
        square = self.side**2 == len(parts) and 1 <= self.side <= MAX_SIDE
        expected = f"parts for each place of a block of side 1 to {MAX_SIDE}: 1, 4, 9, ... of them"
        expect(square, expected, len(parts), "Give (1, 1, 1, 1) for blocks of 2 x 2")
        self.groups = [Group(place, part, n) for place, n in enumerate(parts) for part in range(n)]
        self.period = math.lcm(*parts)
        self.blocks = arguments.whole_each("blocks", blocks, len(parts), "place")
        self.kernel_size = arguments.size("kernel_size", kernel_size)
        self.radius = max(self.kernel_size) // 2 * (1 + 2 * max(self.blocks))
        self.keep_common(filters, num_params, dropout)

    def turns(self, size: Size) -> np.ndarray:
        rows, columns = np.indices(size)
        places = rows % self.side * self.side + columns % self.side
        diagonals, found = rows // self.side + columns // self.side, np.zeros(size, int)
        for turn, (place, part, parts) in enumerate(self.groups):
            found[(places == place) & (diagonals % parts == part)] = turn
        return found

    def make(self, layers: Any) -> None:
        self.rounded, size = layers.rounded, (self.filters, self.kernel_size)
        numbered, precise = [*enumerate(self.groups)], {"precise": True}  # as in `PixelCNN`
        self.firsts = [
            layers.convolution(f"{k}_first", *size, "unshifted", **precise) for k, _ in numbered
        ]
        how: Any = {"kernel_size": self.kernel_size, "dropout": self.dropout, "gated": False}
        streams = (
            Stream(flat(self.blocks[group.place]), "unshifted", self.filters, **how)
            for group in self.groups
        )
        self.streams = [layers.part(f"{k}_stream", stream) for k, stream in enumerate(streams)]
        self.lasts = [layers.dense(f"{k}_last", self.num_params, **precise) for k, _ in numbered]

    def forward(self, x: Tensor, features: Sequence[Tensor] = ()) -> Tensor:
        """As `Network.forward`, on images of any size; features have a pixel for each block.

        Blocks of an unknown side, in a graph, are all complete.
        """
        self.check_inputs(x, features)
        places, size = sums.by_place(x, self.side), x.shape[1:3]
        known = self.known_at_first(places[0], features)
        exists = sums.existing_by_place(size, self.side)
        found: list[Tensor] = []
        for k, group in enumerate(self.groups):
            params, pixels = self.group_params(k, known), places[group.place]
            if exists is not None:
                pixels = pixels * arrays.cast(exists[group.place], pixels.dtype)
            before = arrays.zeros_like(pixels), params
            if group.part:
                before = known.pop(), found.pop()
            known.append(group.chosen(pixels, before[0]))
            found.append(group.chosen(params, before[1]))
        return sums.from_places(found, self.side, size)

    def known_at_first(self, lattice: Tensor, features: Sequence[Tensor]) -> list[Tensor]:
        """The inputs of the first group's network, for any float [B, h, w, ...]: list of the same."""
        # Next to ones, zeros in the image differ from the zeros outside of it.
        ones = arrays.ones_like(lattice[..., :1])
        return [
            ones,
            *(activations.silu(arrays.cast(x, ones.dtype), self.rounded) for x in features),
        ]

    def group_params(self, k: int, known: Sequence[Tensor]) -> Tensor:
        """The parameters of group k in all blocks: float [B, h, w, num_params].

        `known` is `known_at_first` and the pixels of each place before the group's as the network sees them;
        also of its own place, if another part of it came before. Those that are not decided are zeros.
        """
        first = self.firsts[k](arrays.concatenate(known, axis=-1))  # [B, h, w, filters]
        x, _ = self.streams[k](first)
        return self.lasts[k](activations.silu(x[-1], self.rounded))

    def sums(self) -> list[list[Any]]:
        """Lists of layers whose outputs are added up."""
        return [stream.sum_of(first) for stream, first in zip(self.streams, self.firsts)]

    def inputs(self, layer: Any, features: int) -> list[str]:
        """The kind of each channel of a first layer's input, with so many features; none of other layers."""
        known = ["one"] + ["feature"] * features
        return known + ["pixel"] * (layer.channels - len(known)) if layer in self.firsts else []
