"""Who decides pixels from their distributions, and the images that are decided.

A decider is a function `decide(params, pick, bounds)` of pixels that are decided at once: their parameters,
float [B, ..., P], a function that takes their part of arrays [B, H, W, ...], and the bounds that an auxiliary
image sets, as for `Likelihood.draw`. It returns their values, whole numbers [B, ..., C].
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from pixelcnn_aux.base import arrays
from pixelcnn_aux.base.arguments import Tensor
from pixelcnn_aux.sums import Bounds, Remainders, bounds_of


def drawn_pixels(likelihood, request):
    """The decider of a `DrawRequest`: draws the pixels that are not known, within what is known of them."""

    def decide(params, pick, bounds):
        if request.within is not None:
            ends = (arrays.cast(pick(x), "int32") for x in request.within)
            bounds = within_both(bounds, *ends)
        shift = request.log_scale_shift
        shift = pick(shift) if len(shift.shape) > 1 else shift
        pixels = likelihood.draw(params, pick(request.noise), shift, bounds=bounds)
        if request.completed is None:
            return pixels
        known, mask = map(pick, request.completed)
        return arrays.where(mask == 1, arrays.cast(known, "int32"), pixels)

    return decide


class Canvas:
    """The images that a scan decides, and what is left of the sums of their blocks.

    Attributes:
      images: [B, H, W, C] of pixel values, 0 where they are not decided.
      state: list of arrays [B, ...] that decisions change, which loops of graphs carry.
    """

    def __init__(self, factor: Any, request: Any, decider: Any, images: Tensor):
        self.images, self._factor, self._request, self._decider = images, factor, request, decider
        fixed_sum = factor.fixed_sum
        ends = request.size, request.within
        self._known = fixed_sum and Remainders(fixed_sum, request.auxiliary, *ends)

    @property
    def state(self) -> list[Tensor]:
        return [self.images, *([self._known.remainder] if self._known else [])]

    @state.setter
    def state(self, state: list[Tensor]) -> None:
        self.images, *remainder = state
        if self._known:
            [self._known.remainder] = remainder

    def decide(self, rows: Tensor, columns: Tensor, params: Tensor) -> Tensor:
        """Decides the pixels in rows and columns, int [n], by their parameters, float [B, n, P].

        Returns the pixels as the network sees them: float [B, n, C].
        """
        request, factor = self._request, self._factor

        def pick(x):
            return arrays.pixels(x, rows, columns)

        here = self._known and self._known.at_pixels(rows, columns)
        pixels = self._decider(params, pick, here and here.bounds())
        if request.particles is not None:
            nats = known_nats(factor.likelihood, request, params, pixels, pick, here)
            request.particles.weigh(nats.sum(axis=1))
        self.images = arrays.with_pixels(self.images, rows, columns, pixels)
        if factor.watch:
            factor.watch(self.images)
        x = factor.network_inputs(pixels, here and here.center())
        if here:
            here.decided(pixels)
        return x

    def end_step(self, others: Callable[[], list[Tensor]]) -> None:
        """Resamples particles that have become few, and the arrays of the scan that `others` returns."""
        particles = self._request.particles
        if particles is not None and particles.are_few():
            particles.resample([*self.state, *others()])


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
