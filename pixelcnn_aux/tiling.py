"""Large images, evaluated in tiles, so that memory grows with a tile and not with the image.

A network whose outputs depend on a neighborhood alone gives of a tile what it gives of the whole image, if
the tile has as many more rows and columns as it sees.
"""

import itertools
import math
from typing import NamedTuple

import keras
from keras import ops

from pixelcnn_aux import blocks
from pixelcnn_aux.batches import in_batches
from pixelcnn_aux.inputs import Inputs

MAX_PIXELS = 2**19  # of a tile: some 2 GB of a mixture of ten logistics


class Span(NamedTuple):
    """Rows or columns of blocks: [start, stop) are evaluated, of which [low, high) are kept.

    None for the end of the image.
    """

    start: int
    stop: int | None
    low: int
    high: int | None

    def evaluated(self, side=1):
        """slice of what is evaluated, in pixels of blocks of side x side."""
        return slice(self.start * side, self.stop and self.stop * side)

    def kept(self, side=1, first=0):
        """slice of what is kept, likewise, counted from block `first` on."""
        return slice((self.low - first) * side, self.high and (self.high - first) * side)


class Tile(NamedTuple):
    """A rectangle of blocks that are evaluated at once."""

    rows: Span
    columns: Span

    def evaluated(self, images, side=1):
        """What is evaluated of images [B, H, W, ...] of blocks of side x side pixels."""
        return images[:, self.rows.evaluated(side), self.columns.evaluated(side)]

    def kept(self, images, side=1):
        """What is kept, likewise."""
        return images[:, self.rows.kept(side), self.columns.kept(side)]

    def kept_of_evaluated(self, side=1):
        """slices of the rows and columns of what is evaluated that are kept."""
        return [span.kept(side, span.start) for span in self]


WHOLE = Tile(Span(0, None, 0, None), Span(0, None, 0, None))


def spans(length, radius, period, most):
    """list of `Span` that cover an axis of `length` blocks.

    Args:
      length: int.
      radius: int, how many blocks a network sees in each direction.
      period: int, of which all first blocks are multiples.
      most: int, about how many blocks are evaluated at once.
    """
    if length <= most:
        return [Span(0, length, 0, length)]
    radius += -radius % period
    at_once = max(1, (most - 2 * radius) // period) * period
    return [
        Span(max(low - radius, 0), min(low + at_once + radius, length), low, high)
        for low in range(0, length, at_once)
        for high in [min(low + at_once, length)]
    ]


def tiles(factor, size):
    """Tiles that cover images of (H, W): list of rows, each a list of `Tile`.

    Images are in several if they are large, and if the factor sees a neighborhood alone.
    """
    if factor.radius is None or None in size or math.prod(size) <= MAX_PIXELS:
        return [[WHOLE]]
    side = factor.network.side
    most = math.isqrt(MAX_PIXELS) // side
    rows, columns = (
        spans(length, factor.radius, factor.network.period, most)
        for length in blocks.lattice(size, side)
    )
    return [[Tile(row, column) for column in columns] for row in rows]


def added_up(factor, method, inputs):
    """As `side_by_side`, added up over the pixels of each image: a structure of tensors [B]."""
    parts = [
        keras.tree.map_structure(
            lambda x: ops.sum(x, axis=(1, 2)), _of_tile(factor, method, inputs, tile)
        )
        for tile in itertools.chain(*tiles(factor, inputs.images.shape[1:3]))
    ]
    return keras.tree.map_structure(lambda *x: sum(x), *parts)


def side_by_side(factor, method, inputs):
    """What a compiled method gives for `Inputs` of any number of images, tile by tile.

    Args:
      factor: `Factor`.
      method: function of `Inputs`, as from `backend.compiled`, to a structure of tensors [B, H, W].
      inputs: `Inputs`.
    """

    def joined(parts, axis):
        return keras.tree.map_structure(lambda *x: ops.concatenate(x, axis=axis), *parts)

    rows = [
        [_of_tile(factor, method, inputs, tile) for tile in row]
        for row in tiles(factor, inputs.images.shape[1:3])
    ]
    return joined([joined(row, axis=2) for row in rows], axis=1)


def _of_tile(factor, method, inputs, tile):
    """What a method of `Inputs` gives for a tile of images."""
    images, auxiliary, condition = inputs
    side = factor.network.side
    images = tile.evaluated(images, side)
    if auxiliary is not None:
        auxiliary = tile.evaluated(auxiliary)
    size = images.shape[1:3]
    # Incomplete blocks are known to a graph of their size alone.
    if factor.radius is not None and blocks.is_whole(size, side):
        method = method.any_size
    found = in_batches(method, Inputs(images, auxiliary, condition), size)
    return keras.tree.map_structure(lambda x: x[:, *tile.kept_of_evaluated(side)], found)
