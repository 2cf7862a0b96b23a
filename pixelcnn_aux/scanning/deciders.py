"""Deciders, which choose pixels given their distributions, and canvases, which hold decided pixels.

A decider is a function `decider(params, pick, bounds)` of pixels that are decided at once: their parameters,
float [B, ..., P]; a function that picks these pixels out of arrays [B, H, W, ...]; and the `bounds` of
`Likelihood.draw` that follow from an auxiliary image, or None. It returns whole values [B, ..., C].
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from pixelcnn_aux.base import arrays
from pixelcnn_aux.base.arguments import Tensor
from pixelcnn_aux.sums import Bounds, Remainders, bounds_of


def drawn_pixels(likelihood, request):
    """The decider of a `DrawRequest`: draws unknown pixels, within the request's intervals."""

    def decider(params, pick, bounds):
        if request.within is not None:
            bounds = intersected(bounds, *(arrays.cast(pick(x), "int32") for x in request.within))
        shift = request.log_scale_shift
        shift = pick(shift) if len(shift.shape) > 1 else shift
        pixels = likelihood.draw(params, pick(request.noise), shift, bounds=bounds)
        if request.completed is None:
            return pixels
        known_pixels, mask = map(pick, request.completed)
        return arrays.where(mask == 1, arrays.cast(known_pixels, "int32"), pixels)

    return decider


class Canvas:
    """The images of a scan, and what remains of the sums of their blocks.

    Attributes:
      images: [B, H, W, C] of pixel values, 0 where undecided.
      state: list of arrays [B, ...] that decisions change, which loops of graphs carry.
    """

    def __init__(self, factor: Any, request: Any, decider: Any, images: Tensor):
        self.images, self._factor, self._request, self._decider = images, factor, request, decider
        self._remainders = remainders_of(factor, request)

    @property
    def state(self) -> list[Tensor]:
        return [self.images, *([self._remainders.remainder] if self._remainders else [])]

    @state.setter
    def state(self, state: list[Tensor]) -> None:
        self.images, *remainder = state
        if self._remainders:
            [self._remainders.remainder] = remainder

    def fill(self, rows: Tensor, columns: Tensor, params: Tensor) -> Tensor:
        """Decides pixels, int [n] each, by parameters [B, n, P]; returns inputs of the network [B, n, C]."""
        request, factor = self._request, self._factor

        def pick(x):
            return arrays.pixels(x, rows, columns)

        remainders = self._remainders and self._remainders.at_pixels(rows, columns)
        pixels = self._decider(params, pick, remainders and remainders.bounds())
        if request.particles is not None:
            nats = known_nats(factor.likelihood, request, params, pixels, pick, remainders)
            request.particles.weigh(nats.sum(axis=1))
        self.images = arrays.with_pixels(self.images, rows, columns, pixels)
        if factor.watch:
            factor.watch(self.images)
        x = factor.pixels_input(pixels, remainders and remainders.center())
        if remainders:
            remainders.decided(pixels)
        return x

    def end_step(self, scan_arrays: Callable[[], list[Tensor]]) -> None:
        """Resamples particles if too few are effective; `scan_arrays` returns the arrays of the scan."""
        particles = self._request.particles
        if particles is not None and particles.are_few():
            particles.resample([*self.state, *scan_arrays()])


def remainders_of(factor, request):
    """`Remainders` of the images of a `DrawRequest`; None for a factor without a fixed sum."""
    if factor.fixed_sum is None:
        return None
    return Remainders(factor.fixed_sum, request.auxiliary, request.size, request.within)


def known_nats(likelihood, request, params, pixels, pick, remainders):
    """Log-probabilities of known pixel values, or of the known intervals in which pixels were drawn.

    NumPy float [B, ...] for pixels [B, ..., C], 0 where nothing is known. `pick` is that of deciders, and
    `remainders` are the pixels' `PartRemainders` or None.
    """
    nothing = np.zeros(pixels.shape[:-1])
    if request.completed is not None:
        mask = pick(request.completed[1])[..., 0]
        if not mask.any():
            return nothing
        return np.where(mask == 1, likelihood.log_prob(params, pixels), nothing)
    if remainders is None:
        zeros = np.zeros_like(pixels)
        by_auxiliary = Bounds(zeros, zeros + (likelihood.num_values - 1), zeros)
    else:
        by_auxiliary = bounds_of(remainders.bounds(within=False), pixels)
    bounds = remainders and remainders.bounds()
    by_both = bounds_of(intersected(bounds, *map(pick, request.within)), pixels)
    if all((by_auxiliary[i] == by_both[i]).all() for i in range(2)):
        return nothing
    return np.subtract(*(likelihood.log_prob(params, pixels, x) for x in (by_auxiliary, by_both)))


def intersected(bounds, least, most):
    """`bounds` as of `Likelihood.draw`, or None, intersected with intervals: int32 [..., C] each."""
    least, most = (arrays.unstack(x, axis=-1) for x in (least, most))

    def intersection(channel, earlier):
        if bounds is None:
            return Bounds(least[channel], most[channel], least[channel])
        low, high, center = bounds(channel, earlier)
        low, high = arrays.maximum(low, least[channel]), arrays.minimum(high, most[channel])
        return Bounds(low, high, center)

    return intersection
