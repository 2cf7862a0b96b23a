"""Kernels of convolutions: their masks, and what they see, in Keras's layers and in those of arrays."""

import itertools
from collections.abc import Sequence

import numpy as np

from pixelcnn_aux.base import arrays
from pixelcnn_aux.base.arguments import Size, Tensor

STREAMS = ("unshifted", "vertical", "horizontal", "masked")


def margins(
    stream: str, size: Size, strides: int, transposed: bool = False
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Zeros around an image for a kernel of this size, or what is cut off a transposed convolution's output.

    ((above, below), (left, right)). A "vertical" kernel sees its own row and the rows above it; in a
    "horizontal" one, no column to the right either; in a "masked" one, none to the right in its own row.
    """
    height, width = size
    if stream == "unshifted":
        totals = [max(side - strides, 0) for side in size]
        above, left = (total // 2 for total in totals)
        return (above, totals[0] - above), (left, totals[1] - left)
    rows, columns = (height - 1, 0), (width - 1, 0)
    if transposed:
        rows, columns = rows[::-1], columns[::-1]
    if stream != "horizontal":
        columns = width // 2, (width - 1) // 2
    return rows, columns


def raster_mask(height: int, width: int, itself: bool) -> np.ndarray:
    """1 where a masked kernel sees a pixel, else 0: float32 [height, width, 1, 1].

    Its last row is the pixel's own, with the columns to the left, and the pixel `itself` or not.
    """
    mask = np.ones((height, width, 1, 1), np.float32)
    mask[-1, width // 2 + itself :] = 0
    return mask


def of_parts(kernel: Tensor, channels: Sequence[int]) -> list[Tensor]:
    """The kernel of each part, of so many channels, of a projection: [..., C, filters] each."""
    # The rows of all parts' positive halves come first, then those of their negative halves.
    halves = [count // 2 for count in channels]
    stops = [*itertools.accumulate(halves + halves)][:-1]
    pieces = arrays.split(kernel, stops, axis=-2)
    pairs = zip(pieces[: len(halves)], pieces[len(halves) :])
    return [arrays.concatenate(pair, axis=-2) for pair in pairs]
