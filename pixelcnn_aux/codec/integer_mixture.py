"""The distributions of a mixture of logistics in whole numbers, which are the same on every machine.

Everything is NumPy's int64 and nothing depends on a float: exponentials and logistic functions come from
tables that are computed once, with more digits than are kept. The units are

    2 ** -8     parameters
    2 ** -12    locations, in pixel values; and distances from them, in scales
    2 ** -20    weights of components, of which the largest is 1 to 2
    2 ** -24    inverse scales, per pixel value
    2 ** -30    probabilities
"""

import decimal
import functools
import math

import numpy as np

from pixelcnn_aux.base.rounding import CENTERS
from pixelcnn_aux.likelihoods.mixture import (
    CENTERED_LOG_SCALE_SHIFT,
    MIN_LOG_SCALE,
    Layout,
    conditional_mean,
)

SHARES = 22  # bits: a table adds up to at most this and the number of values, below 2 ** 24
_PARAMS, _LOCATION, _WEIGHT, _INVERSE, _PROBABILITY = 8, 12, 20, 24, 30  # bits, as above
_MORE = 6  # bits of the sums that make locations
_STEP = 6  # bits of a scale between entries of the table of the logistic function
_FAR = 24  # scales from a location beyond which the logistic function is 0 or 1
_FARTHEST = 1 << 22  # a location


class IntegerMixture:
    """A `LogisticMixture` of 256 values in whole numbers; `CENTERS` of a center are one pixel value."""

    def __init__(self, likelihood):
        half, unit = (likelihood.num_values - 1) / 2, likelihood.unit
        self.num_values, self._centered = likelihood.num_values, likelihood.centered
        self.layout = Layout(likelihood.num_channels)
        self.unit = int((unit if self._centered else half) * 2 ** (_LOCATION - _PARAMS))
        self._middle = int(half * 2**_LOCATION)
        shift, factor = (CENTERED_LOG_SCALE_SHIFT, unit / 16) if self._centered else (0.0, 1.0)
        self.inverse_scales = _inverse_scales(shift, factor, half)

    def center(self, center):
        """The location at which means are 0: int64 [N] of centers [N]; or the middle of all values."""
        return (center << _LOCATION) // CENTERS if self._centered else self._middle


class Pixels:
    """N pixels whose channels become known one by one, of params [N, P] in 2 ** -8. Arrays are [K, N]."""

    def __init__(self, mixture, params):
        self._mixture = mixture
        parts = np.split(np.ascontiguousarray(params.T, np.int64), mixture.layout.per_component)
        logits, self._means, self._log_scales, coefficients = mixture.layout.sorted(parts)
        tanh = _tanhs()
        reach = len(tanh) // 2
        self._coefficients = [tanh[np.clip(x, -reach, reach) + reach] for x in coefficients]
        exps = _exps()
        self._weights = exps[np.minimum(logits.max(axis=0) - logits, len(exps) - 1)]
        self._deviations = []

    def channel(self, low, high, center):
        """The next `Channel`, of values from `low` to `high`; all int64 [N]."""
        mixture, channel = self._mixture, len(self._deviations)
        means = [x * mixture.unit << _MORE for x in self._means]
        locations = conditional_mean(channel, means, self._coefficients, self._deviations) >> _MORE
        locations = np.clip(locations + mixture.center(center), -_FARTHEST, _FARTHEST)
        least, inverses = mixture.inverse_scales
        index = np.clip(self._log_scales[channel] - least, 0, len(inverses) - 1)
        return Channel(self._weights, locations, inverses[index], low, high, mixture.num_values)

    def finish(self, channel, center):
        """Conditions the channels that follow on a `Channel` whose value is known."""
        below, until = channel.ends  # by each component
        weights = self._weights * np.maximum(until - below, 1)
        _, bits = np.frexp(weights.max(axis=0).astype(np.float64))  # whole, below 2 ** 53: exact
        self._weights = weights >> np.maximum(bits - (_WEIGHT + 1), 0)
        deviation = (channel.value << _LOCATION) - self._mixture.center(center)
        self._deviations.append(deviation * CENTERS >> _LOCATION)


