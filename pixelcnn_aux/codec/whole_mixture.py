"""The distributions of a mixture of logistics in whole numbers, so that no two machines disagree about them.

Everything is NumPy's int64, and nothing in it depends on a float: exponentials and logistic functions come
from tables that are computed once, with more digits than are kept. In units of

    2 ** -8     parameters
    2 ** -12    locations, in pixel values; and how many scales a value is from one
    2 ** -20    weights of components, of which the largest is 1 to 2
    2 ** -24    inverse scales, per pixel value
    2 ** -30    probabilities
"""

import decimal
import functools
import math

import numpy as np

from pixelcnn_aux.layers import rounding
from pixelcnn_aux.likelihoods.mixture import (
    CENTERED_LOG_SCALE_SHIFT,
    MIN_LOG_SCALE,
    Layout,
    conditional_mean,
)

SHARES = 22  # bits: what a table adds up to is at most this and the number of values, below 2 ** 24
_PARAMS, _LOCATION, _WEIGHT, _INVERSE, _PROBABILITY = 8, 12, 20, 24, 30  # bits, as above
_MORE = 6  # bits of sums that locations are made of
_STEP = 6  # bits of a scale between entries of the table of the logistic function
_FAR = 24  # scales from a location, from where on it is 0 or 1
_FARTHEST = 1 << 22  # a location


class WholeMixture:
    """What a `LogisticMixture` says of pixels.

    Args:
      likelihood: `LogisticMixture` of 256 values; if it is centered, of a whole unit.
    """

    def __init__(self, likelihood):
        half, unit = (likelihood.num_values - 1) / 2, likelihood.unit
        self.num_channels, self.num_values = likelihood.num_channels, likelihood.num_values
        self.layout, self._centered = Layout(self.num_channels), likelihood.centered
        self.unit = int((unit if self._centered else half) * 2 ** (_LOCATION - _PARAMS))
        self._middle = int(half * 2**_LOCATION)
        shift, factor = (CENTERED_LOG_SCALE_SHIFT, unit / 16) if self._centered else (0.0, 1.0)
        self.inverse_scales = _inverse_scales(MIN_LOG_SCALE, shift, factor, half)

    def pixels(self, params):
        """`Pixels` of parameters, whole numbers [N, num_params], in units of 2 ** -8."""
        return Pixels(self, params)

    def center(self, center):
        """Where means are 0: int64 [N], of centers [N] in `CENTERS`; or the middle of all values."""
        if not self._centered:
            return self._middle
        return (center << _LOCATION) // rounding.CENTERS


class Pixels:
    """N pixels, of which channel by channel becomes known. Arrays are [K, N], of components and pixels.

    Args:
      mixture: `WholeMixture`.
      params: whole numbers [N, num_params].
    """

    def __init__(self, mixture, params):
        self._mixture = mixture
        blocks = np.split(np.ascontiguousarray(params.T, np.int64), mixture.layout.num_blocks)
        logits, self._means, self._log_scales, coefficients = mixture.layout.sorted(blocks)
        tanh = _tanhs()
        reach = len(tanh) // 2
        self._coefficients = [tanh[np.clip(x, -reach, reach) + reach] for x in coefficients]
        exps = _exps()
        self._weights = exps[np.minimum(logits.max(axis=0) - logits, len(exps) - 1)]
        self._deviations = []

    def channel(self, low, high, center):
        """The `Channel` after those that are known, of values from `low` to `high`; all int64 [N]."""
        mixture, channel = self._mixture, len(self._deviations)
        means = [x * mixture.unit << _MORE for x in self._means]
        locations = conditional_mean(channel, means, self._coefficients, self._deviations) >> _MORE
        locations = np.clip(locations + mixture.center(center), -_FARTHEST, _FARTHEST)
        least, inverses = mixture.inverse_scales
        index = np.clip(self._log_scales[channel] - least, 0, len(inverses) - 1)
        how = (self._weights, locations, inverses[index])
        return Channel(*how, low, high, mixture.num_values)

    def known(self, channel, center):
        """Notes that the value of a `Channel` is known."""
        weights = self._weights * np.maximum(channel.masses(), 1)
        _, bits = np.frexp(weights.max(axis=0).astype(np.float64))  # whole, below 2 ** 53: exactly
        self._weights = weights >> np.maximum(bits - (_WEIGHT + 1), 0)
        deviation = (channel.value << _LOCATION) - self._mixture.center(center)
        self._deviations.append(deviation * rounding.CENTERS >> _LOCATION)


