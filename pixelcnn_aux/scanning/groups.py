"""Deciding the pixels of images group by group, in tiles, so that memory grows with a tile.

A few numbers a pixel are kept of the whole image: its value, the network's input, and remainders of sums.
"""

import numpy as np

from pixelcnn_aux import batches, sums
from pixelcnn_aux.base import arguments, arrays
from pixelcnn_aux.scanning.deciders import known_nats
from pixelcnn_aux.sums import Remainders


class GroupScan:
    """Evaluates a factor whose network decides groups of pixels, in `tiles`, rows of `batches.Tile`.

    It goes from one group to the next: `next_group`, `params` of each tile, `known` of any blocks, and
    `decided`; or `decide` does all that. `group_params` is that of `ParallelPixelCNN`, and `known_at_first`
    takes a tile, ones [B, h, w, 1], one for each block, and auxiliary images. In a graph, there is one tile.
    """

    def __init__(self, factor, request, batch, known_at_first, group_params, in_graph=False):
        self._factor, self._request, self._size = factor, request, request.size
        self._known_at_first, self._group_params = known_at_first, group_params
        self.network, self.group, self._index = factor.network, None, -1
        self.lattice = (batch, *sums.num_blocks(request.size, self.network.side))
        like = request.noise if in_graph else np.empty(0)
        self._ones = arrays.zeros((*self.lattice, 1), like, factor.variable_dtype) + 1
        fixed_sum = factor.fixed_sum
        ends = request.size, request.within
        self._known = fixed_sum and Remainders(fixed_sum, request.auxiliary, *ends)
        self._exists = sums.existing_by_place(request.size, self.network.side)
        self._pixels, self._seen = [], []  # by place; the latter as the network sees them
        at_once = 1 if request.particles is None else batch
        self.tiles = batches.tiles(factor, (None, None) if in_graph else request.size, at_once)
        self._latest = None, None  # a tile, and the inputs of its first group

    def decide(self, decider):
        """The images, decided by a decider that is asked for each tile of a group: [B, H, W, C]."""
        particles = self._request.particles
        for _ in self.network.groups:
            self.next_group()
            rows = [[self._decided(tile, decider) for tile in row] for row in self.tiles]
            rows = [arrays.concatenate(row, axis=2) for row in rows]
            self.decided(arrays.concatenate(rows, axis=1))
            if self._factor.watch and self.group.part == self.group.parts - 1:
                self._factor.watch(self.images())
            if particles is not None and particles.are_few():
                known = [self._known.remainder] if self._known else []
                particles.resample([*self._pixels, *self._seen, *known])
                self._latest = None, None  # auxiliary images have changed
        return self.images()

    def _decided(self, tile, decider):
        """The group's pixels in a tile: [B, h, w, C]."""
        request, place, side = self._request, self.group.place, self.network.side

        def pick(x):
            return sums.pixels_at(tile.kept(x, side), place, side)

        blocks, params = [span.kept() for span in tile], self.params(tile)
        known = self.known(*blocks)
        pixels = decider(params, pick, known and known.bounds())
        if request.particles is not None:
            kind = self._factor.likelihood
            nats = known_nats(kind, request, params, pixels, pick, known)
            nats = np.where(self.is_decided()[*blocks], nats, 0)
            request.particles.weigh(nats.sum(axis=(1, 2)))
        return arrays.cast(pixels, arguments.pixel_dtype(self._factor.likelihood.num_values))

    def next_group(self):
        """The `Group` to be decided, after the one before it was."""
        self._index += 1
        self.group = self.network.groups[self._index]
        return self.group

    def params(self, tile):
        """The parameters of the group's pixels in a tile: float [B, h, w, num_params], of all its blocks."""
        latest, first = self._latest
        if latest != tile:  # Of many tiles they would not fit in memory.
            first = self._known_at_first(tile, self._ones, self._request.auxiliary)
            self._latest = tile, first
        known = [*first, *map(tile.evaluated, self._seen)]
        return self._group_params(self._index, known)[:, *tile.kept_of_evaluated()]

    def known(self, *where):
        """`PartRemainders` of the group's pixels, of all blocks or slices of them; None without sums."""
        return self._known and self._known.at_place(self.group.place, *where)

    def zeros(self):
        """Pixels of all blocks: NumPy's [B, h, w, C]."""
        kind = self._factor.likelihood
        return np.zeros((*self.lattice, kind.num_channels), arguments.pixel_dtype(kind.num_values))

    def is_decided(self):
        """Which blocks have a pixel in the group: NumPy's bool [h, w]."""
        _, height, width = self.lattice
        diagonal = np.add.outer(np.arange(height), np.arange(width))
        found = diagonal % self.group.parts == self.group.part
        if self._exists is not None:
            found &= self._exists[self.group.place][..., 0] > 0
        return found

    def decided(self, values):
        """Notes the group's pixels [B, h, w, C]. Those of blocks that are not the group's may be anything."""
        known = self.known()
        x = self._factor.network_inputs(values, known and known.center())
        if self._exists is not None:
            x = x * arrays.cast(self._exists[self.group.place], x.dtype)
        for noted, new in ((self._pixels, values), (self._seen, x)):
            before = noted.pop() if self.group.part else arrays.zeros_like(new)
            noted.append(self.group.chosen(new, before))
        if known and self.group.part == self.group.parts - 1:
            known.decided(self._pixels[-1])

    def images(self):
        """The images, [B, H, W, C]. Pixels of places not yet decided repeat their block's first."""
        places = self._pixels + self._pixels[:1] * (self.network.side**2 - len(self._pixels))
        return sums.from_places(places, self.network.side, self._size)
