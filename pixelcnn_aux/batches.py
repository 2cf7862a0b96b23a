"""Any number of images, evaluated or drawn in batches that fit in memory."""

import math

import keras
import numpy as np
from keras import ops

from pixelcnn_aux import backend, progress

MAX_PIXELS = 2**16  # of full images in a batch: 64 images of 32 x 32
# What is compiled for each size of batch, by XLA, is compiled for these alone.
COMPILED_SIZES = (1, 4, 16, 64)


def in_batches(function, rows, image_size, jit_compile=False):
    """What a function gives for any number of rows, with a progress bar where that takes long.

    Where a graph is traced, all rows are one batch.

    Args:
      function: from a structure like `rows`, of tensors [b, ...], to another. Row n of what it gives depends
        on row n of what it is given alone.
      rows: structure of NumPy arrays or tensors [N, ...], or None for what is missing. A batch at a time
        becomes tensors.
      image_size: (H, W) of the largest images of a row.
      jit_compile: bool, whether XLA compiles the function, as it does everything under JAX. Batches are of
        `COMPILED_SIZES` then; the last row is repeated to fill the last one.

    Returns:
      The structure that the function gives, of tensors [N, ...].
    """
    leaves = [x for x in keras.tree.flatten(rows) if x is not None]
    if any(map(backend.is_symbolic, leaves)):
        return function(rows)
    count, most = len(leaves[0]), max(1, MAX_PIXELS // math.prod(image_size))
    rows = _mapped(np.asarray, rows)
    if count == 0:  # What comes back of none has the shapes and dtypes of what comes back of one.
        rows = _mapped(lambda x: np.zeros((1, *x.shape[1:]), x.dtype), rows)

    def evaluated(first, size):
        """The rows of a batch of this size that begins with the row `first`, but for what fills it up."""
        indices = np.minimum(np.arange(first, first + size), max(count, 1) - 1)
        batch = _mapped(lambda x: ops.convert_to_tensor(x[indices]), rows)
        return _mapped(lambda x: x[: count - first], function(batch))

    compiles = jit_compile or backend.NAME == "jax"
    first, parts, bar = 0, [], progress.late_bar(count, "image")
    while first < count or not parts:
        size = _size(count - first, most, compiles)
        parts.append(evaluated(first, size))
        first += size
        bar(min(first, count))
    return keras.tree.map_structure(lambda *parts: ops.concatenate(parts, axis=0), *parts)


def _size(left, most, compiles):
    """The size of the next batch, where so many rows are left and it has `most` at most."""
    if not compiles:
        return max(1, min(left, most))
    # Less than half of it is filled up.
    return max(size for size in COMPILED_SIZES if size == 1 or size <= most and size < 2 * left)


def _mapped(function, structure):
    return keras.tree.map_structure(lambda x: None if x is None else function(x), structure)
