"""Deciding the pixels of an image in a graph: deciders, and two scans.

How pixels' distributions are computed and who decides the pixels from them are apart. A scan takes the pixels
of an image in two steps, such as a row, and a pixel of it: by two functions from [B, H, W, ...] to
[B, W, ...], and from that to [B, ...]. A decider is a function of the first one, called once a row, that
returns a function `decide(params, pick, bounds)`, from the parameters of some pixels, float [B, ..., P], the
second function and the bounds that an auxiliary image sets, as for `Likelihood.draw`, to their values,
int32 [B, ..., C].
"""

import dataclasses
from typing import Any

from keras import ops

from pixelcnn_aux import arrays, backend, sums
from pixelcnn_aux.sums import Bounds


def drawn_pixels(likelihood, request):
    """The decider of a `DrawRequest`: draws the pixels that are not known, within what is known of them."""

    def row(pick_row):
        noise = pick_row(request.noise)
        completed, within = (
            known and [arrays.cast(pick_row(x), "int32") for x in known]
            for known in (request.completed, request.within)
        )

        def decide(params, pick, bounds):
            if within is not None:
                bounds = within_both(bounds, *map(pick, within))
            shift = request.log_scale_shift
            pixels = likelihood.draw(params, pick(noise), shift, bounds=bounds)
            if completed is None:
                return pixels
            known, mask = map(pick, completed)
            return arrays.where(mask == 1, known, pixels)

        return decide

    return row


def within_both(bounds, low, high):
    """Bounds as for `Likelihood.draw`, of pixels also known to lie between others, int32 [..., C]."""
    least, most = (arrays.unstack(x, axis=-1) for x in (low, high))

    def both(channel, earlier):
        if bounds is None:
            return Bounds(least[channel], most[channel], least[channel])
        low, high, center = bounds(channel, earlier)
        low, high = arrays.maximum(low, least[channel]), arrays.minimum(high, most[channel])
        return Bounds(low, high, center)

    return both


@dataclasses.dataclass(eq=False)
class Scan:
    """Evaluates a network in the order in which pixels are decided."""

    network: Any  # `networks.Network`
    network_inputs: Any  # `Factor.network_inputs`
    shape: Any  # (H, W, C) of the images, ints
    batch: Any  # B, an int or a scalar tensor
    remainders: Any = None  # `Remainders` of the fixed sums of auxiliary images


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


@dataclasses.dataclass(eq=False)
class GroupScan(Scan):
    """Evaluates a `ParallelPixelCNN`, each group's network once; if `full`, all of it for each group."""

    full: bool = False

    def decide_each_pixel(self, features, decider):
        """As in `scanning`. The decider is called once a group."""
        *size, channels = self.shape
        side = self.network.side
        lattice = (self.batch, *sums.num_blocks(size, side))
        remainders = self.remainders and self.remainders.blocks(size)
        zeros = ops.zeros((*lattice, channels), "int32")
        pixels = [zeros] * side**2
        seen = [self.network_inputs(zeros, zeros)] * side**2  # pixels as the network sees them

        def decide(group, params):
            place = group.place
            if self.full:
                whole = self.network(sums.from_places(seen, side, size), features, training=False)
                params = sums.pixels_at(whole, place, side)
            decide_here = decider(lambda x: sums.pixels_at(x, place, side))
            bounds = remainders and remainders.bounds(place)
            values = decide_here(params, lambda x: x, bounds)
            pixels[place] = values = group.chosen(values, pixels[place])
            center = remainders and remainders.center(place)
            x = self.network_inputs(values, center)
            seen[place] = group.chosen(x, seen[place])
            if remainders and group.part == group.parts - 1:
                remainders.decided(place, values)
            return x

        self.network.decide(lattice, size, features, decide, training=False)
        return sums.from_places(pixels, side, size)
