"""Smaller and larger images, in NumPy alone."""

import numpy as np


def resize(image, image_size):
    """[h, w, C] -> [H, W, C] of its dtype: every pixel is the mean of the area that it covers.

    The sums are those of `tf.image.resize(image, image_size, "area")`, in float32 and in the same order, so
    that the same pixels come out, bit for bit.
    """
    (rows, row_weights, height), (columns, column_weights, width) = (
        _covered(length, size) for length, size in zip(image.shape, image_size)
    )
    sums = sum(
        image[:, column].astype(np.float32) * weight[:, np.newaxis]
        for column, weight in zip(columns, column_weights)
    )
    sums = sum(
        sums[row] * weight[:, np.newaxis, np.newaxis] for row, weight in zip(rows, row_weights)
    )
    return np.rint(sums * np.float32(1.0 / float(height * width))).astype(image.dtype)


def halve(images):
    """The rounded mean of each block of 2 x 2, as `auxiliary.HalfResolution` has it.

    Takes uint8 [..., H, W, C], H and W even, and returns uint8 [..., H / 2, W / 2, C].
    """
    rows = images[..., ::2, :, :].astype(np.uint16) + images[..., 1::2, :, :]
    return ((rows[..., ::2, :] + rows[..., 1::2, :] + 2) // 4).astype(np.uint8)


def _covered(length, size):
    """What each of `size` cells covers of an axis of `length` cells, K of these at most.

    Returns (int [K, size], those cells; float32 [K, size], how much of them; float32, how long a cell is).
    """
    scale = np.float32(length) / np.float32(size)
    edges = np.arange(size + 1, dtype=np.float32) * scale
    low, high = edges[:-1], edges[1:]
    first, end = np.floor(low).astype(int), np.ceil(high).astype(int)
    cells = first + np.arange(np.max(end - first))[:, np.newaxis]
    left, right = cells.astype(np.float32), (cells + 1).astype(np.float32)
    weights = np.minimum(right, high) - np.maximum(left, low)
    weights = np.where((left < low) & (right > high), scale, weights)  # the difference is rounded
    weights = np.where(cells < end, weights, np.float32(0.0))
    return np.minimum(cells, length - 1), weights, scale
