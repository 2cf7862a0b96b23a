"""What is known of a value before it is seen, from the values before it and its auxiliary image."""

from collections.abc import Callable
from typing import NamedTuple

import keras
from keras import ops

from pixelcnn_aux.annotations import Tensor


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


class BlockPosition:
    """What a fixed sum says of the pixels at one position in the blocks. From `FixedSum.at`.

    Args:
      fixed_sum: `FixedSum`.
      weights, below, above, per_weight: its tables at this position.
    """

    def __init__(self, fixed_sum, weights, below, above, per_weight):
        self._fixed_sum = fixed_sum
        self._weights = weights  # int32 [1] or [C], like the slack
        self._slack = below, above
        self._per_weight = per_weight

    def contribution(self, pixels: Tensor) -> Tensor:
        """What pixels [..., C] add to the sum: [..., c], `summable`."""
        values = summable(pixels)
        if not self._fixed_sum.unweighted:
            values = self._weights * values
        if self._fixed_sum.num_channels is not None:
            values = ops.sum(values, axis=-1, keepdims=True)
        return values

    def center(self, remainder: Tensor) -> Tensor:
        """The middle of the window over the weights that are left, before this pixel: float32 [..., c]."""
        # Multiplied, since some graphs divide in other ways than others.
        middle = ops.cast(remainder, "float32") + (self._fixed_sum.step - 1) / 2
        return ops.clip(middle * self._per_weight, 0, self._fixed_sum.num_values - 1)

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
        below, above = slack or self._slack
        center = self.center(remainder)
        if fixed_sum.num_channels is None:
            # One weight, and a sum for each channel: all channels at once.
            ends = self._ends(remainder, self._weights, below, above)
            each = [ops.unstack(x, axis=-1) for x in (*ends, center)]
            return lambda channel, earlier: Bounds(*(x[channel] for x in each))

        def channel_bounds(channel, earlier):
            here = remainder[..., 0]
            for i, value in enumerate(earlier):
                here -= self._weights[i] * ops.cast(value, "int32")
            tables = (self._weights[channel], below[..., channel], above[..., channel])
            return Bounds(*self._ends(here, *tables), center[..., 0])

        return channel_bounds

    def _ends(self, remainder, weight, below, above):
        """The least and the most that values of this weight can be."""
        last = self._fixed_sum.num_values - 1
        if not self._fixed_sum.exact:
            return ops.zeros_like(remainder), ops.full_like(remainder, last)
        least, most = remainder + below, remainder + above
        if not self._fixed_sum.unweighted:
            least, most = least // weight, most // weight
        return ops.maximum(least, 0), ops.minimum(most, last)
