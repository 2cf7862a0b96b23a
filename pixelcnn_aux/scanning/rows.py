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
from pixelcnn_aux.networks.blocks import GatedResidualBlock, convolutions
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

    def put(self, column, x, function=None):
        """Sets a pixel to x, [B, C], or to a function of it, which takes `out` for NumPy arrays."""
        if not arrays.is_plain(x):
            x = x if function is None else function(x)
            self.x = arrays.written(self.x, (0, self._left + column), arrays.expand_dims(x, 1))
        elif function is None:
            self.at(column)[:] = x
        else:
            function(x, out=self.at(column))

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


class _Activation:
    """An activation of the horizontal stream, and its concat_elu: the latest rows of each, as needed."""

    raw: _Rows | None = None
    activated: _Rows | None = None
    skip: _Row | None = None  # the concat_elu, if only later blocks use it

    def rows(self):
        return [rows for rows in (self.raw, self.activated) if rows]

    def current(self):
        """The rows that `add` changes."""
        return [rows.latest[0] for rows in self.rows()] + ([self.skip] if self.skip else [])

    def begin_row(self):
        for rows in self.rows():
            rows.advance()

    def add(self, x, column):
        """Sets the activation of a pixel, float [B, filters]."""
        if self.raw is not None:
            self.raw.latest[0].put(column, x)
        if self.activated is not None or self.skip is not None:
            self.as_skip().put(column, x, GatedResidualBlock.activate)

    def as_skip(self):
        """The concat_elu of the current row."""
        return self.activated.latest[0] if self.activated else self.skip


class _Block:
    """A gated block of the horizontal stream."""

    def __init__(self, block, source, skip, rows_of):
        self._input = source.activated = rows_of(block.conv_in)
        self._between = rows_of(block.conv_out)
        self._block, self._skip, self._bias = block, skip, block.projection.bias
        # Skips from the vertical stream, from an earlier activation, and from the features.
        channels = [block.conv_in.channels] * (1 if skip is None else 2)
        if (features := block.projection.channels - sum(channels)) > 0:
            channels.append(features)
        self._before, *kernels = block.projection.kernels(channels)
        self._own = None if skip is None else kernels.pop(0)
        self._after = kernels[0] if kernels else None

    def current(self):
        return [self._between.latest[0]]

    def partial_sums(self):
        return [self._sums_in, self._sums_out]

    def begin_row(self, before, after, is_odd):
        """`before` and `after` are rows of skips, float [B, w, C]."""
        del is_odd
        self._between.advance()
        skips = [self._bias, arrays.product(before, self._before)]
        if self._after is not None:
            skips.append(arrays.product(after, self._after))
        self._sums_in = self._input.partial_sums(*skips)
        self._sums_out = self._between.partial_sums()
        self._products_in, self._products_out = self._input.products(), self._between.products()
        self._row, self._skipped = self._between.latest[0], self._skip and self._skip.as_skip()

    def pixel(self, x, column, is_odd):
        field, kernel = self._products_in(column, is_odd)
        y = field @ kernel
        y += arrays.item(self._sums_in, column)
        if self._skipped is not None:
            y += self._skipped.at(column) @ self._own
        self._row.put(column, y, self._block.activate)
        field, kernel = self._products_out(column, is_odd)
        y = field @ kernel
        y += arrays.item(self._sums_out, column)
        y = self._block.gate(y)
        y += x
        return y


class _Convolution:
    """A convolution between the blocks of the horizontal stream."""

    def __init__(self, layer, source, rows_of):
        self._input = source.raw = rows_of(layer)

    def current(self):
        return []

    def partial_sums(self):
        return [self._sums]

    def begin_row(self, before, after, is_odd):
        del before, after
        # An odd row of the output depends on earlier rows of the input alone.
        self._sums = self._input.partial_sums(is_odd=is_odd)
        self._products = None if is_odd else self._input.products()

    def pixel(self, x, column, is_odd):
        del x
        if self._products is None:
            return arrays.item(self._sums, column)
        field, kernel = self._products(column, is_odd)
        return field @ kernel + arrays.item(self._sums, column)


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


