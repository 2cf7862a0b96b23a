"""Deciding the pixels of an image group by group, by a network that decides all pixels of a group at once."""

from keras import ops

from pixelcnn_aux import blocks


class GroupScan:
    """Evaluates a `ParallelPixelCNN`, each group's network once.

    Args as for `networks.Network.scan`; by the method "full", all of the network is evaluated for each group.
    """

    def __init__(
        self, network, network_inputs, shape, batch, remainders=None, keep_params=False, method=""
    ):
        self._network = network
        self._network_inputs = network_inputs
        self._shape = shape
        self._batch = batch
        self._remainders = remainders
        self._keep_params = keep_params
        self._full = method == "full"

    def decide_each_pixel(self, features, decider):
        """As in `scanning`. The decider is called once a group."""
        *size, channels = self._shape
        side = self._network.side
        lattice = (self._batch, *blocks.lattice(size, side))
        remainders = self._remainders and self._remainders.blocks(size)
        zeros = ops.zeros((*lattice, channels), "int32")
        pixels = [zeros] * side**2
        seen = [self._network_inputs(zeros, zeros)] * side**2  # pixels as the network sees them

        def decide(group, params):
            place = group.place
            if self._full:
                whole = self._network(blocks.joined(seen, side, size), features, training=False)
                params = blocks.at_place(whole, place, side)
            decide_here = decider(lambda x: blocks.at_place(x, place, side))
            bounds = remainders and remainders.bounds(place)
            values = decide_here(params, lambda x: x, bounds)
            pixels[place] = values = group.chosen(values, pixels[place])
            center = remainders and remainders.center(place)
            x = self._network_inputs(values, center)
            seen[place] = group.chosen(x, seen[place])
            if remainders and group.part == group.parts - 1:
                remainders.decided(place, values)
            return x

        params = self._network.decide(lattice, size, features, decide, training=False)
        images = blocks.joined(pixels, side, size)
        if not self._keep_params:
            return [images]
        return [images, blocks.joined(params, side, size)]
