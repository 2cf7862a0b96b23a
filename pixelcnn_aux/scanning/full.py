"""Deciding pixels by any network: the whole of it is evaluated again for each one."""

from keras import ops

from pixelcnn_aux import backend


class FullScan:
    """Evaluates a network in raster order, as a whole for each pixel. Args as for `networks.Network.scan`."""

    def __init__(self, network, network_inputs, shape, batch, remainders=None, keep_params=False):
        self._network = network
        self._network_inputs = network_inputs
        self._shape = shape
        self._batch = batch
        self._remainders = remainders
        self._keep_params = keep_params

    def decide_each_pixel(self, features, decider):
        """As in `scanning`."""
        (height, width, channels), remainders = self._shape, self._remainders

        def params_of(images):
            x = self._network_inputs(images, remainders and remainders.centers(images))
            return self._network(x, features, training=False)  # [B, H, W, P]

        @backend.sums_in_order()
        def step(index, images):
            row, column = index // width, index % width
            params = params_of(images)[:, row, column]
            bounds = remainders and remainders.at(images, row, column)
            decide = decider(lambda x: x[:, row])
            pixels = decide(params, lambda x: x[:, column], bounds)  # [B, C]
            here = ops.reshape(ops.arange(height * width) == index, (height, width, 1))
            return index + 1, ops.where(here, pixels[:, None, None], images)

        images = ops.zeros((self._batch, height, width, channels), "int32")
        _, images = ops.while_loop(lambda index, _: index < height * width, step, (0, images))
        return [images, params_of(images)] if self._keep_params else [images]