class RowScan:
    """Evaluates a `PixelCNN` pixel by pixel, given features of an `Embedding`, for images (B, H, W, C)."""

    def __init__(self, network, features, shape):
        self._batch, self._height, self._width, _ = shape
        self._network, self._features = network, network.skips(features)
        self._levels, topology = network.horizontal.levels, network.horizontal.topology
        self._most = max if arrays.is_plain(network.last.kernel) else arrays.maximum
        self._rows = []  # all `_Rows`
        self._above = self._rows_of(0, network.above)
        self._row_above = self._rows_of(0, network.row_above)
        self._pixels = self._rows_of(0, network.left)  # as the network sees them
        zeros = arrays.zeros((self._batch, self._width, network.above.filters), network.last.kernel)
        self._first_vertical = self._first_horizontal = zeros
        self._vertical = {  # layer -> `_Rows`
            layer: self._rows_of(level, layer)
            for step, level in zip(network.vertical.steps, self._levels)
            for layer in convolutions(step)
        }
        self._activations = [_Activation() for _ in self._levels]
        self._steps = []  # which compute the activations after the first
        for k, (step, layer) in enumerate(zip(topology.steps, network.horizontal.steps), start=1):
            source, level = self._activations[k - 1], self._levels[k - 1]
            rows_of = functools.partial(self._rows_of, level)
            if step.kind == "block":
                skip = None if step.skip is None else self._activations[step.skip]
                if skip and skip.activated is None:
                    skip_shape = self._batch, self._width >> level, layer.conv_in.channels
                    skip.skip = _Row(skip_shape, (0, 0), network.last.kernel)
                self._steps.append(_Block(layer, source, skip, rows_of))
            else:
                self._steps.append(_Convolution(layer, source, rows_of))

    def _rows_of(self, level, layer):
        rows = _Rows(layer, self._batch, self._width >> level)
        self._rows.append(rows)
        return rows

    def run(self, canvas):
        """Fills a `deciders.Canvas`."""
        period = 2 ** max(self._levels)

        def advance(first):
            for offset in range(period):
                self._decide_row(first + offset, offset, canvas)

        arrays.loop(range(0, self._height, period), advance, self, canvas)

    @property
    def state(self):
        """The arrays that a loop over rows carries."""
        return [self._first_vertical, self._first_horizontal, *self._latest_rows().state]

    @state.setter
    def state(self, state):
        self._first_vertical, self._first_horizontal, *xs = state
        self._latest_rows().state = xs

    def _latest_rows(self):
        return _Carry([row for rows in self._rows for row in rows.latest])

    def _decide_row(self, row, offset, canvas):
        """Decides a row; `offset` is the row modulo the period, which a graph knows."""
        has_row = [offset % 2**level == 0 for level in self._levels]
        steps, current = self._begin_row(row, has_row)
        # The steps of each column, modulo the period of the coarsest resolution that has this row.
        period = 2 ** max(itertools.compress(self._levels, has_row))
        plans = [[x for x in steps if column % 2 ** x[0] == 0] for column in range(period)]

        def advance(first):
            for column_offset, plan in enumerate(plans):
                column = first + column_offset
                params = self._params(column, column_offset, plan)[:, None]
                zero = arrays.arange(1)
                x = canvas.fill(row + zero, column + zero, params)[:, 0]
                self._pixels.latest[0].put(column, append_ones(x))
                canvas.end_step(self.of_images)

        arrays.loop(range(0, self._width, period), advance, _Carry(current), canvas)
        x = self._pixels.latest[0].columns()
        self._first_vertical = self._above.convolve(x)
        self._first_horizontal = self._row_above.convolve(x)

    def _begin_row(self, row, has_row):
        """Prepares a row for its first pixel; returns its steps, and the rows that they change."""

        def convolve(layer, x):
            return self._vertical[layer].convolve(x)

        after = None
        if self._features:
            after = [
                arrays.lookup(x, row // 2**level, axis=1) if has else None
                for level, x, has in zip(self._levels, self._features, has_row)
            ]
        _, vertical = self._network.vertical(self._first_vertical, None, after, convolve)
        for activation in itertools.compress(self._activations, has_row):
            activation.begin_row()
        present, current = [], self._activations[0].current()
        for k, step in enumerate(self._steps, start=1):
            if has_row[k]:
                is_odd = self._levels[k] < self._levels[k - 1] and not has_row[k - 1]
                step.begin_row(vertical[k], after and after[k], is_odd)
                present.append((self._levels[k], step.pixel, self._activations[k].add))
                current += step.current() + self._activations[k].current()
        self._present = [*itertools.compress(self._steps, has_row[1:])]
        self._pixels.advance()
        first = arrays.swapaxes(self._first_horizontal, 0, 1)
        left = self._pixels.partial_sums()
        self._first = arrays.concatenate([first[:1], first[1:] + left[:-1]], axis=0)
        self._products = self._pixels.products()
        return present, [*current, self._pixels.latest[0]]

    def _params(self, column, offset, plan):
        """The parameters of the pixel in this column, given earlier pixels: float [B, num_params]."""
        field, kernel = self._products(self._most(column - 1, 0), False)
        left = field @ kernel
        if offset == 0:  # There may be nothing to the left.
            left = left * arrays.cast(column > 0, left.dtype)
        x = arrays.item(self._first, column) + left
        self._activations[0].add(x, column)
        for level, pixel, add in plan:
            own_column, is_odd = column // 2**level, (offset >> level) % 2
            x = pixel(x, own_column, is_odd)
            add(x, own_column)
        return self._network.last(arrays.elu(x))

    def of_images(self):
        """The arrays that differ between images: list of arrays [B, ...], to be changed in place."""
        features = {id(x): x for x in self._features or ()}.values()
        sums = [self._first, *(x for step in self._present for x in step.partial_sums())]
        skips = [x.skip.x for x in self._activations if x.skip]
        return [*self.state, *features, *skips, *(x.swapaxes(0, 1) for x in sums)]
