"""A scan of a `PixelCNN` of several resolutions in raster order: every activation is evaluated once.

The vertical stream of a row depends only on the rows above, so it is evaluated a row at a time. So are the
taps of the horizontal stream on rows above, and the skips from the vertical stream and from the auxiliary
image. Each pixel is left with products over the pixels of its own row.

A resolution that is halved l times has only every 2 ** l-th row and column. So each step of a loop takes one
period of rows or columns: all steps do the same, and a graph traces one.
"""

import functools
import itertools

from numpy.lib.stride_tricks import as_strided

from pixelcnn_aux.base import arrays
from pixelcnn_aux.networks.blocks import Whole
from pixelcnn_aux.networks.network import append_ones


class _Row:
    """A zero-padded row of a layer's input: `x`, [B, left + W + right, C]."""

    def __init__(self, shape, pads, like):
        batch, width, channels = self.shape = shape
        self._left = pads[0]
        self.x = arrays.zeros((batch, sum(pads) + width, channels), like)

    def columns(self):
        """The pixels: [B, W, C]."""
        return self.x[:, self._left : self._left + self.shape[1]]

    def at(self, column):
        """One pixel: [B, C]."""
        return arrays.item(self.x, self._left + column, 1)

    def set(self, x):
        """Sets all pixels, [B, W, C]."""
        self.x = arrays.written(self.x, (0, self._left), x)

    def put(self, column, x):
        """Sets a pixel to x, [B, C]."""
        if arrays.is_plain(x):
            self.at(column)[:] = x
        else:
            self.x = arrays.written(self.x, (0, self._left + column), arrays.expand_dims(x, 1))

    def fields(self, count):
        """NumPy's view of all runs of `count` columns, [..., B, count * C]; None for a tensor."""
        if not arrays.is_plain(self.x):
            return None
        batch, width, channels = self.x.shape
        image, column, number = self.x.strides
        shape = (width - count + 1, batch, count * channels)
        return as_strided(self.x, shape, (column, image, number))

    def field(self, first, count):
        """A run of `count` columns: [B, count * C]."""
        columns = arrays.window(self.x, (0, first), (None, count))
        return arrays.reshape(columns, (-1, count * self.x.shape[-1]))


class _Rows:
    """The latest rows of a layer's input, newest first."""

    def __init__(self, layer, batch, width):
        shape = batch, width, layer.channels
        self.latest = [_Row(shape, layer.pads, layer.kernel) for _ in layer.taps(False)]
        self._layer, self._is_odd = layer, True
        # Cached properties must be computed outside of loops of graphs.
        _ = layer.row_kernels, layer.column_kernels
        self._products = functools.cache(layer.over_columns)

    def advance(self):
        """Makes room for a new row."""
        self.latest.insert(0, self.latest.pop())

    def convolve(self, x):
        """The next row of output, or None, given the next row of input, float [B, W, C], or None."""
        if x is not None:
            self.advance()
            self.latest[0].set(x)
        self._is_odd = not self._is_odd
        has_output = self._layer.taps(self._is_odd)
        return self._layer.over_rows(self.latest, self._is_odd) if has_output else None

    def partial_sums(self, *skips, is_odd=False):
        """The part of each column of output from earlier rows and from skips: float [w, B, filters]."""
        sums = self._layer.over_rows(self.latest, is_odd, first=0 if is_odd else 1)
        return arrays.contiguous(arrays.swapaxes(sum(skips, start=sums), 0, 1))

    def products(self):
        """`over_columns` of the current row."""
        return self._products(self.latest[0])


