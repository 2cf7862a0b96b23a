"""Scans of networks of one resolution: all rows of an image advance at once, along a diagonal.

A pixel depends on the row above it only up to a few columns further to the right. So in step t, row r is at
column t - delay * r, with a delay that follows from the network's kernels and blocks:

    0 1 2 3 4 5 ...
    2 3 4 5 6 7 ...     the step that decides each pixel, for a delay of 2
    4 5 6 7 8 9 ...

An activation is evaluated as many columns ahead of the decided pixels as later ones look to the right. Only
the latest steps of each are kept, so that memory grows with the height of an image.
"""

import functools
import itertools
import operator

from pixelcnn_aux.base import arrays
from pixelcnn_aux.networks.activations import silu
from pixelcnn_aux.networks.blocks import GatedResidualBlock, Whole
from pixelcnn_aux.networks.network import append_ones


class _Activation:
    """The latest steps of an activation, `ahead` columns to the right of the decided pixels."""

    def __init__(self, scan, ahead, channels):
        self.ahead, self._scan, self.channels, self.now = ahead, scan, channels, None
        # By image, row, and step modulo the period, zeros outside the image. The first steps are repeated at
        # the end, so that neighboring columns are a slice.
        rows, steps = scan.above + scan.height, scan.period + scan.widest - 1
        self._shape = scan.batch, rows, steps, channels
        self.clear()

    def clear(self):
        self.steps = self._scan.zeros(*self._shape)

    def add(self, x):
        """Adds the rows of this step, float [B, n, C], and returns the activation."""
        scan, self.now = self._scan, x
        (first, _), (ended, _) = scan.rows(self.ahead), scan.rows(self.ahead - scan.widest)
        parts = [(first, arrays.expand_dims(scan.within(x, self.ahead), 2))]
        if not scan.is_fixed and not (scan.is_plain and first == ended):
            parts.append((ended, scan.zeros(scan.batch, first - ended, 1, self.channels)))
        for position, (row, values) in itertools.product(scan.positions(), parts):
            self.steps = arrays.written(self.steps, (0, scan.above + row, position), values)
        return self

    def fields(self, ahead, up=0, right=0, count=1):
        """`count` columns for each pixel `ahead`, shifted up and right: [B n, count * C]."""
        scan = self._scan
        first, rows = scan.rows(ahead)
        start = (scan.step - scan.delay * up + ahead - self.ahead + right) % scan.period
        starts, counts = (0, scan.above - up + first, start), (None, rows, count)
        columns = arrays.window(self.steps, starts, counts)
        return arrays.reshape(columns, (-1, count * self.channels))

    def convolved(self, layer, ahead, up=0, right=0):
        """The convolution at pixels `ahead`, shifted up and right: float [B, n, F]."""

        def product(row, kernel):
            count = kernel.shape[0] // layer.channels
            return self.fields(ahead, up + row, right - layer.pads[0], count) @ kernel

        products = itertools.starmap(product, enumerate(self._scan.row_kernels[layer]))
        return layer.biased(self._scan.by_image(functools.reduce(operator.iadd, products)))


