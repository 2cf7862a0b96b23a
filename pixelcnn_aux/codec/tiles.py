"""Pictures of any size as tiles of a model's, in raster order."""

import numpy as np


def grid(height, width, size):
    """(rows, columns) of the tiles of a size (h, w) that cover a picture."""
    return -(-height // size[0]), -(-width // size[1])


def cut(picture, size):
    """uint8 [H, W, C] -> uint8 [n, h, w, C]; what is missing on the right and below is repeated."""
    height, width, channels = picture.shape
    rows, columns = grid(height, width, size)
    h, w = size
    missing = ((0, rows * h - height), (0, columns * w - width), (0, 0))
    blocks = np.pad(picture, missing, mode="edge").reshape(rows, h, columns, w, channels)
    return blocks.swapaxes(1, 2).reshape(-1, h, w, channels)


def join(tiles, height, width):
    """The inverse of `cut`: [n, h, w, C] of any dtype -> [H, W, C]."""
    _, h, w, channels = tiles.shape
    rows, columns = grid(height, width, (h, w))
    blocks = tiles.reshape(rows, columns, h, w, channels).swapaxes(1, 2)
    return blocks.reshape(rows * h, columns * w, channels)[:height, :width]
