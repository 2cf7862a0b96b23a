"""Images of any size, evaluated in bands of rows, so that memory grows with a band and not with the image.

A network whose outputs depend on a neighborhood alone gives of a band what it gives of the whole image, if
the band has as many more rows as it sees.
"""

import math
from typing import NamedTuple

import keras
from keras import ops

from pixelcnn_aux import blocks
from pixelcnn_aux.batches import in_batches
from pixelcnn_aux.inputs import Inputs

MAX_PIXELS = 2**19  # of a band: some 2 GB of a mixture of ten logistics


class Band(NamedTuple):
    """Rows of an image's blocks: [start, stop) of those that are evaluated, of which [low, high) are kept."""

    start: int
    stop: int
    low: int
    high: int

    def of(self, inputs: Inputs, side: int) -> Inputs:
        """What a factor sees of the band, of an image of blocks of side x side pixels."""
        images, auxiliary, condition = inputs
        images = images[:, self.start * side : self.stop * side]
        return Inputs(images, auxiliary[:, self.start : self.stop], condition)

    def kept(self, side: int) -> tuple[int, int]:
        """The rows of pixels that are kept, counted from the first one of the band."""
        return (self.low - self.start) * side, (self.high - self.start) * side


def bands(size, side, radius, period=1):
    """The bands of images of (H, W): list of `Band`.

    Args:
      size: (H, W).
      side: int, of the blocks.
      radius: int, how many blocks a network sees in each direction.
      period: int, of which the first rows are multiples.
    """
    rows, columns = blocks.lattice(size, side)
    radius += -radius % period
    at_once = max(1, (MAX_PIXELS // (columns * side**2) - 2 * radius) // period) * period
    return [
        Band(max(low - radius, 0), min(low + at_once + radius, rows), low, min(low + at_once, rows))
        for low in range(0, rows, at_once)
    ]


def added_up(factor, method, inputs):
    """What a compiled method gives for `Inputs` of any number of images, added up over their bands.

    Args:
      factor: `Factor`.
      method: function of `Inputs` and of (low, high), the rows of pixels that count, or None for all; returns
        a structure of tensors [B].
    """
    images = inputs.images
    if not _are_cut(factor, images):
        return in_batches(lambda x: method(x, None), inputs, images.shape[1:3])
    parts = [
        in_batches(lambda x, kept=kept: method(x, kept), band, band.images.shape[1:3])
        for band, kept in _cut(factor, inputs)
    ]
    return keras.tree.map_structure(lambda *x: sum(x), *parts)


def side_by_side(factor, method, inputs):
    """As `added_up`, of a method of `Inputs` alone that gives a tensor [B, H, W, ...]: the bands together."""
    images = inputs.images
    if not _are_cut(factor, images):
        return in_batches(method, inputs, images.shape[1:3])
    parts = [
        in_batches(method, band, band.images.shape[1:3])[:, low:high]
        for band, (low, high) in _cut(factor, inputs)
    ]
    return ops.concatenate(parts, axis=1)


def _are_cut(factor, images):
    """Whether images are evaluated in bands: large ones, of a factor that sees a neighborhood alone."""
    size = images.shape[1:3]
    return factor.radius is not None and None not in size and math.prod(size) > MAX_PIXELS


def _cut(factor, inputs):
    """Yields the `Inputs` of each band, and which of its rows of pixels are kept."""
    side, period = factor.network.side, factor.network.period
    for band in bands(inputs.images.shape[1:3], side, factor.radius, period):
        yield band.of(inputs, side), band.kept(side)
