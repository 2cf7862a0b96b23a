"""Deciding the pixels of an image in a graph: who decides them, and two scans.

How pixels' distributions are computed and who decides the pixels from them are apart. A scan takes the pixels
of an image in two steps, such as a row, and a pixel of it: by two functions from [B, H, W, ...] to
[B, W, ...], and from that to [B, ...]. A decider is a function of the first one, called once a row, that
returns a function `decide(params, pick, bounds)`, from the parameters of some pixels, float [B, ..., P], the
second function and what an auxiliary image says of them, as for `Likelihood.draw`, to their values,
int32 [B, ..., C].
"""

from keras import ops

from pixelcnn_aux import backend, sums
from pixelcnn_aux.sums import Bounds


def draws(likelihood, noise, log_scale_shift):
    """The decider that draws each pixel. Args as for `Factor.draw`."""

    def row(pick_row):
        here = pick_row(noise)

        def decide(params, pick, bounds):
            return likelihood.draw(params, pick(here), log_scale_shift, bounds=bounds)

        return decide

    return row


def given_pixels(images):
    """The decider that takes each pixel from uint8 [B, H, W, C], whatever its distribution."""

    def row(pick_row):
        here = ops.cast(pick_row(images), "int32")
        return lambda params, pick, bounds: pick(here)

    return row


def completion(known, mask, decider):
    """The decider that takes the pixels where `mask` is 1 from `known`, and asks another for the rest.

    Args:
      known: uint8 [B, H, W, C].
      mask: uint8 [B, H, W, 1].
      decider: the other one.
    """
    known, mask = given_pixels(known), given_pixels(mask)

    def row(pick_row):
        pixels, known_pixels, masks = decider(pick_row), known(pick_row), mask(pick_row)

        def decide(*args):
            return ops.where(masks(*args) == 1, known_pixels(*args), pixels(*args))

        return decide

    return row


def narrowed(low, high, decider):
    """The decider that asks another one for pixels that are known to lie between others.

    Args:
      low, high: uint8 [B, H, W, C].
      decider: the other one.
    """
    low, high = given_pixels(low), given_pixels(high)

    def row(pick_row):
        pixels, lows, highs = decider(pick_row), low(pick_row), high(pick_row)

        def decide(params, pick, bounds):
            known = (x(params, pick, bounds) for x in (lows, highs))
            return pixels(params, pick, within_both(bounds, *known))

        return decide

    return row


def within_both(bounds, low, high):
    """Bounds of pixels that are also known to lie between others.

    Args:
      bounds: function, as for `Likelihood.draw`, or None.
      low, high: int32 [..., C].

    Returns:
      Function, likewise.
    """
    least, most = (ops.unstack(x, axis=-1) for x in (low, high))

    def both(channel, earlier):
        if bounds is None:
            return Bounds(least[channel], most[channel], least[channel])
        low, high, center = bounds(channel, earlier)
        return Bounds(ops.maximum(low, least[channel]), ops.minimum(high, most[channel]), center)

    return both


class FullScan:
    """Evaluates a network in raster order, as a whole for each pixel.

    Args:
      network: `networks.Network`.
      network_inputs: function from pixel values [..., C] and their centers, None without `remainders`, to the
        floats that the network sees.
      shape: (H, W, C) of the images, ints.
      batch: B, an int or a scalar tensor.
      remainders: `Remainders` of the fixed sums of auxiliary images, or None.
      keep_params: bool, whether to return the parameters that the pixels were decided from.
    """

    def __init__(
        self, network, network_inputs, shape, batch, *, remainders=None, keep_params=False
    ):
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


class GroupScan:
    """Evaluates a `ParallelPixelCNN`, each group's network once; if `full`, all of it for each group.

    Args: as for `FullScan`.
    """

    def __init__(
        self,
        network,
        network_inputs,
        shape,
        batch,
        *,
        remainders=None,
        keep_params=False,
        full=False,
    ):
        self._network = network
        self._network_inputs = network_inputs
        self._shape = shape
        self._batch = batch
        self._remainders = remainders
        self._keep_params = keep_params
        self._full = full

    def decide_each_pixel(self, features, decider):
        """As in `scanning`. The decider is called once a group."""
        *size, channels = self._shape
        side = self._network.side
        lattice = (self._batch, *sums.num_blocks(size, side))
        remainders = self._remainders and self._remainders.blocks(size)
        zeros = ops.zeros((*lattice, channels), "int32")
        pixels = [zeros] * side**2
        seen = [self._network_inputs(zeros, zeros)] * side**2  # pixels as the network sees them

        def decide(group, params):
            place = group.place
            if self._full:
                whole = self._network(sums.from_places(seen, side, size), features, training=False)
                params = sums.pixels_at(whole, place, side)
            decide_here = decider(lambda x: sums.pixels_at(x, place, side))
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
        images = sums.from_places(pixels, side, size)
        if not self._keep_params:
            return [images]
        return [images, sums.from_places(params, side, size)]
