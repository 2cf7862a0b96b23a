"""Weighted sums that an auxiliary image fixes, and what they say about each value of the image."""

import itertools
from collections.abc import Callable
from typing import Self

import numpy as np
from keras import ops

from pixelcnn_aux import arguments
from pixelcnn_aux.annotations import ArrayLike, Config, Tensor
from pixelcnn_aux.bounds import BlockPosition, Bounds, summable
from pixelcnn_aux.serialization import Configured, register

_LARGEST_SUM = 2**29 - 1  # so that nothing that is added up in int32 leaves it


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

    def __init__(
        self,
        weights: ArrayLike,
        step: int,
        first: int = 0,
        num_values: int = 256,
        exact: bool = True,
        spread: float = 16.0,
    ):
        self.num_values = num_values = arguments.whole(
            "num_values", num_values, 2, arguments.MAX_VALUES
        )
        self.weights = weights = _checked(weights, max(num_values, 256) - 1)
        self.step = step = arguments.whole("step", step, 1, _LARGEST_SUM // 256)
        self.first = arguments.whole("first", first, -_LARGEST_SUM, _LARGEST_SUM)
        self.exact = arguments.flag("exact", exact)
        self.spread = arguments.positive("spread", spread, max(num_values, 256))
        self.ratio = weights.shape[0]
        self.num_channels = weights.shape[2] if weights.ndim == 3 else None
        # In the order in which the values are decided: [ratio ** 2, 1] or [ratio ** 2, C].
        self._weights = weights.reshape(self.ratio**2, -1).astype(np.int32)
        self.dense = bool(step >= self._weights.max())
        self.unweighted = bool((self._weights == 1).all())
        until = np.cumsum(self._weights).reshape(self._weights.shape)
        self.largest = int(until[-1, -1]) * (num_values - 1)
        later = (self.largest - until * (num_values - 1)).astype(
            np.int32
        )  # the most that later ones add
        self._slack = self._weights - 1 - later, np.full_like(later, step - 1)
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

    def get_config(self) -> Config:
        return {
            "weights": self.weights.tolist(),
            "step": self.step,
            "first": self.first,
            "num_values": self.num_values,
            "exact": self.exact,
            "spread": self.spread,
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

    def at(self, index: Tensor) -> BlockPosition:
        """`BlockPosition` of an `index`, an int or a scalar tensor."""
        if self.ratio == 1:
            index = 0  # also as a tensor: nothing has to be looked up
        tables = (self._weights, *self._slack, self._per_weight)
        if not isinstance(index, int):
            tensors = (ops.convert_to_tensor(table) for table in tables)
            return BlockPosition(self, *(ops.take(tensor, index, axis=0) for tensor in tensors))
        return BlockPosition(self, *(table[index] for table in tables))

    def sums(self, images: Tensor) -> Tensor:
        """The weighted sum of each block: [B, H, W, C] -> [B, H / ratio, W / ratio, c], `summable`."""
        return sum(self.at(i).contribution(pixels) for i, pixels in enumerate(self._pixels(images)))

    def auxiliary(self, images: Tensor) -> Tensor:
        """The auxiliary values that stand for the sums of images [B, H, W, C]: int32."""
        return (self.sums(ops.cast(images, "int32")) - self.first) // self.step

    def bounds(self, images: Tensor, auxiliary: Tensor) -> Bounds:
        """What is known of each value of images, given its auxiliary image and the values before it.

        Args:
          images: [B, H, W, C] of any dtype, whole.
          auxiliary: [B, H / ratio, W / ratio, c] likewise.

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
        slacks = zip(*map(self._pixels, slack)) if slack else itertools.repeat(None)
        positions = zip(self._remainders(images, auxiliary), slacks)
        by_position = [
            position.bounds(remainder, here) for (position, remainder), here in positions
        ]

        def channel_bounds(channel, earlier):
            earlier = [self._pixels(x) for x in earlier]
            before = zip(*earlier) if earlier else [()] * len(by_position)
            known = [bounds(channel, values) for bounds, values in zip(by_position, before)]
            return Bounds(*(self._interleaved(x) for x in zip(*known)))

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
        return self._image(by_position)

    def _remainders(self, images, auxiliary):
        """Yields each `BlockPosition`, and the remainder of all blocks before their pixels there."""
        remainder = self.start(auxiliary)
        for i, pixels in enumerate(self._pixels(images)):
            position = self.at(i)
            yield position, remainder
            remainder = remainder - position.contribution(pixels)

    def slack(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """What later values leave open about each one, where all are known to lie in intervals.

        Args:
          low, high: [B, H, W, C] of any dtype, whole.

        Returns:
          Two of int32 [B, H, W, C], for `BlockPosition.bounds`.
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
        later, total = [], 0
        for values in reversed(weighted):
            if self.num_channels is None:
                later.append(total + ops.zeros_like(values))
                total += values
            else:
                until = ops.cumsum(values, axis=-1)
                later.append(total + until[..., -1:] - until)
                total += until[..., -1:]
        return self._image(later[::-1])

    def _pixels(self, images):
        """[B, H, W, ...] -> a list, by position, of all blocks' pixels [B, H / ratio, W / ratio, ...]."""
        offsets = (divmod(index, self.ratio) for index in range(self.ratio**2))
        return [images[:, row :: self.ratio, column :: self.ratio] for row, column in offsets]

    def _image(self, pixels):
        """The inverse of `_pixels`: a list of [B, H / ratio, W / ratio, C] -> [B, H, W, C]."""
        channels = [ops.unstack(x, axis=-1) for x in pixels]
        return ops.stack([self._interleaved(x) for x in zip(*channels)], axis=-1)

    def _interleaved(self, pixels):
        """`_image` of one channel: a list of [B, H / ratio, W / ratio] -> [B, H, W]."""
        _, height, width = ops.shape(pixels[0])
        ratio = self.ratio
        blocks = ops.reshape(ops.stack(pixels, axis=3), (-1, height, width, ratio, ratio))
        blocks = ops.transpose(blocks, (0, 1, 3, 2, 4))  # [B, H / ratio, ratio, W / ratio, ratio]
        return ops.reshape(blocks, (-1, height * ratio, width * ratio))


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
    if not whole or array.min() < 1 or array.astype(float).sum() > _LARGEST_SUM // last:
        raise ValueError(
            "Expected weights that are whole numbers of 1 or more, together of at most "
            f"{_LARGEST_SUM // last:,}. Received: {arguments.shown(array.tolist())}. Give smaller ones."
        )
    return array
