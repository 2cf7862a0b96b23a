"""Networks of one resolution, in NumPy: all rows of an image go on at once, along a diagonal.

A pixel depends on the row above it only up to some columns further to the right. So in step t, row r is at
column t - delay * r, for a delay that follows from the network's kernels and blocks:

    0 1 2 3 4 5 ...
    2 3 4 5 6 7 ...     the step that decides each pixel, for a delay of 2
    4 5 6 7 8 9 ...

An activation that later ones see to the right of their pixel is evaluated as many columns ahead of it. The
latest steps of each are kept, so that memory grows with the height of an image.
"""

import itertools

import numpy as np

from pixelcnn_aux.engine.layers import concat_elu, elu, gated, silu
from pixelcnn_aux.topology import append_ones


class _Activation:
    """The latest steps of an activation, `ahead` columns to the right of the pixels that are decided."""

    def __init__(self, scan, ahead, channels):
        self.ahead, self._scan, self.now = ahead, scan, None
        # By row, image and step, modulo the period; the first ones also at the end, so that columns side by
        # side are a slice. Zeros outside of the image.
        shape = scan.above + scan.height, scan.batch, scan.period + scan.widest - 1, channels
        self.steps = np.zeros(shape, scan.dtype)

    def add(self, x):
        """The activation, given its rows of this step, float [n, B, C]."""
        scan, self.now = self._scan, x
        first, last = (scan.above + row for row in scan.rows(self.ahead))
        ended, _ = (scan.above + row for row in scan.rows(self.ahead - scan.widest))
        now = scan.step % scan.period
        for position in (now, now + scan.period)[: 1 + (now < scan.widest - 1)]:
            self.steps[first:last, :, position] = x
            self.steps[ended:first, :, position] = 0
        return self

    def near(self, ahead, up=0, right=0, count=1):
        """The columns that pixels `ahead` see, some rows up and columns right: [n B, count * C], a view."""
        scan = self._scan
        first, last = (scan.above - up + row for row in scan.rows(ahead))
        start = (scan.step - scan.delay * up + ahead - self.ahead + right) % scan.period
        seen = self.steps[first:last, :, start : start + count]
        return seen.reshape(len(seen) * scan.batch, count * seen.shape[-1])

    def convolved(self, layer, ahead, up=0, right=0):
        """A shifted convolution `ahead`, of what lies some rows up and columns right: float [n, B, F]."""
        y = None
        for row in range(layer.height):
            kernel = layer.row_kernels[-1 - row]
            if row == 0:
                kernel = kernel[: len(kernel) - layer.masked]
            near = self.near(ahead, up + row, right - layer.pads[0], len(kernel) // layer.channels)
            product = near @ kernel
            y = product if y is None else np.add(y, product, out=y)
        y = y.reshape(-1, self._scan.batch, layer.filters)
        y += layer.bias
        return layer.rounding(y)


class _Waves:
    """Evaluates a network of one resolution, given features of an `Embedding`, for images (B, H, W, C).

    `layers` are its convolutions. Its first activation is `ahead` columns ahead of the pixels that are
    decided, and a row is `delay` columns behind the one above it. A subclass has `_params`, the parameters of
    a step's pixels, float [n, B, P].
    """

    def __init__(self, network, features, shape, layers, ahead, delay):
        self.batch, self.height, self.width, _ = shape
        self._network, self.dtype = network, network.last.kernel.dtype
        self._features = features[0] if features else None
        self._ahead, self.delay = ahead, delay
        self.above = max(layer.height for layer in layers)
        self.widest = max(layer.width for layer in layers)
        self.period = self.delay * self.above + self.widest + 1  # more than is seen of them
        self.step = 0
        self._kept = {}  # by what makes them

    def waves(self):
        """Yields (rows, columns), of n pixels that are decided at once, and their parameters: [B, n, P].

        `decided` is to be called for each.
        """
        last = self.delay * (self.height - 1) + self.width
        for step in range(-self._ahead, last):
            self.step = step
            params = self._params()
            first, last_row = self.rows(0)
            if first < last_row:
                rows = np.arange(first, last_row)
                yield rows, step - self.delay * rows, params.swapaxes(0, 1)

    def decided(self, x):
        """Notes pixels of this step as the network sees them, float [B, n, C]."""
        self._activation("pixels", 0, x.shape[-1] + 1).add(append_ones(x).swapaxes(0, 1))

    def state(self):
        """As of `raster.RasterScan`."""
        given = [] if self._features is None else [self._features]
        return given + [x.steps.swapaxes(0, 1) for x in self._kept.values()]

    def rows(self, ahead):
        """(first, last + 1) of the rows that have a column so far `ahead` in this step."""
        step = self.step + ahead
        first = max(-(-(step - self.width + 1) // self.delay), 0)
        return first, max(min(step // self.delay + 1, self.height), first)

    def _activation(self, key, ahead, channels):
        if key not in self._kept:
            self._kept[key] = _Activation(self, ahead, channels)
        return self._kept[key]


class WaveScan(_Waves):
    """Evaluates a flat `PixelCNN`; a row is at least `least_delay` columns behind the one above it."""

    def __init__(self, network, features, shape, least_delay=1):
        streams = [[*_convolutions(stream)] for stream in (network.vertical, network.horizontal)]
        # The first activation of the vertical stream is ahead by all that the later ones look to the right.
        ahead = sum(layer.pads[1] for layer in streams[0])
        delay = max(ahead + 1 + network.above.pads[1], least_delay)
        layers = [network.above, network.row_above, network.left, *streams[0], *streams[1]]
        super().__init__(network, features, shape, layers, ahead, delay)

    def _params(self):
        network, ahead = self._network, self._ahead
        pixels = self._activation("pixels", 0, network.left.channels)
        given = None
        if self._features is not None:
            first, last = self.rows(ahead)
            rows = np.arange(first, last)
            here = self._features[:, rows, self.step + ahead - self.delay * rows]
            known = self._activation("features", ahead, 2 * here.shape[-1])
            given = known.add(concat_elu(here.swapaxes(0, 1)))
        given = given and [given] * (1 + len(network.vertical.steps))
        how = {"block": self._block, "convolution": self._convolution, "activate": self._activate}

        # There is nothing above the first row, nor to the left of the first column.
        x = pixels.convolved(network.above, ahead, up=1)
        x[: self.rows(ahead)[0] == 0] = 0
        first = self._activation(network.above, ahead, x.shape[-1]).add(x)
        _, vertical = network.vertical.topology.activations(
            first, network.vertical.steps, None, given, **how
        )
        x = pixels.convolved(network.row_above, 0, up=1)
        first, last = self.rows(0)
        x[: first == 0] = 0
        left = pixels.convolved(network.left, 0, right=-1)
        if self.step == self.delay * (last - 1):
            left[-1:] = 0
        first = self._activation(network.left, 0, x.shape[-1]).add(x + left)
        activations, _ = network.horizontal.topology.activations(
            first, network.horizontal.steps, vertical, given, **how
        )
        return network.last(elu(activations[-1].now))

    def _activate(self, x):
        return self._activation(x, x.ahead, 2 * x.steps.shape[-1]).add(concat_elu(x.now))

    def _convolution(self, layer, x):
        made = self._activation(layer, x.ahead - layer.pads[1], layer.filters)
        return made.add(x.convolved(layer, made.ahead))

    def _block(self, layer, x, activated, skips):
        y = activated.convolved(layer.conv_in, ahead := activated.ahead - layer.conv_in.pads[1])
        kernels = layer.kernels([skip.steps.shape[-1] for skip in skips]) if skips else []
        for skip, kernel in zip(skips, kernels):
            y += (skip.near(ahead) @ kernel).reshape(y.shape)
        if skips:
            y += layer.projection.bias
        between = self._activation(layer.conv_in, ahead, 2 * y.shape[-1]).add(concat_elu(y))
        made = self._activation(layer, ahead - layer.conv_out.pads[1], y.shape[-1])
        y = gated(between.convolved(layer.conv_out, made.ahead))
        y += x.near(made.ahead).reshape(y.shape)
        return made.add(y)


class MaskedWaveScan(_Waves):
    """Evaluates a `MaskedPixelCNN`."""

    def __init__(self, network, features, shape, *_):
        layers = [network.first, *_convolutions(network.stream)]
        super().__init__(network, features, shape, layers, 0, network.delay)

    def _params(self):
        network = self._network
        pixels = self._activation("pixels", 0, network.first.channels)
        given = self._given() if network.given else itertools.repeat(0)
        return network.params(pixels.convolved(network.first, 0), given, self._convolve)

    def _convolve(self, layer, x):
        return self._activation(layer, 0, layer.channels).add(x).convolved(layer, 0)

    def _given(self):
        """Yields what features add to each activation of this step's pixels: float [n, B, F]."""
        side, dtype = self._network.side, self.dtype
        first, last = self.rows(0)
        rows = np.arange(first, last)
        columns = self.step - self.delay * rows
        here = silu(self._features[:, rows // side, columns // side], self._network.rounded)
        here, places = here.swapaxes(0, 1), rows % side * side + columns % side
        chosen = [(place, places == place) for place in np.unique(places)]
        for layer in self._network.given:
            filters = layer.filters // side**2
            y = np.empty((len(rows), self.batch, filters), dtype)
            for place, which in chosen:
                part = slice(place * filters, (place + 1) * filters)
                y[which] = here[which] @ layer.kernel[:, part] + layer.bias[part]
            yield layer.rounding(y)


def _convolutions(stream):
    """The convolutions of a stream, one after another."""
    for layer in stream.steps:
        yield from (layer.conv_in, layer.conv_out) if hasattr(layer, "conv_in") else (layer,)
