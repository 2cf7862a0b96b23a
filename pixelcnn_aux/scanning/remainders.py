"""What remains of the sums that an auxiliary image fixes, while an image is decided in raster order."""

from keras import ops

from pixelcnn_aux import blocks
from pixelcnn_aux.backend import lookup


class Remainders:
    """The remainders of an image's blocks, carried from row to row: as wide as a row.

    Args:
      fixed_sum: `FixedSum`.
      auxiliary: uint8 [B, H / ratio, W / ratio, c], which fixes the sums.
      within: (uint8 [B, H, W, C], uint8 [B, H, W, C]), between which values each one is known to lie; None
        where nothing is known of them.
    """

    def __init__(self, fixed_sum, auxiliary, within=None):
        self._fixed_sum = fixed_sum
        self._auxiliary = auxiliary
        self._start = fixed_sum.start(auxiliary)
        self._slack = () if within is None else fixed_sum.slack(*within)

    def initial_state(self):
        """What the loop over rows carries: int32 [B, W / ratio, c]."""
        return ops.zeros_like(self._start[:, 0])

    def row(self, index, remainder):
        """`RowRemainders` of a row, whose state the row before it left."""
        fixed_sum = self._fixed_sum
        starting = lookup(self._start, index // fixed_sum.ratio, axis=1)
        remainder = ops.where(index % fixed_sum.ratio == 0, starting, remainder)
        positions = [
            fixed_sum.at(fixed_sum.index(index, column)) for column in range(fixed_sum.ratio)
        ]
        return RowRemainders(positions, remainder, [lookup(x, index, axis=1) for x in self._slack])

    def blocks(self, size):
        """`BlockRemainders` of all blocks of images of (H, W), before their first pixels."""
        return BlockRemainders(self._fixed_sum, self._start, self._slack, size)

    def centers(self, images):
        """As `FixedSum.centers`, of images of which some pixels may not be decided yet."""
        return self._fixed_sum.centers(images, self._auxiliary)

    def at(self, images, row, column):
        """As `BlockPosition.bounds`, of a pixel of images that are zero from there on."""
        fixed_sum = self._fixed_sum
        position = fixed_sum.at(fixed_sum.index(row, column))
        remainder = self._start - fixed_sum.sums(images)  # [B, H / ratio, W / ratio, c]
        remainder = remainder[:, row // fixed_sum.ratio, column // fixed_sum.ratio]
        return position.bounds(remainder, [x[:, row, column] for x in self._slack])


class RowRemainders:
    """The remainders of a row's blocks.

    Args:
      positions: list of `BlockPosition`, of the first columns.
      remainder: int32 [B, W / ratio, c], before the row's pixels.
      slack: for `BlockPosition.bounds`, int32 [B, W, C] each, or empty.

    Attributes:
      ratio: int, the columns of a block.
    """

    def __init__(self, positions, remainder, slack):
        self.ratio = len(positions)
        self._positions = positions
        self._remainder = remainder
        self._slack = slack

    def pixels(self, start):
        """`PixelRemainders` of the pixels from column `start` on, which begins a block."""
        return PixelRemainders(self._positions, self._remainder, self._slack, start)

    def after(self, pixels):
        """What is known of a row once its pixels [B, W, C] are.

        Returns:
          float32 [B, W, c], the centers that they had; and the state for the next row.
        """
        remainder, centers = self._remainder, []
        for column, position in enumerate(self._positions):
            centers.append(position.center(remainder))
            remainder = remainder - position.contribution(pixels[:, column :: self.ratio])
        _, blocks, channels = remainder.shape
        centers = ops.reshape(ops.stack(centers, axis=2), (-1, blocks * self.ratio, channels))
        return centers, remainder


class PixelRemainders:
    """The remainder of a block while its pixels, side by side, are decided one after another."""

    def __init__(self, positions, remainders, slack, start):
        self._positions, self._slack, self._start = positions, slack, start
        self._remainders = remainders  # of all blocks of the row
        self._remainder = None  # of the current block

    def bounds(self, offset):
        """As `BlockPosition.bounds`, of the pixel `offset` columns from the first: called of each in turn."""
        ratio, column = len(self._positions), self._start + offset
        if offset % ratio == 0:
            self._remainder = lookup(self._remainders, column // ratio, axis=1)
        here = [lookup(x, column, axis=1) for x in self._slack]
        return self._positions[offset % ratio].bounds(self._remainder, here)

    def center(self, offset):
        """As `BlockPosition.center`, of the pixel that `bounds` was called of last."""
        return self._positions[offset % len(self._positions)].center(self._remainder)

    def decided(self, offset, pixel):
        """Notes that the pixel [B, C] has been decided."""
        self._remainder -= self._positions[offset % len(self._positions)].contribution(pixel)


class BlockRemainders:
    """The remainders of all blocks of an image, while their pixels are decided place by place.

    Args:
      fixed_sum: `FixedSum`.
      start: int32 [B, h, w, c], from `FixedSum.start`.
      slack: for `BlockPosition.bounds`, int32 [B, H, W, C] each, or empty.
      size: (H, W).
    """

    def __init__(self, fixed_sum, start, slack, size):
        self._positions = [fixed_sum.at(place, size) for place in range(fixed_sum.ratio**2)]
        self._slack = [blocks.places(x, fixed_sum.ratio) for x in slack]
        self._remainder = start

    def bounds(self, place, *where):
        """As `BlockPosition.bounds`, of blocks' pixels at a place, of each place in turn.

        Args:
          place: int.
          *where: slices of the rows and columns of blocks; none for all of them.
        """
        slack = [x[place][:, *where] for x in self._slack]
        return self._at(place, where).bounds(self._remainder[:, *where], slack)

    def center(self, place, *where):
        """As `BlockPosition.center`, likewise."""
        return self._at(place, where).center(self._remainder[:, *where])

    def _at(self, place, where):
        position = self._positions[place]
        return position.of(*where) if where else position

    def decided(self, place, pixels):
        """Notes that the pixels [B, h, w, C] at a place have been decided."""
        self._remainder -= self._positions[place].contribution(pixels)
