"""Weighted sums of pixel blocks that an auxiliary image fixes, and the resulting bounds of each value.

An image is divided into blocks of side x side pixels. If the side does not divide its height or width, the
last blocks are incomplete, and completed by repeating the last row or column.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np

from pixelcnn_aux.base import arguments, arrays, rounding
from pixelcnn_aux.base.arguments import ArrayLike, Config, Size, Tensor
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.serialization import Configured, register

LARGEST_SUM = 2**29 - 1  # so that no sum overflows int32


class Bounds(NamedTuple):
    """The interval of a value before it is seen, and its expected position in it."""

    low: Tensor  # integers
    high: Tensor  # integers
    center: Tensor  # float, for `centered` likelihoods


# A function of a channel and the list of a pixel's earlier channels.
_ChannelBounds: TypeAlias = Callable[[int, list[Tensor]], Bounds]


def bounds_of(channel_bounds: _ChannelBounds, pixels: Tensor) -> Bounds:
    """The bounds of all values of pixels [..., C], given each pixel's earlier channels."""
    channels = arrays.unstack(pixels, axis=-1)
    by_channel = [channel_bounds(i, channels[:i]) for i in range(len(channels))]
    return Bounds(*(arrays.stack(x, axis=-1) for x in zip(*by_channel)))


