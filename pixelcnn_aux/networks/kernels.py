"""Margins, masks, lengths and parts of kernels."""

import itertools
from collections.abc import Sequence

import numpy as np

from pixelcnn_aux.base import arrays
from pixelcnn_aux.base.arguments import Size, Tensor
from pixelcnn_aux.networks.activations import HALVES

STREAMS = ("unshifted", "vertical", "horizontal", "masked")


def margins(
    stream: str, size: Size, strides: int, transposed: bool = False
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Zero padding of a convolution, or cropping of a transposed one: ((above, below), (left, right)).

    A "vertical" kernel sees its own row and the rows above. A "horizontal" kernel sees no columns to the
    right either, and a "masked" one sees none to the right in its own row.
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

    The last row is the pixel's own: the kernel sees the columns to the left, and the pixel if `itself`.
    """
    mask = np.ones((height, width, 1, 1), np.float32)
    mask[-1, width // 2 + itself :] = 0
    return mask


def normalized(v: Tensor, g: Tensor) -> Tensor:
    """g v / |v| for each output channel: [..., C, filters], [filters] -> [..., C, filters]."""
    squares = arrays.sum(arrays.square(v), axis=tuple(range(len(v.shape) - 1)))
    return v * (g / arrays.sqrt(squares))


def of_parts(kernel: Tensor, channels: Sequence[int]) -> list[Tensor]:
    """Splits the kernel of a `Projection` by the channels C of each part's concat_elu: [..., C, filters]."""
    # The positive halves of all parts come first, then their negative halves.
    sizes = HALVES * [count // HALVES for count in channels]
    pieces = arrays.split(kernel, [*itertools.accumulate(sizes)][:-1], axis=-2)
    return [arrays.concatenate(pieces[k :: len(channels)], axis=-2) for k in range(len(channels))]
