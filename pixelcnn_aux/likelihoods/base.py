"""What all likelihoods share: their interface."""

import math
from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from pixelcnn_aux import arguments, backend
from pixelcnn_aux.arguments import Tensor
from pixelcnn_aux.backend import lookup
from pixelcnn_aux.likelihoods import entropies
from pixelcnn_aux.serialization import Configured
from pixelcnn_aux.sums import Bounds

MODES = ("sample", "map")


class Likelihood(Configured):
    """The distribution of a pixel, all its channels together, given the parameters for it.

    A subclass defines `_log_prob`, `_noise` and `_draw`, in `keras.ops`, and the attributes. One that has
    bounds, intervals that its values are known to lie in, also defines `_bounded_log_prob`, finite outside
    them too, `_bounded_noise` and `_bounded_draw`. One of several channels, or that is centered, also defines
    `_value_log_probs` if its images are to be compressed or to have entropies, and one of more than 256
    values `_interval_log_probs`; and `_log_density` if it is to have densities between whole values.

    Attributes:
      num_channels: int, of the images it models.
      num_values: int, up to 65,536: pixel values are 0 .. num_values - 1.
      num_params: int, the channels that a network has to put out.
      noise_size: int, the numbers that a draw of a pixel consumes.
      bounded_noise_size: int, those of a draw within bounds; None where it has no bounds.
      centered: bool, whether its parameters say how a value differs from a center, which has to be given. One
        that is centered has bounds.
      unit: float, only of one that is centered: about how far values are from their centers.
      has_density: bool, whether `log_density` is defined.
    """

    num_channels: int
    num_values: int
    num_params: int
    noise_size: int
    bounded_noise_size: int | None = None
    centered: bool = False
    unit: float
    _log_density: Callable[..., Tensor] | None = None
    _noise: Callable[..., Tensor]
    _bounded_noise: Callable[..., Tensor]

    def check_declared(self) -> None:
        """Raises ValueError where the attributes are of other types, out of range, or do not fit."""
        per_pixel = arguments.MAX_PER_PIXEL
        for attribute, least, most in (
            ("num_channels", 1, 256),
            ("num_values", 2, arguments.MAX_VALUES),
            ("num_params", 1, per_pixel),
            ("noise_size", 1, 256 * per_pixel),
        ):
            value = getattr(self, attribute, None)
            arguments.whole(f"{type(self).__name__}.{attribute}", value, least, most)
        arguments.flag(f"{type(self).__name__}.centered", self.centered)
        if self.bounded_noise_size is not None:
            name = f"{type(self).__name__}.bounded_noise_size"
            arguments.whole(name, self.bounded_noise_size, 1, 256 * per_pixel)
        if self.centered:
            unit = getattr(self, "unit", None)
            arguments.positive(f"{type(self).__name__}.unit", unit, arguments.MAX_VALUES)
            if self.bounded_noise_size is None:
                raise ValueError(
                    f"Expected {type(self).__name__} to have bounds, since it is centered. Received: "
                    "bounded_noise_size=None. Define that, _bounded_log_prob, _bounded_noise and "
                    "_bounded_draw."
                )

    def log_prob(self, params: Tensor, images: Tensor, bounds: Bounds | None = None) -> Tensor:
        """Log-probability of each pixel, all its channels together.

        Args:
          params: float32 or float64 [..., num_params], the output of a network.
          images: [..., num_channels], whole pixel values from 0 to num_values - 1 in any integer or
            float dtype; leading shape as `params`'.
          bounds: `Bounds` of `images`' shape, or None where nothing is known. Each value lies in low .. high,
            whole numbers in any dtype: its distribution, given the pixel's earlier channels, is truncated to
            that interval. `center` is what a centered likelihood needs; others ignore it, and it may be None.

        Returns:
          [...] of `params`' dtype, in nats; -inf where a value lies outside its interval.

        Raises:
          ValueError: if a channel count is not this likelihood's, the leading shapes differ, a centered
            likelihood is given no center, or a subclass gives something else than a number for each pixel.
          NotImplementedError: for bounds of a likelihood that has none.
        """
        params, images = self._checked(params, images, bounds)
        if bounds is None:
            return self._by_pixel("_log_prob", params, images)
        values, bounds, agrees = self._within(params, images, bounds)
        nats = self._by_pixel("_bounded_log_prob", params, values, bounds)
        return ops.where(agrees, nats, -math.inf)

    def _checked(self, params, images, bounds):
        """Params and images as tensors that fit. Raises ValueError as `log_prob`."""
        params, images = ops.convert_to_tensor(params), ops.convert_to_tensor(images)
        check_shapes(params, self.num_params, images, self.num_channels, "images")
        self._check_centered(bounds and bounds.center, "bounds")
        return params, images

    def _within(self, params, images, bounds):
        """(images, bounds) of params' dtype, whose intervals are not empty, and which pixels agree: [...]."""
        self._check_bounded()
        values = ops.cast(images, params.dtype)
        low, high, center = bounds
        center = ops.zeros_like(values) if center is None else center
        bounds = Bounds(*(ops.cast(x, params.dtype) for x in (low, high, center)))
        for name, x in bounds._asdict().items():
            check_shapes(params, self.num_params, x, self.num_channels, name)
        low, high, center = bounds
        agrees = ops.all(ops.logical_and(low <= values, values <= high), axis=-1)
        return values, Bounds(*self._interval(low, high), center), agrees

    @property
    def has_density(self) -> bool:
        return self._log_density is not None

    def log_density(self, params: Tensor, images: Tensor, center: Tensor = None) -> Tensor:
        """As `log_prob`, also of values between whole numbers, by which it is differentiable.

        Args:
          params: float32 or float64 [..., num_params].
          images: [..., num_channels] of that dtype, from 0 to num_values - 1; also a little outside.
          center: [..., num_channels] of that dtype, what a centered likelihood needs; None for no center.

        Returns:
          [...] of `params`' dtype, in nats, finite. Of whole values it is `log_prob`.

        Raises:
          NotImplementedError: for a likelihood that does not define `_log_density`.
          ValueError: as `log_prob`.
        """
        if not self.has_density:
            raise NotImplementedError(
                f"Expected a likelihood that has densities between values. Received: {type(self).__name__}. "
                "Define _log_density."
            )
        self._check_centered(center, "center")
        check_shapes(params, self.num_params, images, self.num_channels, "images")
        return self._by_pixel("_log_density", params, images, center)

    def _by_pixel(self, method, params, *args):
        """What a method of a subclass gives, once it is known to be one number for each pixel."""
        remedy = "Sum over the channels, or squeeze the last dimension"
        return self._given(method, params.shape[:-1], remedy, params, *args)

    def _by_channel(self, method, params, *args):
        """What a method of a subclass gives, once it is known to be one number for each channel."""
        remedy = "Stack the channels along the last dimension, also a single one"
        return self._given(method, (*params.shape[:-1], self.num_channels), remedy, params, *args)

    def _given(self, method, shape, remedy, *args):
        given = getattr(self, method)(*args)
        if not agree(given.shape, shape):
            raise ValueError(
                f"Expected {type(self).__name__}.{method} to give shape {list(shape)}. "
                f"Received: {list(given.shape)}. {remedy}."
            )
        return given

    def _interval(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """(low, high) cut to the values that there are, and never empty, which would have no logarithm."""
        low = ops.clip(low, 0, self.num_values - 1)
        return low, ops.minimum(ops.maximum(high, low), self.num_values - 1)

    def _check_centered(self, given, name):
        if self.centered and given is None:
            raise ValueError(
                f"Expected `{name}` for a likelihood that is centered. Received: None. Give what the "
                "transform's `fixed_sum` says, or build the likelihood with centered=False."
            )

    def _check_bounded(self):
        if self.bounded_noise_size is None:
            raise NotImplementedError(
                f"Expected a likelihood that has bounds. Received: {type(self).__name__}. Define "
                "bounded_noise_size, _bounded_log_prob, _bounded_noise and _bounded_draw."
            )

    def bits_per_dim(self, images: Tensor, params: Tensor, bounds: Bounds | None = None) -> Tensor:
        """Negative log-likelihood in bits per dimension of `images`: a loss for `Model.compile`.

        Args:
          images: [B, H, W, num_channels], whole pixel values in any dtype (the loss's `y_true`).
          params: float32 or float64 [B, H, W, num_params] (its `y_pred`).
          bounds: as for `log_prob`.

        Returns:
          [B] of `params`' dtype, in bits per dimension that this likelihood models: the mean over H
          and W, divided by `num_channels`.

        Raises:
          ValueError, NotImplementedError: as `log_prob`.
        """
        nats = -self.log_prob(params, images, bounds)
        nats_per_pixel = ops.mean(nats, axis=tuple(range(1, len(nats.shape))))
        return nats_per_pixel / (self.num_channels * math.log(2.0))

    def noise(self, uniforms: Tensor, mode: str = "sample", bounded: bool = False) -> Tensor:
        """What `draw` consumes: apart from it, so that it is computed of many pixels at once.

        Args:
          uniforms: float [..., noise_size], in [0, 1); [..., bounded_noise_size] if `bounded`.
          mode: "sample", or "map" for draws that are the location of a component that is drawn (section
            4.2), where its density peaks. A categorical draws as usual under both.
          bounded: bool, whether for draws within bounds, which consume other noise.

        Returns:
          `uniforms`' shape and dtype.

        Raises:
          ValueError: if `mode` is unknown.
          NotImplementedError: if `bounded`, of a likelihood that has no bounds.
        """
        arguments.choice("mode", mode, MODES)
        uniforms = opened(uniforms)
        if not bounded:
            return self._noise(uniforms, mode)
        self._check_bounded()
        return self._bounded_noise(uniforms, mode)

    def draw(
        self,
        params: Tensor,
        noise: Tensor,
        log_scale_shift: Tensor = 0.0,
        bounds: Callable[[int, list[Tensor]], Bounds] | None = None,
    ) -> Tensor:
        """Draws one pixel per leading index, as a function of given noise.

        Args:
          params: float32 or float64 [..., num_params].
          noise: [..., noise_size] of `params`' dtype and leading shape, from `noise`. With bounds
            [..., bounded_noise_size], from `noise` with `bounded`.
          log_scale_shift: scalar or [B], the first of the leading dimensions, added to the
            log-scales of a mixture; below 0 draws vary less. A categorical ignores it.
          bounds: function of a channel's index and the list of the pixel's earlier channels, int32 [...]
            each, that returns the channel's `Bounds`: int32 with 0 <= low <= high < num_values, and float32
            [...]. Draws lie in low .. high, also those of mode "map". None for no bounds.

        Returns:
          int32 [..., num_channels], pixel values.

        Raises:
          ValueError: if a channel count is wrong, the leading shapes differ, a centered likelihood is given
            no bounds, or a subclass gives something else than a number for each channel.
          NotImplementedError: for `bounds` of a likelihood that has none.
        """
        params = ops.convert_to_tensor(params)
        noise = ops.convert_to_tensor(noise, params.dtype)
        log_scale_shift = ops.cast(log_scale_shift, params.dtype)
        self._check_centered(bounds, "bounds")
        if bounds is None:
            check_shapes(params, self.num_params, noise, self.noise_size, "noise")
            return self._by_channel("_draw", params, noise, log_scale_shift)
        self._check_bounded()
        check_shapes(params, self.num_params, noise, self.bounded_noise_size, "noise")
        return self._by_channel("_bounded_draw", params, noise, log_scale_shift, bounds)

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


def gumbel(uniforms):
    return -ops.log(-ops.log(uniforms))


def draw_index(logits, gumbels):
    """A draw from each categorical distribution: the largest of its logits, each with a Gumbel added."""
    return backend.argmax(logits + gumbels)


def select(x, index):
    """Of x [..., K] the element at index [...]: zeros for all others, and a sum, whatever those are."""
    chosen = index[..., None] == ops.arange(x.shape[-1])
    return ops.sum(ops.where(chosen, x, ops.zeros_like(x)), axis=-1)


def interpolate(x, index):
    """As `select`, of finite elements and a float index: linear between two of them, and beyond the last."""
    below = ops.clip(ops.floor(ops.stop_gradient(index)), 0, x.shape[-1] - 2)
    share, below = index - below, ops.cast(below, "int32")
    return (1 - share) * select(x, below) + share * select(x, below + 1)


def masked(logits, low, high):
    """Logits [..., K] with -inf for the values outside low .. high, [...] each."""
    values = ops.arange(logits.shape[-1], dtype=low.dtype)
    agrees = ops.logical_and(low[..., None] <= values, values <= high[..., None])
    return ops.where(agrees, logits, -math.inf)


def opened(uniforms):
    """Uniforms in [0, 1) -> in (0, 1): a 0 stands for all those below the dtype's resolution.

    Left at 0 it would be a black pixel out of the narrowest component.
    """
    dtype = keras.backend.standardize_dtype(uniforms.dtype)
    return ops.maximum(uniforms, np.finfo(dtype).eps / 2)


def check_shapes(params, num_params, other, num_channels, name):
    """Raises ValueError, which names it, for what is not of the likelihood's sizes, one for each pixel."""
    params, other = tuple(params.shape), tuple(other.shape)
    for label, shape, size in (("params", params, num_params), (name, other, num_channels)):
        if shape[-1:] != (size,):
            raise ValueError(
                f"Expected `{label}` of shape [..., {size}]. Received: {label}.shape={shape}. "
                "Give that number of channels."
            )
    if not agree(params[:-1], other[:-1]):
        raise ValueError(
            f"Expected `params` and `{name}` to have the same leading shape. "
            f"Received: params.shape={params}, {name}.shape={other}. "
            "Give one set of parameters for each pixel."
        )


def agree(shape, other):
    """Whether two shapes are of the same rank and agree, where they are known."""
    pairs = zip(shape, other)
    return len(shape) == len(other) and all(a == b for a, b in pairs if None not in (a, b))
