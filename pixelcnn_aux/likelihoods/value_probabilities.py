"""The probabilities of all values of a channel, and of intervals of them, for codecs; and entropies."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from pixelcnn_aux.annotations import Tensor
from pixelcnn_aux.backend import lookup
from pixelcnn_aux.bounds import Bounds
from pixelcnn_aux.likelihoods import entropies
from pixelcnn_aux.likelihoods.indices import masked


class ValueProbabilities:
    """A base of `Likelihood`, which has the attributes."""

    num_channels: int
    num_values: int
    num_params: int
    centered: bool
    log_prob: Callable[..., Tensor]
    _interval: Callable[..., Any]
    _checked: Callable[..., Any]
    _within: Callable[..., Any]
    _by_pixel: Callable[..., Tensor]

    def value_log_probs(
        self, params: Tensor, channel: int, earlier: Sequence[Tensor], bounds: Sequence[Bounds]
    ) -> Tensor:
        """Log-probabilities of all values of one channel, given those before it: what a codec needs.

        Args:
          params: float32 or float64 [..., num_params].
          channel: int.
          earlier: list of the pixel's earlier channels, int32 [...] each.
          bounds: list of `Bounds` [...], of the earlier channels and of this one, with
            0 <= low <= high < num_values.

        Returns:
          [..., num_values] of `params`' dtype, in nats; -inf outside of the interval. For the values of a
          pixel, those of all its channels add up to `log_prob`.

        Raises:
          NotImplementedError: for a likelihood that does not define `_value_log_probs`.
        """
        logits = self._value_log_probs(params, channel, earlier, bounds)
        low, high, _ = bounds[channel]
        return ops.log_softmax(masked(logits, low, high), axis=-1)

    def interval_log_probs(
        self,
        params: Tensor,
        channel: int,
        earlier: Sequence[Tensor],
        bounds: Sequence[Bounds],
        lows: Tensor,
        highs: Tensor,
    ) -> Tensor:
        """As `value_log_probs`, of intervals of values that do not overlap, given that it is in one of them.

        Args:
          params, channel, earlier, bounds: as for `value_log_probs`.
          lows, highs: int32 [..., V], the ends of the intervals.

        Returns:
          [..., V] of `params`' dtype, in nats; -inf where nothing of an interval is in the channel's bounds.

        Raises:
          NotImplementedError: for a likelihood that does not define `_interval_log_probs`.
        """
        low, high, _ = bounds[channel]
        lows, highs = ops.maximum(lows, low[..., None]), ops.minimum(highs, high[..., None])
        ends = self._interval(lows, highs)  # also of those that are ruled out
        logits = self._interval_log_probs(params, channel, earlier, bounds, *ends)
        return ops.log_softmax(ops.where(lows <= highs, logits, -math.inf), axis=-1)

    def _interval_log_probs(self, params, channel, earlier, bounds, lows, highs):
        """As `interval_log_probs`, of intervals that are not empty, up to a constant."""
        raise NotImplementedError(
            "Expected a likelihood that tells the probabilities of intervals of a channel's values. "
            f"Received: {type(self).__name__}. Define _interval_log_probs."
        )

    def _value_log_probs(self, params, channel, earlier, bounds):
        """As `value_log_probs`, without an interval, up to a constant."""
        if self.num_channels > 1 or self.centered:
            raise NotImplementedError(
                "Expected a likelihood that tells the probabilities of a channel's values. Received: "
                f"{type(self).__name__}. Define _value_log_probs."
            )
        every = ops.arange(self.num_values)[:, None]  # [V, 1]
        params = ops.repeat(params[..., None, :], self.num_values, axis=-2)
        return self.log_prob(params, ops.broadcast_to(every, (*ops.shape(params)[:-1], 1)))

    def entropy(self, params: Tensor, images: Tensor, bounds: Bounds | None = None) -> Tensor:
        """What each pixel was expected to cost: the entropies of its channels, added up.

        That of a channel is the entropy of its distribution given the pixel's earlier channels, as they are
        in `images`, and its interval: the mean of the channel's part of -`log_prob` over that distribution.

        Args:
          params: float32 or float64 [..., num_params].
          images, bounds: as for `log_prob`.

        Returns:
          [...] of `params`' dtype, in nats, to 4e-4 for each channel. Where earlier values contradict the
          bounds it means nothing.

        Raises:
          NotImplementedError: as `value_log_probs`, and as `log_prob`.
          ValueError: as `log_prob`.
        """
        params, images = self._checked(params, images, bounds)
        if bounds is None:
            values = ops.cast(images, params.dtype)
            none = ops.zeros_like(values)
            bounds = Bounds(none, none + (self.num_values - 1), none)
        else:
            values, bounds, _ = self._within(params, images, bounds)
        return self._by_pixel("_entropy", params, values, bounds)

    def _entropy(self, params, images, bounds):
        """`entropy` by `_value_log_probs`, of floats and `Bounds` of floats."""
        leading = ops.shape(params)[:-1]
        params = ops.reshape(params, (-1, self.num_params))
        whole = (ops.cast(x, "int32") for x in (images, bounds.low, bounds.high))
        *whole, center = (ops.reshape(x, (-1, self.num_channels)) for x in (*whole, bounds.center))

        def of(index):
            values, low, high, middle = (
                ops.unstack(lookup(x, index), num=self.num_channels, axis=-1)
                for x in (*whole, center)
            )
            known, here = [Bounds(*x) for x in zip(low, high, middle)], lookup(params, index)
            return sum(
                entropies.of_log_probs(
                    self.value_log_probs(here, channel, values[:channel], known[: channel + 1])
                )
                for channel in range(self.num_channels)
            )

        at_once = max(1, entropies.AT_ONCE * 256 // self.num_values)
        found = entropies.in_chunks(of, ops.shape(params)[0], at_once)
        return ops.reshape(found, leading)
