"""Image resizing by area averages."""

import numpy as np


def fit(image, image_size):
    """[h, w, C] -> [H, W, C]: the largest centered crop of that aspect, resized."""
    (height, width), (image_height, image_width, _) = image_size, image.shape
    crop_height = min(max(image_width * height // width, 1), image_height)
    crop_width = min(max(image_height * width // height, 1), image_width)
    top, left = (image_height - crop_height) // 2, (image_width - crop_width) // 2
    return resize(image[top : top + crop_height, left : left + crop_width], image_size)


def resize(image, image_size):
    """[h, w, C] -> [H, W, C] of its dtype: every pixel is the mean of the area it covers."""
    # Bit for bit `tf.image.resize(image, image_size, "area")`: the same sums in float32, in order.
    rows, row_weights, height = _covered(image.shape[0], image_size[0])
    columns, column_weights, width = _covered(image.shape[1], image_size[1])
    sums = sum(
        image[:, column].astype(np.float32) * weight[:, np.newaxis]
        for column, weight in zip(columns, column_weights)
    )
    sums = sum(sums[row] * weight[:, None, None] for row, weight in zip(rows, row_weights))
    return np.rint(sums * np.float32(1.0 / float(height * width))).astype(image.dtype)


def _covered(length, size):
    """Input cells of each of `size` output cells, their weights, and the scale: [K, size], [K, size], []."""
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
