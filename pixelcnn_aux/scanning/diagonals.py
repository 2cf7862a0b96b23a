"""Networks of one resolution: all rows of an image go on at once, along a diagonal.

A pixel depends on the row above it only up to some columns further to the right. So in step t, row r is at
column t - delay * r, for a delay that follows from the network's kernels and blocks:

    0 1 2 3 4 5 ...
    2 3 4 5 6 7 ...     the step that decides each pixel, for a delay of 2
    4 5 6 7 8 9 ...

An activation that later ones see to the right of their pixel is evaluated as many columns ahead of it. The
latest steps of each are kept, so that memory grows with the height of an image.
"""

import itertools

from pixelcnn_aux.base import arrays
from pixelcnn_aux.networks.activations import silu
from pixelcnn_aux.networks.blocks import GatedResidualBlock
from pixelcnn_aux.networks.network import append_ones


class _Activation:
    """The latest steps of an activation, `ahead` columns to the right of the pixels that are decided."""

    def __init__(self, scan, ahead, channels):
        self.ahead, self._scan, self.channels, self.now = ahead, scan, channels, None
        # By image, row and step, modulo the period; the first ones also at the end, so that columns side by
        # side are a slice. Zeros outside of the image.
        rows, steps = scan.above + scan.height, scan.period + scan.widest - 1
        self._shape = scan.batch, rows, steps, channels
        self.begin()

    def begin(self):
        """Forgets all steps."""
        self.steps = self._scan.zeros(*self._shape)

    def add(self, x):
        """The activation, given its rows of this step, float [B, n, C]."""
        scan, self.now = self._scan, x
        (first, _), (ended, _) = scan.rows(self.ahead), scan.rows(self.ahead - scan.widest)
        parts = [(first, arrays.expand_dims(scan.within(x, self.ahead), 2))]
        if not scan.is_fixed and not (scan.is_plain and first == ended):
            parts.append((ended, scan.zeros(scan.batch, first - ended, 1, self.channels)))
        for position, (row, values) in itertools.product(scan.positions(), parts):
            self.steps = arrays.written(self.steps, (0, scan.above + row, position), values)
        return self

    def near(self, ahead, up=0, right=0, count=1):
        """The columns that pixels `ahead` see, some rows up and columns right: [B n, count * C]."""
        scan = self._scan
        first, rows = scan.rows(ahead)
        start = (scan.step - scan.delay * up + ahead - self.ahead + right) % scan.period
        starts, counts = (0, scan.above - up + first, start), (None, rows, count)
        seen = arrays.window(self.steps, starts, counts)
        return arrays.reshape(seen, (-1, count * self.channels))

    def convolved(self, layer, ahead, up=0, right=0):
        """A shifted convolution `ahead`, of what lies some rows up and columns right: float [B, n, F]."""
        y = None
        for row, kernel in enumerate(self._scan.row_kernels[layer]):
            count = kernel.shape[0] // layer.channels
            product = self.near(ahead, up + row, right - layer.pads[0], count) @ kernel
            if y is None:
                y = product
            else:
                y += product
        return layer.biased(self._scan.by_image(y))


