"""A `PixelCNN` of several resolutions in raster order: every activation of an image is evaluated once.

The vertical stream of a row depends on the rows above alone, so it is evaluated a row at a time. So are the
taps of the horizontal stream on rows above, and the skips from the vertical stream and from the auxiliary
image. Each pixel is left with products over the pixels of its own row.

A resolution that is halved l times has a row and a pixel at every 2 ** l-th alone. So loops take some rows
and columns in a step, which then does the same in all steps: a graph traces one.
"""

import functools
import itertools

from numpy.lib.stride_tricks import as_strided

from pixelcnn_aux.base import arrays
from pixelcnn_aux.networks.blocks import GatedResidualBlock
from pixelcnn_aux.networks.network import append_ones


class _Row:
    """A row of pixels of a layer's input, between zeros: `x`, [B, left + W + right, C]."""

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
        """Sets a pixel to x, [B, C], or to a function of it, which takes `out` for NumPy's arrays."""
        if not arrays.is_plain(x):
            x = x if function is None else function(x)
            self.x = arrays.written(self.x, (0, self._left + column), arrays.expand_dims(x, 1))
        elif function is None:
            self.at(column)[:] = x
        else:
            function(x, out=self.at(column))

    def near(self, count):
        """NumPy's view of so many columns side by side, from each one on, [..., B, count * C], or None."""
        if not arrays.is_plain(self.x):
            return None
        batch, width, channels = self.x.shape
        image, column, number = self.x.strides
        shape = (width - count + 1, batch, count * channels)
        return as_strided(self.x, shape, (column, image, number))

    def near_column(self, first, count):
        """So many columns side by side: [B, count * C]."""
        seen = arrays.window(self.x, (0, first), (None, count))
        return arrays.reshape(seen, (-1, count * self.x.shape[-1]))


class _Rows:
    """The latest rows of a layer's input, newest first."""

    def __init__(self, layer, batch, width):
        shape = batch, width, layer.channels
        self.latest = [
            _Row(shape, layer.pads, layer.kernel) for _ in layer.taps(False)
        ]  # zeros above
        self._layer, self._is_odd = layer, True
        # Kept in the layer, before any loop.
        _ = layer.row_kernels, layer.column_kernels, layer.kernel_above
        self._products = functools.cache(layer.over_columns)

    @property
    def state(self):
        return [row.x for row in self.latest]

    @state.setter
    def state(self, xs):
        for row, x in zip(self.latest, xs):
            row.x = x

    def advance(self):
        """Makes room for a new row."""
        self.latest.insert(0, self.latest.pop())

    def convolve(self, x):
        """The layer's next row of output, given that of its input, float [B, W, C]; None for no row."""
        if x is not None:
            self.advance()
            self.latest[0].set(x)
        self._is_odd = not self._is_odd
        has_output = self._layer.taps(self._is_odd)
        return self._layer.over_rows(self.latest, self._is_odd) if has_output else None

    def known(self, *skips, is_odd=False):
        """What the rows before the current one, and skips, add to each column: float [w, B, filters]."""
        known = self._layer.over_rows(self.latest, is_odd, first=0 if is_odd else 1)
        return arrays.contiguous(arrays.swapaxes(sum(skips, start=known), 0, 1))

    def products(self):
        """`over_columns` of the current row."""
        return self._products(self.latest[0])


class _Activation:
    """An activation of the horizontal stream, and its concat_elu: the rows of each that a step sees."""

    raw: _Rows | None = None
    activated: _Rows | None = None
    skip: _Row | None = None  # of the concat_elu: for later blocks alone

    def rows(self):
        return [rows for rows in (self.raw, self.activated) if rows]

    def current(self):
        """The rows that `add` changes."""
        return [rows.latest[0] for rows in self.rows()] + ([self.skip] if self.skip else [])

    def begin_row(self):
        for rows in self.rows():
            rows.advance()

    def add(self, x, column):
        """Notes the activation of a pixel, float [B, filters]."""
        if self.raw is not None:
            self.raw.latest[0].put(column, x)
        if self.activated is not None or self.skip is not None:
            self.as_skip().put(column, x, GatedResidualBlock.activate)

    def as_skip(self):
        """The concat_elus of the current row."""
        return self.activated.latest[0] if self.activated else self.skip


