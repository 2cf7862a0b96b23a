"""Weighted sums that an auxiliary image fixes, and what they say about each value of the image."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import keras
import numpy as np
from keras import ops

from pixelcnn_aux import arguments
from pixelcnn_aux.arguments import ArrayLike, Config, Size, Tensor
from pixelcnn_aux.backend import lookup
from pixelcnn_aux.serialization import Configured, register

LARGEST_SUM = 2**29 - 1  # so that nothing that is added up in int32 leaves it


class Bounds(NamedTuple):
    """What is known of a value before it is seen: the interval that it lies in, and where to expect it."""

    low: Tensor  # the least that it can be, a whole number
    high: Tensor  # the most
    center: Tensor  # float; what a likelihood that is `centered` needs


def summable(x: Tensor) -> Tensor:
    """Integers as int32, in which sums are exact, and floats as they are: they may lie between integers."""
    x = ops.convert_to_tensor(x)
    is_float = keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype))
    return x if is_float else ops.cast(x, "int32")


def num_blocks(size: Sequence[Any], side: int) -> tuple[Any, ...]:
    """(h, w), how many blocks images of (H, W) have; None for a side that is not known."""
    return tuple(length and -(-length // side) for length in size)


def is_divided(size: Sequence[Any], side: int) -> bool:
    """Whether all blocks of images of (H, W) are complete, as those of unknown sizes are taken to be."""
    return not any(length and length % side for length in size)


def pixels_at(images: Tensor, place: int, side: int) -> Tensor:
    """The pixels at one place of all blocks, counted in raster order: [B, H, W, ...] -> [B, h, w, ...]."""
    row, column = divmod(place, side)
    return complete_blocks(images, side)[:, row::side, column::side]


def complete_blocks(images: Tensor, side: int) -> Tensor:
    """Images [B, H, W, ...] with what incomplete blocks lack: [B, h * side, w * side, ...]."""
    for axis, length in enumerate(images.shape[1:3], start=1):
        if not is_divided([length], side):
            [blocks] = num_blocks([length], side)
            indices = np.minimum(np.arange(blocks * side), length - 1)
            images = ops.take(images, indices, axis=axis)
    return images


def by_place(images: Tensor, side: int) -> list[Tensor]:
    """`pixels_at` of each of the side ** 2 places, in raster order."""
    images = complete_blocks(images, side)  # once, and not for each place
    return [pixels_at(images, place, side) for place in range(side**2)]


def from_places(places: Sequence[Tensor], side: int, size: Sequence[Any]) -> Tensor:
    """The inverse of `by_place`, of images of (H, W): tensors [B, h, w, ...] -> [B, H, W, ...]."""
    _, rows, columns, *channels = ops.shape(places[0])
    row = (-1, rows, columns * side, *channels)
    by_row = [
        ops.reshape(ops.stack(places[first : first + side], axis=3), row)
        for first in range(0, side**2, side)
    ]
    images = ops.reshape(ops.stack(by_row, axis=2), (-1, rows * side, columns * side, *channels))
    return images if is_divided(size, side) else images[:, : size[0], : size[1]]


def existing_by_place(size: Sequence[Any], side: int) -> list[np.ndarray] | None:
    """By place, 1 where images of (H, W) have a pixel there, else 0: float32 [h, w, 1]; None if all have."""
    if is_divided(size, side):
        return None
    rows, columns = (np.arange(blocks) * side for blocks in num_blocks(size, side))
    row_and_column = (divmod(place, side) for place in range(side**2))
    return [
        np.outer(rows + row < size[0], columns + column < size[1])[..., np.newaxis].astype(
            np.float32
        )
        for row, column in row_and_column
    ]


def reduce_blocks(reduce: Callable[..., Tensor], images: Tensor, side: int) -> Tensor:
    """[B, H, W, C] -> [B, h, w, C], reduced from each block of side x side pixels.

    Args:
      reduce: function of a tensor and `axis`, such as `ops.sum`.
      images: [B, H, W, C] of any dtype.
      side: int.
    """
    images = complete_blocks(images, side)
    _, height, width, channels = images.shape
    shape = (-1, height // side, side, width // side, side, channels)
    return reduce(ops.reshape(images, shape), axis=(2, 4))


class Tables(NamedTuple):
    """What bounds of the values of a block are computed from, by the pixels' place in it.

    NumPy arrays of int32 [ratio ** 2, ..., c], or tensors; the last two are [ratio ** 2, ..., 1].
    """

    weights: Any
    # What is added to a remainder before it is divided by the weight: for the least value, and for the most.
    below: Any
    above: Any
    undecided: Any  # the weights of a pixel and those after it
    per_weight: Any  # one over them, float32

    @classmethod
    def of(cls, weights: np.ndarray, step: int, num_values: int) -> Self:
        """The tables of weights [ratio, ratio, c], 0 at places that an image does not have."""
        ratio = len(weights)
        weights = weights.reshape(ratio**2, -1).astype(np.int32)  # as values are decided
        until = np.cumsum(weights).reshape(weights.shape)
        later = (until[-1, -1] - until) * (num_values - 1)  # the most that later values add
        below, above = (weights - 1 - later).astype(np.int32), np.full_like(weights, step - 1)
        undecided = np.cumsum(weights.sum(axis=1)[::-1])[::-1, np.newaxis]
        undecided = np.maximum(undecided, 1).astype(np.int32)
        return cls(weights, below, above, undecided, (1.0 / undecided).astype(np.float32))

    def at(self, index: Tensor) -> Self:
        """Those of one place, an int or a scalar tensor: without the first dimension."""
        if isinstance(index, int):
            return type(self)(*(table[index] for table in self))
        return type(self)(*(ops.take(ops.convert_to_tensor(x), index, axis=0) for x in self))

    @classmethod
    def of_incomplete(
        cls, weights: np.ndarray, step: int, num_values: int, size: tuple[int, int]
    ) -> Self:
        """Those of all blocks of images of (H, W), [ratio ** 2, h, w, c], of which the last are incomplete.

        What such a block lacks repeats its last row or column, whose weights are larger by as much.
        """
        ratio = len(weights)
        heights, widths = ((ratio, length % ratio or ratio) for length in size)
        kinds = [
            [cls.of(_folded(weights, height, width), step, num_values) for width in widths]
            for height in heights
        ]
        by_row = (cls(*(np.stack(x, axis=1) for x in zip(*row))) for row in kinds)
        small = [np.stack(x, axis=1) for x in zip(*by_row)]  # [ratio ** 2, 2, 2, c]
        tables = []
        for table in small:
            for axis, length in enumerate(num_blocks(size, ratio), start=1):
                is_last = np.equal(np.arange(length), length - 1)
                table = ops.take(table, is_last.astype(np.int32), axis=axis)
            tables.append(table)
        return cls(*tables)


def _folded(weights, height, width):
    """Weights [ratio, ratio, c] of a block that has so many rows and columns, and repeats the last ones."""
    weights = np.array(weights)
    for length in (height, width):
        weights[length - 1] += weights[length:].sum(axis=0)
        weights[length:] = 0
        weights = weights.swapaxes(0, 1)
    return weights


class BlockPosition:
    """What a fixed sum says of the pixels at one position in the blocks. From `FixedSum.at`.

    Args:
      fixed_sum: `FixedSum`.
      tables: its `Tables` at this position, [c], or [h, w, c] of all blocks.

    Attributes:
      weights: int32 [c] or [h, w, c].
    """

    def __init__(self, fixed_sum, tables):
        self._fixed_sum = fixed_sum
        self._tables, self.weights = tables, tables.weights
        self._unweighted = fixed_sum.unweighted and len(tables.weights.shape) == 1

    def of(self, rows: slice, columns: slice) -> Self:
        """The same of some of the blocks."""
        if len(self.weights.shape) == 1:
            return self
        return type(self)(self._fixed_sum, Tables(*(x[rows, columns] for x in self._tables)))

    def contribution(self, pixels: Tensor) -> Tensor:
        """What pixels [..., C] add to the sum: [..., c], `summable`."""
        values = summable(pixels)
        if not self._unweighted:
            values = ops.multiply(self.weights, values)
        if self._fixed_sum.num_channels is not None:
            values = ops.sum(values, axis=-1, keepdims=True)
        return values

    def center(self, remainder: Tensor) -> Tensor:
        """The middle of the window over the weights that are left, before this pixel: float32 [..., c]."""
        if units := self._fixed_sum.center_units:
            weights = self._tables.undecided
            twice = units * (2 * ops.cast(remainder, "int32") + self._fixed_sum.step - 1)
            center = ops.cast((twice + weights) // (2 * weights), "float32") / units
            return ops.clip(center, 0, self._fixed_sum.num_values - 1)
        # Multiplied, since some graphs divide in other ways than others.
        middle = ops.cast(remainder, "float32") + (self._fixed_sum.step - 1) / 2
        return ops.clip(middle * self._tables.per_weight, 0, self._fixed_sum.num_values - 1)

    def bounds(
        self, remainder: Tensor, slack: tuple[Tensor, Tensor] | None = None
    ) -> Callable[[int, list[Tensor]], Bounds]:
        """What the remainder of a block says about its next pixel.

        Args:
          remainder: int32 [..., c], from `FixedSum.start`, less the contribution of each earlier pixel of
            the block.
          slack: of `FixedSum.slack` the two [..., C] of this pixel. None where later values may be any.

        Returns:
          Function of a channel and the list of the pixel's earlier channels, whole numbers [...] each. It
          returns the channel's `Bounds`: int32 [...] twice, and float32 [...], that of `center`.
          Where earlier values do not agree nothing does: low > high.
        """
        fixed_sum = self._fixed_sum
        weights = self.weights
        below, above = slack or self._tables[1:3]
        center = self.center(remainder)
        if fixed_sum.num_channels is None:
            # One weight, and a sum for each channel: all channels at once.
            ends = self._ends(remainder, weights, below, above)
            each = [ops.unstack(x, axis=-1) for x in (*ends, center)]
            return lambda channel, earlier: Bounds(*(x[channel] for x in each))

        def channel_bounds(channel, earlier):
            here = remainder[..., 0]
            for i, value in enumerate(earlier):
                here -= weights[..., i] * ops.cast(value, "int32")
            tables = (x[..., channel] for x in (weights, below, above))
            return Bounds(*self._ends(here, *tables), center[..., 0])

        return channel_bounds

    def _ends(self, remainder, weight, below, above):
        """The least and the most that values of this weight can be."""
        last = self._fixed_sum.num_values - 1
        if not self._fixed_sum.exact:
            return ops.zeros_like(remainder), ops.full_like(remainder, last)
        least, most = remainder + below, remainder + above
        if not self._unweighted:
            divisor = ops.maximum(weight, 1) if len(weight.shape) > 1 else weight
            least, most = least // divisor, most // divisor
        least, most = ops.maximum(least, 0), ops.minimum(most, last)
        if len(weight.shape) > 1:  # Pixels that incomplete blocks lack may be anything.
            least, most = ops.where(weight == 0, 0, least), ops.where(weight == 0, last, most)
        return least, most


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
        if size is None or is_divided(size, self.ratio):
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
        places = by_place(images, self.ratio)
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
        slacks = zip(*(by_place(x, self.ratio) for x in slack)) if slack else itertools.repeat(None)
        positions = zip(self._remainders(images, auxiliary), slacks)
        by_position = [
            position.bounds(remainder, here) for (position, remainder), here in positions
        ]

        def channel_bounds(channel, earlier):
            earlier = [by_place(x, self.ratio) for x in earlier]
            before = zip(*earlier) if earlier else [()] * len(by_position)
            known = [bounds(channel, values) for bounds, values in zip(by_position, before)]
            return Bounds(*(from_places(x, self.ratio, images.shape[1:3]) for x in zip(*known)))

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
        return from_places(by_position, self.ratio, images.shape[1:3])

    def _remainders(self, images, auxiliary):
        """Yields each `BlockPosition`, and the remainder of all blocks before their pixels there."""
        remainder = self.start(auxiliary)
        positions = self._positions(images.shape[1:3])
        for position, pixels in zip(positions, by_place(images, self.ratio)):
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
        return tuple(from_places(x, self.ratio, size) for x in (below, above))

    def _later(self, images, weights):
        """Of each value of images, the weighted sum of those after it in its block: by place, int32."""
        places = by_place(images, self.ratio)
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
            f"Received: {arguments.short_repr(weights)}, of shape {list(shape)}. Give such a list."
        )
    whole = array.dtype.kind in "iuf" and np.isfinite(array).all() and not (array % 1).any()
    if not whole or array.min() < 1 or array.astype(float).sum() > LARGEST_SUM // last:
        raise ValueError(
            "Expected weights that are whole numbers of 1 or more, together of at most "
            f"{LARGEST_SUM // last:,}. Received: {arguments.short_repr(array.tolist())}. Give smaller ones."
        )
    return array


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
        self._slack = [by_place(x, fixed_sum.ratio) for x in slack]
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