class _Horizontal(_Rows):
    """A convolution of the horizontal stream, from one resolution to another, or to the same.

    `projection` is that of the skips which are added: a row from the vertical stream, maybe a pixel's earlier
    activation, and maybe a row of features.
    """

    def __init__(self, layer, shape, levels, projection, has_own_skip):
        super().__init__(layer, shape[0], shape[2] >> levels[0])
        self.level, self._level_out = levels
        self.sums, self._bias = None, None if projection is None else projection.bias
        self._before, self._own, self._after = None, None, None
        if projection is not None:
            channels = [layer.channels] * (1 + has_own_skip)
            if (features := projection.channels - sum(channels)) > 0:
                channels.append(features)
            self._before, *kernels = projection.kernels(channels)
            self._own = kernels.pop(0) if has_own_skip else None
            self._after = kernels[0] if kernels else None

    def begin_row(self, has_row, before, after):
        """Sums what the row's pixels take from rows above, and from rows of skips, float [B, w, C]."""
        has_input = has_row[self.level]
        if has_input:
            self.advance()
        self.sums = None
        if has_row[self._level_out]:
            skips = (
                [] if self._before is None else [self._bias, arrays.product(before, self._before)]
            )
            if self._after is not None:
                skips.append(arrays.product(after, self._after))
            # An odd row of the output depends on earlier rows of the input alone.
            is_odd = not has_input
            self.sums = self.partial_sums(*skips, is_odd=is_odd)
            self._current = None if is_odd else self.products()

    def at_pixel(self, x, column, offset, skips):
        """The output at a column, whose `offset` a graph knows, or None, given the input x there or None."""
        if x is not None:
            self.latest[0].put(column // 2**self.level, x)
        if self.sums is None or offset % 2**self._level_out:
            return None
        column = column // 2**self._level_out
        if self._current is None:
            return arrays.item(self.sums, column)
        field, kernel = self._current(column, (offset >> self._level_out) % 2)
        y = field @ kernel
        y += arrays.item(self.sums, column)
        if self._own is not None:
            y += skips[0] @ self._own
        return y


class _Carry:
    """Rows that a loop carries."""

    def __init__(self, rows):
        self._rows = rows

    @property
    def state(self):
        return [row.x for row in self._rows]

    @state.setter
    def state(self, xs):
        for row, x in zip(self._rows, xs):
            row.x = x


class _RowByRow(Whole):
    """Evaluates the vertical stream a row at a time, from a first activation that is known."""

    def __init__(self, rows):
        self._rows = rows  # layer -> `_Rows`

    def first(self, x, above, left=None):
        return x

    def convolve(self, layer, x, projection=None, skips=()):
        return super().convolve(self._rows[layer].convolve, x, projection, skips)


class RowScan(Whole):
    """Evaluates a `PixelCNN` pixel by pixel, given features of an `Embedding`, for images (B, H, W, C)."""

    def __init__(self, network, features, shape):
        self._batch, self._height, self._width, _ = shape
        self._network, self._features = network, network.skips(features)
        self._levels = levels = network.horizontal.levels
        self._most = max if arrays.is_plain(network.last.kernel) else arrays.maximum
        self._above = _Rows(network.above, self._batch, self._width)
        self._row_above = _Rows(network.row_above, self._batch, self._width)
        self._pixels = _Rows(network.left, self._batch, self._width)  # as the network sees them
        zeros = arrays.zeros((self._batch, self._width, network.above.filters), network.last.kernel)
        self._first_vertical = self._first_horizontal = zeros
        self._vertical = {
            layer: _Rows(layer, self._batch, self._width >> level)
            for step, level in zip(network.vertical.steps, levels)
            for layer, _ in step.convolutions()
        }
        self._by_row = _RowByRow(self._vertical)
        self._steps = [  # of the horizontal stream, which make the activations after the first
            {
                layer: _Horizontal(
                    layer, shape, levels[k : k + 2], projection, step.skip is not None
                )
                for layer, projection in part.convolutions()
            }
            for k, (step, part) in enumerate(zip(network.topology.steps, network.horizontal.steps))
        ]
        self._horizontal = dict(itertools.chain(*(step.items() for step in self._steps)))

    def run(self, canvas):
        """Fills a `deciders.Canvas`."""

        def decide_rows(first):
            for offset in range(2 ** max(self._levels)):
                has_row = [offset % 2**level == 0 for level in range(max(self._levels) + 1)]
                self._row = first + offset
                changed = _Carry(self._begin_row(has_row))
                # The period of the coarsest resolution that has this row.
                self._period = 2 ** max(itertools.compress(itertools.count(), has_row))
                arrays.loop(range(0, self._width, self._period), decide_pixels, changed, canvas)
                x = self._pixels.latest[0].columns()
                self._first_vertical = self._above.convolve(x)
                self._first_horizontal = self._row_above.convolve(x)

        def decide_pixels(first):
            for offset in range(self._period):
                self._offset, self._column = offset, first + offset
                last = self._network.left_of(None, None, None, self)
                place = (arrays.arange(1) + x for x in (self._row, self._column))
                x = canvas.fill(*place, self._network.params(last)[:, None])
                self._pixels.latest[0].put(self._column, append_ones(x[:, 0]))
                canvas.end_step(self.of_images)

        arrays.loop(range(0, self._height, 2 ** max(self._levels)), decide_rows, self, canvas)

    @property
    def state(self):
        """The arrays that a loop over rows carries."""
        return [self._first_vertical, self._first_horizontal, *self._latest_rows().state]

    @state.setter
    def state(self, state):
        self._first_vertical, self._first_horizontal, *xs = state
        self._latest_rows().state = xs

    def _latest_rows(self):
        first = self._above, self._row_above, self._pixels
        every = *first, *self._vertical.values(), *self._horizontal.values()
        return _Carry([row for rows in every for row in rows.latest])

    def _begin_row(self, has_row):
        """Prepares the current row for its first pixel; returns the rows that its pixels change."""
        after = [None] * len(self._levels)
        if self._features:
            after = [
                arrays.lookup(x, self._row // 2**level, axis=1) if has_row[level] else None
                for level, x in zip(self._levels, self._features)
            ]
        skips = after if self._features else None
        before = self._network.rows_above(self._first_vertical, skips, self._by_row)
        for step, *rows_of_skips in zip(self._steps, before[1:], after[1:]):
            for layer in step.values():
                layer.begin_row(has_row, *rows_of_skips)
        self._pixels.advance()
        first = arrays.swapaxes(self._first_horizontal, 0, 1)
        left = self._pixels.partial_sums()
        self._first = arrays.concatenate([first[:1], first[1:] + left[:-1]], axis=0)
        self._products = self._pixels.products()
        changed = [x for x in self._horizontal.values() if has_row[x.level]]
        return [x.latest[0] for x in [*changed, self._pixels]]

    # How the horizontal stream is evaluated, on pixels [B, filters]: see `networks.blocks.Whole`.

    def first(self, x, above, left=None):
        field, kernel = self._products(self._most(self._column - 1, 0), False)
        beside = field @ kernel
        if self._offset == 0:  # There may be nothing to the left.
            beside = beside * arrays.cast(self._column > 0, beside.dtype)
        return arrays.item(self._first, self._column) + beside

    def convolve(self, layer, x, projection=None, skips=()):
        return self._horizontal[layer].at_pixel(x, self._column, self._offset, skips)

    def of_images(self):
        """The arrays that differ between images: list of arrays [B, ...], to be changed in place."""
        features = {id(x): x for x in self._features or ()}.values()
        sums = [self._first, *(x.sums for x in self._horizontal.values() if x.sums is not None)]
        return [*self.state, *features, *(x.swapaxes(0, 1) for x in sums)]
