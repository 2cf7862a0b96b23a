"""Caches, which evaluate layers on a row or a pixel, given the rows and pixels before it.

A network with a cache calls `cache.evaluate(layer, x)` for every weight-normalized layer: `Rows` for the
vertical stream, `Pixels` for the part of the horizontal one that a row does not know before its first pixel.
At a resolution that is halved, every other row and pixel has no output, or no input: None.
"""

import collections
import dataclasses
import functools
import itertools
from typing import NamedTuple

import tensorflow as tf

from pixelcnn_aux import layers

# The layers that see earlier rows or pixels; all others are products over a pixel's channels.
SHIFTED = (layers.ShiftedConv2D, layers.ShiftedConv2DTranspose)


class Folded(NamedTuple):
    """The weights of a layer, as caches use them; lists are indexed by whether the output is an odd one."""

    bias: tf.Tensor  # [filters]; [B, 1, filters] where a condition adds to it
    kernel: list | tf.Tensor | None = None  # [C, filters], or each part's; None if shifted
    channels: int | None = None  # C, of a shifted layer's input
    rows: list | None = None  # of [1, w, n C, filters]: taps on all rows known when a row begins
    columns: list | None = None  # of [n C, filters]: taps on the current row's pixels


def fold(normalized_layers):
    """The `Folded` weights of layers: dict, layer -> `Folded`. To be called once, before any loop.

    Layers that are alike are normalized as one: alone, they would make up most of a graph.
    """
    kinds = collections.defaultdict(list)
    for layer in normalized_layers:
        config = {**layer.get_config(), "name": None, "channels": getattr(layer, "channels", None)}
        kinds[type(layer), *layer.v.shape, str(config)].append(layer)
    return {layer: folded for alike in kinds.values() for layer, folded in zip(alike, _fold(alike))}


def _fold(alike):
    layer, count = alike[0], len(alike)
    kernels = layers.stacked_kernels(alike)
    biases = list(map(_bias, alike))
    if isinstance(layer, layers.Projection):
        parts = [tf.unstack(part, count) for part in layer.split(kernels)]
        return map(Folded, biases, map(list, zip(*parts)))
    if not isinstance(layer, SHIFTED):
        return map(Folded, biases, tf.unstack(kernels, count))
    transposed = isinstance(layer, layers.ShiftedConv2DTranspose)
    if transposed:
        kernels = tf.transpose(kernels, [0, 1, 2, 4, 3])  # [N, h, w, C, filters]
    _, _, width, channels, filters = kernels.shape

    @functools.cache
    def over_rows(*taps):
        if not taps:
            return [None] * count
        # Several rows are one row with the channels of all.
        stacked = tf.transpose(tf.gather(kernels, taps, axis=1), [0, 2, 1, 3, 4])
        stacked = tf.reshape(stacked, [count, 1, width, len(taps) * channels, filters])
        return tf.unstack(tf.transpose(stacked, [0, 1, 2, 4, 3]) if transposed else stacked)

    @functools.cache
    def over_columns(*taps):
        if not taps:
            return [None] * count
        current_row = kernels[:, layer.taps(0, odd=False)[0]]
        stacked = tf.gather(current_row, taps, axis=1)
        return tf.unstack(tf.reshape(stacked, [count, len(taps) * channels, filters]))

    rows = zip(*(over_rows(*row_taps(layer, odd)) for odd in (False, True)))
    if sees_whole_rows(layer):
        return [Folded(bias, None, channels, r) for bias, r in zip(biases, rows)]
    columns = zip(*(over_columns(*layer.taps(1, odd)) for odd in (False, True)))
    return [Folded(bias, None, channels, *taps) for bias, *taps in zip(biases, rows, columns)]


def _bias(layer):
    given = layer.condition_bias()
    return layer.bias() if given is None else layer.bias() + tf.expand_dims(given, 1)


def sees_whole_rows(layer):
    """Whether a shifted layer is one of the vertical stream, which sees its own row too."""
    return isinstance(layer, (layers.DownShiftedConv2D, layers.DownShiftedConv2DTranspose))


def row_taps(layer, odd):
    """`taps` on the rows that are known when a row begins: for the horizontal stream, not the row itself."""
    taps = layer.taps(0, odd)
    no_current_row = odd and isinstance(layer, layers.ShiftedConv2DTranspose)
    return taps if no_current_row or sees_whole_rows(layer) else taps[1:]


class Memory:
    """The latest rows (axis 0) or columns (1) of each shifted layer's input: lists, the newest first."""

    def __init__(self, axis, latest):
        self.latest = latest
        self._axis = axis
        self._turns = collections.Counter()

    def add(self, layer, x):
        """Remembers x, unless it is None; returns all that is known, x included, the newest first."""
        known = self.latest[layer] if x is None else [x, *self.latest[layer]]
        self.latest[layer] = known[: layer.memory(self._axis)]
        return known

    def turn(self, layer):
        """Whether this is an odd one of the layer's outputs, which come in order, from an even one on."""
        self._turns[layer] += 1
        return self._turns[layer] % 2 == 0


@dataclasses.dataclass(eq=False)
class Rows:
    """Evaluates the vertical stream's layers on the next row, by weights from `fold` and `Memory` of rows."""

    folded: dict
    memory: Memory

    def evaluate(self, layer, x):
        folded = self.folded[layer]
        if isinstance(layer, layers.Projection):
            return sum(map(layers.product, x, folded.kernel), start=folded.bias)
        odd = self.memory.turn(layer)
        rows = self.memory.add(layer, x)
        taps = row_taps(layer, odd)
        return over_rows(layer, rows[: len(taps)], folded, odd) if taps else None


def over_rows(layer, rows, folded, odd):
    """The output of a layer for a row, from the latest rows of its input: float [B, w, filters]."""
    stacked = tf.expand_dims(tf.concat(rows, axis=-1), 1)
    row, *_ = tf.unstack(layer.apply_kernel(stacked, folded.rows[odd]), axis=1)
    return row + folded.bias


@dataclasses.dataclass(eq=False)
class Pixels:
    """Evaluates the horizontal stream's layers on the next pixel of a row."""

    folded: dict  # from `fold`
    memory: Memory  # of columns, of the layers that have both inputs and outputs in this row
    known: (
        dict  # layer -> float [B, filters], what the row knows of this pixel before its first one
    )
    inputs: dict  # layer -> list, to which the inputs of shifted layers are added

    def evaluate(self, layer, x):
        folded = self.folded[layer]
        bias, kernel = folded.bias, folded.kernel
        if isinstance(layer, layers.Projection):
            own = [part.shape.rank != 3 for part in x]  # rows, of rank 3, are known
            parts = itertools.compress(zip(x, kernel), own)
            return sum((layers.product(*pair) for pair in parts), start=self.known[layer])
        if not isinstance(layer, SHIFTED):
            return layer.apply_kernel(x, kernel) + bias
        if x is not None:
            self.inputs[layer].append(x)
        if layer not in self.memory.latest:
            return self.known.get(layer)
        odd = self.memory.turn(layer)
        pixels = self.memory.add(layer, x)
        taps = layer.taps(1, odd)
        if not taps:
            return None
        stacked = tf.concat(pixels[: len(taps)], axis=-1)
        return tf.matmul(stacked, folded.columns[odd]) + self.known[layer]
