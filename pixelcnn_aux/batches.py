"""Any number of images, and images of any size, evaluated in batches and tiles that fit in memory.

A network whose outputs depend on a neighborhood alone computes for a tile what it computes for the whole
image, if the tile has as many more rows and columns as it sees.
"""

import importlib.util
import math
from typing import NamedTuple

import numpy as np

from pixelcnn_aux import sums
from pixelcnn_aux.base import arguments, arrays, machine
from pixelcnn_aux.base.inputs import Inputs
from pixelcnn_aux.base.progress import late_bar

MAX_PIXELS = 2**16  # of full images in a batch: 64 images of 32 x 32
MAX_TILE_PIXELS = 2**19  # some 2 GB of a mixture of ten logistics
CACHED = 2**12  # pixels whose parameters and activations stay in a processor's cache
# The sizes of batches that XLA compiles functions for, one by one.
COMPILED_SIZES = (1, 4, 16, 64)
# Pixels: to start TensorFlow and trace a graph takes as long as to evaluate so many in NumPy.
MUCH = 2**20


def in_batches(function, rows, image_size, jit_compile=False, by_tensors=True):
    """Evaluates a function of any number of rows, with a progress bar if that takes long.

    While a graph is traced, all rows are one batch.

    The function is from a structure like `rows`, of arrays or tensors [N, ...], to another, row by row, whose
    images have (H, W) at most. Other values in it are handed on. If XLA compiles it, as all under JAX, its
    batches are of `COMPILED_SIZES`, filled up by the last row; by_tensors=False is for a function of arrays.
    """
    leaves = []
    by_leaf(leaves.append, rows)
    if any(map(arrays.is_symbolic, leaves)):
        return function(rows)
    count, most = len(leaves[0]), max(1, MAX_PIXELS // math.prod(image_size))
    rows = by_leaf(np.asarray, rows)
    if count == 0:  # The result for no rows has the shapes and dtypes of that for one.
        rows = by_leaf(lambda x: np.zeros((1, *x.shape[1:]), x.dtype), rows)

    def evaluated(first, size):
        """The rows of a batch of this size that begins with the row `first`, but for what fills it up."""
        indices = np.minimum(np.arange(first, first + size), max(count, 1) - 1)
        batch = by_leaf(lambda x: x[indices], rows)
        if by_tensors:
            batch = by_leaf(arrays.tensor, batch)
        return by_leaf(lambda x: x[: count - first], function(batch))

    compiles = jit_compile or (by_tensors and arrays.backend().NAME == "jax")
    first, parts, bar = 0, [], late_bar(count, "image")
    while first < count or not parts:
        size = _size(count - first, most, compiles)
        parts.append(evaluated(first, size))
        first += size
        bar(min(first, count))
    return arrays.mapped(lambda *parts: arrays.concatenate(parts, axis=0), *parts)


def by_graph(by, factors, images):
    """Whether graphs evaluate factors on images [B, H, W, C], and not NumPy.

    `by` says so, "numpy" or "graph"; None for the default, which follows from the call alone, the machine,
    and whether a framework is installed. Raises ValueError for another one.
    """
    if by is not None:
        arguments.choice("by", by, ("numpy", "graph"))
    if arrays.is_symbolic(images) or any(factor.needs_tensors() for factor in factors):
        return True
    if by is not None:
        return by == "graph"
    count, *size, _ = images.shape
    pixels, side = math.prod(size), math.prod(factor.network.side for factor in factors)
    is_seen_whole = any(factor.radius is None for factor in factors)
    # A graph of a size of its own is not worth it for one image.
    has_own = is_seen_whole or not sums.is_divided(size, side)
    is_much = (count - has_own) * pixels >= (0 if machine.has_accelerator() else MUCH)
    is_much = is_much or (
        is_seen_whole and pixels > MAX_PIXELS
    )  # for which NumPy needs more memory
    # NumPy computes in forked processes, too.
    return is_much and bool(importlib.util.find_spec("keras")) and not arrays.backend().is_forked()


def _size(left, most, compiles):
    """The size of the next batch, of at most `most` rows, if so many are left."""
    if not compiles:
        return max(1, min(left, most))
    # Less than half of it is filled up.
    return max(size for size in COMPILED_SIZES if size == 1 or size <= most and size < 2 * left)


def by_leaf(function, structure):
    """Arrays by a function of them, and all else as it is."""
    return arrays.mapped(lambda x: function(x) if hasattr(x, "shape") else x, structure)


class Span(NamedTuple):
    """Blocks of an axis: [start, stop) are evaluated, and [low, high) of them kept; None: to the end."""

    start: int
    stop: int | None
    low: int
    high: int | None

    def evaluated(self, side=1):
        """slice of the evaluated ones, in pixels of blocks of side x side."""
        return slice(self.start * side, self.stop and self.stop * side)

    def kept(self, side=1, first=0):
        """slice of those that are kept, likewise, counted from block `first` on."""
        return slice((self.low - first) * side, self.high and (self.high - first) * side)


class Tile(NamedTuple):
    """A rectangle of blocks that are evaluated at once."""

    rows: Span
    columns: Span

    def evaluated(self, images, side=1):
        """The part of images [B, H, W, ...] of blocks of side x side pixels that is evaluated."""
        return images[:, self.rows.evaluated(side), self.columns.evaluated(side)]

    def kept(self, images, side=1):
        """The part that is kept, likewise."""
        return images[:, self.rows.kept(side), self.columns.kept(side)]

    def kept_of_evaluated(self, side=1):
        """slices of the evaluated rows and columns that are kept."""
        return [span.kept(side, span.start) for span in self]


def spans(length, radius, period, most):
    """list of `Span` from multiples of `period` on, about `most` blocks each, of which one sees `radius`."""
    if length <= most:
        return [Span(0, length, 0, length)]
    radius += -radius % period
    at_once = max(1, (most - 2 * radius) // period) * period
    return [
        Span(max(low - radius, 0), min(low + at_once + radius, length), low, high)
        for low in range(0, length, at_once)
        for high in [min(low + at_once, length)]
    ]


def tiles(factor, size, count=1):
    """list of rows, each a list of `Tile`: several if images of (H, W) are large, and seen in parts alone.

    `count` images are evaluated at once.
    """
    most = MAX_TILE_PIXELS // max(count, 1)
    if factor.radius is None or None in size or math.prod(size) <= most:
        return [[Tile(Span(0, None, 0, None), Span(0, None, 0, None))]]
    side = factor.network.side
    most = math.isqrt(most) // side
    rows, columns = (
        spans(length, factor.radius, factor.network.period, most)
        for length in sums.num_blocks(size, side)
    )
    return [[Tile(row, column) for column in columns] for row in rows]


def few_at_once(function, *pixels):
    """A function of the parameters and so on of pixels, [B, H, W, ...] or None: few at once in NumPy."""
    if not arrays.is_plain(pixels[0]):
        return function(*pixels)
    count, height, width, _ = pixels[0].shape
    at_once = max(1, CACHED // max(count * width, 1))
    parts = [
        function(*by_leaf(lambda x, rows=slice(first, first + at_once): x[:, rows], pixels))
        for first in range(0, height, at_once)
    ]
    return np.concatenate(parts, axis=1)


def added_up(factor, method, inputs):
    """As `side_by_side`, added up over the pixels of each image: a structure of tensors [B]."""
    found = side_by_side(factor, method, inputs)
    return arrays.mapped(lambda x: arrays.sum(x, axis=(1, 2)), found)


def side_by_side(factor, method, inputs):
    """A `compiled` method of a batch of `Inputs`, to tensors [B, H, W], evaluated tile by tile."""

    def joined(parts, axis):
        return arrays.mapped(lambda *x: arrays.concatenate(x, axis=axis), *parts)

    rows = [
        [_of_tile(factor, method, inputs, tile) for tile in row]
        for row in tiles(factor, inputs.images.shape[1:3])
    ]
    return joined([joined(row, axis=2) for row in rows], axis=1)


def _of_tile(factor, method, inputs, tile):
    images, auxiliary, condition = inputs
    side = factor.network.side
    images = tile.evaluated(images, side)
    if auxiliary is not None:
        auxiliary = tile.evaluated(auxiliary)
    # Incomplete blocks are known to a graph of their size alone.
    if arrays.is_plain(images):
        method = getattr(method, "once", method)
    elif factor.radius is not None and sums.is_divided(images.shape[1:3], side):
        method = getattr(method, "any_size", method)
    kept = tile.kept_of_evaluated(side)
    return arrays.mapped(lambda x: x[:, *kept], method(Inputs(images, auxiliary, condition)))
