"""A scan that decides images group by group, in tiles, so that memory grows with the size of a tile.

Of the whole image it keeps a few numbers per pixel: values, inputs of the network, and remainders of sums.
"""

import functools

import numpy as np

from pixelcnn_aux import batches, sums
from pixelcnn_aux.base import arguments, arrays
from pixelcnn_aux.scanning.deciders import known_nats, remainders_of


class GroupScan:
    """Evaluates a factor with a `ParallelPixelCNN` in `tiles`: rows of `batches.Tile`, one in a graph.

    `decide_all` decides all groups. Or the caller decides each one: `next_group`, the `params` of each tile,
    the `remainders` of any blocks, then `decided`. `group_params` is that of the network; `first_inputs` is
    a function of a tile, ones [B, h, w, 1], one for each block, and auxiliary images.
    """

    def __init__(self, factor, request, batch, first_inputs, group_params, in_graph=False):
        self._factor, self._request = factor, request
        self._first_inputs, self._group_params = first_inputs, group_params
        self.network, self.group, self._index = factor.network, None, -1
        self.lattice = (batch, *sums.num_blocks(request.size, self.network.side))
        like = request.noise if in_graph else np.empty(0)
        self._ones = arrays.zeros((*self.lattice, 1), like, factor.dtype) + 1
        self._remainders = remainders_of(factor, request)
        self._exists = sums.existing_by_place(request.size, self.network.side)
        self._pixels, self._inputs = [], []  # by place
        at_once = 1 if request.particles is None else batch
        self.tiles = batches.tiles(factor, (None, None) if in_graph else request.size, at_once)
        self._latest = None, None  # a tile, and the inputs of its first group

    def decide_all(self, decider):
        """The images [B, H, W, C]. The decider is called for each tile of each group."""
        particles = self._request.particles
        for _ in self.network.groups:
            self.next_group()
            rows = []
            for row in self.tiles:
                decided = map(functools.partial(self._decide_tile, decider), row)
                rows.append(arrays.concatenate([*decided], axis=2))
            self.decided(arrays.concatenate(rows, axis=1))
            if self._factor.watch and self.group.part == self.group.parts - 1:
                self._factor.watch(self.images())
            if particles is not None and particles.are_few():
                remainder = [self._remainders.remainder] if self._remainders else []
                particles.resample([*self._pixels, *self._inputs, *remainder])
                self._latest = None, None  # auxiliary images have changed
        return self.images()

    def _decide_tile(self, decider, tile):
        """The group's pixels in a tile: [B, h, w, C]."""
        request, place, side = self._request, self.group.place, self.network.side
        likelihood = self._factor.likelihood

        def pick(x):
            return sums.pixels_at(tile.kept(x, side), place, side)

        blocks, params = [span.kept() for span in tile], self.params(tile)
        remainders = self.remainders(*blocks)
        pixels = decider(params, pick, remainders and remainders.bounds())
        if request.particles is not None:
            nats = known_nats(likelihood, request, params, pixels, pick, remainders)
            nats = np.where(self.is_decided()[*blocks], nats, 0)
            request.particles.weigh(nats.sum(axis=(1, 2)))
        return arrays.cast(pixels, arguments.pixel_dtype(likelihood.num_values))

    def next_group(self):
        """Advances to the next `Group`, which is to be decided."""
        self._index += 1
        self.group = self.network.groups[self._index]

    def params(self, tile):
        """The parameters of the group's pixels in a tile, for all its blocks: float [B, h, w, num_params]."""
        latest, first_inputs = self._latest
        if latest != tile:  # the inputs of many tiles would not fit in memory
            first_inputs = self._first_inputs(tile, self._ones, self._request.auxiliary)
            self._latest = tile, first_inputs
        inputs = [*first_inputs, *map(tile.evaluated, self._inputs)]
        return self._group_params(self._index, inputs)[:, *tile.kept_of_evaluated()]

    def remainders(self, *where):
        """`PartRemainders` of the group's pixels in all blocks, or in slices of them; None without sums."""
        return self._remainders and self._remainders.at_place(self.group.place, *where)

    def zeros(self):
        """Pixels of all blocks, zeros: NumPy's [B, h, w, C]."""
        likelihood = self._factor.likelihood
        dtype = arguments.pixel_dtype(likelihood.num_values)
        return np.zeros((*self.lattice, likelihood.num_channels), dtype)

    def is_decided(self):
        """Which blocks have a pixel in the group: NumPy's bool [h, w]."""
        diagonal = np.add.outer(*map(np.arange, self.lattice[1:]))
        mask = diagonal % self.group.parts == self.group.part
        if self._exists is not None:
            mask &= self._exists[self.group.place][..., 0] > 0
        return mask

    def decided(self, pixels):
        """Records the group's pixels, [B, h, w, C]; values in blocks of other groups are ignored."""
        remainders = self.remainders()
        x = self._factor.pixels_input(pixels, remainders and remainders.center())
        if self._exists is not None:
            x = x * arrays.cast(self._exists[self.group.place], x.dtype)
        for by_place, new in ((self._pixels, pixels), (self._inputs, x)):
            earlier = by_place.pop() if self.group.part else arrays.zeros_like(new)
            by_place.append(self.group.select(new, earlier))
        if remainders and self.group.part == self.group.parts - 1:
            remainders.decided(self._pixels[-1])

    def images(self):
        """The images, [B, H, W, C]. Undecided pixels repeat the first one of their block."""
        places = self._pixels + self._pixels[:1] * (self.network.side**2 - len(self._pixels))
        return sums.from_places(places, self.network.side, self._request.size)