class Channel:
    """The values of a channel of N pixels, each found by halving what is left of its interval.

    Attributes:
      value: int64 [N], the least of the values that are left.
    """

    def __init__(self, weights, locations, inverses, low, high, num_values):
        self._weights, self._locations, self._inverses = weights, locations, inverses
        self._end, self._num_values, self.value = high + 1, num_values, low
        # The probability of what is below the values that are left, and below the first one after them.
        self._ends = self._components_below(low), self._components_below(self._end)
        self._middle = None

    def halves(self, count):
        """Tables of whether the value is one of the first `count` that are left, or of as many after these.

        Returns:
          float32 [N, 2], whole numbers in proportion to the probabilities of both: of each at least as many
          as it has values.
        """
        first, last = self._ends
        middle = np.minimum(self.value + count, self._end)
        self._middle = self._components_below(middle)
        weights = np.stack([self._weight(self._middle - first), self._weight(last - self._middle)])
        values = np.stack([middle, np.minimum(self.value + 2 * count, self._end)])
        values[1] -= values[0]
        values[0] -= self.value
        total = np.maximum(weights[0] + weights[1], 1)
        return (values + (weights << SHARES) // total).astype(np.float32).T

    def decided(self, half, count):
        """Notes the half, int [N], that `halves` was about."""
        second = half > 0
        first, last = self._ends
        self._ends = np.where(second, self._middle, first), np.where(second, last, self._middle)
        self.value = self.value + half * count

    def masses(self):
        """The probability of the value by each component, once it is the only one left: int64 [K, N]."""
        first, last = self._ends
        return last - first

    def _weight(self, masses):
        """The weight of what has masses [K, N] by component: int64 [N], in a unit of its own."""
        return (self._weights * masses).sum(axis=0) >> 16

    def _components_below(self, x):
        """The probability of values below x [N], by each component: int64 [K, N]."""
        table, steps = _logistics()
        scales = ((2 * x - 1) << (_LOCATION - 1)) - self._locations
        scales *= self._inverses
        scales >>= _INVERSE
        far = _FAR << _LOCATION
        np.clip(scales, -far, far - 1, out=scales)
        scales += far
        index = scales >> (_LOCATION - _STEP)
        scales &= (1 << (_LOCATION - _STEP)) - 1
        # Nothing is clipped any more: it is faster than to check that.
        scales *= steps.take(index, mode="clip")
        scales >>= _LOCATION - _STEP
        scales += table.take(index, mode="clip")
        scales[:, x <= 0] = 0
        scales[:, x >= self._num_values] = 1 << _PROBABILITY
        return scales


def counts(low, high):
    """How many values are in each half, one time after another, until one is left of each interval: ints.

    Intervals are from `low` to `high`, int64 [N].
    """
    longest = int(np.max(high - low, initial=0))
    return [1 << k for k in reversed(range(longest.bit_length()))]


def _table(function, values, bits):
    """int64: a function of decimals at each of some values, in units of 2 ** -bits, correctly rounded."""
    with decimal.localcontext() as context:
        context.prec = 50
        units = (function(decimal.Decimal(x)) * 2**bits for x in values)
        return np.array(
            [int(x.to_integral_value(decimal.ROUND_HALF_EVEN)) for x in units], np.int64
        )


@functools.cache
def _exps():
    """Of exp(-x), x in units of parameters from 0 on, as far as there are weights."""
    return _table(lambda x: (-x / 2**_PARAMS).exp(), range(14 << _PARAMS), _WEIGHT)


@functools.cache
def _tanhs():
    """Of tanh(x), x in units of parameters from -7 to 7: what multiplies deviations in `CENTERS`."""

    def tanh(x):
        y = (2 * x / 2**_PARAMS).exp()
        return (y - 1) / (y + 1)

    bits = _LOCATION + _MORE - (rounding.CENTERS.bit_length() - 1)
    return _table(tanh, range(-(7 << _PARAMS), (7 << _PARAMS) + 1), bits)


@functools.cache
def _logistics():
    """Of 1 / (1 + exp(-x)), x from -24 to 24 scales, and the steps from each entry to the next: int64 [n]."""
    places = range(-(_FAR << _STEP), (_FAR << _STEP) + 1)
    table = _table(lambda x: 1 / (1 + (-x / 2**_STEP).exp()), places, _PROBABILITY)
    return table[:-1], np.diff(table)


@functools.cache
def _inverse_scales(least, shift, factor, half):
    """(the first parameter, a table from there on), of 1 / (half exp(log-scale))."""
    with decimal.localcontext() as context:
        context.prec = 50
        moved = decimal.Decimal(shift) + decimal.Decimal(factor).ln()
        first = math.floor((least - shift - math.log(factor)) * 2**_PARAMS)

        def inverse(n):
            log_scale = max(n / 2**_PARAMS + moved, decimal.Decimal(least))
            return (-log_scale).exp() / decimal.Decimal(half)

        return first, _table(inverse, range(first, first + (13 << _PARAMS)), _INVERSE)
