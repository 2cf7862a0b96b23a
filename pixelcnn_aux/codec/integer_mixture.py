"""Mixtures of logistics, and categoricals, in integer arithmetic, with the same results on every machine.

All arrays are int64 and no result depends on floats: exponentials and logistic functions come from tables
that are computed once, at a higher precision. The units are

    2 ** -8     parameters
    2 ** -12    locations, in pixel values; distances from them, in scales; above 256 values 2 ** -20 scales
    2 ** -20    components' weights, the largest of which is between 1 and 2
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
    LogisticMixture,
    conditional_mean,
)

SHARES = 22  # bits: a table sums to at most 2 ** SHARES plus the number of values, below 2 ** 24
_PARAMS, _LOCATION, _WEIGHT, _INVERSE, _PROBABILITY = 8, 12, 20, 24, 30  # bits, as above
_WIDE = 20  # bits of distances in scales, of which a value may be a small part, above 256 values
_GUARD = 6  # additional bits of sums that make locations
_STEP = 6  # the logistic function's table has 2 ** _STEP entries per scale
_FAR = 24  # distance in scales beyond which the logistic function is 0 or 1
_MAX_LOCATION = 4  # times the number of values, at least 256


def integers(likelihood):
    """The `IntegerMixture` or `IntegerCategorical` of a likelihood."""
    is_mixture = isinstance(likelihood, LogisticMixture)
    return (IntegerMixture if is_mixture else IntegerCategorical)(likelihood)


class IntegerMixture:
    """A `LogisticMixture` in integers; centers are in units of 1 / `CENTERS` pixel values."""

    def __init__(self, likelihood):
        half = (likelihood.num_values - 1) / 2
        unit = likelihood.unit
        self.num_values, self._centered = likelihood.num_values, likelihood.centered
        self.layout = Layout(likelihood.num_channels)
        self.unit = int((unit if self._centered else half) * 2 ** (_LOCATION - _PARAMS))
        self._middle = int(half * 2**_LOCATION)
        self.inverse_scales = _inverse_scales(unit if self._centered else None, half)
        self.distance = _LOCATION if self.num_values <= 256 else _WIDE  # bits, in scales
        self.farthest = _MAX_LOCATION * max(self.num_values, 256) << _LOCATION

    def center(self, center):
        """The location that means are relative to: int64 [N] for centers [N], or the middle of all values."""
        return (center << _LOCATION) // CENTERS if self._centered else self._middle

    def pixels(self, params):
        """`Pixels` with params, int64 [N, P], in 2 ** -8."""
        return Pixels(self, params)


class Pixels:
    """N pixels with params [N, P], in 2 ** -8, decided channel by channel. Inner arrays are [K, N]."""

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
        """The next `Channel`, with values from `low` to `high`; all int64 [N]."""
        mixture, channel = self._mixture, len(self._deviations)
        means = [x * mixture.unit << _GUARD for x in self._means]
        locations = conditional_mean(channel, means, self._coefficients, self._deviations) >> _GUARD
        locations += mixture.center(center)
        locations = np.clip(locations, -mixture.farthest, mixture.farthest)
        first, inverses = mixture.inverse_scales
        index = np.clip(self._log_scales[channel] - first, 0, len(inverses) - 1)
        below = functools.partial(_components_below, mixture, locations, inverses[index])
        return Channel(self._weights, below, low, high)

    def finish(self, channel, center):
        """Conditions later channels on a decided `Channel`."""
        low, high = channel.ends
        weights = self._weights * np.maximum(high - low, 1)
        _, bits = np.frexp(weights.max(axis=0).astype(np.float64))  # exact: integers below 2 ** 53
        self._weights = weights >> np.maximum(bits - (_WEIGHT + 1), 0)
        deviation = (channel.value << _LOCATION) - self._mixture.center(center)
        self._deviations.append(deviation * CENTERS >> _LOCATION)


class Channel:
    """A channel of N pixels, decided by bisection: `value` is the lowest value of each interval."""

    def __init__(self, weights, below, low, high):
        """`below` gives each component's probability of values below x [M, N]: int64 [M, K, N]."""
        self._weights, self._components_below = weights, below
        self._end, self.value = high + 1, low
        # CDF of each component at both ends of the remaining interval: [2, K, N].
        self.ends = self._components_below(np.stack([low, self._end]))

    def parts(self, count, number):
        """Integers proportional to the probabilities of `number` intervals of `count` values: [N, number]."""
        offsets = np.arange(number + 1)[:, np.newaxis] * count
        values = np.minimum(self.value + offsets, self._end)
        middle = self._components_below(values[1:-1])
        self.ends = ends = np.concatenate([self.ends[:1], middle, self.ends[1:]])
        # The mixture's weight of each part, in an arbitrary unit.
        weights = (self._weights * (ends[1:] - ends[:-1])).sum(axis=1) >> 16
        total = np.maximum(weights.sum(axis=0), 1)
        weights <<= SHARES
        weights //= total
        weights += values[1:] - values[:-1]
        return weights.astype(np.float32).T

    def choose(self, part, count):
        """Keeps one of the `parts`, int [N], as the interval."""
        _, *shape = self.ends.shape
        index = np.arange(math.prod(shape)).reshape(shape)
        index += part * index.size
        ends = self.ends.ravel()
        self.ends = np.stack([ends.take(index), ends[index.size :].take(index)])
        self.value = self.value + part * count


