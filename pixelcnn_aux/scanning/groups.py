"""Deciding the pixels of an image in a graph: deciders, and two scans.

How pixels' distributions are computed and who decides the pixels from them are apart. A scan takes the pixels
of an image in two steps, such as a row, and a pixel of it: by two functions from [B, H, W, ...] to
[B, W, ...], and from that to [B, ...]. A decider is a function of the first one, called once a row, that
returns a function `decide(params, pick, bounds)`, from the parameters of some pixels, float [B, ..., P], the
second function and the bounds that an auxiliary image sets, as for `Likelihood.draw`, to their values,
int32 [B, ..., C]. Scans of `engine` take all pixels that are decided at once, [B, n, ...], in one step.
"""

import dataclasses
from typing import Any

import numpy as np

from pixelcnn_aux import arrays, sums
from pixelcnn_aux.sums import Bounds, bounds_of


def drawn_pixels(likelihood, request):
    """The decider of a `DrawRequest`: draws the pixels that are not known, within what is known of them."""

    def row(pick_row):
        noise, shift = pick_row(request.noise), request.log_scale_shift
        by_pixel = len(shift.shape) > 1
        shift = pick_row(shift) if by_pixel else shift
        completed, within = (
            known and [arrays.cast(pick_row(x), "int32") for x in known]
            for known in (request.completed, request.within)
        )

        def decide(params, pick, bounds):
            if within is not None:
                bounds = within_both(bounds, *map(pick, within))
            here = pick(shift) if by_pixel else shift
            pixels = likelihood.draw(params, pick(noise), here, bounds=bounds)
            if completed is None:
                return pixels
            known, mask = map(pick, completed)
            return arrays.where(mask == 1, known, pixels)

        return decide

    return row


def known_nats(likelihood, request, params, pixels, pick, remainders):
    """Log-probabilities of what is known of pixels: of their values, or the intervals they were drawn from.

    float [B, ...], NumPy's, as `pick` takes pixels, [B, ..., C], from images; 0 where nothing is known.
    `remainders` are their `PartRemainders`, or None.
    """
    nothing = np.zeros(pixels.shape[:-1])
    if request.completed is not None:
        mask = pick(request.completed[1])[..., 0]
        if not mask.any():
            return nothing
        return np.where(mask == 1, likelihood.log_prob(params, pixels), nothing)
    zeros = np.zeros_like(pixels)
    before = Bounds(zeros, zeros + (likelihood.num_values - 1), zeros)
    if remainders is not None:  # what follows from auxiliary images alone
        before = bounds_of(remainders.bounds(within=False), pixels)
    bounds = remainders and remainders.bounds()
    after = bounds_of(within_both(bounds, *map(pick, request.within)), pixels)
    if (before.low == after.low).all() and (before.high == after.high).all():
        return nothing
    return np.subtract(*(likelihood.log_prob(params, pixels, x) for x in (before, after)))


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


@dataclasses.dataclass(eq=False)
class GroupScan(Scan):
    """Evaluates a network that decides groups of pixels, each `group`'s part of it once."""

    def __post_init__(self):
        *self._size, _ = self.shape
        self.group = None
        self.lattice = (self.batch, *sums.num_blocks(self._size, self.network.side))
        self._known = self.remainders and self.remainders.blocks(self._size)
        self._exists = sums.existing_by_place(self._size, self.network.side)
        self._pixels, self._seen = [], []  # by place; the latter as the network sees them

    def decide_each_pixel(self, features, decider):
        """As in `scanning`. The decider is called once a group."""
        first, side = self.network.known_at_first(self.lattice, features), self.network.side
        for k, group in enumerate(self.network.groups):
            self.group, place = group, group.place
            params, here = self.network.group_params(k, [*first, *self._seen]), self.known()
            decide = decider(lambda x, place=place: sums.pixels_at(x, place, side))
            self.decided(decide(params, lambda x: x, here and here.bounds()))
        return self.images()

    def known(self, *where):
        """`PartRemainders` of the group's pixels, of all blocks or slices of them; None without sums."""
        return self._known and self._known.at_place(self.group.place, *where)

    def decided(self, values):
        """Notes the group's pixels [B, h, w, C]. Those of blocks that are not the group's may be anything."""
        known = self.known()
        x = self.network_inputs(values, known and known.center())
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
