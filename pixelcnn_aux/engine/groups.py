"""Deciding the pixels of images group by group, in tiles, so that memory grows with a tile.

A few numbers a pixel are kept of the whole image: its value, the network's input, and remainders of sums.
Few pixels take NumPy's networks; many take TensorFlow's, which are traced once for all sizes.
"""

import itertools

import numpy as np

from pixelcnn_aux import arguments, batches, sums
from pixelcnn_aux.scanning.groups import GroupScan, known_nats
from pixelcnn_aux.sums import Remainders

FEW = 2**20  # pixels, up to which tracing takes longer than it saves


class TileScan(GroupScan):
    """Evaluates in `tiles`, rows of `batches.Tile`, a factor whose network decides groups of pixels.

    It goes from one group to the next: `next_group`, `params` of each tile, `bounds` of any blocks, and
    `decided`. `decide_tiles` does all that. `num_pixels` are decided in all, here and in other scans: if they
    are many, graphs of the Keras factor that the factor was made of evaluate groups.
    """

    def __init__(self, factor, request, batch, num_pixels):
        self._factor = factor
        fixed_sum, shape = factor.fixed_sum, (*request.size, factor.likelihood.num_channels)
        remainders = fixed_sum and Remainders(fixed_sum, request.auxiliary, request.within)
        super().__init__(factor.network, factor.network_inputs, shape, batch, remainders)
        self._known_at_first, self._group_params = factor.known_at_first, factor.group_params
        if num_pixels > FEW and factor.radius is not None and (graphs := factor.graphs):
            first, params = (x.any_size for x in (graphs.known_at_first, graphs.group_params))
            self._known_at_first = lambda *known: first(*known, request.condition)
            self._group_params = lambda *known: params(*known, request.condition)
        self._auxiliary, self._request = request.auxiliary, request
        at_once = 1 if request.particles is None else batch
        self.tiles = batches.tiles(factor, request.size, at_once)
        self._latest = None, None  # a tile, and the inputs of its first group
        self._index = -1

    def decide_tiles(self, decider):
        """As `Factor.decide_each_pixel`. The decider is asked for each tile of a group."""
        side, particles = self.network.side, self._request.particles
        for _ in self.network.groups:
            place, values = self.next_group().place, self.zeros()
            for tile in itertools.chain(*self.tiles):

                def pick(x, tile=tile, place=place):
                    return sums.pixels_at(tile.kept(x, side), place, side)

                decide = decider(pick)
                blocks, params = [span.kept() for span in tile], self.params(tile)
                known, here = self.known(*blocks), tile.kept(values)
                here[:] = decide(params, lambda x: x, known and known.bounds())
                if particles is not None:
                    kind = self._factor.likelihood
                    nats = known_nats(kind, self._request, params, here, pick, known)
                    particles.weigh(np.where(self.is_decided()[*blocks], nats, 0).sum(axis=(1, 2)))
            self.decided(values)
            if self._factor.watch and self.group.part == self.group.parts - 1:
                self._factor.watch(self.images())
            if particles is not None and particles.are_few():
                known = [self._known.remainder] if self._known else []
                particles.resample([*self._pixels, *self._seen, *known])
                self._latest = None, None  # auxiliary images have changed
        return self.images()

    def zeros(self):
        """Pixels of all blocks: NumPy's [B, h, w, C]."""
        kind = self._factor.likelihood
        return np.zeros((*self.lattice, kind.num_channels), arguments.pixel_dtype(kind.num_values))

    def next_group(self):
        """The `Group` to be decided, after the one before it was."""
        self._index += 1
        self.group = self.network.groups[self._index]
        return self.group

    def params(self, tile):
        """The parameters of the group's pixels in a tile: float [B, h, w, num_params], of all its blocks."""
        latest, first = self._latest
        if latest != tile:  # Of many tiles they would not fit in memory.
            ones = np.ones((*self.lattice, 1), self._factor.variable_dtype)
            auxiliary = None if self._auxiliary is None else tile.evaluated(self._auxiliary)
            first = self._known_at_first(tile.evaluated(ones), auxiliary)
            self._latest = tile, first
        params = self._group_params(self._index, [*first, *map(tile.evaluated, self._seen)])
        return np.asarray(params)[:, *tile.kept_of_evaluated()]

    def is_decided(self):
        """Which blocks have a pixel in the group: NumPy's bool [h, w]."""
        _, height, width = self.lattice
        diagonal = np.add.outer(np.arange(height), np.arange(width))
        found = diagonal % self.group.parts == self.group.part
        if self._exists is not None:
            found &= self._exists[self.group.place][..., 0] > 0
        return found