class IntegerCategorical:
    """A `Categorical` in integers."""

    def __init__(self, likelihood):
        self.num_values, self.num_channels = likelihood.num_values, likelihood.num_channels

    def pixels(self, params):
        """`Colors` with params, int64 [N, P], in 2 ** -8."""
        return Colors(self, params)


class Colors:
    """N pixels with params [N, P], like `Pixels`, of a categorical."""

    def __init__(self, categorical, params):
        values, channels = categorical.num_values, categorical.num_channels
        self._index = np.arange(len(params))
        self._logits = params[:, : channels * values].reshape(-1, channels, values)
        self._tables = params[:, channels * values :].reshape(len(params), -1, values, values)
        self._earlier = []

    def channel(self, low, high, center):
        """The next `Channel`; centers are ignored."""
        del center
        channel = len(self._earlier)
        first = channel * (channel - 1) // 2
        logits = self._logits[:, channel]
        for j, value in enumerate(self._earlier):
            logits = logits + self._tables[self._index, first + j, value]
        exps = _exps()
        places = np.minimum(logits.max(axis=1, keepdims=True) - logits, len(exps) - 1)
        below = np.pad(np.cumsum(exps[places], axis=1), ((0, 0), (1, 0)))
        weight = np.full((1, len(logits)), 1 << 16)  # so that `Channel.parts` keeps all bits
        return Channel(weight, lambda x: below[self._index, x][:, np.newaxis], low, high)

    def finish(self, channel, center):
        """Conditions later channels on a decided `Channel`."""
        del center
        self._earlier.append(channel.value)


def _components_below(mixture, locations, inverses, x):
    """The probability of values below x [M, N] of each component [K, N]: int64 [M, K, N]."""
    table, steps = _logistics()
    bits, x = mixture.distance, x[:, np.newaxis]
    scales = ((2 * x - 1) << (_LOCATION - 1)) - locations
    scales *= inverses
    scales >>= _INVERSE + _LOCATION - bits
    far = _FAR << bits
    scales += far
    np.maximum(scales, 0, out=scales)  # faster than clip
    np.minimum(scales, 2 * far - 1, out=scales)
    index = scales >> (bits - _STEP)
    scales &= (1 << (bits - _STEP)) - 1
    # Indices are in range; mode="clip" is the fastest.
    scales *= steps.take(index, mode="clip")
    scales >>= bits - _STEP
    scales += table.take(index, mode="clip")
    np.copyto(scales, 0, where=x <= 0)
    np.copyto(scales, 1 << _PROBABILITY, where=x >= mixture.num_values)
    return scales


def counts(longest, bits):
    """Values per part when intervals of up to `longest` + 1 values are split into 2 ** bits: list of int."""
    return [1 << k * bits for k in reversed(range(-(-longest.bit_length() // bits)))]


def _table(function, values, bits):
    """A function of decimals at each of `values`, in units of 2 ** -bits, correctly rounded: int64."""
    with decimal.localcontext() as context:
        context.prec = 50
        units = (function(decimal.Decimal(x)) * 2**bits for x in values)
        return np.array(
            [int(x.to_integral_value(decimal.ROUND_HALF_EVEN)) for x in units], np.int64
        )


@functools.cache
def _exps():
    """exp(-x), x in units of parameters from 0 until weights vanish."""
    return _table(lambda x: (-x / 2**_PARAMS).exp(), range(14 << _PARAMS), _WEIGHT)


@functools.cache
def _tanhs():
    """tanh(x), x in units of parameters from -7 to 7: factors of deviations in units of centers."""

    def tanh(x):
        y = (2 * x / 2**_PARAMS).exp()
        return (y - 1) / (y + 1)

    bits = _LOCATION + _GUARD - (CENTERS.bit_length() - 1)
    return _table(tanh, range(-(7 << _PARAMS), (7 << _PARAMS) + 1), bits)


@functools.cache
def _logistics():
    """1 / (1 + exp(-x)), x from -24 to 24 scales, and the differences to the next entry: int64 [n]."""
    places = range(-(_FAR << _STEP), (_FAR << _STEP) + 1)
    table = _table(lambda x: 1 / (1 + (-x / 2**_STEP).exp()), places, _PROBABILITY)
    return table[:-1], np.diff(table)


@functools.cache
def _inverse_scales(unit, half):
    """(first parameter, table from there on) of 1 / (half exp(log-scale)); `unit` is None if not centered."""
    with decimal.localcontext() as context:
        context.prec = 50
        # As in `LogisticMixture`: `half` in units of that of 256 values.
        ratio, offset = decimal.Decimal(half) / decimal.Decimal("127.5"), decimal.Decimal(0)
        least = decimal.Decimal(MIN_LOG_SCALE) - max(ratio, decimal.Decimal(1)).ln()
        if unit is not None:
            shift = decimal.Decimal(CENTERED_LOG_SCALE_SHIFT)
            offset = shift + (decimal.Decimal(unit) / 16 / ratio).ln()
        first = math.floor((least - offset) * 2**_PARAMS)

        def inverse(n):
            log_scale = max(n / 2**_PARAMS + offset, least)
            return (-log_scale).exp() / decimal.Decimal(half)

        return first, _table(inverse, range(first, first + (13 << _PARAMS)), _INVERSE)