class _DiagonalScan:
    """Evaluates a network of one resolution, given features of an `Embedding`, for images (B, H, W, C).

    `layers` are its convolutions. Its first activation is `ahead` columns ahead of the pixels that are
    decided, and a row is `delay` columns behind the one above it. A subclass has `_params`, the parameters of
    a step's pixels, float [B, n, P].
    """

    def __init__(self, network, features, shape, layers, ahead, delay):
        self.batch, self.height, self.width, _ = shape
        self._network, self._ahead, self.delay = network, ahead, delay
        self._features = features[0] if features else None
        self.above = max(layer.height for layer in layers)
        self.widest = max(layer.width for layer in layers)
        self.period = self.delay * self.above + self.widest + 1  # more than is seen of them
        self.step, self._kept = -ahead, {}  # activations, by what makes them
        self.row_kernels = {}  # from the pixel's own row on upwards
        for layer in layers:
            *others, own = layer.row_kernels
            self.row_kernels[layer] = [own[: own.shape[0] - layer.masked], *others[::-1]]
        self.is_plain = arrays.is_plain(network.last.kernel)
        # XLA compiles as many rows for each step, those of the image's width and some that have ended.
        self.is_fixed = not self.is_plain and arrays.backend().is_for_xla()
        self._most_rows = min(self.height, -(-(self.width + self.widest) // self.delay) + 1)
        self._least, self._most = (min, max) if self.is_plain else (arrays.minimum, arrays.maximum)

    def decide(self, canvas):
        """Decides the pixels of a `deciders.Canvas`."""
        if not self.is_plain:
            # The loop of a graph carries all activations, which are made where they are used.
            arrays.backend().trial(self._params)
            for activation in self._kept.values():
                activation.begin()

        def advance(step):
            self.step = step
            params = self._params()
            if self.is_plain and not self.rows(0)[1]:
                return
            x = canvas.decide(*self.here(0), params)
            self._activation("pixels", 0, x.shape[-1] + 1).add(append_ones(x))
            canvas.end_step(self.of_images)

        last = self.delay * (self.height - 1) + self.width
        arrays.loop(range(-self._ahead, last), advance, self, canvas)

    @property
    def state(self):
        """What a loop carries from one step to the next: list of float [B, ...]."""
        return [activation.steps for activation in self._kept.values()]

    @state.setter
    def state(self, steps):
        for activation, x in zip(self._kept.values(), steps):
            activation.steps = x

    def of_images(self):
        """All that differs between images: list of arrays [B, ...], to be changed in place."""
        return [*self.state, *([] if self._features is None else [self._features])]

    def zeros(self, *shape):
        return arrays.zeros(shape, self._network.last.kernel)

    @property
    def step(self):
        """The step that is evaluated; what is kept of it is forgotten when it changes."""
        return self._step

    @step.setter
    def step(self, step):
        self._step, self._rows = step, {}

    def by_image(self, y):
        """Rows of a step, [B n, F], by image: [B, n, F]."""
        return arrays.reshape(y, (self.batch, -1, y.shape[-1]))

    def rows(self, ahead):
        """The first of the rows that have a column so far `ahead` in this step, and how many there are."""
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

    def here(self, ahead):
        """The rows and the columns of the pixels `ahead`, int [n] each, beyond images if there are none."""
        first, count = self.rows(ahead)
        rows = first + arrays.arange(count)
        columns = self.step + ahead - self.delay * rows
        if self.is_fixed:
            exist = arrays.logical_and(columns >= 0, columns < self.width)
            columns = arrays.where(exist, columns, 2 * self.width)
        return rows, columns

    def within(self, x, ahead):
        """x, [B, n, C], where there are pixels `ahead`; else 0."""
        if not self.is_fixed:
            return x
        _, columns = self.here(ahead)
        return arrays.where((columns < self.width)[:, None], x, arrays.zeros_like(x))

    def positions(self):
        """Where a step is kept: one or two positions."""
        now = self.step % self.period
        if self.is_plain:
            return (now, now + self.period)[: 1 + (now < self.widest - 1)]
        return now, arrays.where(now < self.widest - 1, now + self.period, now)

    def _activation(self, key, ahead, channels):
        if key not in self._kept:
            self._kept[key] = _Activation(self, ahead, channels)
        return self._kept[key]


class DiagonalScan(_DiagonalScan):
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
            here = GatedResidualBlock.activate(arrays.pixels(self._features, *self.here(ahead)))
            given = self._activation("features", ahead, here.shape[-1]).add(here)
            given = [given] * (1 + len(network.vertical.steps))
        how = {"block": self._block, "convolution": self._convolution, "activate": self._activate}

        # There is nothing above the first row, nor to the left of the first column.
        rows, _ = self.here(ahead)
        x = pixels.convolved(network.above, ahead, up=1)
        x = x * arrays.cast(rows > 0, x.dtype)[:, None]
        first = self._activation(network.above, ahead, x.shape[-1]).add(x)
        _, vertical = network.topology.activations(
            first, network.vertical.steps, None, given, **how
        )
        rows, columns = self.here(0)
        x = pixels.convolved(network.row_above, 0, up=1)
        left = pixels.convolved(network.left, 0, right=-1)
        x = x * arrays.cast(rows > 0, x.dtype)[:, None]
        x += left * arrays.cast(columns > 0, x.dtype)[:, None]
        first = self._activation(network.left, 0, x.shape[-1]).add(x)
        activations, _ = network.topology.activations(
            first, network.horizontal.steps, vertical, given, **how
        )
        return network.last(arrays.elu(activations[-1].now))

    def _activate(self, x):
        return self._activation(x, x.ahead, 2 * x.channels).add(GatedResidualBlock.activate(x.now))

    def _convolution(self, layer, x):
        made = self._activation(layer, x.ahead - layer.pads[1], layer.filters)
        return made.add(x.convolved(layer, made.ahead))

    def _block(self, layer, x, activated, skips):
        y = activated.convolved(layer.conv_in, ahead := activated.ahead - layer.conv_in.pads[1])
        channels = [skip.channels for skip in skips]
        kernels = layer.projection.kernels(channels) if skips else []
        for skip, kernel in zip(skips, kernels):
            y += self.by_image(skip.near(ahead) @ kernel)
        if skips:
            y += layer.projection.bias
        between = self._activation(layer.conv_in, ahead, 2 * y.shape[-1]).add(layer.activate(y))
        made = self._activation(layer, ahead - layer.conv_out.pads[1], y.shape[-1])
        y = layer.gate(between.convolved(layer.conv_out, made.ahead))
        y += self.by_image(x.near(made.ahead))
        return made.add(y)


class MaskedScan(_DiagonalScan):
    """Evaluates a `MaskedPixelCNN`."""

    def __init__(self, network, features, shape):
        layers = [network.first, *_convolutions(network.stream)]
        super().__init__(network, features, shape, layers, 0, network.delay)
        if features:
            self._features = silu(self._features, network.rounded)
            kernels = [_by_place(layer, network.side**2) for layer in network.given]
            self._kernels = arrays.concatenate(kernels, axis=-1)  # of all layers side by side

    def _params(self):
        network = self._network
        pixels = self._activation("pixels", 0, network.first.channels)
        given = None if self._features is None else self._given()
        x = pixels.convolved(network.first, 0)
        return network.params(x, given, convolve=self._convolve)

    def _convolve(self, layer, x):
        return self._activation(layer, 0, layer.channels).add(x).convolved(layer, 0)

    def _given(self):
        """What features add to each activation of this step's pixels: list of float [B, n, F]."""
        side, (first, rows) = self._network.side, self.rows(0)
        count = -(-(first + rows) // side) - first // side
        if self.is_fixed:
            count = -(-rows // side) + 1
        blocks, width, by_row = first // side + arrays.arange(count), self._features.shape[2], []
        for row in range(side):  # all of them at one place of their blocks
            column = self.step - self.delay * row
            columns = arrays.clip((column - self.delay * side * blocks) // side, 0, width - 1)
            here = arrays.pixels(self._features, blocks, columns)
            kernel = self._kernels[row * side + column % side]
            here = arrays.reshape(here, (-1, here.shape[-1])) @ kernel[:-1]
            here += kernel[-1]
            by_row.append(self.by_image(here))
        y = arrays.stack(by_row, axis=2)
        y = arrays.reshape(y, (self.batch, -1, y.shape[-1]))
        y = arrays.window(y, (0, first % side), (None, rows))
        layers = self._network.given
        return arrays.split(layers[0].rounding(y), len(layers), axis=-1)


def _by_place(layer, places):
    """The kernel and the bias of a layer that has outputs for several places: [places, C + 1, filters]."""
    both = arrays.concatenate([layer.kernel, layer.bias[None]], axis=0)
    return arrays.swapaxes(arrays.reshape(both, (layer.channels + 1, places, -1)), 0, 1)


def _convolutions(stream):
    """The convolutions of a stream, one after another."""
    for layer in stream.steps:
        yield from (layer.conv_in, layer.conv_out) if hasattr(layer, "conv_in") else (layer,)