def num_blocks(size: Sequence[Any], side: int) -> tuple[Any, ...]:
    """(h, w), the rows and columns of blocks in images of (H, W); None for an unknown side."""
    return tuple(length and -(-length // side) for length in size)


def is_divided(size: Sequence[Any], side: int) -> bool:
    """Whether all blocks of images of (H, W) are complete; those of unknown sizes count as complete."""
    return not any(length and length % side for length in size)


def _complete_blocks(images, side):
    """Images [B, H, W, ...] with completed blocks: [B, h * side, w * side, ...]."""
    for axis, length in enumerate(images.shape[1:3], start=1):
        if not is_divided([length], side):
            [count] = num_blocks([length], side)
            indices = np.minimum(np.arange(count * side), length - 1)
            images = arrays.take(images, indices, axis=axis)
    return images


def pixels_at(images: Tensor, place: int, side: int) -> Tensor:
    """Pixels at one place of all blocks, in raster order: [B, H, W, ...] -> [B, h, w, ...]."""
    row, column = divmod(place, side)
    return _complete_blocks(images, side)[:, row::side, column::side]


def by_place(images: Tensor, side: int) -> list[Tensor]:
    """`pixels_at` of each of the side ** 2 places, in raster order."""
    images = _complete_blocks(images, side)  # once for all places
    return [pixels_at(images, place, side) for place in range(side**2)]


def from_places(places: Sequence[Tensor], side: int, size: Sequence[Any]) -> Tensor:
    """The inverse of `by_place`, for images of (H, W): tensors [B, h, w, ...] -> [B, H, W, ...]."""
    batch, rows, columns, *channels = arrays.shape(places[0])
    if arrays.is_plain(*places):
        shape = (batch, rows * side, columns * side, *channels)
        images = np.empty(shape, np.result_type(*places))
        for (row, column), x in zip(np.ndindex(side, side), places):
            images[:, row::side, column::side] = x
        return images[:, : size[0], : size[1]]
    row = (-1, rows, columns * side, *channels)
    by_row = [
        arrays.reshape(arrays.stack(places[first : first + side], axis=3), row)
        for first in range(0, side**2, side)
    ]
    shape = (-1, rows * side, columns * side, *channels)
    images = arrays.reshape(arrays.stack(by_row, axis=2), shape)
    return images if is_divided(size, side) else images[:, : size[0], : size[1]]


def existing_by_place(size: Sequence[Any], side: int) -> list[np.ndarray] | None:
    """By place, 1 where images of (H, W) have a pixel, else 0: float32 [h, w, 1]; None if all exist."""
    if is_divided(size, side):
        return None
    rows, columns = (np.arange(count) * side for count in num_blocks(size, side))
    places = np.ndindex(side, side)
    exist = (np.outer(rows + y < size[0], columns + x < size[1]) for y, x in places)
    return [x[..., np.newaxis].astype(np.float32) for x in exist]


def reduce_blocks(reduce: Callable[..., Tensor], images: Tensor, side: int) -> Tensor:
    """[B, H, W, C] -> [B, h, w, C]: each block reduced by a function of `axis`, such as `arrays.sum`."""
    images = _complete_blocks(images, side)
    _, height, width, channels = images.shape
    shape = (-1, height // side, side, width // side, side, channels)
    return reduce(arrays.reshape(images, shape), axis=(2, 4))


@register()
class FixedSum(Configured):
    """A weighted sum of the values in each image block, known up to a window from an auxiliary value.

    An auxiliary value q is a function of the sum, and stands for a window of sums:

    ```none
    step * q + first <= sum of weight * value <= step * (q + 1) + first - 1,   q = (sum - first) // step
    ```

    The values of a block are decided in raster order, each pixel's channels in turn. Each value's
    contribution, weight * value, is subtracted from the window: later values must add up to `remainder` ..
    `remainder` + step - 1. This bounds the next value, since later ones add between 0 and a known sum. Its
    center is the middle of the window, divided by the sum of the remaining weights.

    ```python
    halves = FixedSum(np.ones([2, 2]), step=4, first=-2)          # q = (a + b + c + d + 2) // 4
    remainder = halves.start([[100]])                             # 398: the sum is 398 .. 401
    remainder -= halves.at(0, 0).contribution([[90]])             # 308: the other three add up to 308 .. 311
    low, high, center = halves.at(0, 1).bounds(remainder)(0, [])  # 0, 255, 103.17
    ```

    Args:
      weights: positive integers: [ratio, ratio] of a block's pixels, for a sum within each of any number of
        channels; or [ratio, ratio, C] of its values, for one sum over all channels.
      step: int, the number of sums in an auxiliary value's window.
      first: int, the smallest sum in the window of the auxiliary value 0.
      num_values: int, at most 65,536: the values are 0 .. num_values - 1.
      exact: bool, whether values that contradict the sum are ruled out; if not, it only gives centers.
      spread: float, the typical difference of values from their centers: the unit of a centered likelihood.
      center_units: int, a power of two: centers are rounded to multiples of 1 / center_units, in integer
        arithmetic. None for no rounding.

    Attributes:
      ratio: int, the height and width of a block.
      num_channels: int, C for a sum over all channels; None for a sum within each.
      dense: bool, whether the window is as wide as the largest weight. Then, for known intervals of the
        values, every window between the least and the largest possible sum can be reached.
      unweighted: bool, whether all weights are 1.

    Raises:
      ValueError: for invalid arguments, sums of 2 ** 29 or more, or a step so small that earlier values could
        leave a window that no later value reaches.
    """

    optional = ("center_units",)

    def __init__(
        self,
        weights: ArrayLike,
        step: int,
        first: int = 0,
        *,
        num_values: int = 256,
        exact: bool = True,
        spread: float = 16.0,
        center_units: int | None = None,
    ):
        num_values = arguments.whole("num_values", num_values, 2, arguments.MAX_VALUES)
        self.num_values = num_values
        self.weights = weights = _checked(weights, max(num_values, 256) - 1)
        self.step = step = arguments.whole("step", step, 1, LARGEST_SUM // 256)
        self.first = arguments.whole("first", first, -LARGEST_SUM, LARGEST_SUM)
        self.exact = arguments.flag("exact", exact)
        self.center_units = center_units and arguments.whole("center_units", center_units, 1, 256)
        self.spread = arguments.positive("spread", spread, max(num_values, 256))
        self.ratio = weights.shape[0]
        self.num_channels = weights.shape[2] if weights.ndim == 3 else None
        self._by_channel = weights.reshape(self.ratio, self.ratio, -1)
        self._tables = _Tables.of_block(self._by_channel, step, num_values)
        self.dense = bool(step >= weights.max())
        self.unweighted = bool((weights == 1).all())
        self.largest = int(weights.sum()) * (num_values - 1)
        later = self._tables.weights - 1 - self._tables.below  # the largest sum of later values
        least = int((self._tables.weights - later).max())
        expected = f"a step so large that a value agrees with any values before it: {least} or more"
        remedy = "Give an auxiliary value a wider window of sums"
        expect(step >= least, expected, f"step={step}", remedy)

    def get_config(self) -> Config:
        return {**super().get_config(), "weights": self.weights.tolist()}

    def with_exact(self, exact: bool) -> Self:
        """The same sum with another `exact`."""
        return type(self)(**{**self.get_config(), "exact": exact})

    def rounded(self) -> Self:
        """The same sum with centers in multiples of 1 / `rounding.CENTERS`, as rounded factors have them."""
        return type(self)(**{**self.get_config(), "center_units": rounding.CENTERS})

    def start(self, auxiliary: Tensor) -> Tensor:
        """The remainder before a block's first pixel: [..., c] auxiliary values -> [..., c]."""
        return self.step * _summable(auxiliary) + self.first

    def at(self, row: Tensor, column: Tensor) -> "BlockPosition":
        """`BlockPosition` of a pixel in a complete block; row and column are ints or int tensors."""
        index = 0 if self.ratio == 1 else row % self.ratio * self.ratio + column % self.ratio
        return BlockPosition(self, self._tables.at(index), True)

    def positions(self, size: Size) -> list["BlockPosition"]:
        """`BlockPosition` of each place, in raster order, of all blocks of images of (H, W)."""
        tables, is_complete = self._tables_of(size), is_divided(size, self.ratio)
        return [BlockPosition(self, tables.at(i), is_complete) for i in range(self.ratio**2)]

    def _tables_of(self, size):
        """`_Tables` of images of (H, W): for each block, if the last ones are incomplete."""
        if is_divided(size, self.ratio):
            return self._tables
        return _Tables.of_incomplete(self._by_channel, self.step, self.num_values, size)

    def by_pixel(self, size: Size) -> Callable[[Tensor, Tensor], "BlockPosition"]:
        """`at` for images of (H, W), whose last blocks may be incomplete."""
        ratio, (height, width) = self.ratio, num_blocks(size, self.ratio)
        if is_divided(size, ratio):
            return self.at
        tables = _Tables(*(np.reshape(x, (-1, x.shape[-1])) for x in self._tables_of(size)))

        def at(row, column):
            place = row % ratio * ratio + column % ratio
            index = (place * height + row // ratio) * width + column // ratio
            return BlockPosition(self, tables.at(index), False)

        return at

    def sums(self, images: Tensor) -> Tensor:
        """The weighted sum of each block of images [B, H, W, C]: [B, h, w, c], int32, or float for floats."""
        positions = self.positions(images.shape[1:3])
        places = by_place(images, self.ratio)
        return sum(position.contribution(x) for position, x in zip(positions, places))

    def auxiliary(self, images: Tensor) -> Tensor:
        """The auxiliary values of the sums of images [B, H, W, C]: int32 [B, h, w, c]."""
        return (self.sums(arrays.cast(images, "int32")) - self.first) // self.step

    def bounds(self, images: Tensor, auxiliary: Tensor) -> Bounds:
        """The bounds of all values of integer images, from auxiliary images: int32, int32, float32."""
        return bounds_of(self.channel_bounds(images, auxiliary), images)

    def channel_bounds(
        self, images: Tensor, auxiliary: Tensor, slack: tuple[Tensor, Tensor] | None = None
    ) -> _ChannelBounds:
        """`BlockPosition.bounds` of all pixels at once; `slack` is from `slack`, None if unknown."""
        images, auxiliary = (arrays.cast(x, "int32") for x in (images, auxiliary))
        slacks = zip(*(by_place(x, self.ratio) for x in slack)) if slack else itertools.repeat(None)
        positions = zip(self._remainders(images, auxiliary), slacks)
        by_position = [x.bounds(remainder, here) for (x, remainder), here in positions]

        def channel_bounds(channel, earlier):
            earlier = [by_place(x, self.ratio) for x in earlier]
            before = zip(*earlier) if earlier else [()] * len(by_position)
            parts = [bounds(channel, values) for bounds, values in zip(by_position, before)]
            return Bounds(*(from_places(x, self.ratio, images.shape[1:3]) for x in zip(*parts)))

        return channel_bounds

    def centers(self, images: Tensor, auxiliary: Tensor) -> Tensor:
        """The centers of `bounds`, also of float images: float32 [B, H, W, C], or C = 1 for all channels."""
        pairs = self._remainders(images, auxiliary)
        by_position = [position.center(remainder) for position, remainder in pairs]
        return from_places(by_position, self.ratio, images.shape[1:3])

    def _remainders(self, images, auxiliary):
        """Yields each `BlockPosition`, and the remainders of all blocks before that pixel."""
        remainder = self.start(auxiliary)
        positions = self.positions(images.shape[1:3])
        for position, pixels in zip(positions, by_place(images, self.ratio)):
            yield position, remainder
            remainder = remainder - position.contribution(pixels)

    def slack(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """The (below, above) of `BlockPosition.bounds`, int32 [B, H, W, C], for known intervals of values."""
        size = low.shape[1:3]
        weights = [position.weights for position in self.positions(size)]
        below = [w - 1 - most for w, most in zip(weights, self._later(high, weights))]
        above = [self.step - 1 - least for least in self._later(low, weights)]
        return tuple(from_places(x, self.ratio, size) for x in (below, above))

    def _later(self, images, weights):
        """The weighted sum of the values after each value in its block: by place, int32."""
        places = by_place(images, self.ratio)
        weighted = [w * arrays.cast(x, "int32") for w, x in zip(weights, places)]
        later, total = [], 0
        for values in reversed(weighted):
            inclusive = pixel = values  # sums up to each channel, and of all channels
            if self.num_channels is not None:
                inclusive = arrays.cumsum(values, axis=-1)
                pixel = inclusive[..., -1:]
            later.append(total + pixel - inclusive)
            total = total + pixel
        return later[::-1]


def _checked(weights: ArrayLike, last: int) -> np.ndarray:
    """The checked weights of a `FixedSum` of values up to `last`, as an array."""
    try:
        array = np.asarray(weights)
    except (ValueError, OverflowError):  # lists of different lengths
        array = np.empty([])
    shape, expected = array.shape, "weights of shape [ratio, ratio] or [ratio, ratio, C]"
    received = f"{arguments.short_repr(weights)}, of shape {list(shape)}"
    fits = len(shape) in (2, 3) and shape[0] == shape[1] and array.size
    expect(fits, expected, received, "Give such a list")
    whole = array.dtype.kind in "iuf" and np.isfinite(array).all() and not (array % 1).any()
    most = LARGEST_SUM // last
    fits = whole and array.min() >= 1 and array.astype(float).sum() <= most
    expected = f"weights that are whole numbers of 1 or more, together of at most {most:,}"
    expect(fits, expected, arguments.short_repr(array.tolist()), "Give smaller ones")
    return array


def _summable(x):
    """Integers as int32, in which sums are exact; floats unchanged."""
    [x] = arrays.alike(x)
    is_float = np.dtype(arrays.numpy_dtype(x.dtype)).kind == "f"
    return x if is_float else arrays.cast(x, "int32")


class _Tables(NamedTuple):
    """Constants by place in a block: [ratio ** 2, ..., c]; the last two [ratio ** 2, ..., 1]."""

    weights: Any
    # Added to a remainder before division by the weight, for the least and the largest value.
    below: Any
    above: Any
    undecided: Any  # the sum of the weights of a pixel and those after it
    per_weight: Any  # its reciprocal, float32

    @classmethod
    def of_block(cls, weights, step, num_values):
        """The tables for weights [ratio, ratio, c], which are 0 at missing places."""
        ratio = len(weights)
        weights = weights.reshape(ratio**2, -1).astype(np.int32)  # in the order of decisions
        until = np.cumsum(weights).reshape(weights.shape)
        later = (until[-1, -1] - until) * (num_values - 1)  # the largest sum of later values
        below, above = (weights - 1 - later).astype(np.int32), np.full_like(weights, step - 1)
        undecided = np.cumsum(weights.sum(axis=1)[::-1])[::-1, np.newaxis]
        undecided = np.maximum(undecided, 1).astype(np.int32)
        return cls(weights, below, above, undecided, (1.0 / undecided).astype(np.float32))

    def at(self, index):
        """The constants at one place, an int or scalar tensor, without the first dimension."""
        return type(self)(*(arrays.take(x, index, axis=0) for x in self))

    @classmethod
    def of_incomplete(cls, weights, step, num_values, size):
        """The tables of each block of images of (H, W) with incomplete blocks: [ratio ** 2, h, w, c]."""
        ratio = len(weights)
        heights, widths = ((ratio, length % ratio or ratio) for length in size)
        by_shape = [
            [cls.of_block(_folded(weights, height, width), step, num_values) for width in widths]
            for height in heights
        ]
        by_row = (cls(*(np.stack(x, axis=1) for x in zip(*row))) for row in by_shape)
        small = [np.stack(x, axis=1) for x in zip(*by_row)]  # [ratio ** 2, 2, 2, c]
        tables = []
        for table in small:
            for axis, length in enumerate(num_blocks(size, ratio), start=1):
                is_last = np.equal(np.arange(length), length - 1)
                table = arrays.take(table, is_last.astype(np.int32), axis=axis)
            tables.append(table)
        return cls(*tables)


def _folded(weights, height, width):
    """Weights [ratio, ratio, c] of a block of height x width pixels whose last row and column repeat."""
    weights = np.array(weights)
    for length in (height, width):
        weights[length - 1] += weights[length:].sum(axis=0)
        weights[length:] = 0
        weights = weights.swapaxes(0, 1)
    return weights


class BlockPosition:
    """Bounds of the pixels at one position in the blocks: from `FixedSum.at` or `FixedSum.positions`."""

    def __init__(self, fixed_sum: FixedSum, tables: _Tables, is_complete: bool):
        self._fixed_sum, self._tables, self._is_complete = fixed_sum, tables, is_complete
        self.weights = tables.weights  # int32 [c]; [h, w, c] of all blocks, if not all are complete
        self._unweighted = fixed_sum.unweighted and is_complete

    def sliced(self, *where: slice) -> Self:
        """The same position in the rows and columns `where` of blocks, or in all blocks."""
        if not where or self._is_complete:
            return self
        return type(self)(self._fixed_sum, _Tables(*(x[where] for x in self._tables)), False)

    def contribution(self, pixels: Tensor) -> Tensor:
        """The contribution of pixels [..., C] to the sum: [..., c], int32, or float for floats."""
        values = _summable(pixels)
        if not self._unweighted:
            values = arrays.multiply(self.weights, values)
        if self._fixed_sum.num_channels is not None:
            values = arrays.sum(values, axis=-1, keepdims=True)
        return values

    def center(self, remainder: Tensor) -> Tensor:
        """The middle of the window over the remaining weights, before this pixel: float32 [..., c]."""
        if units := self._fixed_sum.center_units:
            weights = self._tables.undecided
            twice = units * (2 * arrays.cast(remainder, "int32") + self._fixed_sum.step - 1)
            center = arrays.cast((twice + weights) // (2 * weights), "float32") / units
            return arrays.clip(center, 0, self._fixed_sum.num_values - 1)
        # Multiplication, since division differs between graphs.
        middle = arrays.cast(remainder, "float32") + (self._fixed_sum.step - 1) / 2
        return arrays.clip(middle * self._tables.per_weight, 0, self._fixed_sum.num_values - 1)

    def bounds(self, remainder: Tensor, slack: Sequence[Tensor] | None = None) -> _ChannelBounds:
        """A function of a channel and the pixel's earlier channels that returns the channel's `Bounds`.

        The remainder, int32 [..., c], is `FixedSum.start` minus the contributions of earlier pixels of the
        block. `slack` is that of `FixedSum.slack` at this pixel; None for unknown later values. If earlier
        values contradict the sum, low > high.
        """
        weights, center = self.weights, self.center(remainder)
        below, above = slack or self._tables[1:3]
        if self._fixed_sum.num_channels is None:
            # All channels at once: they have one weight, and a sum each.
            ends = self._ends(remainder, weights, below, above)
            each = [arrays.unstack(x, axis=-1) for x in (*ends, center)]
            return lambda channel, earlier: Bounds(*(x[channel] for x in each))

        def channel_bounds(channel, earlier):
            here = remainder[..., 0]
            for i, value in enumerate(earlier):
                here = here - weights[..., i] * arrays.cast(value, "int32")
            tables = (x[..., channel] for x in (weights, below, above))
            return Bounds(*self._ends(here, *tables), center[..., 0])

        return channel_bounds

    def _ends(self, remainder, weight, below, above):
        """The least and the largest possible value."""
        last = self._fixed_sum.num_values - 1
        if not self._fixed_sum.exact:
            return arrays.zeros_like(remainder), arrays.full_like(remainder, last)
        least, most = remainder + below, remainder + above
        if not self._unweighted:
            divisor = weight if self._is_complete else arrays.maximum(weight, 1)
            least, most = least // divisor, most // divisor
        least, most = arrays.maximum(least, 0), arrays.minimum(most, last)
        if not self._is_complete:  # missing pixels have no bounds
            least, most = arrays.where(weight == 0, 0, least), arrays.where(weight == 0, last, most)
        return least, most


class Remainders:
    """The remainders of the sums of all blocks, fixed by `auxiliary`, while pixels are decided.

    Pixels decided together are at one place of all blocks, or in different blocks. Decisions change
    `remainder`, int32 [B, h, w, c], alone. `within` has known intervals of the values of images of (H, W),
    (low, high), each [B, H, W, C]; None if unknown.
    """

    def __init__(
        self,
        fixed_sum: FixedSum,
        auxiliary: Tensor,
        size: Size,
        within: tuple[Tensor, Tensor] | None = None,
    ):
        self._ratio, self.remainder = fixed_sum.ratio, fixed_sum.start(auxiliary)
        slack = () if within is None else fixed_sum.slack(*within)
        self._slack = [_complete_blocks(x, fixed_sum.ratio) for x in slack]
        self._positions, self._by_pixel = fixed_sum.positions(size), fixed_sum.by_pixel(size)

    def at_place(self, place: int, *where: slice) -> "PartRemainders":
        """Remainders before the pixels at a place of all blocks, or of the rows and columns `where`."""
        slack = [pixels_at(x, place, self._ratio)[:, *where] for x in self._slack]
        return PartRemainders(self, self._positions[place].sliced(*where), where, slack)

    def at_pixels(self, rows: Tensor, columns: Tensor) -> "PartRemainders":
        """Remainders before the pixels at rows and columns, int [n], in different blocks."""
        where = rows // self._ratio, columns // self._ratio
        slack = [arrays.pixels(x, rows, columns) for x in self._slack]
        return PartRemainders(self, self._by_pixel(rows, columns), where, slack)


class PartRemainders(NamedTuple):
    """The remainders before pixels that are decided together."""

    of: Remainders
    position: BlockPosition
    where: Sequence[Any]  # the index of their blocks: slices, or int [n] each; empty for all
    slack: Sequence[Tensor]

    def remainder(self) -> Tensor:
        """int32 [B, ..., c]."""
        if self.where and not isinstance(self.where[0], slice):
            return arrays.pixels(self.of.remainder, *self.where)
        return self.of.remainder[:, *self.where]

    def bounds(self, within: bool = True) -> _ChannelBounds:
        """`BlockPosition.bounds`; without `within`, known intervals of later values are ignored."""
        return self.position.bounds(self.remainder(), self.slack if within else ())

    def center(self) -> Tensor:
        """`BlockPosition.center`."""
        return self.position.center(self.remainder())

    def decided(self, pixels: Tensor) -> None:
        """Subtracts the contributions of the decided pixels, [B, ..., C]."""
        left = self.remainder() - self.position.contribution(pixels)
        if self.where:
            rows, columns = self.where
            left = arrays.with_pixels(self.of.remainder, rows, columns, left)
        self.of.remainder = left
