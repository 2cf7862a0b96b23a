"""A `PixelCNN` in raster order, in NumPy: every activation of an image is evaluated once.

The vertical stream of a row depends on the rows above alone, so it is evaluated a row at a time. So are the
taps of the horizontal stream on rows above, and the skips from the vertical stream and from the auxiliary
image. Each pixel is left with products over the pixels of its own row.

A resolution that is halved l times has a row and a pixel at every 2 ** l-th alone.
"""

import functools
import itertools

import numpy as np

from pixelcnn_aux.engine.layers import Row, concat_elu, elu, gated


class _Rows:
    """The latest rows of a layer's input, newest first."""

    def __init__(self, layer, batch, width):
        shape, dtype = (batch, width, layer.channels), layer.kernel.dtype
        self.latest = [Row(shape, layer.pads, dtype) for _ in layer.taps(False)]  # zeros above
        self._layer, self._is_odd = layer, True
        self._products = functools.cache(layer.over_columns)

    def state(self):
        """Views, [B, ...] each, of all that differs between images."""
        return [row.columns.swapaxes(0, 1) for row in self.latest]

    def advance(self):
        """Makes room for a new row."""
        self.latest.insert(0, self.latest.pop())

    def convolve(self, x):
        """The layer's next row of output, given that of its input, float [B, W, C]; None for no row."""
        if x is not None:
            self.advance()
            self.latest[0].columns[:] = x.swapaxes(0, 1)
        self._is_odd = not self._is_odd
        has_output = self._layer.taps(self._is_odd)
        return self._layer.over_rows(self.latest, self._is_odd) if has_output else None

    def known(self, *skips, is_odd=False):
        """What the rows before the current one, and skips, add to each column: float [w, B, filters]."""
        known = self._layer.over_rows(self.latest, is_odd, first=0 if is_odd else 1)
        return np.ascontiguousarray(sum(skips, start=known).swapaxes(0, 1))

    def products(self):
        """`over_columns` of the current row."""
        return self._products(self.latest[0])


class _Activation:
    """An activation of the horizontal stream, and its concat_elu: the rows of each that a step sees."""

    raw: _Rows | None = None
    activated: _Rows | None = None
    skip: Row | None = None  # of the concat_elu: for later blocks alone

    def state(self):
        return [x for rows in (self.raw, self.activated) if rows for x in rows.state()]

    def begin_row(self):
        for rows in filter(None, (self.raw, self.activated)):
            rows.advance()

    def add(self, x, column):
        """Notes the activation of a pixel, float [B, filters]."""
        if self.raw is not None:
            self.raw.latest[0].columns[column] = x
        if self.activated is not None:
            concat_elu(x, out=self.activated.latest[0].columns[column])
        elif self.skip is not None:
            concat_elu(x, out=self.skip.columns[column])

    def as_skip(self):
        """The concat_elus of the current row: [W, B, 2 F]."""
        return (self.activated.latest[0] if self.activated else self.skip).columns


class _Block:
    """A gated block of the horizontal stream."""

    def __init__(self, block, source, skip, batch, width):
        self._seen = source.activated = _Rows(block.conv_in, batch, width)
        self._between = _Rows(block.conv_out, batch, width)
        self._skip, self._bias = skip, block.projection.bias
        doubled, total = 2 * block.conv_in.filters, len(block.projection.kernel)
        # Skips from the vertical stream, from an earlier activation, and from the features.
        channels = [doubled] * (1 if skip is None else 2)
        channels += [total - sum(channels)] * (total > sum(channels))
        self._before, *others = block.kernels(channels)
        self._own = None if skip is None else others.pop(0)
        self._after = others[0] if others else None

    def state(self):
        known = (x.swapaxes(0, 1) for x in (self._known_in, self._known_out))
        return [*self._between.state(), *known]

    def begin_row(self, before, after, is_odd):
        """`before` and `after` are rows of skips, float [B, w, C]."""
        del is_odd
        self._between.advance()
        skips = [self._bias, before @ self._before]
        if self._after is not None:
            skips.append(after @ self._after)
        self._known_in, self._known_out = self._seen.known(*skips), self._between.known()
        self._products_in, self._products_out = self._seen.products(), self._between.products()
        self._columns = self._between.latest[0].columns
        self._skipped = self._skip and self._skip.as_skip()

    def pixel(self, x, column):
        near, kernel = self._products_in[column]
        y = near @ kernel
        y += self._known_in[column]
        if self._skipped is not None:
            y += self._skipped[column] @ self._own
        concat_elu(y, out=self._columns[column])
        near, kernel = self._products_out[column]
        y = near @ kernel
        y += self._known_out[column]
        y = gated(y)
        y += x
        return y


class _Convolution:
    """A convolution between the blocks of the horizontal stream."""

    def __init__(self, layer, source, batch, width):
        self._seen = source.raw = _Rows(layer, batch, width)

    def state(self):
        return [self._known.swapaxes(0, 1)]

    def begin_row(self, before, after, is_odd):
        del before, after
        # An odd row of the output is known from the rows of the input up to now.
        self._known = self._seen.known(is_odd=is_odd)
        self._products = None if is_odd else self._seen.products()

    def pixel(self, x, column):
        del x
        if self._products is None:
            return self._known[column]
        near, kernel = self._products[column]
        return near @ kernel + self._known[column]