class _Block:
    """A gated block of the horizontal stream."""

    def __init__(self, block, source, skip, batch, width):
        self._seen = source.activated = _Rows(block.conv_in, batch, width)
        self.between = _Rows(block.conv_out, batch, width)
        self._block, self._skip, self._bias = block, skip, block.projection.bias
        doubled, total = 2 * block.conv_in.filters, block.projection.channels
        # Skips from the vertical stream, from an earlier activation, and from the features.
        channels = [doubled] * (1 if skip is None else 2)
        channels += [total - sum(channels)] * (total > sum(channels))
        self._before, *others = block.projection.kernels(channels)
        self._own = None if skip is None else others.pop(0)
        self._after = others[0] if others else None

    def rows(self):
        return [self.between]

    def current(self):
        return [self.between.latest[0]]

    def known(self):
        return [self._known_in, self._known_out]

    def begin_row(self, before, after, is_odd):
        """`before` and `after` are rows of skips, float [B, w, C]."""
        del is_odd
        self.between.advance()
        skips = [self._bias, arrays.product(before, self._before)]
        if self._after is not None:
            skips.append(arrays.product(after, self._after))
        self._known_in, self._known_out = self._seen.known(*skips), self.between.known()
        self._products_in, self._products_out = self._seen.products(), self.between.products()
        self._row, self._skipped = self.between.latest[0], self._skip and self._skip.as_skip()

    def pixel(self, x, column, is_odd):
        near, kernel = self._products_in(column, is_odd)
        y = near @ kernel
        y += arrays.item(self._known_in, column)
        if self._skipped is not None:
            y += self._skipped.at(column) @ self._own
        self._row.put(column, y, self._block.activate)
        near, kernel = self._products_out(column, is_odd)
        y = near @ kernel
        y += arrays.item(self._known_out, column)
        y = self._block.gate(y)
        y += x
        return y


class _Convolution:
    """A convolution between the blocks of the horizontal stream."""

    def __init__(self, layer, source, batch, width):
        self._seen = source.raw = _Rows(layer, batch, width)

    def rows(self):
        return []

    def current(self):
        return []

    def known(self):
        return [self._known]

    def begin_row(self, before, after, is_odd):
        del before, after
        # An odd row of the output is known from the rows of the input up to now.
        self._known = self._seen.known(is_odd=is_odd)
        self._products = None if is_odd else self._seen.products()

    def pixel(self, x, column, is_odd):
        del x
        if self._products is None:
            return arrays.item(self._known, column)
        near, kernel = self._products(column, is_odd)
        return near @ kernel + arrays.item(self._known, column)


