"""What is known of a value before it is seen, from the values before it and its auxiliary image."""

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import keras
import numpy as np
from keras import ops

from pixelcnn_aux import blocks
from pixelcnn_aux.annotations import Tensor

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
            for axis, length in enumerate(blocks.lattice(size, ratio), start=1):
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
