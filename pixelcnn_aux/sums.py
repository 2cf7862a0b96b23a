"""Weighted sums that an auxiliary image fixes, and what they say about each value of the image."""

import itertools

import numpy as np
from keras import ops

from pixelcnn_aux import arguments
from pixelcnn_aux.serialization import Configured, register

_LARGEST_SUM = 2**29 - 1  # so that none of what is added up in int32 leaves it


@register()
class FixedSum(Configured):
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
    left -= halves.at(0).taken([[90]])                    # 308: the other three add up to 308 .. 311
    low, high, center = halves.at(1).bounds(left)(0, [])  # 0, 255, 103.17
    ```

    Args:
      weights: whole numbers of 1 or more: [ratio, ratio] of a block's pixels for a sum within each channel,
        however many there are; or [ratio, ratio, C] of their values for one sum over all channels.
      step: int, how many sums an auxiliary value stands for.
      first: int, the smallest sum that the auxiliary value 0 stands for.
      num_values: int, the values are 0 .. num_values - 1.
      exact: bool, whether values that contradict the sum are ruled out; if not, it only centers them.
      spread: float, about how far values are from their centers: the unit of a likelihood that is centered.

    Attributes:
      ratio: int, the sides of a block.
      num_channels: int, C for a sum over all channels; None for one within each.
      dense: bool, whether the window is as wide as the largest weight: whatever interval each value is known
        to lie in, every sum from the least to the most is in the window of one that is reached.
      unweighted: bool, whether all weights are 1.

    Raises:
      ValueError: for other weights, sums of 2 ** 29 or more, a step so small that earlier values could leave
        a window that no later value reaches, or other arguments of other types or out of range.
    """

    def __init__(self, weights, step, first=0, num_values=256, exact=True, spread=16.0):
        self.weights = weights = _checked(weights)
        self.step = step = arguments.whole("step", step, 1, _LARGEST_SUM // 256)
        self.first = arguments.whole("first", first, -_LARGEST_SUM, _LARGEST_SUM)
        self.num_values = num_values = arguments.whole("num_values", num_values, 2, 256)
        self.exact = arguments.flag("exact", exact)
        self.spread = arguments.positive("spread", spread, 256)
        self.ratio = weights.shape[0]
        self.num_channels = weights.shape[2] if weights.ndim == 3 else None
        # Each [ratio ** 2, 1] or [ratio ** 2, C], in the order in which the values are decided.
        self._weights = weights.reshape(self.ratio**2, -1).astype(np.int32)
        self.dense = bool(step >= self._weights.max())
        self.unweighted = bool((self._weights == 1).all())
        until = np.cumsum(self._weights).reshape(self._weights.shape)
        self.largest = int(until[-1, -1]) * (num_values - 1)
        later = (self.largest - until * (num_values - 1)).astype(np.int32)  # the most
        self._room = self._weights - 1 - later, np.full_like(later, step - 1)
        # One over the weights of a pixel and those after it: [ratio ** 2].
        undecided = np.cumsum(self._weights.sum(axis=1)[::-1])[::-1]
        self._per_weight = (1.0 / undecided).astype(np.float32)
        gaps = self._weights > step + later
        if gaps.any():
            raise ValueError(
                "Expected a step so large that, whatever the values before it, some value always agrees: "
                f"{int((self._weights - later).max())} or more. Received: step={step}. Give an "
                "auxiliary value a wider window of sums."
            )

    def get_config(self):
        return {
            "weights": self.weights.tolist(),
            "step": self.step,
            "first": self.first,
            "num_values": self.num_values,
            "exact": self.exact,
            "spread": self.spread,
        }

    def with_exact(self, exact):
        """The same sum, which rules values out or not."""
        return type(self)(**{**self.get_config(), "exact": exact})

    def start(self, auxiliary):
        """What is left before a block's first pixel: [..., c] auxiliary values -> int32 [..., c]."""
        return self.step * ops.cast(auxiliary, "int32") + self.first

    def position(self, row, column):
        """The place of an image's pixel in its block, 0 .. ratio ** 2 - 1; of ints or int tensors."""
        return row % self.ratio * self.ratio + column % self.ratio

    def at(self, position):
        """`Place` of a position in the blocks, an int or a scalar tensor."""
        if self.ratio == 1:
            position = 0  # also as a tensor: nothing has to be looked up
        tables = (self._weights, *self._room, self._per_weight)
        if not isinstance(position, int):
            tables = (ops.convert_to_tensor(table) for table in tables)
            return Place(self, *(ops.take(table, position, axis=0) for table in tables))
        return Place(self, *(table[position] for table in tables))

    def sums(self, images):
        """The weighted sum of each block of images [B, H, W, C]: int32 [B, H / ratio, W / ratio, c]."""
        taken = 0
        for position, pixels in enumerate(self._pixels(images)):
            taken += self.at(position).taken(pixels)
        return taken

    def auxiliary(self, images):
        """The auxiliary values that stand for the sums of images [B, H, W, C]: int32."""
        return (self.sums(images) - self.first) // self.step

    def of_images(self, images, auxiliary):
        """What each value of images is known to be, given its auxiliary image and the values before it.

        Args:
          images: [B, H, W, C] of any dtype, whole.
          auxiliary: [B, H / ratio, W / ratio, c] likewise.

        Returns:
          low, high, int32, and center, float32: [B, H, W, C] each, as from `Place.bounds`.
        """
        bounds, channels = self.bounds_in(images, auxiliary), ops.unstack(images, axis=-1)
        known = [bounds(i, channels[:i]) for i in range(len(channels))]
        return [ops.stack(x, axis=-1) for x in zip(*known)]

    def bounds_in(self, images, auxiliary, room=None):
        """`Place.bounds` of every pixel of images at once, given the pixels before it.

        Args:
          images, auxiliary: as for `of_images`.
          room: from `room`, int32 [B, H, W, C] each; None where later values may be any.

        Returns:
          Function as from `Place.bounds`, of whole numbers [B, H, W].
        """
        rooms = zip(*map(self._pixels, room)) if room else itertools.repeat(None)
        places = zip(self._left(images, auxiliary), rooms)
        of_places = [place.bounds(left, here) for (place, left), here in places]

        def of_channel(channel, earlier):
            earlier = zip(*(self._pixels(x) for x in earlier)) if earlier else [()] * len(of_places)
            known = [bounds(channel, before) for bounds, before in zip(of_places, earlier)]
            return [self._interleaved(x) for x in zip(*known)]

        return of_channel

    def centers(self, images, auxiliary):
        """Where each value of images is to be expected, given its auxiliary image and the pixels before it.

        Args:
          images, auxiliary: as for `of_images`.

        Returns:
          float32 [B, H, W, C], or [B, H, W, 1] for a sum over all channels: as `of_images`' centers.
        """
        of_places = [place.center(left) for place, left in self._left(images, auxiliary)]
        channels = [ops.unstack(x, axis=-1) for x in of_places]
        return ops.stack([self._interleaved(x) for x in zip(*channels)], axis=-1)

    def _left(self, images, auxiliary):
        """Yields each `Place`, and what is left of all blocks before their pixels there."""
        left = self.start(auxiliary)
        for position, pixels in enumerate(self._pixels(images)):
            place = self.at(position)
            yield place, left
            left = left - place.taken(pixels)

    def room(self, low, high):
        """`room` for `Place.bounds`, where each value is known to lie between others than 0 and the last.

        Args:
          low, high: [B, H, W, C] of any dtype, whole.

        Returns:
          Two of int32 [B, H, W, C].
        """
        least, most = self._later(low), self._later(high)
        weights = ops.tile(
            self._weights.reshape(self.ratio, self.ratio, -1),
            (low.shape[1] // self.ratio, low.shape[2] // self.ratio, 1),
        )
        return weights - 1 - most, self.step - 1 - least

    def _later(self, images):
        """Of each value of images, the weighted sum of those after it in its block: int32 [B, H, W, C]."""
        weighted = [
            weights * ops.cast(x, "int32")
            for weights, x in zip(self._weights, self._pixels(images))
        ]
        later, taken = [], 0
        for values in reversed(weighted):
            if self.num_channels is None:
                later.append(taken + ops.zeros_like(values))
                taken += values
            else:
                until = ops.cumsum(values, axis=-1)
                later.append(taken + until[..., -1:] - until)
                taken += until[..., -1:]
        channels = [ops.unstack(x, axis=-1) for x in reversed(later)]
        return ops.stack([self._interleaved(x) for x in zip(*channels)], axis=-1)

    def _pixels(self, images):
        """[B, H, W, ...] -> a list, by position, of all blocks' pixels [B, H / ratio, W / ratio, ...]."""
        places = (divmod(position, self.ratio) for position in range(self.ratio**2))
        return [images[:, row :: self.ratio, column :: self.ratio] for row, column in places]

    def _interleaved(self, pixels):
        """The inverse of `_pixels`, of one channel: a list of [B, H / ratio, W / ratio]."""
        _, height, width = ops.shape(pixels[0])
        ratio = self.ratio
        blocks = ops.reshape(ops.stack(pixels, axis=3), (-1, height, width, ratio, ratio))
        blocks = ops.transpose(blocks, (0, 1, 3, 2, 4))
        return ops.reshape(blocks, (-1, height * ratio, width * ratio))


def _checked(weights):
    """An array of the weights of a `FixedSum`. Raises ValueError for others than it takes."""
    try:
        array = np.asarray(weights)
    except (ValueError, OverflowError):  # lists of different lengths
        array = np.empty([])
    shape = array.shape
    if len(shape) not in (2, 3) or shape[0] != shape[1] or not array.size:
        raise ValueError(
            "Expected weights of shape [ratio, ratio] or [ratio, ratio, C]. "
            f"Received: {arguments.shown(weights)}, of shape {list(shape)}. Give such a list."
        )
    whole = array.dtype.kind in "iuf" and np.isfinite(array).all() and not (array % 1).any()
    if not whole or array.min() < 1 or array.astype(float).sum() > _LARGEST_SUM // 255:
        raise ValueError(
            "Expected weights that are whole numbers of 1 or more, together of at most "
            f"{_LARGEST_SUM // 255:,}. Received: {arguments.shown(array.tolist())}. Give smaller ones."
        )
    return array


class Place:
    """What a fixed sum says of the pixels at one place in the blocks. From `FixedSum.at`.

    Args:
      fixed_sum: `FixedSum`.
      weights, below, above, per_weight: its tables at this place.
    """

    def __init__(self, fixed_sum, weights, below, above, per_weight):
        self._fixed_sum = fixed_sum
        self._weights = weights  # int32 [1] or [C], as the two others
        self._room = below, above
        self._per_weight = per_weight

    def taken(self, pixels):
        """What pixels [..., C], whole numbers, take of what is left: int32 [..., c]."""
        taken = ops.cast(pixels, "int32")
        if not self._fixed_sum.unweighted:
            taken = self._weights * taken
        if self._fixed_sum.num_channels is not None:
            taken = ops.sum(taken, axis=-1, keepdims=True)
        return taken

    def center(self, left):
        """The middle of what is left, over the weights that are, before this pixel: float32 [..., c]."""
        # Multiplied, not divided, which some graphs do in other ways than others.
        middle = ops.cast(left, "float32") + (self._fixed_sum.step - 1) / 2
        return ops.clip(middle * self._per_weight, 0, self._fixed_sum.num_values - 1)

    def bounds(self, left, room=None):
        """What is left of a block says about its next pixel.

        Args:
          left: int32 [..., c], from `FixedSum.start`, less what each earlier pixel of the block has `taken`.
          room: of `FixedSum.room` the two [..., C] of this pixel. None where later values may be any.

        Returns:
          Function of a channel and the list of the pixel's earlier channels, whole numbers [...] each. It
          returns the channel's `low` and `high`, int32 [...], the least and the most that it can be, and
          `center`, float32 [...]: that of `Place.center`.
          Where earlier values do not agree nothing does: low > high.
        """
        fixed_sum = self._fixed_sum
        below, above = room or self._room
        center = self.center(left)
        if fixed_sum.num_channels is None:
            # One weight, and a sum for each channel: all channels at once.
            each = (*self._ends(left, self._weights, below, above), center)
            each = [ops.unstack(x, axis=-1) for x in each]
            return lambda channel, earlier: tuple(x[channel] for x in each)

        def of_channel(channel, earlier):
            lower = left[..., 0]
            for i, value in enumerate(earlier):
                lower -= self._weights[i] * ops.cast(value, "int32")
            here = (self._weights[channel], below[..., channel], above[..., channel])
            return (*self._ends(lower, *here), center[..., 0])

        return of_channel

    def _ends(self, left, weight, below, above):
        """The least and the most that values of this weight can be."""
        last = self._fixed_sum.num_values - 1
        if not self._fixed_sum.exact:
            return ops.zeros_like(left), ops.full_like(left, last)
        least, most = left + below, left + above
        if not self._fixed_sum.unweighted:
            least, most = least // weight, most // weight
        return ops.maximum(least, 0), ops.minimum(most, last)
