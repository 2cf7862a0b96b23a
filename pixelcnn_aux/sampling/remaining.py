"""What is left of the sums that an auxiliary image fixes, while an image is decided in raster order."""

import tensorflow as tf


class Remaining:
    """What is left for the pixels of an image, carried from row to row: as wide as a row.

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
        self._room = () if within is None else fixed_sum.room(*within)

    def initial_state(self):
        """What the loop over rows carries: int32 [B, W / ratio, c]."""
        return tf.zeros_like(self._start[:, 0])

    def row(self, index, left):
        """`RemainingOfRow` of a row, whose state the row before it left."""
        starting = tf.gather(self._start, index // self._fixed_sum.ratio, axis=1)
        left = tf.where(index % self._fixed_sum.ratio == 0, starting, left)
        places = [
            self._fixed_sum.at(self._fixed_sum.position(index, column))
            for column in range(self._fixed_sum.ratio)
        ]
        return RemainingOfRow(places, left, [tf.gather(x, index, axis=1) for x in self._room])

    def centers(self, images):
        """As `FixedSum.centers`, of images of which some pixels may not be decided yet."""
        return self._fixed_sum.centers(images, self._auxiliary)

    def at(self, images, row, column):
        """As `sums.Place.bounds`, of a pixel of images that are zero from there on."""
        place = self._fixed_sum.at(self._fixed_sum.position(row, column))
        left = self._start - self._fixed_sum.sums(images)
        left = left[:, row // self._fixed_sum.ratio, column // self._fixed_sum.ratio]
        return place.bounds(left, [x[:, row, column] for x in self._room])


class RemainingOfRow:
    """What is left for the pixels of a row.

    Args:
      places: list of `Place`, of the first columns.
      left: int32 [B, W / ratio, c], before the row's pixels.
      room: for `Place.bounds`, int32 [B, W, C] each, or empty.

    Attributes:
      ratio: int, the columns of a block.
    """

    def __init__(self, places, left, room):
        self.ratio = len(places)
        self._places = places
        self._left = left
        self._room = room

    def pixels(self, start):
        """`RemainingOfPixels` of the pixels from column `start` on, which begins a block."""
        return RemainingOfPixels(self._places, self._left, self._room, start)

    def after(self, pixels):
        """What is known of a row once its pixels [B, W, C] are.

        Returns:
          float32 [B, W, c], the centers that they had; and the state for the next row.
        """
        left, centers = self._left, []
        for column, place in enumerate(self._places):
            centers.append(place.center(left))
            left = left - place.taken(pixels[:, column :: self.ratio])
        _, blocks, channels = left.shape
        centers = tf.reshape(tf.stack(centers, axis=2), [-1, blocks * self.ratio, channels])
        return centers, left


class RemainingOfPixels:
    """What is left for pixels side by side, while they are decided one after another."""

    def __init__(self, places, left, room, start):
        self._places, self._room, self._start = places, room, start
        self._of_blocks = left
        self._left = None  # for the pixels of the current block

    def bounds(self, offset):
        """As `Place.bounds`, of the pixel so many columns from the first: called of each in turn."""
        ratio, column = len(self._places), self._start + offset
        if offset % ratio == 0:
            self._left = tf.gather(self._of_blocks, column // ratio, axis=1)
        here = [tf.gather(x, column, axis=1) for x in self._room]
        return self._places[offset % ratio].bounds(self._left, here)

    def center(self, offset):
        """As `Place.center`, of the pixel that `bounds` was called of last."""
        return self._places[offset % len(self._places)].center(self._left)

    def take(self, offset, pixel):
        """Notes that the pixel [B, C] has been decided."""
        self._left -= self._places[offset % len(self._places)].taken(pixel)
