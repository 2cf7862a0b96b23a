"""Weighted sums that an auxiliary image fixes, and what they say about each value of the image."""

import numpy as np
from keras import ops


class FixedSum:
    """A weighted sum of the values in each block of an image, as far as an auxiliary value tells it.

    An auxiliary value q stands for a window of sums, so that it is a function of the sum:

    ```none
    step * q + first <= sum of weight * value <= step * (q + 1) + first - 1,   q = (sum - first) // step
    ```

    The values of a block are decided in raster order, each pixel's channels in turn. After some of them what
    is left of the window, `left` .. `left` + step - 1, is for the others. It says between which values the
    next one lies, for any that agree to follow, and where its middle is.

    ```python
    halves = FixedSum(np.ones([2, 2]), step=4, first=-2)  # q = (a + b + c + d + 2) // 4
    left = halves.start([[100]])                          # 398: the sum is 398 .. 401
    left = halves.after(left, 0, [[90]])                  # 308: the other three add up to 308 .. 311
    low, high, center = halves.bounds(left, 1)(0, [])     # 0, 255, 103.17
    ```

    Args:
      weights: whole numbers of 1 or more: [ratio, ratio] of a block's pixels for a sum within each channel,
        however many there are; or [ratio, ratio, C] of their values for one sum over all channels.
      step: int, how many sums an auxiliary value stands for.
      first: int, the smallest sum that the auxiliary value 0 stands for.
      num_values: int, the values are 0 .. num_values - 1.
      exact: bool, whether values that contradict the auxiliary value are excluded.

    Attributes:
      ratio: int, the sides of a block.
      num_channels: int, C for a sum over all channels; None for one within each.

    Raises:
      ValueError: for other weights, or for a step so small that earlier values could leave a window that no
        later value reaches.
    """

    def __init__(self, weights, step, first=0, num_values=256, exact=True):
        weights = np.asarray(weights)
        shape = weights.shape
        if len(shape) not in (2, 3) or shape[0] != shape[1] or not weights.size:
            raise ValueError(
                "Expected weights of shape [ratio, ratio] or [ratio, ratio, C]. "
                f"Received: shape {list(shape)}"
            )
        if (weights < 1).any() or (weights % 1 != 0).any():
            raise ValueError(
                f"Expected weights that are whole numbers of 1 or more. Received: {weights.tolist()}"
            )
        self.ratio = shape[0]
        self.num_channels = shape[2] if len(shape) == 3 else None
        self.step, self.first, self.num_values = step, first, num_values
        self.exact = exact
        # Each [ratio ** 2, 1] or [ratio ** 2, C], in the order in which the values are decided.
        self._weights = weights.reshape(self.ratio**2, -1).astype(np.int32)
        until = np.cumsum(self._weights).reshape(self._weights.shape)
        self.largest = int(until[-1, -1]) * (num_values - 1)
        self._later = (self.largest - until * (num_values - 1)).astype(np.int32)  # the most
        # One over twice the weights of a pixel and those after it: [ratio ** 2].
        undecided = np.cumsum(self._weights.sum(axis=1)[::-1])[::-1]
        self._per_half_weight = (0.5 / undecided).astype(np.float32)
        gaps = self._weights > step + self._later
        if gaps.any():
            raise ValueError(
                "Expected a step so large that, whatever the values before it, some value always agrees: "
                f"{int((self._weights - self._later).max())} or more. Received: step={step}. Give an "
                "auxiliary value a wider window of sums."
            )

    def start(self, auxiliary):
        """What is left before a block's first pixel: [..., c] auxiliary values -> int32 [..., c]."""
        return self.step * ops.cast(auxiliary, "int32") + self.first

    def position(self, row, column):
        """The place of an image's pixel in its block, 0 .. ratio ** 2 - 1; of ints or int tensors."""
        return row % self.ratio * self.ratio + column % self.ratio

    def bounds(self, left, position):
        """What is left of a block says about its next pixel.

        Args:
          left: int32 [..., c], from `start` and, after each earlier pixel of the block, from `after`.
          position: int or scalar tensor, the pixel's place in the block.

        Returns:
          Function of a channel and the list of the pixel's earlier channels, whole numbers [...] each. It
          returns the channel's `low` and `high`, int32 [...], the least and the most that it can be, and
          `center`, float32 [...]: the middle of what is left before this pixel, over the weights that are.
          Where earlier values do not agree nothing does: low > high.
        """
        weights, later, per_half_weight = (
            ops.take(ops.convert_to_tensor(table), position, axis=0)
            for table in (self._weights, self._later, self._per_half_weight)
        )

        def of_channel(channel, earlier):
            # Each channel has its own sum and they share a weight, or its own weight and they share a sum.
            of_sum, of_weight = (channel, 0) if self.num_channels is None else (0, channel)
            lower = left[..., of_sum]
            # Multiplied, not divided, which some graphs do in other ways than others.
            center = ops.cast(2 * lower + (self.step - 1), "float32") * per_half_weight
            if self.num_channels is not None:
                for weight, value in zip(ops.unstack(weights), earlier):
                    lower -= weight * ops.cast(value, "int32")
            weight = weights[of_weight]
            low = -((later[of_weight] - lower) // weight)
            high = (lower + (self.step - 1)) // weight
            last = self.num_values - 1
            if not self.exact:
                low, high = ops.full_like(low, 0), ops.full_like(high, last)
            return ops.maximum(low, 0), ops.minimum(high, last), ops.clip(center, 0, last)

        return of_channel

    def after(self, left, position, pixels):
        """What is left of a block after its next pixel.

        Args:
          left, position: as for `bounds`.
          pixels: whole numbers [..., C].

        Returns:
          int32 [..., c].
        """
        weights = ops.take(ops.convert_to_tensor(self._weights), position, axis=0)
        taken = weights * ops.cast(pixels, "int32")
        if self.num_channels is not None:
            taken = ops.sum(taken, axis=-1, keepdims=True)
        return left - taken

    def of_images(self, images, auxiliary):
        """What each value of images is known to be, given its auxiliary image and the values before it.

        Args:
          images: [B, H, W, C] of any dtype, whole.
          auxiliary: [B, H / ratio, W / ratio, c] likewise.

        Returns:
          low, high, int32, and center, float32: [B, H, W, C] each, as from `bounds`.
        """
        left, known = self.start(auxiliary), []
        for position, pixels in enumerate(self._pixels(images)):
            channels = ops.unstack(pixels, axis=-1)
            bounds = self.bounds(left, position)
            of_channels = [bounds(i, channels[:i]) for i in range(len(channels))]
            known.append([ops.stack(x, axis=-1) for x in zip(*of_channels)])
            left = self.after(left, position, pixels)
        return [self._interleaved(x) for x in zip(*known)]

    def auxiliary(self, images):
        """The auxiliary values that stand for the sums of images [B, H, W, C]: int32."""
        total = 0
        for position, pixels in enumerate(self._pixels(images)):
            total = self.after(total, position, pixels)
        return (-total - self.first) // self.step

    def _pixels(self, images):
        """[B, H, W, C] -> a list, by position, of all blocks' pixels [B, H / ratio, W / ratio, C]."""
        places = (divmod(position, self.ratio) for position in range(self.ratio**2))
        return [images[:, row :: self.ratio, column :: self.ratio] for row, column in places]

    def _interleaved(self, pixels):
        """The inverse of `_pixels`."""
        _, height, width, channels = pixels[0].shape
        ratio = self.ratio
        blocks = ops.reshape(ops.stack(pixels, axis=3), (-1, height, width, ratio, ratio, channels))
        blocks = ops.transpose(blocks, (0, 1, 3, 2, 4, 5))
        return ops.reshape(blocks, (-1, height * ratio, width * ratio, channels))
