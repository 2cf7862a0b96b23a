"""Deciding the pixels of images group by group, in tiles, so that memory grows with a tile.

A few numbers a pixel are kept of the whole image: its value, the network's input, and remainders of sums.
Few pixels take NumPy's networks; many take TensorFlow's, which are traced once for all sizes.
"""

import itertools

import numpy as np

from pixelcnn_aux import arguments, arrays, batches, sums
from pixelcnn_aux.sums import Remainders

FEW = 2**20  # pixels, up to which tracing takes longer than it saves


class TileScan:
    """Evaluates a factor whose network decides groups of pixels, and has a `radius`, for a `DrawRequest`.

    It goes from one group to the next: `next_group`, `params` of each tile, `bounds` of any blocks, and
    `decided`. `decide_each_pixel` does all that.

    Args:
      evaluation: `engine.Evaluation` of the factor.
      batch: int, B.
      num_pixels: int, how many are decided in all, here and in other scans.

    Attributes:
      tiles: list of rows of `batches.Tile`.
      group: `networks.parallel.Group`, which one is decided now.
    """

    def __init__(self, evaluation, request, batch, num_pixels):
        self._factor = factor = evaluation.factor
        self._first, self._params = evaluation.known_at_first, evaluation.group_params
        if num_pixels > FEW and factor.radius is not None:
            first, params = (x.any_size for x in (factor.known_at_first, factor.group_params))
            self._first = lambda *known: first(*known, request.condition)
            self._params = lambda *known: params(*known, request.condition)
        self._auxiliary, self._size = request.auxiliary, request.size
        side, fixed_sum, size = factor.network.side, factor.fixed_sum, request.size
        remainders = fixed_sum and Remainders(fixed_sum, request.auxiliary, request.within)
        self._remainders = remainders and remainders.blocks(size)
        self._lattice = (batch, *sums.num_blocks(size, side))
        self._exists = sums.existing_by_place(size, side)
        self.tiles = batches.tiles(factor, size)
        self._latest = None, None  # a tile, and the inputs of its first group
        self._pixels, self._seen = [], []  # by place; the latter as the network sees them
        self._index, self.group = -1, None

    def decide_each_pixel(self, decider):
        """As `Evaluation.decide_each_pixel`. The decider is asked for each tile of a group."""
        side = self._factor.network.side
        for _ in self._factor.network.groups:
            place, values = self.next_group().place, self.zeros()
            for tile in itertools.chain(*self.tiles):

                def pick(x, tile=tile, place=place):
                    return sums.pixels_at(tile.kept(x, side), place, side)

                decide = decider(pick)
                bounds = self.bounds(*(span.kept() for span in tile))
                tile.kept(values)[:] = decide(self.params(tile), lambda x: x, bounds)
            self.decided(values)
        return self.images()

    def zeros(self):
        """Pixels of all blocks: NumPy's [B, h, w, C]."""
        kind = self._factor.likelihood
        return np.zeros((*self._lattice, kind.num_channels), arguments.pixel_dtype(kind.num_values))

    def next_group(self):
        """The `Group` to be decided, after the one before it was."""
        self._index += 1
        self.group = self._factor.network.groups[self._index]
        if not self.group.part:
            self._pixels.append(self.zeros())
            self._seen.append(self.zeros().astype(self._factor.variable_dtype))
        return self.group

    def params(self, tile):
        """The parameters of the group's pixels in a tile: float [B, h, w, num_params], of all its blocks."""
        before = self._seen[: self.group.place + (self.group.part > 0)]
        known = [*self._known_at_first(tile), *map(tile.evaluated, before)]
        params = np.asarray(self._params(self._index, known))
        return params[:, *tile.kept_of_evaluated()]

    def bounds(self, *where):
        """The bounds of the group's pixels, as for `Likelihood.draw`: of all blocks, or slices of them."""
        return self._remainders and self._remainders.bounds(self.group.place, *where)

    def is_decided(self):
        """Which blocks have a pixel in the group: NumPy's bool [h, w]."""
        _, height, width = self._lattice
        diagonal = np.add.outer(np.arange(height), np.arange(width))
        found = diagonal % self.group.parts == self.group.part
        if self._exists is not None:
            found &= self._exists[self.group.place][..., 0] > 0
        return found

    def decided(self, values):
        """Notes the group's pixels [B, h, w, C]. Those of blocks that are not the group's may be anything."""
        place, remainders = self.group.place, self._remainders
        x = self._factor.network_inputs(values, remainders and remainders.center(place))
        if self._exists is not None:
            x = x * arrays.cast(self._exists[place], x.dtype)
        for known, new in ((self._pixels, values), (self._seen, x)):
            known[-1] = np.asarray(self.group.chosen(new, known[-1]))
        if remainders and self.group.part == self.group.parts - 1:
            remainders.decided(place, self._pixels[-1])

    def images(self):
        """The images, once all groups are decided: [B, H, W, C]."""
        return sums.from_places(self._pixels, self._factor.network.side, self._size)

    def _known_at_first(self, tile):
        latest, known = self._latest
        if latest != tile:  # Of many tiles they would not fit in memory.
            ones = np.ones((*self._lattice, 1), self._factor.variable_dtype)
            auxiliary = None if self._auxiliary is None else tile.evaluated(self._auxiliary)
            known = self._first(tile.evaluated(ones), auxiliary)
            self._latest = tile, known
        return known
