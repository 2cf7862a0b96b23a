"""ParallelPixelCNN: the network of a factor that decides one pixel of every block at once."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from keras import ops

from pixelcnn_aux import arguments, arrays, layers, sums
from pixelcnn_aux.arguments import Size, Tensor
from pixelcnn_aux.errors import expect
from pixelcnn_aux.networks import topology
from pixelcnn_aux.networks.network import Network, Stream
from pixelcnn_aux.scanning import GroupScan
from pixelcnn_aux.serialization import register

MAX_SIDE = 8


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


class DecidesGroups:
    """A network that decides groups of pixels in turn, each from those before it.

    A subclass has `side`, `groups`, `known_at_first` and `group_params`, as `ParallelPixelCNN`.
    """

    side: int
    groups: list[Group]
    known_at_first: Callable[..., list[Tensor]]
    group_params: Callable[..., Tensor]

    def all_params(self, x: Tensor, features: Sequence[Tensor], **how: Any) -> Tensor:
        """The parameters of all pixels of images [B, H, W, C] as the network sees them: [B, H, W, P].

        `how` are arguments of `group_params`. Blocks of an unknown side, in a graph, are all complete.
        """
        places, size = sums.by_place(x, self.side), x.shape[1:3]
        known = self.known_at_first(arrays.shape(places[0])[:3], features)
        exists = sums.existing_by_place(size, self.side)
        found: list[Tensor] = []
        for k, group in enumerate(self.groups):
            params, pixels = self.group_params(k, known, **how), places[group.place]
            if exists is not None:
                pixels = pixels * arrays.cast(exists[group.place], pixels.dtype)
            before = arrays.zeros_like(pixels), params
            if group.part:
                before = known.pop(), found.pop()
            known.append(group.chosen(pixels, before[0]))
            found.append(group.chosen(params, before[1]))
        return sums.from_places(found, self.side, size)


def groups(parts: Sequence[int]) -> list[Group]:
    """The groups of a network, in order, from the number of parts of each place."""
    return [Group(place, part, count) for place, count in enumerate(parts) for part in range(count)]


@register()
class ParallelPixelCNN(Network, DecidesGroups):
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
        super().__init__(**kwargs)
        self.autocast = False
        self.place_parts = parts = [arguments.whole("parts", part, 1, 16) for part in parts]
        self.side = math.isqrt(len(parts))
        square = self.side**2 == len(parts) and 1 <= self.side <= MAX_SIDE
        expected = f"parts for each place of a block of side 1 to {MAX_SIDE}: 1, 4, 9, ... of them"
        expect(square, expected, len(parts), "Give (1, 1, 1, 1) for blocks of 2 x 2")
        self.blocks = blocks = arguments.whole_each("blocks", blocks, len(parts), "place")
        self.filters = filters = arguments.whole("filters", filters)
        self.period = math.lcm(*parts)
        self.num_params = arguments.whole("num_params", num_params, 1, arguments.MAX_PER_PIXEL)
        self.kernel_size = kernel_size = arguments.size("kernel_size", kernel_size)
        self.radius = max(kernel_size) // 2 * (1 + 2 * max(blocks))
        self.dropout = dropout = arguments.rate("dropout", dropout, layers.MAX_DROPOUT)
        self.groups = groups(parts)
        full = self.variable_dtype  # as in `PixelCNN`
        how = {"kernel_size": kernel_size, "dropout": dropout, "dtype": self.dtype_policy}
        indices, shapes = range(len(self.groups)), {n: topology.flat(n) for n in blocks}
        self.firsts = [
            layers.WeightNormConv2D(filters, kernel_size, dtype=full, name=f"{k}_first")
            for k in indices
        ]
        how |= {"gated": False}
        self.streams = [
            Stream(shapes[blocks[x.place]], "unshifted", filters, name=f"{k}_stream", **how)
            for k, x in enumerate(self.groups)
        ]
        self.lasts = [
            layers.WeightNormDense(self.num_params, dtype=full, name=f"{k}_last") for k in indices
        ]

    def get_config(self):
        own = {"blocks": self.blocks, "filters": self.filters, "num_params": self.num_params}
        own |= {"parts": self.place_parts, "kernel_size": [*self.kernel_size]}
        return {**super().get_config(), **own, "dropout": self.dropout}

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

    def scan(self, method: str) -> Callable[..., Any]:
        """As `Network.scan`, all pixels of a group at once."""
        return functools.partial(GroupScan, full=method == "full")
