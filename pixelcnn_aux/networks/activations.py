"""Activation functions of NumPy arrays or tensors."""

import numpy as np

from pixelcnn_aux.base import arrays, rounding, threads

HALVES = 2  # `concat_elu` multiplies the number of channels by this, and `gated` divides it
_CHUNK = 2**17  # numbers looked up at a time, which stay in a cache
_LOWEST = 16 * rounding.SUMS  # SiLU of this many units of sums below 0 rounds to 0
_WHOLE_SILU = rounding.whole_silu(np.arange(-_LOWEST, _LOWEST, dtype=np.float32) / rounding.SUMS)


def concat_elu(x):
    """ELU of x and of -x, side by side: [..., C] -> [..., 2 C]."""
    if not arrays.is_plain(x):
        return arrays.backend().concat_elu(x)
    filters = x.shape[-1]
    out = np.empty((*x.shape[:-1], HALVES * filters), x.dtype)
    low = np.expm1(-np.abs(x))  # one exponential for both halves
    # exp(x) - 1 >= x, so that a maximum chooses the branch.
    np.maximum(x, low, out=out[..., :filters])
    np.maximum(-x, low, out=out[..., filters:])
    return out


def silu(x, rounded):
    """x sigmoid(x). If `rounded`, x are sums, and the result is in whole units: see `rounding`."""
    if not rounded:
        return arrays.silu(x)
    if not arrays.is_plain(x):
        return rounding.straight_silu(x)
    y = np.empty(x.shape, np.float32)
    flat, out = np.ravel(x), y.reshape(-1)

    def evaluate(chunk):
        units = (flat[chunk] * rounding.SUMS).astype(np.int32)
        units += _LOWEST
        _WHOLE_SILU.take(units, mode="clip", out=out[chunk])

    threads.in_slices(evaluate, len(flat), _CHUNK)
    return y


def gated(y):
    """a sigmoid(b) of the halves (a, b) of the last axis: [..., 2 F] -> [..., F]."""
    a, b = arrays.split(y, HALVES, axis=-1)
    if not arrays.is_plain(y):
        return a * arrays.sigmoid(b)
    scale = np.negative(b)
    np.exp(scale, out=scale)
    scale += 1
    return np.divide(a, scale, out=scale)
