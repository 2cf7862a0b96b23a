"""Pictures of any size as tiles of a model's, in raster order."""

import math

import numpy as np


def num_tiles(sides, size):
    """How many tiles of a size (h, w) cover a picture of sides (H, W)."""
    return math.prod(_counts(sides, size))


def cut(picture, size):
    """uint8 [H, W, C] -> uint8 [n, h, w, C]; what is missing on the right and below is repeated."""
    height, width, channels = picture.shape
    rows, columns = _counts((height, width), size)
    h, w = size
    missing = ((0, rows * h - height), (0, columns * w - width), (0, 0))
    whole = np.pad(picture, missing, mode="edge")
    blocks = whole.reshape(rows, h, columns, w, channels).swapaxes(1, 2)
    return blocks.reshape(-1, h, w, channels)


def join(tiles, sides):
    """The inverse of `cut`: [n, h, w, C] of any dtype -> [H, W, C]."""
    rows, columns = _counts(sides, tiles.shape[1:3])
    _, h, w, channels = tiles.shape
    blocks = tiles.reshape(rows, columns, h, w, channels).swapaxes(1, 2)
    return blocks.reshape(rows * h, columns * w, channels)[: sides[0], : sides[1]]


def _counts(sides, size):
    return [-(-side // part) for side, part in zip(sides, size, strict=True)]
