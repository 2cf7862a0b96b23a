"""Activation functions, of NumPy's arrays or of tensors."""

import numpy as np

from pixelcnn_aux.base import arrays, rounding, threads

# Numbers that are looked up at once: few, to stay in a cache.
_AT_ONCE = 2**17
_LOWEST = 16 * rounding.SUMS  # from so many units of sums below 0 on, SiLU is 0 in whole units
_WHOLE_SILU = rounding.whole_silu(np.arange(-_LOWEST, _LOWEST, dtype=np.float32) / rounding.SUMS)


def concat_elu(x, out=None):
    """ELU of x and of -x, side by side: [..., C] -> [..., 2 C], in `out` if it is given."""
    if not arrays.is_plain(x):
        return arrays.backend().concat_elu(x)
    channels = x.shape[-1]
    both = np.empty((*x.shape[:-1], 2 * channels), x.dtype)
    both[..., :channels] = x
    np.negative(x, out=both[..., channels:])
    negative = np.minimum(both, 0)
    np.expm1(negative, out=negative)
    np.maximum(both, 0, out=both)
    return np.add(both, negative, out=out)


def silu(x, rounded):
    """x sigmoid(x); if `rounded`, of sums, in whole units: see `rounding`."""
    if not arrays.is_plain(x):
        return rounding.straight_silu(x) if rounded else arrays.silu(x)
    if not rounded:
        return arrays.silu(x)
    y = np.empty(x.shape, np.float32)
    flat, out = np.ravel(x), y.reshape(-1)

    def evaluate(here):
        units = (flat[here] * rounding.SUMS).astype(np.int32)
        units += _LOWEST
        _WHOLE_SILU.take(units, mode="clip", out=out[here])

    threads.in_slices(evaluate, len(flat), _AT_ONCE)
    return y


def gated(y):
    """a sigmoid(b) of the halves (a, b) of the last axis: [..., 2 F] -> [..., F]."""
    if not arrays.is_plain(y):
        a, b = arrays.split(y, 2, axis=-1)
        return a * arrays.sigmoid(b)
    filters = y.shape[-1] // 2
    scale = np.negative(y[..., filters:])
    np.exp(scale, out=scale)
    scale += 1
    return np.divide(y[..., :filters], scale, out=scale)
