"""Evaluation of any number of images, of any size, in batches and tiles that fit in memory.

A network with a limited receptive field computes the same outputs for a tile as for the whole image, if the
tile is extended by the rows and columns that the network sees.
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
MAX_TILE_PIXELS = 2**19  # some 2 GB for a mixture of ten logistics
CACHED = 2**12  # pixels whose parameters and activations fit in a processor's cache
COMPILED_SIZES = (1, 4, 16, 64)  # sizes of batches that XLA compiles functions for
MUCH = 2**20  # break-even number of pixels of NumPy, and of starting TensorFlow and tracing a graph


def in_batches(function, rows, image_size, jit_compile=False, by_tensors=True):
    """Evaluates a function of any number of rows in batches, with a progress bar if that takes long.

    While a graph is traced, all rows are one batch.

    Args:
      function: maps a structure like `rows` to another one, row by row.
      rows: a structure of arrays or tensors [N, ...], and of other values, which are passed on.
      image_size: (H, W), the largest size of an image in the rows.
      jit_compile: whether XLA compiles the function, as it does under JAX: batches then are of
        `COMPILED_SIZES`, padded by the last row.
      by_tensors: whether the function takes tensors, and not arrays.
    """
    leaves = []
    by_leaf(leaves.append, rows)
    if any(map(arrays.is_symbolic, leaves)):
        return function(rows)
    count, most = len(leaves[0]), max(1, MAX_PIXELS // math.prod(image_size))
    rows = by_leaf(np.asarray, rows)
    if count == 0:  # the result for one row has the shapes and dtypes
        rows = by_leaf(lambda x: np.zeros((1, *x.shape[1:]), x.dtype), rows)

    def evaluated(first, size):
        """The results of a batch of this size that begins with the row `first`, without the padding."""
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
    return concatenated(parts, axis=0)


def by_graph(by, factors, images):
    """Whether graphs, and not NumPy, evaluate factors on images [B, H, W, C].

    `by` decides; None is the default for the arguments, the machine and the installation.
    """
    arguments.choice("by", by, arguments.BACKENDS, optional=True)
    if arrays.is_symbolic(images) or any(factor.needs_tensors() for factor in factors):
        return True
    if by is not None:
        return by == "graph"
    count, *size, _ = images.shape
    pixels, side = math.prod(size), math.prod(factor.network.side for factor in factors)
    is_unbounded = any(factor.radius is None for factor in factors)
    # One image does not justify a graph for its size alone.
    needs_own_graph = is_unbounded or not sums.is_divided(size, side)
    threshold = 0 if machine.has_accelerator() else MUCH
    is_worth_it = (count - needs_own_graph) * pixels >= threshold
    is_too_large = is_unbounded and pixels > MAX_PIXELS  # NumPy needs more memory
    if not (is_worth_it or is_too_large):
        return False
    # NumPy also computes in forked processes.
    return bool(importlib.util.find_spec("keras")) and not arrays.backend().is_forked()


def _size(left, most, compiles):
    """The size of the next batch, at most `most`, if `left` rows are left."""
    if not compiles:
        return max(1, min(left, most))
    # Less than half is padding.
    return max(size for size in COMPILED_SIZES if size == 1 or size <= most and size < 2 * left)


def concatenated(structures, axis):
    """Structures of arrays or tensors, concatenated leaf by leaf."""
    return arrays.mapped(lambda *parts: arrays.concatenate(parts, axis=axis), *structures)


def by_leaf(function, structure):
    """Applies a function to the arrays in a structure; other values are unchanged."""
    return arrays.mapped(lambda x: function(x) if hasattr(x, "shape") else x, structure)


class Span(NamedTuple):
    """A range of blocks of an axis: [start, stop) are evaluated, [low, high) kept; None: to the end."""

    start: int
    stop: int | None
    low: int
    high: int | None

    def evaluated(self, side=1):
        """slice of the evaluated pixels, for blocks of side x side."""
        return slice(self.start * side, self.stop and self.stop * side)

    def kept(self, side=1, first=0):
        """slice of the kept pixels, counted from block `first`."""
        return slice((self.low - first) * side, self.high and (self.high - first) * side)


class Tile(NamedTuple):
    """A rectangle of blocks, evaluated at once."""

    rows: Span
    columns: Span

    def evaluated(self, images, side=1):
        """The evaluated part of images [B, H, W, ...], for blocks of side x side."""
        return images[:, self.rows.evaluated(side), self.columns.evaluated(side)]

    def kept(self, images, side=1):
        """The kept part of images."""
        return images[:, self.rows.kept(side), self.columns.kept(side)]

    def kept_of_evaluated(self, side=1):
        """slices of the kept rows and columns within the evaluated ones."""
        return [span.kept(side, span.start) for span in self]


def spans(length, radius, period, most):
    """list of `Span` from multiples of `period`, about `most` blocks each with margins of `radius`."""
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
    """Rows of `Tile` for `count` images of (H, W) at once: several if they are large and seen in parts."""
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


def in_chunks(function, *pixels):
    """Calls a function of arrays [B, H, W, ...], or None: in NumPy, in chunks of rows that fit in a cache."""
    if not arrays.is_plain(pixels[0]):
        return function(*pixels)
    count, height, width, _ = pixels[0].shape
    at_once = max(1, CACHED // max(count * width, 1))
    parts = [
        function(*by_leaf(lambda x, rows=slice(first, first + at_once): x[:, rows], pixels))
        for first in range(0, height, at_once)
    ]
    return np.concatenate(parts, axis=1)


def sum_tiles(factor, method, inputs):
    """`map_tiles` summed over the pixels of each image: a structure of tensors [B]."""
    results = map_tiles(factor, method, inputs)
    return arrays.mapped(lambda x: arrays.sum(x, axis=(1, 2)), results)


def map_tiles(factor, method, inputs):
    """Evaluates a `compiled` method of a batch of `Inputs` tile by tile: a structure of tensors [B, H, W]."""
    rows = [
        concatenated([_of_tile(factor, method, inputs, tile) for tile in row], axis=2)
        for row in tiles(factor, inputs.images.shape[1:3])
    ]
    return concatenated(rows, axis=1)


def _of_tile(factor, method, inputs, tile):
    images, auxiliary, condition = inputs
    side = factor.network.side
    images = tile.evaluated(images, side)
    if auxiliary is not None:
        auxiliary = tile.evaluated(auxiliary)
    # Graphs for any size need complete blocks.
    if arrays.is_plain(images):
        method = getattr(method, "uncompiled", method)
    elif factor.radius is not None and sums.is_divided(images.shape[1:3], side):
        method = getattr(method, "any_size", method)
    kept = tile.kept_of_evaluated(side)
    return arrays.mapped(lambda x: x[:, *kept], method(Inputs(images, auxiliary, condition)))
