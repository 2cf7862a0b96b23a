"""Which images each step of training takes, and what is drawn of each: by a seed and the step alone."""

import functools
import itertools

import numpy as np


def steps(num_images, batch_size, seed, first_step, rows):
    """Yields, for each step from `first_step` on, what `_drawn` has of some rows of its batch: arrays [R].

    Every epoch is a new permutation of all images, and a batch may span epochs.

    Args:
      num_images, batch_size, seed, first_step: ints.
      rows: int64 [R], numbers of rows.
    """
    drawn = functools.lru_cache(maxsize=2)(_drawn)  # epochs last for many batches
    for step in itertools.count(first_step):
        epochs, places = np.divmod(step * batch_size + rows, num_images)
        of_rows = [np.empty(len(rows), dtype) for dtype in (np.int64, bool, float, float, float)]
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            for each, of_epoch in zip(of_rows, drawn(seed, epoch, num_images)):
                each[here] = of_epoch[places[here]]
        yield of_rows


def square(image, side, down, right):
    """The square of an image [H, W, C] that is so far down and to the right, from 0 to 1 of what can be."""
    top, left = (
        min(int((length - side + 1) * share), length - side)
        for length, share in zip(image.shape, (down, right))
    )
    return image[top : top + side, left : left + side]


def _drawn(seed, epoch, count):
    """What is drawn of each place of an epoch: arrays [count].

    They are the index of its image, int64; whether that is flipped, bool; and three uniform numbers from 0 to
    1: a condition is unknown where the first is below a rate, the others are how far down and to the right a
    square is that is cut from the image.

    What NumPy draws by its `Generator` may change from version to version. The raw numbers of Philox do
    not, nor does a stable sort, so that a run goes on as it began whichever version is installed.
    """
    key = np.array([seed % 2**64, epoch], np.uint64)
    order, flips, *uniforms = (
        np.random.Philox(key=key, counter=[0, 0, 0, use]).random_raw(count) for use in range(5)
    )
    return np.argsort(order, kind="stable"), flips >= 2**63, *(x / 2.0**64 for x in uniforms)