class Channel:
    """The values of a channel of N pixels, each found by dividing its interval: `value` is the least left."""

    def __init__(self, weights, locations, inverses, low, high, num_values):
        self._weights, self._locations, self._inverses = weights, locations, inverses
        self._end, self._num_values, self.value = high + 1, num_values, low
        # The probabilities below the values that are left, and below the first one after them: [2, K, N].
        self.ends = self._components_below(np.stack([low, self._end]))

    def parts(self, count, number):
        """Whole numbers in proportion to the probabilities of intervals of `count` values: [N, number]."""
        places = np.arange(number + 1)[:, np.newaxis] * count
        values = np.minimum(self.value + places, self._end)
        middle = self._components_below(values[1:-1])
        self.ends = ends = np.concatenate([self.ends[:1], middle, self.ends[1:]])
        # The mixture's weight of each part, in a unit of its own.
        weights = (self._weights * (ends[1:] - ends[:-1])).sum(axis=1) >> 16
        total = np.maximum(weights.sum(axis=0), 1)
        weights <<= SHARES
        weights //= total
        weights += values[1:] - values[:-1]
        return weights.astype(np.float32).T

    def choose(self, part, count):
        """Keeps one of the `parts`, int [N]."""
        _, *shape = self.ends.shape
        index = np.arange(math.prod(shape)).reshape(shape)
        index += part * index.size
        ends = self.ends.ravel()
        self.ends = np.stack([ends.take(index), ends[index.size :].take(index)])
        self.value = self.value + part * count

    def _components_below(self, x):
        """The probability of values below x [M, N], by each component: int64 [M, K, N]."""
        table, steps = _logistics()
        x = x[:, np.newaxis]
        scales = ((2 * x - 1) << (_LOCATION - 1)) - self._locations
        scales *= self._inverses
        scales >>= _INVERSE
        far = _FAR << _LOCATION
        scales += far
        np.maximum(scales, 0, out=scales)  # faster than clip
        np.minimum(scales, 2 * far - 1, out=scales)
        index = scales >> (_LOCATION - _STEP)
        scales &= (1 << (_LOCATION - _STEP)) - 1
        # mode="clip" clips nothing any more: it is faster than a check.
        scales *= steps.take(index, mode="clip")
        scales >>= _LOCATION - _STEP
        scales += table.take(index, mode="clip")
        np.copyto(scales, 0, where=x <= 0)
        np.copyto(scales, 1 << _PROBABILITY, where=x >= self._num_values)
        return scales


def counts(longest, bits):
    """The numbers of values in each of 2 ** bits parts, of intervals of up to `longest` + 1: list of int."""
    return [1 << k * bits for k in reversed(range(-(-longest.bit_length() // bits)))]


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
    """exp(-x), x in units of parameters from 0 on, as far as there are weights."""
    return _table(lambda x: (-x / 2**_PARAMS).exp(), range(14 << _PARAMS), _WEIGHT)


@functools.cache
def _tanhs():
    """tanh(x), x in units of parameters from -7 to 7: the factors of deviations in units of centers."""

    def tanh(x):
        y = (2 * x / 2**_PARAMS).exp()
        return (y - 1) / (y + 1)

    bits = _LOCATION + _MORE - (CENTERS.bit_length() - 1)
    return _table(tanh, range(-(7 << _PARAMS), (7 << _PARAMS) + 1), bits)


@functools.cache
def _logistics():
    """1 / (1 + exp(-x)), x from -24 to 24 scales, and the steps from each entry to the next: int64 [n]."""
    places = range(-(_FAR << _STEP), (_FAR << _STEP) + 1)
    table = _table(lambda x: 1 / (1 + (-x / 2**_STEP).exp()), places, _PROBABILITY)
    return table[:-1], np.diff(table)


@functools.cache
def _inverse_scales(shift, factor, half):
    """(the first parameter, a table from there on) of 1 / (half exp(log-scale))."""
    with decimal.localcontext() as context:
        context.prec = 50
        moved = decimal.Decimal(shift) + decimal.Decimal(factor).ln()
        first = math.floor((MIN_LOG_SCALE - shift - math.log(factor)) * 2**_PARAMS)

        def inverse(n):
            log_scale = max(n / 2**_PARAMS + moved, decimal.Decimal(MIN_LOG_SCALE))
            return (-log_scale).exp() / decimal.Decimal(half)

        return first, _table(inverse, range(first, first + (13 << _PARAMS)), _INVERSE)
