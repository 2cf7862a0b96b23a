"""A scan that evaluates a whole network for each pixel: slow, and for any network."""

from pixelcnn_aux.base import arrays


class FullScan:
    """Evaluates a network in raster order, given features, from zero inputs x, [B, H, W, C]."""

    def __init__(self, network, features, x):
        self._network, self._features, self._x = network, features, x

    def run(self, canvas):
        """Fills a `deciders.Canvas`."""
        _, height, width, _ = self._x.shape

        def advance(index):
            zero = arrays.arange(1)
            rows, columns = zero + index // width, zero + index % width
            params = arrays.pixels(self._network(self._x, self._features), rows, columns)
            x = canvas.fill(rows, columns, params)
            self._x = arrays.with_pixels(self._x, rows, columns, x)
            canvas.end_step(self.of_images)

        arrays.loop(range(height * width), advance, self, canvas)

    @property
    def state(self):
        """The arrays that a loop carries."""
        return [self._x]

    @state.setter
    def state(self, state):
        [self._x] = state

    def of_images(self):
        """The arrays that differ between images: list of arrays [B, ...], to be changed in place."""
        return [self._x, *self._features]
