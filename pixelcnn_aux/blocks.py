"""Images as blocks of side x side pixels: the blocks of an image are a lattice.

Where the side does not divide the height or width of an image, the last blocks are incomplete. The lattice
has them too: what they lack repeats the last row or column.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from pixelcnn_aux.annotations import Tensor


def lattice(size: Sequence[Any], side: int) -> tuple[Any, ...]:
    """(h, w), how many blocks images of (H, W) have; None for a side that is not known."""
    return tuple(length and -(-length // side) for length in size)


def is_whole(size: Sequence[Any], side: int) -> bool:
    """Whether all blocks of images of (H, W) are complete, as those of unknown sizes are taken to be."""
    return not any(length and length % side for length in size)


def at_place(images: Tensor, place: int, side: int) -> Tensor:
    """The pixels at one place of all blocks, counted in raster order: [B, H, W, ...] -> [B, h, w, ...]."""
    row, column = divmod(place, side)
    return completed(images, side)[:, row::side, column::side]


def completed(images: Tensor, side: int) -> Tensor:
    """Images [B, H, W, ...] with what incomplete blocks lack: [B, h * side, w * side, ...]."""
    for axis, length in enumerate(images.shape[1:3], start=1):
        if not is_whole([length], side):
            [blocks] = lattice([length], side)
            indices = np.minimum(np.arange(blocks * side), length - 1)
            images = ops.take(images, indices, axis=axis)
    return images


def places(images: Tensor, side: int) -> list[Tensor]:
    """`at_place` of each of the side ** 2 places, in raster order."""
    images = completed(images, side)  # once, and not for each place
    return [at_place(images, place, side) for place in range(side**2)]


def joined(places: Sequence[Tensor], side: int, size: Sequence[Any]) -> Tensor:
    """The inverse of `places`, of images of (H, W): tensors [B, h, w, ...] -> [B, H, W, ...]."""
    _, rows, columns, *channels = ops.shape(places[0])
    row = (-1, rows, columns * side, *channels)
    by_row = [
        ops.reshape(ops.stack(places[first : first + side], axis=3), row)
        for first in range(0, side**2, side)
    ]
    images = ops.reshape(ops.stack(by_row, axis=2), (-1, rows * side, columns * side, *channels))
    return images if is_whole(size, side) else images[:, : size[0], : size[1]]


def exists(size: Sequence[Any], side: int) -> list[np.ndarray] | None:
    """By place, 1 where images of (H, W) have a pixel there, else 0: float32 [h, w, 1]; None if all have."""
    if is_whole(size, side):
        return None
    rows, columns = (np.arange(blocks) * side for blocks in lattice(size, side))
    row_and_column = (divmod(place, side) for place in range(side**2))
    return [
        np.outer(rows + row < size[0], columns + column < size[1])[..., np.newaxis].astype(
            np.float32
        )
        for row, column in row_and_column
    ]


def reduced(reduce: Callable[..., Tensor], images: Tensor, side: int) -> Tensor:
    """[B, H, W, C] -> [B, h, w, C], reduced from each block of side x side pixels.

    Args:
      reduce: function of a tensor and `axis`, such as `ops.sum`.
      images: [B, H, W, C] of any dtype.
      side: int.
    """
    images = completed(images, side)
    _, height, width, channels = images.shape
    shape = (-1, height // side, side, width // side, side, channels)
    return reduce(ops.reshape(images, shape), axis=(2, 4))
