"""Evaluation of any number of images, of any size, in batches and tiles that fit in memory.

A network with a limited receptive field computes the same outputs for a tile as for the whole image, if the
tile is extended by the rows and columns that the network sees.
"""

import importlib.util
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from pixelcnn_aux import sums
from pixelcnn_aux.base import arguments, arrays, machine
from pixelcnn_aux.base.arguments import Size
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.progress import late_bar

MAX_PIXELS = 2**16  # of full images in a batch: 64 images of 32 x 32
MAX_TILE_PIXELS = 2**19  # some 2 GB for a mixture of ten logistics
CACHED = 2**12  # pixels whose parameters and activations fit in a processor's cache
COMPILED_SIZES = (1, 4, 16, 64)  # sizes of batches that XLA compiles functions for
# Number of pixels from which on it pays to start TensorFlow and to trace a graph.
GRAPH_BREAK_EVEN = 2**20


class Evaluator:
    """Evaluates functions of a factor and structures of arrays [B, ...], in NumPy."""

    def __call__(
        self, function: Callable[..., Any], factor: Any, *args: Any, jit_compile: bool = False
    ) -> Any:
        """function(factor, *args)."""
        del jit_compile
        return function(factor, *args)

    def at_any_size(self, function: Callable[..., Any], factor: Any, *args: Any) -> Any:
        """function(factor, *args), by one graph for all heights and widths."""
        return function(factor, *args)

    def in_batches(
        self,
        function: Callable[..., Any],
        rows: tuple[Any, ...],
        image_size: Size,
        *,
        jit_compile: bool = False,
    ) -> Any:
        """Evaluates a function of any number of rows in batches, with a progress bar if that takes long.

        Args:
          function: maps arguments like `rows` to a structure of arrays or tensors, row by row.
          rows: tuple of structures of arrays or tensors [N, ...], and of other values, which are passed on.
          image_size: (H, W), the largest size of an image in the rows.
          jit_compile: bool, whether XLA compiles the function: batches then are of `COMPILED_SIZES`, padded
            by the last row.

        Returns a structure of NumPy arrays.
        """
        count = len(_first(rows))
        rows = by_leaf(np.asarray, rows)
        if count == 0:  # the result for one row has the shapes and dtypes
            rows = by_leaf(lambda x: np.zeros((1, *x.shape[1:]), x.dtype), rows)

        compiles = jit_compile or self._compiles()
        most = max(1, MAX_PIXELS // math.prod(image_size))
        parts: list[Any] = []
        first, bar = 0, late_bar(count, "image")
        while first < count or not parts:
            left = count - first
            size = _size(left, most, compiles)
            indices = np.minimum(np.arange(first, first + size), max(count, 1) - 1)
            results = function(*by_leaf(lambda x, i=indices: self._argument(x[i]), rows))
            # Without the padding.
            parts.append(by_leaf(lambda x, left=left: np.asarray(x[:left]), results))
            first += size
            bar(min(first, count))
        return concatenated(parts, axis=0)

    def _argument(self, x):
        return x

    def _compiles(self):
        """Whether each size of a batch takes time to compile."""
        return False


class GraphEvaluator(Evaluator):
    """Evaluates functions of a factor and structures of tensors [B, ...], in graphs."""

    def __call__(self, function, factor, *args, jit_compile=False):
        return factor.graph(function, jit_compile)(factor.tensors, *args)

    def at_any_size(self, function, factor, *args):
        return factor.graph(function).any_size(factor.tensors, *args)

    def _argument(self, x):
        return arrays.tensor(x)

    def _compiles(self):
        return arrays.backend().NAME == "jax"


class TracedEvaluator(Evaluator):
    """Evaluates functions of a factor and tensors as a part of the graph that is being traced."""

    def __call__(self, function, factor, *args, jit_compile=False):
        if jit_compile:
            return factor.graph(function, jit_compile)(factor.tensors, *args)
        return function(factor.with_kernels(factor.tensors), *args)

    def at_any_size(self, function, factor, *args):
        return self(function, factor, *args)

    def in_batches(self, function, rows, image_size, *, jit_compile=False):
        """function(*rows)."""
        del image_size, jit_compile
        return function(*rows)


NUMPY, GRAPHS, TRACED = Evaluator(), GraphEvaluator(), TracedEvaluator()


def evaluator(by: str | None, factors: Iterable[Any], *images: Any) -> Evaluator:
    """The evaluator of factors on images [B, H, W, C], maybe with a condition [B, ...].

    `by` decides whether it is NumPy's; None is the default for the arguments, the machine and the
    installation.
    """
    arguments.choice("by", by, arguments.BACKENDS, optional=True)
    if any(x is not None and arrays.is_symbolic(x) for x in images):
        return TRACED
    return GRAPHS if _by_graph(by, [*factors], images[0]) else NUMPY


def _by_graph(by, factors, images):
    if any(factor.keras_layers for factor in factors):
        remedy = "Leave by out, or give by='graph'"
        expect(by != "numpy", "networks of layers that NumPy evaluates", "layers of Keras", remedy)
        return True
    if by is not None:
        return by == "graph"
    count, *size, _ = images.shape
    pixels, side = math.prod(size), math.prod(factor.side for factor in factors)
    is_unbounded = any(factor.radius is None for factor in factors)
    # One image does not justify a graph for its size alone.
    needs_own_graph = is_unbounded or not sums.is_divided(size, side)
    threshold = 0 if machine.has_accelerator() else GRAPH_BREAK_EVEN
    is_worth_it = (count - needs_own_graph) * pixels >= threshold
    is_too_large = is_unbounded and pixels > MAX_PIXELS  # NumPy needs more memory
    if not (is_worth_it or is_too_large):
        return False
    # NumPy also computes in forked processes.
    return bool(importlib.util.find_spec("keras")) and not arrays.backend().is_forked()


def _first(rows):
    """The first array in a structure."""
    leaves: list[Any] = []
    by_leaf(leaves.append, rows)
    return leaves[0]


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
    side, period = factor.side, factor.definitions["network"].period
    most = math.isqrt(most) // side
    rows, columns = (
        spans(length, factor.radius, period, most) for length in sums.num_blocks(size, side)
    )
    return [[Tile(row, column) for column in columns] for row in rows]


def in_chunks(function, *pixels):
    """Calls a function of arrays [B, H, W, ...], or None: in NumPy, in chunks of rows that fit in a cache."""
    if not arrays.is_plain(pixels[0]):
        return function(*pixels)
    count, height, width, _ = pixels[0].shape
    at_once, parts = max(1, CACHED // max(count * width, 1)), []
    for first in range(0, height, at_once):
        rows = slice(first, first + at_once)
        parts.append(function(*by_leaf(lambda x, rows=rows: x[:, rows], pixels)))
    return np.concatenate(parts, axis=1)


def sum_tiles(evaluate, function, factor, inputs):
    """`map_tiles` summed over the pixels of each image: a structure of tensors [B]."""
    results = map_tiles(evaluate, function, factor, inputs)
    return arrays.mapped(lambda x: arrays.sum(x, axis=(1, 2)), results)


def map_tiles(evaluate, function, factor, inputs):
    """Evaluates a function of a factor and `Inputs` tile by tile: a structure of tensors [B, H, W, ...]."""
    side, rows = factor.side, []
    for row in tiles(factor, inputs.images.shape[1:3]):
        parts = []
        for tile in row:
            images, auxiliary = tile.evaluated(inputs.images, side), inputs.auxiliary
            if auxiliary is not None:
                auxiliary = tile.evaluated(auxiliary)
            # Graphs for any size need complete blocks.
            has_any_size = factor.radius is not None and sums.is_divided(images.shape[1:3], side)
            call = evaluate.at_any_size if has_any_size else evaluate
            part = inputs._replace(images=images, auxiliary=auxiliary)
            results = call(function, factor, part)
            kept = tile.kept_of_evaluated(side)
            parts.append(arrays.mapped(lambda x, kept=kept: x[:, *kept], results))
        rows.append(concatenated(parts, axis=2))
    return concatenated(rows, axis=1)
