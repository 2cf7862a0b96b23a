"""What evaluates a layer on a row or a pixel, against the rows and pixels before it.

A network that is given a cache hands it every weight-normalized layer: `cache.evaluate(layer, x)`. There
are three: `Rows` for the vertical stream; `RowsAbove` for what is known of a row of the horizontal stream
before its first pixel; `Pixels` for the rest. At a resolution that is halved, every other row and pixel
has no output, or no input: None.
"""

import collections
from typing import NamedTuple

import tensorflow as tf

from pixelcnn_aux import layers

# The layers that see earlier rows or pixels; all others are products over a pixel's channels.
SHIFTED = (layers.ShiftedConv2D, layers.ShiftedConv2DTranspose)


class Kernels(NamedTuple):
    """A shifted layer's kernel as it is used; lists are indexed by whether the output is an odd one."""

    channels: int  # C, of the input
    rows: list  # of [1, w, n C, filters]: taps on all rows known
    above: list  # of [1, w, n C, filters]: taps on those before the current one
    columns: list  # of [n C, filters]: taps on the current row's pixels


def fold(layer):
    """A layer's normalized kernel; of a shifted layer, `Kernels`. To be called once, before any loop."""
    kernel = layer.kernel()
    if not isinstance(layer, SHIFTED):
        return kernel
    transposed = isinstance(layer, layers.ShiftedConv2DTranspose)
    if transposed:
        kernel = tf.transpose(kernel, [0, 1, 3, 2])  # [h, w, C, filters]
    _, width, channels, filters = kernel.shape

    def over_rows(taps):
        if not taps:
            return None
        # Several rows are one row of as many times the channels.
        stacked = tf.transpose(tf.gather(kernel, taps), [1, 0, 2, 3])
        stacked = tf.reshape(stacked, [1, width, len(taps) * channels, filters])
        return tf.transpose(stacked, [0, 1, 3, 2]) if transposed else stacked

    def over_columns(taps):
        if not taps:
            return None
        current_row = kernel[layer.taps(0, odd=False)[0]]
        return tf.reshape(tf.gather(current_row, taps), [len(taps) * channels, filters])

    odds = (False, True)
    return Kernels(
        channels,
        rows=[over_rows(layer.taps(0, odd)) for odd in odds],
        above=[over_rows(_taps_above(layer, odd)) for odd in odds],
        columns=[over_columns(layer.taps(1, odd)) for odd in odds],
    )


def _taps_above(layer, odd):
    """`taps` without that on the current row of the input, where there is one."""
    taps = layer.taps(0, odd)
    no_current_row = odd and isinstance(layer, layers.ShiftedConv2DTranspose)
    return taps if no_current_row else taps[1:]


class Memory:
    """The latest rows or columns of each shifted layer's input.

    Args:
      axis: 0 for rows, 1 for columns.
      latest: dict, layer -> list of tensors, the newest first.
    """

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


class Rows:
    """Evaluates the vertical stream's layers on the next row.

    Args:
      kernels: dict, layer -> what `fold` made of it.
      memory: `Memory` of rows.
    """

    def __init__(self, kernels, memory):
        self._kernels = kernels
        self._memory = memory

    def evaluate(self, layer, x):
        kernel = self._kernels[layer]
        if not isinstance(layer, SHIFTED):
            return layer.apply_kernel(x, kernel) + layer.bias()
        odd = self._memory.turn(layer)
        rows = self._memory.add(layer, x)
        taps = layer.taps(0, odd)
        return _over_rows(layer, rows[: len(taps)], kernel.rows[odd]) if taps else None


def _over_rows(layer, rows, kernel):
    stacked = tf.concat(rows, axis=-1)[:, tf.newaxis]
    return layer.apply_kernel(stacked, kernel)[:, 0] + layer.bias()


class RowsAbove:
    """Evaluates the part of the horizontal stream's layers that a row knows before its first pixel.

    A skip that has a width, [B, w, C], is known for the whole row. Any pixel serves for the pixels' own
    activations [B, C]: nothing in `known` depends on them.

    Args:
      kernels: dict, layer -> what `fold` made of it.
      memory: `Memory` of rows.
      shapes: dict, shifted layer -> (w, C) of its input's rows.

    Attributes:
      known: dict, layer -> float [B, w, filters]: its bias and what the rows above, or known skips, add.
      inputs: list of the shifted layers whose input has pixels in this row.
    """

    def __init__(self, kernels, memory, shapes):
        self.known = {}
        self.inputs = []
        self._kernels = kernels
        self._memory = memory
        self._shapes = shapes

    def evaluate(self, layer, x):
        kernel = self._kernels[layer]
        if isinstance(layer, layers.Projection):
            known = [layers.product(part, k) for part, k in zip(x, kernel) if _is_known(part)]
            self.known[layer] = tf.add_n(known) + layer.bias()
        elif not isinstance(layer, SHIFTED):
            return layer.apply_kernel(x, kernel) + layer.bias()
        else:
            if x is not None:
                self.inputs.append(layer)
            odd = self._memory.turn(layer)
            if not layer.taps(0, odd):
                return None
            self.known[layer] = self._rows_above(layer, x, odd)
        return self.known[layer][:, 0]

    def _rows_above(self, layer, x, odd):
        taps = _taps_above(layer, odd)
        if taps:
            rows = self._memory.latest[layer][: len(taps)]
            return _over_rows(layer, rows, self._kernels[layer].above[odd])
        batch = tf.shape(x)[0] if x.shape[0] is None else x.shape[0]
        return tf.broadcast_to(
            layer.bias(), layer.compute_output_shape((batch, *self._shapes[layer]))
        )


def _is_known(part):
    return part.shape.rank == 3


class Pixels:
    """Evaluates the horizontal stream's layers on the next pixel of a row.

    Args:
      kernels: dict, layer -> what `fold` made of it.
      memory: `Memory` of columns, of the layers that have both inputs and outputs in this row.
      known: dict, layer -> float [B, filters], `RowsAbove.known` at this pixel.
      inputs: dict, layer -> list, to which the inputs of shifted layers are added.
    """

    def __init__(self, kernels, memory, known, inputs):
        self._kernels = kernels
        self._memory = memory
        self._known = known
        self._inputs = inputs

    def evaluate(self, layer, x):
        kernel = self._kernels[layer]
        if isinstance(layer, layers.Projection):
            own = [layers.product(part, k) for part, k in zip(x, kernel) if not _is_known(part)]
            return sum(own, start=self._known[layer])
        if not isinstance(layer, SHIFTED):
            return layer.apply_kernel(x, kernel) + layer.bias()
        if x is not None:
            self._inputs[layer].append(x)
        if layer not in self._memory.latest:
            return self._known.get(layer)
        odd = self._memory.turn(layer)
        pixels = self._memory.add(layer, x)
        taps = layer.taps(1, odd)
        if not taps:
            return None
        stacked = tf.concat(pixels[: len(taps)], axis=-1)
        return tf.matmul(stacked, kernel.columns[odd]) + self._known[layer]
