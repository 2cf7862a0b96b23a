"""TensorFlow's stateless random numbers in NumPy, bit for bit: Philox 4 x 32 of 10 rounds [1].

[1]: John Salmon, Mark Moraes, Ron Dror, David Shaw. Parallel Random Numbers: As Easy as 1, 2, 3. SC, 2011.
"""

from collections.abc import Sequence

import numpy as np

_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)
_FACTORS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_STEPS = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)  # of the key
_SEEDING = np.uint64(0x3EC8F720), np.uint64(0x02461E29)  # TensorFlow's key for seeds


def uniforms(
    seeds: np.ndarray,
    stream: int | np.ndarray,
    shape: Sequence[int],
    dtype: str,
    rows: slice = slice(None),
    columns: slice = slice(None),
) -> np.ndarray:
    """Uniform numbers in [0, 1) for each seed: int32 [B, 2] -> [B, H, W, N].

    Image b depends only on seeds[b] and on the stream, an int64: it is TensorFlow's `stateless_uniform` of
    the seed with `stream`, or stream[b], folded in.

    Args:
      seeds: int32 [B, 2].
      stream: int, or int64 [B].
      shape: (H, W, N).
      dtype: "float32" or "float64".
      rows, columns: slices of step 1, the part of the images to compute.
    """
    *key, third, fourth = _philox(_words(np.array(seeds, np.int64)), _SEEDING)
    zero = np.uint64(0)
    folded = (
        *_philox((zero, zero, third, fourth), key)[:2],
        *_words(np.asarray(stream, np.int64)[..., None]),
    )
    *key, third, fourth = (x[:, np.newaxis] for x in _philox(folded, _SEEDING))
    height, width, size = shape
    (top, bottom, _), (left, right, _) = rows.indices(height), columns.indices(width)
    at_once, length = 16 // np.dtype(dtype).itemsize, (right - left) * size
    if length == width * size:  # rows are contiguous
        starts, length = np.array([top * length]), (bottom - top) * length
    else:
        starts = (np.arange(top, bottom) * width + left) * size
    # Each call gives four words. The first one may start before the first number of a row.
    skipped, beside = np.divmod(starts, at_once)
    calls = -(-(length + at_once - 1) // at_once)
    counts = np.add.outer(skipped, np.arange(calls)).astype(np.uint64).reshape(-1)
    bits = _philox((counts & _LOW, counts >> _32, third, fourth), key)
    shape = len(seeds), len(starts), calls * at_once
    numbers = np.stack(_FLOATS[dtype](*bits), axis=-1).reshape(shape)
    parts = [x[:, first : first + length] for x, first in zip(numbers.swapaxes(0, 1), beside)]
    return np.stack(parts, axis=1).reshape(len(seeds), bottom - top, right - left, size)


def _words(numbers):
    """The lower and upper 32 bits of n numbers, int64 [..., n]: list of 2 n uint64 [...]."""
    numbers = np.moveaxis(numbers.view(np.uint64), -1, 0)
    return [word for x in numbers for word in (x & _LOW, x >> _32)]


def _philox(counter, key):
    """Encrypts four 32-bit words with a key of two: all uint64, which broadcast."""
    a, b, c, d = counter
    k, m = key
    for _ in range(10):
        p, q = a * _FACTORS[0], c * _FACTORS[1]
        a, b, c, d = (q >> _32) ^ b ^ k, q & _LOW, (p >> _32) ^ d ^ m, p & _LOW
        k, m = (k + _STEPS[0]) & _LOW, (m + _STEPS[1]) & _LOW
    return a, b, c, d


def _single(*words):
    """Four words -> four floats, of 23 bits each."""
    bits = (x.astype(np.uint32) & np.uint32(0x7FFFFF) | np.uint32(0x3F800000) for x in words)
    return [x.view(np.float32) - np.float32(1) for x in bits]


def _double(a, b, c, d):
    """Four words -> two floats, of 52 bits each."""
    bits = (
        (x & np.uint64(0xFFFFF)) << _32 | y | np.uint64(1023 << 52) for x, y in ((a, b), (c, d))
    )
    return [x.view(np.float64) - 1 for x in bits]


_FLOATS = {"float32": _single, "float64": _double}