class _Current:
    """The rows whose pixels are decided: what a loop over columns carries."""

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
        batch, self._height, self._width, _ = shape
        self._network, self._given = network, network.skips(features)
        self._levels, topology = network.horizontal.levels, network.horizontal.topology
        self._most = max if arrays.is_plain(network.last.kernel) else arrays.maximum
        self._above = _Rows(network.above, batch, self._width)
        self._row_above = _Rows(network.row_above, batch, self._width)
        self._seen = _Rows(network.left, batch, self._width)  # the pixels, as the network sees them
        filters = network.above.filters
        zeros = arrays.zeros((batch, self._width, filters), network.last.kernel)
        self._first_vertical = self._first_horizontal = zeros
        widths = [self._width >> level for level in self._levels]
        self._vertical = {  # layer -> `_Rows`
            layer: _Rows(layer, batch, width)
            for step, width in zip(network.vertical.steps, widths)
            for layer in ((step.conv_in, step.conv_out) if hasattr(step, "conv_in") else [step])
        }
        self._activations = [_Activation() for _ in self._levels]
        self._steps = []  # of the activations after the first
        for k, (step, layer) in enumerate(zip(topology.steps, network.horizontal.steps), start=1):
            source, size = self._activations[k - 1], (batch, widths[k - 1])
            if step.kind == "block":
                skip = None if step.skip is None else self._activations[step.skip]
                if skip and skip.activated is None:
                    skip.skip = _Row((*size, 2 * filters), (0, 0), network.last.kernel)
                self._steps.append(_Block(layer, source, skip, *size))
            else:
                self._steps.append(_Convolution(layer, source, *size))
        self._rows = [*self._vertical.values(), self._above, self._row_above, self._seen]
        for part in (*self._activations, *self._steps):
            self._rows += part.rows()

    def decide(self, canvas):
        """Decides the pixels of a `deciders.Canvas`."""
        period = 2 ** max(self._levels)

        def advance(first):
            for offset in range(period):
                self._decide_row(first + offset, offset, canvas)

        arrays.loop(range(0, self._height, period), advance, self, canvas)

    @property
    def state(self):
        """What a loop over rows carries."""
        rows = [x for rows in self._rows for x in rows.state]
        return [self._first_vertical, self._first_horizontal, *rows]

    @state.setter
    def state(self, state):
        self._first_vertical, self._first_horizontal, *xs = state
        for rows in self._rows:
            rows.state = [xs.pop(0) for _ in rows.latest]

    def _decide_row(self, row, offset, canvas):
        """Decides a row, by which its `offset` is known in a graph: it is that modulo the period."""
        here = [offset % 2**level == 0 for level in self._levels]
        steps, current = self._begin_row(row, here)
        # By column modulo the coarsest resolution's period.
        period = 2 ** max(itertools.compress(self._levels, here))
        plans = [[x for x in steps if column % 2 ** x[0] == 0] for column in range(period)]

        def advance(first):
            for column_offset, plan in enumerate(plans):
                column = first + column_offset
                params = self._params(column, column_offset, plan)[:, None]
                one = arrays.arange(1)
                x = canvas.decide(row + one, column + one, params)[:, 0]
                self._seen.latest[0].put(column, append_ones(x))
                canvas.end_step(self.of_images)

        arrays.loop(range(0, self._width, period), advance, _Current(current), canvas)
        x = self._seen.latest[0].columns()
        self._first_vertical = self._above.convolve(x)
        self._first_horizontal = self._row_above.convolve(x)

    def _begin_row(self, row, here):
        """Evaluates all that a row knows before its first pixel; `here` tells which activations it has.

        Returns the level, `pixel` and `add` of each step, and the rows that they change.
        """

        def convolve(layer, x):
            return self._vertical[layer].convolve(x)

        given = None
        if self._given:
            given = [
                arrays.lookup(x, row // 2**level, axis=1) if is_here else None
                for level, x, is_here in zip(self._levels, self._given, here)
            ]
        _, vertical = self._network.vertical(self._first_vertical, None, given, convolve)
        for activation in itertools.compress(self._activations, here):
            activation.begin_row()
        present, current = [], self._activations[0].current()
        for k, step in enumerate(self._steps, start=1):
            if here[k]:
                is_odd = self._levels[k] < self._levels[k - 1] and not here[k - 1]
                step.begin_row(vertical[k], given and given[k], is_odd)
                present.append((self._levels[k], step.pixel, self._activations[k].add))
                current += step.current() + self._activations[k].current()
        self._present = [step for step, is_here in zip(self._steps, here[1:]) if is_here]
        self._seen.advance()
        first, known = arrays.swapaxes(self._first_horizontal, 0, 1), self._seen.known()
        self._first = arrays.concatenate([first[:1], first[1:] + known[:-1]], axis=0)
        self._products = self._seen.products()
        return present, [*current, self._seen.latest[0]]

    def _params(self, column, offset, plan):
        """The parameters of the pixel in this column, after those before it: float [B, num_params]."""
        near, kernel = self._products(self._most(column - 1, 0), False)
        left = near @ kernel
        if offset == 0:  # There may be nothing to the left.
            left = left * arrays.cast(column > 0, left.dtype)
        x = arrays.item(self._first, column) + left
        self._activations[0].add(x, column)
        for level, pixel, add in plan:
            here, is_odd = column // 2**level, (offset >> level) % 2
            x = pixel(x, here, is_odd)
            add(x, here)
        return self._network.last(arrays.elu(x))

    def of_images(self):
        """All that differs between images after pixels were decided: list of arrays [B, ...]."""
        given = {id(x): x for x in self._given or () if x is not None}.values()
        known = [self._first, *(x for step in self._present for x in step.known())]
        skips = [x.skip.x for x in self._activations if x.skip]
        return [*self.state, *given, *skips, *(x.swapaxes(0, 1) for x in known)]