class WholeScan:
    """Evaluates any network as a whole for each pixel in raster order, given features, for (B, H, W, C)."""

    def __init__(self, network, features, shape):
        self._network, self._features, self._x = network, features, np.zeros(shape, np.float32)

    def waves(self):
        """As of `RasterScan`."""
        for at in _each_pixel(self._x.shape):
            self._at = at
            yield *at, self._network(self._x, self._features)[:, *at]

    def decided(self, x):
        """As of `RasterScan`."""
        self._x = self._x.astype(x.dtype, copy=False)
        self._x[:, *self._at] = x

    def state(self):
        """As of `RasterScan`."""
        return [self._x, *self._features]


def _each_pixel(shape):
    """Yields its row and its column, int [1] each, for each pixel of images (B, H, W, C)."""
    rows, columns = (np.arange(side)[:, np.newaxis] for side in shape[1:3])
    return itertools.product(rows, columns)


class RasterScan:
    """Evaluates a `networks.PixelCNN` pixel by pixel, given features of an `Embedding`, for (B, H, W, C)."""

    def __init__(self, network, features, shape):
        batch, _, width, _ = self._shape = shape
        self._network, self._given = network, network.given(features)
        self._levels, topology = network.horizontal.levels, network.horizontal.topology
        self._vertical = {}  # layer -> `_Rows`
        self._above = _Rows(network.above, batch, width)
        self._row_above = _Rows(network.row_above, batch, width)
        self._seen = _Rows(network.left, batch, width)  # the pixels, as the network sees them
        filters = network.above.filters
        zeros = np.zeros((batch, width, filters), network.last.kernel.dtype)
        self._first_vertical = self._first_horizontal = zeros
        self._activations = [_Activation() for _ in self._levels]
        self._steps = []  # of the activations after the first
        for k, (step, layer) in enumerate(zip(topology.steps, network.horizontal.steps), start=1):
            source, size = self._activations[k - 1], (batch, width >> self._levels[k - 1])
            if step.kind == "block":
                skip = None if step.skip is None else self._activations[step.skip]
                if skip and skip.activated is None:
                    skip.skip = Row((*size, 2 * filters), (0, 0), zeros.dtype)
                self._steps.append(_Block(layer, source, skip, *size))
            else:
                self._steps.append(_Convolution(layer, source, *size))

    def waves(self):
        """Yields (rows, columns), int [n], of n pixels that are decided at once, one here, and their params.

        These are float [B, n, num_params]. Then `decided` is to be called.
        """
        for [row], [column] in _each_pixel(self._shape):
            if column == 0:
                self._begin_row(row)
            self._column = column
            yield np.array([row]), np.array([column]), self._params(column)[:, np.newaxis]
            if column == self._shape[2] - 1:
                self._end_row()

    def decided(self, x):
        """Notes pixels as the network sees them, float [B, n, C]."""
        here = self._seen.latest[0].columns[self._column]
        here[:, :-1], here[:, -1] = x[:, 0], 1

    def _begin_row(self, row):
        """Evaluates all that row `row` knows before its first pixel."""

        def convolve(layer, x):
            if layer not in self._vertical:
                batch, width, _ = x.shape
                self._vertical[layer] = _Rows(layer, batch, width)
            return self._vertical[layer].convolve(x)

        given = None
        if self._given:
            given = [
                None if row % 2**level else x[:, row >> level]
                for level, x in zip(self._levels, self._given)
            ]
        _, vertical = self._network.vertical(self._first_vertical, after=given, convolve=convolve)
        here = [row % 2**level == 0 for level in self._levels]
        for activation in itertools.compress(self._activations, here):
            activation.begin_row()
        present = []
        for k, step in enumerate(self._steps, start=1):
            if here[k]:
                is_odd = self._levels[k] < self._levels[k - 1] and not here[k - 1]
                step.begin_row(vertical[k], given and given[k], is_odd)
                present.append((self._levels[k], step.pixel, self._activations[k].add))
        # By column modulo the coarsest resolution's period.
        period = 2 ** max(level for level, is_here in zip(self._levels, here) if is_here)
        self._plans = [[x for x in present if column % 2 ** x[0] == 0] for column in range(period)]
        self._seen.advance()
        self._first = self._first_horizontal.swapaxes(0, 1).copy()
        self._first[1:] += self._seen.known()[:-1]
        self._products = self._seen.products()

    def _params(self, column):
        """The parameters of the pixel in this column, after those before it: float [B, num_params]."""
        x = self._first[column]
        if column:
            near, kernel = self._products[column - 1]
            x = x + near @ kernel
        self._activations[0].add(x, column)
        for level, pixel, add in self._plans[column % len(self._plans)]:
            x = pixel(x, column >> level)
            add(x, column >> level)
        return self._network.last(elu(x))

    def state(self):
        """Views, [B, ...] each, of all that differs between images after pixels were `decided`."""
        parts = [*self._vertical.values(), self._above, self._row_above, self._seen]
        parts += [*self._activations, *self._steps]
        given = {id(x): x for x in self._given or () if x is not None}.values()
        first = self._first.swapaxes(0, 1)
        return [first, *given, *(x for part in parts for x in part.state())]

    def _end_row(self):
        x = self._seen.latest[0].columns.swapaxes(0, 1)
        self._first_vertical = self._above.convolve(x)
        self._first_horizontal = self._row_above.convolve(x)
