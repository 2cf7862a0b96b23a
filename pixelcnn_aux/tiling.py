"""Large images, evaluated in tiles, so that memory grows with a tile and not with the image.

A network whose outputs depend on a neighborhood alone gives of a tile what it gives of the whole image, if
the tile has as many more rows and columns as it sees.
"""

import math
from typing import NamedTuple

import keras
from keras import ops

from pixelcnn_aux import blocks
from pixelcnn_aux.batches import in_batches
from pixelcnn_aux.inputs import Inputs

MAX_PIXELS = 2**19  # of a tile: some 2 GB of a mixture of ten logistics


class Span(NamedTuple):
    """Rows or columns of blocks: [start, stop) are evaluated, of which [low, high) are kept."""

    start: int
    stop: int
    low: int
    high: int

    def of(self, images, side, axis):
        """What is evaluated of images of blocks of side x side pixels, along an axis."""
        index = [slice(None)] * axis + [slice(self.start * side, self.stop * side)]
        return images[tuple(index)]

    def kept(self, side):
        """The pixels that are kept, [low, high), counted from the first one that is evaluated."""
        return (self.low - self.start) * side, (self.high - self.start) * side


def spans(length, radius, period, most):
    """list of `Span` that cover an axis of `length` blocks.

    Args:
      length: int.
      radius: int, how many blocks a network sees in each direction.
      period: int, of which all first blocks are multiples.
      most: int, about how many blocks are evaluated at once.
    """
    radius += -radius % period
    at_once = max(1, (most - 2 * radius) // period) * period
    return [
        Span(max(low - radius, 0), min(low + at_once + radius, length), low, high)
        for low in range(0, length, at_once)
        for high in [min(low + at_once, length)]
    ]


def added_up(factor, method, inputs):
    """What a compiled method gives for `Inputs` of any number of images, added up over their tiles.

    Args:
      factor: `Factor`.
      method: function of `Inputs` and of two (low, high), the rows and columns of pixels that count, or None
        for all of them; returns a structure of tensors [B].
    """
    images = inputs.images
    if not _are_cut(factor, images):
        return in_batches(lambda x: method(x, None), inputs, images.shape[1:3])
    parts = [
        in_batches(lambda x, kept=kept: method(x, kept), tile, tile.images.shape[1:3])
        for row in _cut(factor, inputs)
        for tile, kept in row
    ]
    return keras.tree.map_structure(lambda *x: sum(x), *parts)


def side_by_side(factor, method, inputs):
    """As `added_up`, of a method of `Inputs` alone that gives a tensor [B, H, W, ...]: the tiles together."""
    images = inputs.images
    if not _are_cut(factor, images):
        return in_batches(method, inputs, images.shape[1:3])
    by_row = [
        [
            in_batches(method, tile, tile.images.shape[1:3])[:, slice(*rows), slice(*columns)]
            for tile, (rows, columns) in row
        ]
        for row in _cut(factor, inputs)
    ]
    return ops.concatenate([ops.concatenate(row, axis=2) for row in by_row], axis=1)


def _are_cut(factor, images):
    """Whether images are evaluated in tiles: large ones, of a factor that sees a neighborhood alone."""
    size = images.shape[1:3]
    return factor.radius is not None and None not in size and math.prod(size) > MAX_PIXELS


def _cut(factor, inputs):
    """The tiles of images, by rows: lists of pairs, `Inputs` and what is kept of their rows and columns."""
    (images, auxiliary, condition), side = inputs, factor.network.side
    most = math.isqrt(MAX_PIXELS) // side
    rows, columns = (
        spans(length, factor.radius, factor.network.period, most)
        for length in blocks.lattice(images.shape[1:3], side)
    )

    def tile(row, column):
        both = (
            column.of(row.of(x, pixels, 1), pixels, 2)
            for x, pixels in ((images, side), (auxiliary, 1))
        )
        return Inputs(*both, condition), (row.kept(side), column.kept(side))

    return [[tile(row, column) for column in columns] for row in rows]
