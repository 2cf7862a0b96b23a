"""ParallelPixelCNN: a network that decides one pixel of every block at once."""

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
from pixelcnn_aux.networks.array_layers import Layers
from pixelcnn_aux.networks.blocks import Stream
from pixelcnn_aux.networks.network import Network
from pixelcnn_aux.networks.topology import MAX_SIDE, flat


class Group(NamedTuple):
    """Pixels that are decided at once: at one place of all blocks, or of a part of the blocks."""

    place: int  # within each block, in raster order
    part: int = 0  # (row + column) % parts of the group's blocks
    parts: int = 1

    def select(self, inside: Tensor, outside: Tensor) -> Tensor:
        """[B, h, w, ...]: `inside` in the blocks of this group, `outside` in the other blocks."""
        if self.parts == 1:
            return inside
        _, height, width, *_ = arrays.shape(inside)
        diagonal = arrays.arange(height)[:, None] + arrays.arange(width)
        return arrays.where((diagonal % self.parts == self.part)[..., None], inside, outside)


@register()
class ParallelPixelCNN(Network):
    """Parameters of every pixel's distribution, from the groups of pixels before it (Reed et al., 2017).

    An image is a lattice of blocks of side x side pixels. The pixels at one place of all blocks form a group,
    which is decided at once from the auxiliary image and the places before it: an image of any size takes
    side ** 2 evaluations. The upper left place comes first. Each group has its own unshifted residual network
    over the lattice. Features have the resolution of the lattice, as the auxiliary image does.

    Args:
      blocks: int, the residual blocks of each group's network, or a list with one entry for each place.
      filters: int, the channels of the networks.
      num_params: int, the channels of the output.
      parts: list of int, one for each place in raster order: the number of groups that divide its pixels.
        With 1, all blocks are decided at once, and neighbors do not see each other. With 2, every other block
        is decided first, as on a chessboard, and the rest given those. Blocks may be single pixels: [8]
        divides an image into 8 groups of diagonals.
      kernel_size: (height, width) of all convolutions.
      dropout: float, the rate in the blocks.

    Attributes:
      groups: list of `Group`, in the order in which they are decided.

    Raises ValueError for arguments of wrong types or out of range.
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
        self._init_common(filters, num_params, dropout)

    def turns(self, size: Size) -> np.ndarray:
        rows, columns = np.indices(size)
        places = rows % self.side * self.side + columns % self.side
        diagonals = rows // self.side + columns // self.side
        turns = np.zeros(size, int)
        for turn, (place, part, parts) in enumerate(self.groups):
            turns[(places == place) & (diagonals % parts == part)] = turn
        return turns

    def make(self, layers: Layers) -> None:
        self.rounded, first = layers.rounded, (self.filters, self.kernel_size, "unshifted")
        # First and last layers are precise, as in `PixelCNN`.
        options: Any = {"kernel_size": self.kernel_size, "dropout": self.dropout, "gated": False}
        indices = range(len(self.groups))
        self.firsts = [layers.convolution(f"{k}_first", *first, precise=True) for k in indices]
        self.streams = [
            layers.part(
                f"{k}_stream",
                Stream(flat(self.blocks[group.place]), "unshifted", self.filters, **options),
            )
            for k, group in enumerate(self.groups)
        ]
        self.lasts = [layers.dense(f"{k}_last", self.num_params, precise=True) for k in indices]

    def forward(self, x: Tensor, features: Sequence[Tensor] = ()) -> Tensor:
        """`Network.forward`, on images of any size; features have a pixel for each block.

        In a graph with an unknown image size, all blocks are assumed complete.
        """
        self.check_inputs(x, features)
        places, size = sums.by_place(x, self.side), x.shape[1:3]
        inputs = self.first_inputs(places[0], features)
        exists = sums.existing_by_place(size, self.side)
        by_place: list[Tensor] = []  # parameters
        for k, group in enumerate(self.groups):
            params, pixels = self.group_params(k, inputs), places[group.place]
            if exists is not None:
                pixels = pixels * arrays.cast(exists[group.place], pixels.dtype)
            other_pixels, other_params = arrays.zeros_like(pixels), params
            if group.part:
                other_pixels, other_params = inputs.pop(), by_place.pop()
            inputs.append(group.select(pixels, other_pixels))
            by_place.append(group.select(params, other_params))
        return sums.from_places(by_place, self.side, size)

    def first_inputs(self, lattice: Tensor, features: Sequence[Tensor]) -> list[Tensor]:
        """Inputs of the first group's network: ones and features, for any `lattice`, float [B, h, w, ...]."""
        ones = arrays.ones_like(lattice[..., :1])  # as in `append_ones`
        cast = (arrays.cast(x, ones.dtype) for x in features)
        return [ones, *(activations.silu(x, self.rounded) for x in cast)]

    def group_params(self, k: int, inputs: Sequence[Tensor]) -> Tensor:
        """The parameters of group k in all blocks: float [B, h, w, num_params].

        `inputs` are `first_inputs`, then the pixels of each place before the group's, as the network sees
        them, and of its own place if an earlier part was decided. Undecided pixels are zeros.
        """
        first = self.firsts[k](arrays.concatenate(inputs, axis=-1))  # [B, h, w, filters]
        x, _ = self.streams[k](first)
        return self.lasts[k](activations.silu(x[-1], self.rounded))

    def summed_layers(self) -> list[list[Any]]:
        """Lists of layers whose outputs add up to one activation."""
        return [stream.sum_of(first) for stream, first in zip(self.streams, self.firsts)]

    def input_kinds(self, layer: Any, features: int) -> list[str]:
        """The kind of each input channel of a first layer, for this number of features; empty for others."""
        if layer not in self.firsts:
            return []
        pixels = layer.channels - 1 - features
        return ["one", *["feature"] * features, *["pixel"] * pixels]
