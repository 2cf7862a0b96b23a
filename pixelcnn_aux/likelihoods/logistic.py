"""Logistic distributions of a pixel value: discretized, and truncated to an interval."""

import functools
from typing import NamedTuple

import numpy as np

from pixelcnn_aux.base import arrays
from pixelcnn_aux.base.arguments import Tensor
from pixelcnn_aux.base.arrays import lookup, pick

FAR = 1e30  # the outer ends of the first and last bin: finite, since infinities make NaN
# In scales. Further out, a tail is exponential, so that an interval has the same shape everywhere.
TAIL = 16.0
# In pixels of 256 values. With larger scales an interval is flat to one part in a thousand, and rounding
# errors would distort draws.
FLAT = 1e5
LOOKED_UP = 256  # up to so many values, a table of the ends of bins is faster than computing them


class Logistics(NamedTuple):
    """`distributions.DiscretizedLogistic` of NumPy arrays or tensors, without TensorFlow Probability."""

    loc: Tensor
    scale: Tensor
    num_values: int = 256

    def log_mass(self, low, high):
        """`DiscretizedLogistic.log_mass`."""
        inverse_scale = 1.0 / self.scale
        a = (high - self.loc + 0.5) * inverse_scale
        # For one value they are an inverse scale apart: that halves the work of a training step.
        b = (a if low is high else (low - self.loc + 0.5) * inverse_scale) - inverse_scale
        # log(1 - exp(-x)), without expm1, which ONNX does not have.
        half = arrays.tanh(0.5 * (high - low + 1.0) * inverse_scale)
        log_width = arrays.log(2.0 * half / (1.0 + half))
        # All three terms are finite, so that masks can drop them without a NaN in the gradient.
        not_first = arrays.cast(low > 0.5, self.loc.dtype)
        not_last = arrays.cast(high < self.num_values - 1.5, self.loc.dtype)
        return (
            not_first * not_last * log_width
            - not_last * arrays.softplus(-a)
            - not_first * arrays.softplus(b)
        )


class TruncatedLogistic:
    """Logistic distributions [..., K], truncated to an interval of values, int32 [...]."""

    def __init__(self, loc, scale, low, high, num_values=256):
        self._loc, self._scale, self._num_values = loc, scale, num_values
        self._low, self._high = low, high

    def log_mass(self):
        """Log-probability of the interval before truncation: `DiscretizedLogistic.log_mass`, [..., K]."""
        bottom, top = self._ends(self._loc.dtype, 1)  # [..., 1]
        below, above = (bottom - self._loc) / self._scale, (self._loc - top) / self._scale
        log_width = arrays.log(-arrays.expm1((bottom - top) / self._scale))
        return log_width - arrays.softplus(below) - arrays.softplus(above)

    def _ends(self, dtype, *trailing):
        """The bottom and top of the interval, with trailing dimensions of 1: [..., *trailing] each."""
        last = self._num_values - 1
        if self._num_values <= LOOKED_UP:
            bottoms, tops = _edges(self._num_values, arrays.numpy_dtype(dtype), trailing)
            return lookup(bottoms, self._low), lookup(tops, self._high)
        low, high = (x[(..., *[None] * len(trailing))] for x in (self._low, self._high))
        return (
            arrays.where(low > 0, arrays.cast(low, dtype) - 0.5, -FAR),
            arrays.where(high < last, arrays.cast(high, dtype) + 0.5, FAR),
        )

    def draw(self, component, uniforms, moves):
        """Draws a whole number by inversion, in the dtype of the locations: [...].

        `component`, int32 [...], selects one of the K distributions, and `uniforms` [...] are quantiles. With
        the bottom b scales above the location, the top a scales below it, and E = exp(a + b), the quantile u
        of the truncated distribution, in scales from the location, is:

        ```none
        log(exp(b) + E + u (1 - E)) - log(exp(a) + 1 - u (1 - E))
        ```

        Where `moves` is 0 instead of 1, the result is the location, clipped to the interval.
        """
        dtype = self._loc.dtype if self._num_values <= LOOKED_UP else "float64"
        loc, scale, uniforms, moves = (
            arrays.cast(x, dtype)
            for x in (pick(self._loc, component), pick(self._scale, component), uniforms, moves)
        )
        scale = arrays.minimum(scale, FLAT * max(self._num_values / 256, 1.0))
        bottom, top = self._ends(dtype)
        # Locations move closer to an interval far out in a tail.
        tail = TAIL * scale
        loc = arrays.maximum(arrays.minimum(loc, top + tail), bottom - tail)
        below, above = arrays.exp((bottom - loc) / scale), arrays.exp((loc - top) / scale)
        both = below * above
        share = uniforms * (1.0 - both)
        scales = arrays.log((below + both + share) / (above + (1.0 - share)))
        value = arrays.round(loc + moves * scale * scales)
        low, high = (arrays.cast(x, dtype) for x in (self._low, self._high))
        return arrays.cast(arrays.maximum(arrays.minimum(value, high), low), self._loc.dtype)


@functools.cache
def _edges(num_values, dtype, trailing):
    """The bottoms and tops of the bins of all values, [num_values, *trailing] each."""
    values, last = np.arange(num_values).reshape(-1, *trailing), num_values - 1
    bottoms = np.where(values > 0, values - 0.5, -FAR)
    tops = np.where(values < last, values + 0.5, FAR)
    return bottoms.astype(dtype), tops.astype(dtype)
