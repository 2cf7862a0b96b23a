"""Deciding pixels by evaluating a whole network for each: slow, and for any network."""

from keras import ops

from pixelcnn_aux import backend, sums
from pixelcnn_aux.scanning.groups import GroupScan, Scan


class FullScan(Scan):
    """Evaluates a network in raster order, as a whole for each pixel."""

    def decide_each_pixel(self, features, decider):
        """As in `scanning`."""
        (height, width, channels), remainders = self.shape, self.remainders

        def params_of(images):
            x = self.network_inputs(images, remainders and remainders.centers(images))
            return self.network(x, features, training=False)  # [B, H, W, P]

        @backend.sums_in_order()
        def step(index, images):
            row, column = index // width, index % width
            params = params_of(images)[:, row, column]
            bounds = remainders and remainders.at(images, row, column)
            decide = decider(lambda x: x[:, row])
            pixels = decide(params, lambda x: x[:, column], bounds)  # [B, C]
            here = ops.reshape(ops.arange(height * width) == index, (height, width, 1))
            return index + 1, ops.where(here, pixels[:, None, None], images)

        images = ops.zeros((self.batch, height, width, channels), "int32")
        _, images = ops.while_loop(lambda index, _: index < height * width, step, (0, images))
        return images


class FullGroupScan(GroupScan):
    """A `GroupScan` that evaluates the network as a whole for each group."""

    def _params(self, k, first, features):
        side = self.network.side
        zeros = ops.zeros((*self.lattice, self.shape[-1]), "int32")
        undecided = [self.network_inputs(zeros, zeros)] * (side**2 - len(self._seen))
        x = sums.from_places([*self._seen, *undecided], side, self._size)
        params = self.network(x, features, training=False)
        return sums.pixels_at(params, self.group.place, side)
