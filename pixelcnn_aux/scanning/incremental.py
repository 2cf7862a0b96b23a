"""Exact incremental evaluation: every activation of a PixelCNN once, in raster order.

The vertical stream of a row depends on the rows above alone, so it is evaluated a row at a time. So
are the horizontal convolutions' taps on rows above, and what skips from the vertical stream and from
the auxiliary image add to them. What is left for each pixel are products with the taps on its own row.

The networks run their own code for all this, with a cache (`caches`) to evaluate their layers. A
resolution that is halved l times has a row and a pixel at every 2 ** l-th alone; the loops are unrolled
over those, so that which layers have an output where is known when the graph is traced.
"""

import collections
import functools

import tensorflow as tf

from pixelcnn_aux import backend, layers
from pixelcnn_aux.scanning import caches
from pixelcnn_aux.scanning.groups import Scan
from pixelcnn_aux.topology import append_ones

# How many columns a network of one resolution takes in an iteration: with so little to do for a pixel, what
# the loop itself costs would show.
UNROLLED = 4


class IncrementalScan(Scan):
    """Evaluates a `PixelCNN` in raster order, every activation once."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._height, self._width, _ = self.shape
        self._dtype = self.network.compute_dtype
        self._folded = caches.fold(layers.normalized_layers(self.network))
        network = self.network
        widths = dict.fromkeys((network.above, network.row_above, network.left), self._width)
        for stream in (network.vertical, network.horizontal):
            for step, level in zip(stream.steps, network.topology.levels()):
                for layer in layers.normalized_layers(step):
                    if isinstance(layer, caches.SHIFTED):
                        widths[layer] = self._width // 2**level
        # (w, C) of the inputs of shifted layers.
        self._shapes = {x: (width, self._folded[x].channels) for x, width in widths.items()}

    def _zeros(self, *shape):
        return tf.zeros([self.batch, *shape], self._dtype)

    def initial_state(self):
        """What the loop over rows carries: first activations, latest rows of layers' inputs, remainders."""
        first = [self._zeros(self._width, self.network.above.filters)] * 2
        zeros = functools.cache(self._zeros)
        latest = [[zeros(*shape)] * layer.memory(0) for layer, shape in self._shapes.items()]
        remainder = () if self.remainders is None else self.remainders.initial_state()
        return first, latest, remainder

    def decide_each_pixel(self, features, decider):
        """As in `scanning`. The decider is called once a row, before its pixels."""
        # Rows after which all resolutions advance.
        period = 2 ** max(self.network.topology.levels())

        @backend.sums_in_order()
        def advance(start, first, latest, remainder, images):
            memory = caches.Memory(0, dict(zip(self._shapes, latest)))
            for offset in range(period):
                index = start + offset
                given = [
                    None if offset % 2**level else tf.gather(f, index // 2**level, axis=1)
                    for level, f in enumerate(features)
                ]
                row_remainders = self.remainders and self.remainders.row(index, remainder)
                first, remainder, row = self._row(
                    offset, first, remainder, memory, given, row_remainders, decider(_at(index))
                )
                images = images.write(index, row)
            return start + period, first, list(memory.latest.values()), remainder, images

        images = tf.TensorArray(tf.int32, self._height)
        *_, images = tf.while_loop(
            lambda start, *_: start < self._height, advance, (0, *self.initial_state(), images)
        )
        return tf.transpose(images.stack(), [1, 0, 2, 3])

    def _row(self, row_offset, first, remainder, memory, given, row_remainders, decide):
        """Decides a row: what the next one starts from, first activations and remainders, and its pixels."""
        network, folded = self.network, self._folded
        rows = caches.Rows(folded, memory)
        given = network.activate(given)
        _, vertical = network.vertical(first[0], after=given, cache=rows)
        known, inputs = self._known(row_offset, memory, vertical, given)
        packed = PackedRows(self._width, {"first": first[1], **known})

        # Columns after which all resolutions that have this row advance.
        levels = network.topology.levels()
        period = 2 ** max(level for level in levels if row_offset % 2**level == 0)
        if max(levels) == 0 and self._width % UNROLLED == 0:
            period = UNROLLED
        if row_remainders:
            period = max(period, row_remainders.ratio)  # both are powers of two
        recorder = RowRecorder(
            self._width, period, {layer: self._shapes[layer] for layer in inputs}
        )
        with_memory = [layer for layer in inputs if layer in known]

        @backend.sums_in_order()
        def advance(start, left, latest, pixels, recorded):
            memory = caches.Memory(1, dict(zip(with_memory, latest)))
            seen = collections.defaultdict(list)
            for offset in range(period):
                column = packed.column(start, offset)
                cache = caches.Pixels(folded, memory, column, seen)
                params = network.params(column["first"] + left, vertical, given, cache=cache)
                at, here = start + offset, row_remainders
                pixel = decide(params, _at(at), here and here.bounds(at, offset))
                x = append_ones(self.network_inputs(pixel, here and here.center()))
                if here:
                    here.decided(pixel)
                left = network.left(x, cache=cache)
                pixels = pixels.write(at, pixel)
            recorded = recorder.write(recorded, start, seen)
            return start + period, left, list(memory.latest.values()), pixels, recorded

        zeros = functools.cache(self._zeros)
        latest = [[zeros(folded[layer].channels)] * layer.memory(1) for layer in with_memory]
        pixels, left = tf.TensorArray(tf.int32, self._width), self._zeros(network.left.filters)
        *_, pixels, recorded = tf.while_loop(
            lambda start, *_: start < self._width,
            advance,
            (0, left, latest, pixels, recorder.blank(self._dtype)),
        )
        for layer, row in recorder.read(recorded):
            memory.add(layer, row)
        pixels = tf.transpose(pixels.stack(), [1, 0, 2])
        centers = None
        if row_remainders:
            centers, remainder = row_remainders.after(pixels)
        x = append_ones(self.network_inputs(pixels, centers))
        first = [layer(x, cache=rows) for layer in (network.above, network.row_above)]
        return first, remainder, pixels

    def _known(self, row_offset, memory, vertical, given):
        """What rows above and skips add to a row, layer -> float [B, w, F], and shifted layers it feeds."""
        network, levels = self.network, self.network.topology.levels()
        here = [row_offset % 2**level == 0 for level in levels]

        def above(layer, odd=False):
            folded, taps = self._folded[layer], caches.row_taps(layer, odd)
            if taps:
                return caches.over_rows(layer, memory.latest[layer][: len(taps)], folded, odd)
            shape = layer.compute_output_shape((self.batch, *self._shapes[layer]))
            return tf.broadcast_to(folded.bias, shape)

        known, inputs = {network.left: above(network.left)}, [network.left]
        steps = zip(network.topology.steps, network.horizontal.steps)
        for k, (step, layer) in enumerate(steps, start=1):
            if step.kind != "block":
                inputs += [layer] * here[k - 1]
                if here[k]:
                    known[layer] = above(layer, odd=not here[k - 1])
            elif here[k]:
                shifted = layer.conv_in, layer.conv_out
                inputs += shifted
                known |= {x: above(x) for x in shifted}
                folded = self._folded[layer.projection]
                known[layer.projection] = folded.bias + layers.product(
                    vertical[k], folded.kernel[0]
                )
                if given:
                    known[layer.projection] += layers.product(given[k], folded.kernel[-1])
        return known, inputs


class PackedRows:
    """Rows, key -> float [B, w, C], side by side, so that one operation takes a pixel of all of them."""

    def __init__(self, width, rows):
        self._groups = []
        for w, keys in _by_width({key: row.shape[1:] for key, row in rows.items()}):
            channels = [rows[key].shape[2] for key in keys]
            packed = tf.concat([rows[key] for key in keys], axis=-1)
            self._groups.append((width // w, keys, channels, packed))

    def column(self, start, offset):
        """dict, key -> float [B, C], of the rows that have a pixel at column start + offset."""
        result = {}
        for stride, keys, channels, packed in self._groups:
            if offset % stride == 0:
                index = start + offset if stride == 1 else (start + offset) // stride
                column = tf.gather(packed, index, axis=1)
                result.update(zip(keys, tf.split(column, channels, axis=-1)))
        return result


class RowRecorder:
    """Records what shifted layers, layer -> (w, C), see in a row, a `period` of its pixels at a time."""

    def __init__(self, width, period, inputs):
        self._period = period
        self._groups = []
        for w, recorded in _by_width({k: v for k, v in inputs.items() if k.memory(0)}):
            self._groups.append((w, width // w, recorded, [inputs[layer][1] for layer in recorded]))

    def blank(self, dtype):
        """list of `tf.TensorArray`, to be carried through the loop over columns."""
        return [tf.TensorArray(dtype, w) for w, *_ in self._groups]

    def write(self, arrays, start, inputs):
        """Writes the columns from `start` on: `inputs` is a dict, layer -> list of float [B, C]."""
        written = []
        for array, (_, stride, recorded, _) in zip(arrays, self._groups):
            for k in range(self._period // stride):
                column = tf.concat([inputs[layer][k] for layer in recorded], axis=-1)
                array = array.write(start // stride + k, column)
            written.append(array)
        return written

    def read(self, arrays):
        """Yields (layer, float [B, w, C]), its input's row."""
        for array, (_, _, recorded, channels) in zip(arrays, self._groups):
            rows = tf.transpose(array.stack(), [1, 0, 2])
            yield from zip(recorded, tf.split(rows, channels, axis=-1))


def _at(index):
    """Function that takes the rows of images [B, H, W, ...], or the pixels of rows, of this index."""
    return lambda x: tf.gather(x, index, axis=1)


def _by_width(shapes):
    """Groups the keys of a dict, key -> (w, C): list of (w, keys)."""
    groups = collections.defaultdict(list)
    for key, (width, _) in shapes.items():
        groups[width].append(key)
    return list(groups.items())