class _DiagonalScan:
    """Evaluates a network of one resolution, given features of an `Embedding`, for images (B, H, W, C).

    `layers` are its convolutions. Its first activation is `ahead` columns ahead of the decided pixels, and a
    row is `delay` columns behind the row above it. A subclass defines `_params`, the parameters of the pixels
    of a step, float [B, n, P].
    """

    def __init__(self, network, features, shape, layers, ahead, delay):
        self.batch, self.height, self.width, _ = shape
        self._network, self._ahead, self.delay = network, ahead, delay
        self._features = features[0] if features else None
        self.above = max(layer.height for layer in layers)
        self.widest = max(layer.width for layer in layers)
        self.period = self.delay * self.above + self.widest + 1  # more steps than any layer sees
        self.step, self._kept = -ahead, {}  # activations by their layers
        self.row_kernels = {}  # upwards from the pixel's own row
        for layer in layers:
            *others, own = layer.row_kernels
            self.row_kernels[layer] = [own[: own.shape[0] - layer.masked], *others[::-1]]
        self.is_plain = arrays.is_plain(network.last.kernel)
        # XLA needs the same number of rows in all steps: those within the image, and a few that have ended.
        self.is_fixed = not self.is_plain and arrays.backend().is_for_xla()
        self._most_rows = min(self.height, -(-(self.width + self.widest) // self.delay) + 1)
        self._least, self._most = (min, max) if self.is_plain else (arrays.minimum, arrays.maximum)

    def run(self, canvas):
        """Fills a `deciders.Canvas`."""
        if not self.is_plain:
            # The loop of a graph carries all activations, which are created at their first use.
            arrays.backend().trial(self._params)
            for activation in self._kept.values():
                activation.clear()

        def advance(step):
            self.step = step
            params = self._params()
            if self.is_plain and not self.rows(0)[1]:
                return
            x = canvas.fill(*self.positions_of(0), params)
            self._add("pixels", 0, append_ones(x))
            canvas.end_step(self.of_images)

        last = self.delay * (self.height - 1) + self.width
        arrays.loop(range(-self._ahead, last), advance, self, canvas)

    @property
    def state(self):
        """The arrays that a loop carries: list of float [B, ...]."""
        return [activation.steps for activation in self._kept.values()]

    @state.setter
    def state(self, steps):
        for activation, x in zip(self._kept.values(), steps):
            activation.steps = x

    def of_images(self):
        """The arrays that differ between images: list of arrays [B, ...], to be changed in place."""
        return [*self.state, *([] if self._features is None else [self._features])]

    def zeros(self, *shape):
        return arrays.zeros(shape, self._network.last.kernel)

    @property
    def step(self):
        """The current step; setting it clears the cached `rows`."""
        return self._step

    @step.setter
    def step(self, step):
        self._step, self._rows = step, {}

    def by_image(self, y):
        """[B n, F] -> [B, n, F]."""
        return arrays.reshape(y, (self.batch, -1, y.shape[-1]))

    def rows(self, ahead):
        """The first row with a pixel `ahead` in this step, and the number of such rows."""
        if ahead not in self._rows:
            step = self.step + ahead
            if self.is_fixed:
                first = (step - self.widest - self.width + self.delay) // self.delay
                first = self._least(self._most(first, 0), self.height - self._most_rows)
                count = self._most_rows
            else:
                first = self._most((step - self.width + self.delay) // self.delay, 0)
                last = self._least(step // self.delay + 1, self.height)
                count = self._most(last - first, 0)
            self._rows[ahead] = first, count
        return self._rows[ahead]

    def positions_of(self, ahead):
        """The rows and columns of the pixels `ahead`, int [n] each; columns of missing ones are outside."""
        first, count = self.rows(ahead)
        rows = first + arrays.arange(count)
        columns = self.step + ahead - self.delay * rows
        if self.is_fixed:
            exist = arrays.logical_and(columns >= 0, columns < self.width)
            columns = arrays.where(exist, columns, 2 * self.width)
        return rows, columns

    def within(self, x, ahead):
        """x, [B, n, C], with zeros for missing pixels `ahead`."""
        if not self.is_fixed:
            return x
        _, columns = self.positions_of(ahead)
        return arrays.where((columns < self.width)[:, None], x, arrays.zeros_like(x))

    def positions(self):
        """One or two positions of the current step in an activation."""
        now = self.step % self.period
        if self.is_plain:
            return (now, now + self.period)[: 1 + (now < self.widest - 1)]
        return now, arrays.where(now < self.widest - 1, now + self.period, now)

    def _activation(self, key, ahead, channels):
        if key not in self._kept:
            self._kept[key] = _Activation(self, ahead, channels)
        return self._kept[key]

    def _add(self, key, ahead, x):
        return self._activation(key, ahead, x.shape[-1]).add(x)


class DiagonalScan(_DiagonalScan, Whole):
    """Evaluates a flat `PixelCNN`; a row is at least `least_delay` columns behind the row above it."""

    def __init__(self, network, features, shape, least_delay=1):
        vertical, horizontal = map(_convolutions, (network.vertical, network.horizontal))
        # The first activation of the vertical stream is ahead by as much as all later ones look to the right.
        ahead = sum(layer.pads[1] for layer in vertical)
        delay = max(ahead + 1 + network.above.pads[1], least_delay)
        layers = [network.above, network.row_above, network.left, *vertical, *horizontal]
        super().__init__(network, features, shape, layers, ahead, delay)

    def _params(self):
        network, self._now = self._network, self._ahead
        pixels = self._activation("pixels", 0, network.left.channels)
        after = None
        if self._features is not None:
            features = arrays.pixels(self._features, *self.positions_of(self._now))
            features = self._add("features", self._now, GatedResidualBlock.activate(features))
            after = [features] * (1 + len(network.vertical.steps))
        vertical = network.rows_above(pixels, after, self)
        self._now = 0
        return network.params(network.left_of(pixels, vertical, after, self).now)

    # How the network is evaluated: see `networks.blocks.Whole`. An activation is an `_Activation`; what a
    # block computes from it is an array of the pixels `_now` columns ahead.

    def first(self, x, above, left=None):
        # There is nothing above the first row, nor to the left of the first column.
        rows, columns = self.positions_of(self._now)
        y = x.convolved(above, self._now, up=1)
        beside = None if left is None else x.convolved(left, self._now, right=-1)
        y = y * arrays.cast(rows > 0, y.dtype)[:, None]
        if beside is not None:
            y += beside * arrays.cast(columns > 0, y.dtype)[:, None]
        return self._add(above, self._now, y)

    def convolve(self, layer, x, projection=None, skips=()):
        if not isinstance(x, _Activation):
            x = self._add(("between", layer), self._now, x)
        self._layer, self._now = layer, x.ahead - layer.pads[1]
        y = x.convolved(layer, self._now)
        if skips:
            kernels = projection.kernels([skip.channels for skip in skips])
            for skip, kernel in zip(skips, kernels):
                y += self.by_image(skip.fields(self._now) @ kernel)
            y += projection.bias
        return y

    def activation(self, y, x=None):
        if x is not None:
            y += self.by_image(x.fields(self._now))
        return self._add(self._layer, self._now, y)

    def activate(self, function, x):
        return self._add((function, x), x.ahead, function(x.now))


class MaskedScan(_DiagonalScan, Whole):
    """Evaluates a `MaskedPixelCNN`."""

    def __init__(self, network, features, shape):
        layers = [network.first, *_convolutions(network.stream)]
        super().__init__(network, features, shape, layers, 0, network.delay)
        if features:
            self._features = silu(self._features, network.rounded)
            kernels = [_by_place(layer, network.side**2) for layer in network.given]
            self._kernels = arrays.concatenate(kernels, axis=-1)  # all layers side by side

    def _params(self):
        network = self._network
        pixels = self._activation("pixels", 0, network.first.channels)
        given = None if self._features is None else self._projected_features()
        x = pixels.convolved(network.first, 0)
        return network.params(x, given, self)

    def convolve(self, layer, x):
        """`Whole.convolve` of the pixels of a step, float [B, n, C]."""
        return self._add(layer, 0, x).convolved(layer, 0)

    def _projected_features(self):
        """The features for the pixels of this step, projected by each layer: list of float [B, n, F]."""
        side, (first, rows) = self._network.side, self.rows(0)
        count = -(-(first + rows) // side) - first // side
        if self.is_fixed:
            count = -(-rows // side) + 1
        blocks, width, by_row = first // side + arrays.arange(count), self._features.shape[2], []
        for row in range(side):  # all pixels at one place of their blocks
            column = self.step - self.delay * row
            columns = arrays.clip((column - self.delay * side * blocks) // side, 0, width - 1)
            features = arrays.pixels(self._features, blocks, columns)
            kernel = self._kernels[row * side + column % side]
            y = arrays.reshape(features, (-1, features.shape[-1])) @ kernel[:-1]
            y += kernel[-1]
            by_row.append(self.by_image(y))
        y = arrays.stack(by_row, axis=2)
        y = arrays.reshape(y, (self.batch, -1, y.shape[-1]))
        y = arrays.window(y, (0, first % side), (None, rows))
        layers = self._network.given
        return arrays.split(layers[0].rounding(y), len(layers), axis=-1)


def _by_place(layer, places):
    """The kernel and bias of a layer with outputs for several places: [places, C + 1, filters]."""
    both = arrays.concatenate([layer.kernel, layer.bias[None]], axis=0)
    return arrays.swapaxes(arrays.reshape(both, (layer.channels + 1, places, -1)), 0, 1)


def _convolutions(stream):
    return [layer for step in stream.steps for layer, _ in step.convolutions()]
