"""Pictures of any size as tiles of a model's, in raster order."""

import math

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


def sizes(contents):
    """[(name, H, W)] of the pictures in a file, `container.Contents`; of its images, where there are none."""
    numbered = ((f"{number:05}.png", *contents.size) for number in range(contents.count))
    return contents.pictures or list(numbered)


def pictures(contents, images):
    """Yields the name and the pixels [H, W, C] of each picture in a file, made of the images in it."""
    first = 0
    for name, height, width in sizes(contents):
        if contents.size is None:
            yield name, images[first]
            first += 1
            continue
        count = math.prod(grid(height, width, contents.size))
        yield name, join(np.asarray(images[first : first + count]), height, width)
        first += count
