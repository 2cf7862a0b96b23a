"""Weighted sums that an auxiliary image fixes, and what they say about each value of the image."""

import itertools
from collections.abc import Callable
from typing import Self

import numpy as np
from keras import ops

from pixelcnn_aux import arguments, blocks
from pixelcnn_aux.annotations import ArrayLike, Config, Size, Tensor
from pixelcnn_aux.bounds import LARGEST_SUM, BlockPosition, Bounds, Tables, summable
from pixelcnn_aux.serialization import Configured, register


@register()
class FixedSum(Configured):
    """A weighted sum of the values in each block of an image, as far as an auxiliary value tells it.

    An auxiliary value q stands for a window of sums, so that it is a function of the sum:

    ```none
    step * q + first <= sum of weight * value <= step * (q + 1) + first - 1,   q = (sum - first) // step
    ```

    The values of a block are decided in raster order, each pixel's channels in turn. Every value takes its
    contribution, weight * value, from the window: the later ones have to add up to `remainder` ..
    `remainder` + step - 1. This bounds the next value, since the later ones can add between 0 and a known
    most, and the middle of the window over the weights that are left is where to expect it.

    ```python
    halves = FixedSum(np.ones([2, 2]), step=4, first=-2)       # q = (a + b + c + d + 2) // 4
    remainder = halves.start([[100]])                          # 398: the sum is 398 .. 401
    remainder -= halves.at(0).contribution([[90]])             # 308: the other three add up to 308 .. 311
    low, high, center = halves.at(1).bounds(remainder)(0, [])  # 0, 255, 103.17
    ```

    Args:
      weights: whole numbers of 1 or more: [ratio, ratio] of a block's pixels for a sum within each channel,
        however many there are; or [ratio, ratio, C] of their values for one sum over all channels.
      step: int, how many sums an auxiliary value stands for.
      first: int, the smallest sum that the auxiliary value 0 stands for.
      num_values: int, up to 65,536: the values are 0 .. num_values - 1.
      exact: bool, whether values that contradict the sum are ruled out; if not, it only centers them.
      center_units: int, a power of two: centers are rounded to multiples of one over it, in arithmetic of
        whole numbers. None for centers that are not rounded.
      spread: float, about how far values are from their centers: the unit of a likelihood that is centered.

    Attributes:
      ratio: int, the height and width of a block.
      num_channels: int, C for a sum over all channels; None for one within each.
      dense: bool, whether the window is as wide as the largest weight. Then known intervals of the values
        never leave a gap: every window between the least and the most possible sum can be reached.
      unweighted: bool, whether all weights are 1.

    Raises:
      ValueError: for other weights, sums of 2 ** 29 or more, a step so small that earlier values could leave
        a window that no later value reaches, or other arguments of other types or out of range.
    """

    optional = ("center_units",)

    def __init__(
        self,
        weights: ArrayLike,
        step: int,
        first: int = 0,
        num_values: int = 256,
        exact: bool = True,
        spread: float = 16.0,
        center_units: int | None = None,
    ):
        self.num_values = num_values = arguments.whole(
            "num_values", num_values, 2, arguments.MAX_VALUES
        )
        self.weights = weights = _checked(weights, max(num_values, 256) - 1)
        self.step = step = arguments.whole("step", step, 1, LARGEST_SUM // 256)
        self.first = arguments.whole("first", first, -LARGEST_SUM, LARGEST_SUM)
        self.exact = arguments.flag("exact", exact)
        self.center_units = center_units and arguments.whole("center_units", center_units, 1, 256)
        self.spread = arguments.positive("spread", spread, max(num_values, 256))
        self.ratio = weights.shape[0]
        self.num_channels = weights.shape[2] if weights.ndim == 3 else None
        self._by_channel = weights.reshape(self.ratio, self.ratio, -1)
        self._tables = Tables.of(self._by_channel, step, num_values)
        self.dense = bool(step >= weights.max())
        self.unweighted = bool((weights == 1).all())
        self.largest = int(weights.sum()) * (num_values - 1)
        later = self._tables.weights - 1 - self._tables.below  # the most that later ones add
        gaps = self._tables.weights > step + later
        if gaps.any():
            raise ValueError(
                "Expected a step so large that, whatever the values before it, some value always agrees: "
                f"{int((self._tables.weights - later).max())} or more. Received: step={step}. Give an "
                "auxiliary value a wider window of sums."
            )

    def get_config(self) -> Config:
        return {
            "weights": self.weights.tolist(),
            "step": self.step,
            "first": self.first,
            "num_values": self.num_values,
            "exact": self.exact,
            "spread": self.spread,
            "center_units": self.center_units,
        }

    def with_exact(self, exact: bool) -> Self:
        """The same sum, which rules values out or not."""
        return type(self)(**{**self.get_config(), "exact": exact})

    def start(self, auxiliary: Tensor) -> Tensor:
        """The remainder before a block's first pixel: [..., c] auxiliary values -> [..., c], `summable`."""
        return self.step * summable(auxiliary) + self.first

    def index(self, row: Tensor, column: Tensor) -> Tensor:
        """Where an image's pixel is in its block, 0 .. ratio ** 2 - 1; of ints or int tensors."""
        return row % self.ratio * self.ratio + column % self.ratio

    def at(self, index: Tensor, size: Size | None = None) -> BlockPosition:
        """`BlockPosition` of an `index`, an int or a scalar tensor.

        Args:
          index: as from `index`.
          size: (H, W) of images whose last blocks may be incomplete, for the position in all blocks at once;
            None for that in a complete block.
        """
        if self.ratio == 1:
            index = 0  # also as a tensor: nothing has to be looked up
        return BlockPosition(self, self._tables_of(size).at(index))

    def _tables_of(self, size):
        if size is None or blocks.is_whole(size, self.ratio):
            return self._tables
        return Tables.of_incomplete(self._by_channel, self.step, self.num_values, size)

    def _positions(self, size):
        tables = self._tables_of(size)
        return [BlockPosition(self, tables.at(i)) for i in range(self.ratio**2)]

    def sums(self, images: Tensor) -> Tensor:
        """The weighted sum of each block of images [B, H, W, C]: [B, h, w, c], `summable`.

        What incomplete blocks lack repeats the last row and column.
        """
        positions = self._positions(images.shape[1:3])
        places = blocks.places(images, self.ratio)
        return sum(position.contribution(x) for position, x in zip(positions, places))

    def auxiliary(self, images: Tensor) -> Tensor:
        """The auxiliary values that stand for the sums of images [B, H, W, C]: int32."""
        return (self.sums(ops.cast(images, "int32")) - self.first) // self.step

    def bounds(self, images: Tensor, auxiliary: Tensor) -> Bounds:
        """What is known of each value of images, given its auxiliary image and the values before it.

        Args:
          images: [B, H, W, C] of any dtype, whole.
          auxiliary: [B, h, w, c] likewise, of each block.

        Returns:
          `Bounds` of int32, int32 and float32 [B, H, W, C], as from `BlockPosition.bounds`.
        """
        bounds, channels = self.channel_bounds(images, auxiliary), ops.unstack(images, axis=-1)
        by_channel = [bounds(i, channels[:i]) for i in range(len(channels))]
        return Bounds(*(ops.stack(x, axis=-1) for x in zip(*by_channel)))

    def channel_bounds(
        self,
        images: Tensor,
        auxiliary: Tensor,
        slack: tuple[Tensor, Tensor] | None = None,
    ) -> Callable[[int, list[Tensor]], Bounds]:
        """`BlockPosition.bounds` of every pixel of images at once, given the pixels before it.

        Args:
          images, auxiliary: as for `bounds`.
          slack: from `slack`, int32 [B, H, W, C] each; None where later values may be any.

        Returns:
          Function as from `BlockPosition.bounds`, of whole numbers [B, H, W].
        """
        images, auxiliary = (ops.cast(x, "int32") for x in (images, auxiliary))
        slacks = (
            zip(*(blocks.places(x, self.ratio) for x in slack)) if slack else itertools.repeat(None)
        )
        positions = zip(self._remainders(images, auxiliary), slacks)
        by_position = [
            position.bounds(remainder, here) for (position, remainder), here in positions
        ]

        def channel_bounds(channel, earlier):
            earlier = [blocks.places(x, self.ratio) for x in earlier]
            before = zip(*earlier) if earlier else [()] * len(by_position)
            known = [bounds(channel, values) for bounds, values in zip(by_position, before)]
            return Bounds(*(blocks.joined(x, self.ratio, images.shape[1:3]) for x in zip(*known)))

        return channel_bounds

    def centers(self, images: Tensor, auxiliary: Tensor) -> Tensor:
        """Where each value of images is to be expected, given its auxiliary image and the pixels before it.

        Args:
          images, auxiliary: as for `bounds`, or floats between whole numbers.

        Returns:
          float32 [B, H, W, C], or [B, H, W, 1] for a sum over all channels: the centers of `bounds`.
        """
        by_position = [
            position.center(remainder)
            for position, remainder in self._remainders(images, auxiliary)
        ]
        return blocks.joined(by_position, self.ratio, images.shape[1:3])

    def _remainders(self, images, auxiliary):
        """Yields each `BlockPosition`, and the remainder of all blocks before their pixels there."""
        remainder = self.start(auxiliary)
        positions = self._positions(images.shape[1:3])
        for position, pixels in zip(positions, blocks.places(images, self.ratio)):
            yield position, remainder
            remainder = remainder - position.contribution(pixels)

    def slack(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """What later values leave open about each one, where all are known to lie in intervals.

        Args:
          low, high: [B, H, W, C] of any dtype, whole.

        Returns:
          Two of int32 [B, H, W, C], for `BlockPosition.bounds`.
        """
        size = low.shape[1:3]
        weights = [position.weights for position in self._positions(size)]
        below = [w - 1 - most for w, most in zip(weights, self._later(high, weights))]
        above = [self.step - 1 - least for least in self._later(low, weights)]
        return tuple(blocks.joined(x, self.ratio, size) for x in (below, above))

    def _later(self, images, weights):
        """Of each value of images, the weighted sum of those after it in its block: by place, int32."""
        places = blocks.places(images, self.ratio)
        weighted = [w * ops.cast(x, "int32") for w, x in zip(weights, places)]
        later, total = [], 0
        for values in reversed(weighted):
            if self.num_channels is None:
                later.append(total + ops.zeros_like(values))
                total += values
            else:
                until = ops.cumsum(values, axis=-1)
                later.append(total + until[..., -1:] - until)
                total += until[..., -1:]
        return later[::-1]


def _checked(weights: ArrayLike, last: int) -> np.ndarray:
    """An array of the weights of a `FixedSum` of values up to `last`. Raises ValueError for others."""
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
    if not whole or array.min() < 1 or array.astype(float).sum() > LARGEST_SUM // last:
        raise ValueError(
            "Expected weights that are whole numbers of 1 or more, together of at most "
            f"{LARGEST_SUM // last:,}. Received: {arguments.shown(array.tolist())}. Give smaller ones."
        )
    return array
