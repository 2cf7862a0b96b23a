"""Deciding the pixels of images group by group, in tiles, so that memory grows with a tile.

Of the whole image there are a few numbers a pixel: what it is, what the network sees of it, and what is left
of sums. Nothing is traced for a size of images: networks are compiled for all sizes.
"""

import itertools

import numpy as np
from keras import ops

from pixelcnn_aux import arguments, blocks, tiling
from pixelcnn_aux.scanning.remainders import Remainders


class TileScan:
    """Evaluates a factor whose network decides groups of pixels, and sees a neighborhood alone.

    Args:
      factor: `Factor` that has a `radius`.
      size: (H, W), ints.
      batch: B, an int.
      auxiliary, condition, within: as for `Factor.draw`.
    """

    def __init__(self, factor, size, batch, auxiliary=None, condition=None, within=None):
        self._factor, self._size = factor, size
        self._auxiliary, self._condition = auxiliary, condition
        side, fixed_sum = factor.network.side, factor.fixed_sum
        self._remainders = fixed_sum and Remainders(fixed_sum, auxiliary, within).blocks(size)
        self._lattice = (batch, *blocks.lattice(size, side))
        self._exists = blocks.exists(size, side)
        self._tiles = [*itertools.chain(*tiling.tiles(factor, size))]
        self._latest = None, None  # a tile, and what is known of it at first

    def decide_each_pixel(self, decider):
        """As in `scanning`, without features: the images. The decider is asked for each tile of a group."""
        factor, pixels, seen = self._factor, [], []  # by place; the latter as the network sees them
        shape = (*self._lattice, factor.likelihood.num_channels)
        dtype = arguments.pixel_dtype(factor.likelihood.num_values)
        for k, group in enumerate(factor.network.groups):
            if not group.part:
                pixels.append(np.zeros(shape, dtype))
                seen.append(np.zeros(shape, factor.variable_dtype))
            before = seen[: group.place + (group.part > 0)]
            # Kept until all are decided, since tiles of a group do not know of each other.
            decided = [self._tile(k, tile, before, decider) for tile in self._tiles]
            for tile, here in zip(self._tiles, decided):
                for whole, x in zip((pixels[-1], seen[-1]), here):
                    part = tile.kept(whole)
                    part[:] = group.chosen(x, part)
            if self._remainders and group.part == group.parts - 1:
                self._remainders.decided(group.place, pixels[-1])
        return blocks.joined(pixels, factor.network.side, self._size)

    def _tile(self, k, tile, before, decider):
        """The pixels of a group in a tile, as they are and as the network sees them: two [B, h, w, C]."""
        factor, remainders = self._factor, self._remainders
        side, place = factor.network.side, factor.network.groups[k].place
        known = [*self._known_at_first(tile), *map(tile.evaluated, before)]
        params = factor.group_params(k, known, self._condition)[:, *tile.kept_of_evaluated()]
        where = [span.kept() for span in tile]
        decide = decider(lambda x: blocks.at_place(tile.kept(x, side), place, side))
        bounds = remainders and remainders.bounds(place, *where)
        values = decide(params, lambda x: x, bounds)
        x = factor.network_inputs(values, remainders and remainders.center(place, *where))
        if self._exists is not None:
            x = x * ops.cast(self._exists[place][*where], x.dtype)
        return values, x

    def _known_at_first(self, tile):
        latest, known = self._latest
        if latest != tile:  # Of many tiles they would not fit in memory.
            ones = np.ones((*self._lattice, 1), self._factor.variable_dtype)
            auxiliary = None if self._auxiliary is None else tile.evaluated(self._auxiliary)
            known = self._factor.known_at_first(tile.evaluated(ones), auxiliary, self._condition)
            self._latest = tile, known
        return known
