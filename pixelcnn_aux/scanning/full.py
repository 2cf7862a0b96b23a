"""Deciding pixels by evaluating a whole network for each: slow, and for any network."""

from pixelcnn_aux.base import arrays


class FullScan:
    """Evaluates a network in raster order, as a whole for each pixel, from zeros x, given features."""

    def __init__(self, network, features, x):
        self._network, self._features, self._x = network, features, x

    def decide(self, canvas):
        """Decides the pixels of a `deciders.Canvas`."""
        _, height, width, _ = self._x.shape

        def advance(index):
            first = arrays.arange(1)
            rows, columns = first + index // width, first + index % width
            params = arrays.pixels(self._network(self._x, self._features), rows, columns)
            x = canvas.decide(rows, columns, params)
            self._x = arrays.with_pixels(self._x, rows, columns, x)
            canvas.end_step(self.of_images)

        arrays.loop(range(height * width), advance, self, canvas)

    @property
    def state(self):
        """What a loop carries from one pixel to the next."""
        return [self._x]

    @state.setter
    def state(self, state):
        [self._x] = state

    def of_images(self):
        """All that differs between images: list of arrays [B, ...], to be changed in place."""
        return [self._x, *self._features]
