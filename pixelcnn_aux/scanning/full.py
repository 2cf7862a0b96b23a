"""Deciding pixels by evaluating a whole network for each: slow, and for any network."""

from keras import ops

from pixelcnn_aux import backend
from pixelcnn_aux.scanning.groups import Scan


class FullScan(Scan):
    """Evaluates a network in raster order, as a whole for each pixel."""

    def decide_each_pixel(self, features, decider):
        """As in `scanning`."""
        (height, width, channels), remainders = self.shape, self.remainders

        @backend.sums_in_order()
        def step(index, images):
            row, column = index // width, index % width
            x = self.network_inputs(images, remainders and remainders.centers(images))
            params = self.network(x, features, training=False)[:, row, column]
            bounds = remainders and remainders.at(images, row, column)
            decide = decider(lambda x: x[:, row])
            pixels = decide(params, lambda x: x[:, column], bounds)  # [B, C]
            here = ops.reshape(ops.arange(height * width) == index, (height, width, 1))
            return index + 1, ops.where(here, pixels[:, None, None], images)

        images = ops.zeros((self.batch, height, width, channels), "int32")
        _, images = ops.while_loop(lambda index, _: index < height * width, step, (0, images))
        return images
