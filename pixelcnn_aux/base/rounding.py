"""Bit-exact arithmetic in float32: networks of whole numbers times powers of two.

A sum of whole numbers is exact in float32 if no partial sum reaches 2 ** 24, in any order, kernel or
processor. So are products of whole numbers up to 2 ** 8 in bfloat16 with sums in float32. A common factor
that is a power of two changes nothing. Every number of a rounded network is therefore a multiple of a power
of two:

    activations    of 1 / 64, up to 255 of them in size
    pixels         of 1 / 256 of half the range, up to 256 of them
    deviations     of 1 / 4 pixel value or 1 / 256 of the likelihood's unit, whichever is more, up to 1,020
                   of them; multiples of 4 of them from 255 on
    kernels        of 2 ** -e, up to 127 of them, with an exponent e for each output channel
    biases         of 2 ** -e / 64, up to 2 ** 21 of them
    sums           exact; then rounded to multiples of 1 / 256

The activation function is not exact, but rounded where no machine's error matters. Gradients ignore rounding
(straight through).
"""

import math

import numpy as np

from pixelcnn_aux.base import arrays
from pixelcnn_aux.base.arguments import Tensor

ACTIVATIONS = 64  # units of an activation in 1
MOST = 255  # the largest activation, in units
SUMS = 256  # units of a sum in 1
CENTERS = 4  # units of a center in 1 pixel value
PIXELS = 256  # units of a pixel in half the range of values
DEVIATIONS = 256  # the most units of a deviation from a center in 1
FARTHEST = 4 * MOST  # the largest deviation, in units
KERNEL = 127  # the largest number in a kernel, in units
BIAS = 2**21 - 1  # the largest bias, in units
EXACT = 2**24  # sums of whole numbers below it are exact in float32
_POWERS = np.float32(2) ** np.arange(-8, 31, dtype=np.float32)  # the units of kernels in 1
HIGHEST = 4 * ACTIVATIONS + MOST // 8  # units from which on SiLU is `MOST`
# SiLU of whole units minus this rounds to the same number, and is at least 7e-4 units from a rounding
# boundary: many times the error of any float32 sigmoid.
_ASIDE = 6.4e-4


def whole_silu(x: Tensor) -> Tensor:
    """x sigmoid(x), with x and the result rounded to whole units. It has no gradient."""
    units = arrays.round(x * ACTIVATIONS)
    y = arrays.round(units * arrays.sigmoid(units / ACTIVATIONS) - _ASIDE)
    return arrays.minimum(y, MOST) / ACTIVATIONS


def straight_silu(x: Tensor) -> Tensor:
    """`whole_silu` with the gradient of SiLU."""

    @arrays.custom_gradient
    def straight(x):
        def gradient(*args, upstream=None):
            (upstream,) = args if upstream is None else (upstream,)
            sigmoid = arrays.sigmoid(x)
            slope = sigmoid * (1.0 + x * (1.0 - sigmoid))
            units = arrays.round(x * ACTIVATIONS)
            return upstream * slope * arrays.cast(units < HIGHEST, x.dtype)

        return whole_silu(x), gradient

    return straight(x)


def straight(x: Tensor, units: float | Tensor) -> Tensor:
    """x rounded to a multiple of 1 / units, a power of two; the gradient passes straight through."""
    if arrays.is_plain(x):
        return np.round(x * units) / units

    @arrays.custom_gradient
    def straight(x):
        def gradient(*args, upstream=None):
            return args[0] if upstream is None else upstream

        return arrays.round(x * units) / units, gradient

    return straight(x)


def whole_pixels(x: Tensor, num_values: int) -> Tensor:
    """Pixel values as floats from -1 to 1: the highest 9 bits, all that a product in bfloat16 keeps."""
    power = 2.0 ** math.ceil(math.log2(num_values))
    if power <= PIXELS:
        return (2 * x - (num_values - 1)) / power
    return (arrays.floor(x * (2 * PIXELS / power)) - MOST) / PIXELS


def deviation_units(unit: float) -> float:
    """Units of a deviation from a center in 1, for a likelihood whose unit is a power of two of values."""
    return min(CENTERS * unit, DEVIATIONS)


def whole_deviations(x: Tensor, unit: float) -> Tensor:
    """Deviations from centers in pixel values -> in `unit`, rounded to `deviation_units` of 8 bits."""
    units = deviation_units(unit)
    x = arrays.round(x * (units / unit))
    far = CENTERS * arrays.round(x / CENTERS)
    x = arrays.where(arrays.absolute(far) < PIXELS, x, far)
    return arrays.clip(x, -FARTHEST, FARTHEST) / units


def kernel_units(kernel: Tensor, bias: Tensor) -> Tensor:
    """Units per 1 of each output channel: the most within `KERNEL` and `BIAS` units. float [filters]."""
    # Comparisons are exact, and rounding again changes nothing.
    axes = tuple(range(len(kernel.shape) - 1))
    kernel, bias = (arrays.absolute(arrays.stop_gradient(x)) for x in (kernel, bias))
    fits = arrays.logical_and(
        arrays.max(kernel, axis=axes)[:, None] * _POWERS <= KERNEL + 0.5,
        bias[:, None] * ACTIVATIONS * _POWERS <= BIAS + 0.5,
    )
    index = arrays.maximum(arrays.sum(arrays.cast(fits, "int32"), axis=-1) - 1, 0)
    return arrays.lookup(*arrays.alike(_POWERS, index))
