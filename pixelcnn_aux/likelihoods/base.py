"""The interface of likelihoods, and shared operations on categorical distributions."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pixelcnn_aux.base import arguments, arrays
from pixelcnn_aux.base.arguments import Tensor
from pixelcnn_aux.base.arrays import lookup
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.serialization import Configured
from pixelcnn_aux.likelihoods import entropies
from pixelcnn_aux.sums import Bounds


class Likelihood(Configured):
    """The joint distribution of a pixel's channels, given its parameters.

    A subclass defines `_log_prob`, `_noise` and `_draw`, and the attributes. If it supports bounds, which
    restrict values to intervals, it also defines `_bounded_log_prob`, finite outside of them too,
    `_bounded_noise` and `_bounded_draw`. With several channels or centers, entropies need
    `_value_log_probs`. Densities between whole values need `_log_density`.

    Implementations use the functions of `pixelcnn_aux.base.arrays`, which take NumPy arrays or tensors, or
    `keras.ops`, and then always need Keras. Given only NumPy arrays, methods return NumPy arrays, even if
    those of a subclass return tensors.

    Attributes:
      num_channels: int, channels of the images.
      num_values: int, up to 65,536: pixel values are 0 .. num_values - 1.
      num_params: int, the channels of the network's output.
      noise_size: int, random numbers that a draw of a pixel consumes.
      bounded_noise_size: int, the same for a draw within bounds; None if bounds are not supported.
      centered: bool, whether parameters describe differences from centers, which are arguments then. A
        centered likelihood supports bounds.
      unit: float, only if centered: the typical distance of values from their centers.
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
    _log_prob: Callable[..., Tensor]
    _bounded_log_prob: Callable[..., Tensor]
    _draw: Callable[..., Tensor]
    _bounded_draw: Callable[..., Tensor]
    _noise: Callable[..., Tensor]
    _bounded_noise: Callable[..., Tensor]

    def check_declared(self) -> None:
        """Raises ValueError for attributes of wrong types, out of range, or inconsistent with each other."""
        name, most_noise = type(self).__name__, 256 * arguments.MAX_PER_PIXEL
        ranges = {"num_channels": (1, 256), "num_values": (2, arguments.MAX_VALUES)}
        ranges |= {"num_params": (1, arguments.MAX_PER_PIXEL), "noise_size": (1, most_noise)}
        if self.bounded_noise_size is not None:
            ranges["bounded_noise_size"] = (1, most_noise)
        for attribute, ends in ranges.items():
            arguments.whole(f"{name}.{attribute}", getattr(self, attribute, None), *ends)
        arguments.flag(f"{name}.centered", self.centered)
        if self.centered:
            arguments.positive(f"{name}.unit", getattr(self, "unit", None), arguments.MAX_VALUES)
            expected = f"{name} to have bounds, since it is centered"
            fits, received = self.bounded_noise_size is not None, "bounded_noise_size=None"
            remedy = "Define that, _bounded_log_prob, _bounded_noise and _bounded_draw"
            expect(fits, expected, received, remedy)

    def log_prob(self, params: Tensor, images: Tensor, bounds: Bounds | None = None) -> Tensor:
        """Joint log-probability of the channels of each pixel.

        Args:
          params: float32 or float64 [..., num_params], the output of a network.
          images: [..., num_channels], whole pixel values from 0 to num_values - 1 in any integer or
            float dtype; the leading shape is that of `params`.
          bounds: `Bounds` of the shape of `images`, or None. The distribution of each value, given the
            pixel's earlier channels, is truncated to low .. high, whole numbers in any dtype. A centered
            likelihood needs `center`; others ignore it, and it may be None.

        Returns [...] of the dtype of `params`, in nats; -inf where a value lies outside its interval.

        Raises:
          ValueError: for wrong numbers of channels, leading shapes that differ, a centered likelihood
            without centers, or a method of a subclass that does not return a number for each pixel.
          NotImplementedError: for bounds that the likelihood does not support.
        """
        params, images = self._checked(params, images, bounds)
        if bounds is None:
            return self._result(params, self._log_prob(params, images))
        values, bounds, agrees = self._within(params, images, bounds)
        nats = self._result(params, self._bounded_log_prob(params, values, bounds))
        return arrays.where(agrees, nats, -math.inf)

    def bits_per_dim(self, images: Tensor, params: Tensor, bounds: Bounds | None = None) -> Tensor:
        """Negative log-likelihood in bits per dimension of `images`: a loss for `Model.compile`.

        Args:
          images: [B, H, W, num_channels], whole pixel values in any dtype (the loss's `y_true`).
          params: float32 or float64 [B, H, W, num_params] (its `y_pred`).
          bounds: as in `log_prob`.

        Returns [B] of the dtype of `params`, the mean over H, W and channels. Raises as `log_prob`.
        """
        nats = -self.log_prob(params, images, bounds)
        nats_per_pixel = arrays.mean(nats, axis=tuple(range(1, len(nats.shape))))
        return nats_per_pixel / (self.num_channels * math.log(2.0))

    @property
    def has_density(self) -> bool:
        return self._log_density is not None

    def log_density(self, params: Tensor, images: Tensor, center: Tensor = None) -> Tensor:
        """`log_prob`, interpolated between whole pixel values, and differentiable in the images.

        Args:
          params: float32 or float64 [..., num_params].
          images: [..., num_channels] of the same dtype, from 0 to num_values - 1 or slightly outside.
          center: [..., num_channels] of the same dtype, for a centered likelihood; else None.

        Returns [...] of the dtype of `params`, in nats, finite. For whole values it equals `log_prob`.

        Raises ValueError as `log_prob`, and NotImplementedError for a likelihood without `_log_density`.
        """
        expected = "a likelihood that has densities between values"
        self._check_defined(self.has_density, expected, "_log_density")
        self._check_centered(center, "center")
        params, images = arrays.alike(params, images)
        _check_shapes(params, self.num_params, images, self.num_channels, "images")
        log_density: Any = self._log_density
        return self._result(params, log_density(params, images, center))

    def noise(self, uniforms: Tensor, mode: str = "sample", bounded: bool = False) -> Tensor:
        """Transforms uniform numbers to the noise that `draw` consumes, for many pixels at once.

        Args:
          uniforms: float [..., noise_size], in [0, 1); [..., bounded_noise_size] if `bounded`.
          mode: "sample", or "map" to draw the location of a random component, the peak of its density
            (section 4.2). A categorical draws a sample in both modes.
          bounded: bool, whether the noise is for draws within bounds.

        Returns float of the shape and dtype of `uniforms`. Raises ValueError for an unknown `mode`, and
        NotImplementedError if `bounded`, for a likelihood that does not support bounds.
        """
        arguments.choice("mode", mode, arguments.MODES)
        # A 0 stands for all numbers below the dtype's resolution. Unchanged, it would draw a black pixel from
        # the narrowest component.
        least = np.finfo(arrays.numpy_dtype(uniforms.dtype)).eps / 2
        if bounded:
            self._check_bounded()
        method = self._bounded_noise if bounded else self._noise
        return _like(uniforms, method(arrays.maximum(uniforms, least), mode))

    def draw(
        self,
        params: Tensor,
        noise: Tensor,
        log_scale_shift: Tensor = 0.0,
        *,
        bounds: Callable[[int, list[Tensor]], Bounds] | None = None,
    ) -> Tensor:
        """Draws one pixel per leading index, as a deterministic function of noise.

        Args:
          params: float32 or float64 [..., num_params].
          noise: [..., noise_size] of the dtype and leading shape of `params`, from `noise`. With bounds
            [..., bounded_noise_size], from `noise` with `bounded`.
          log_scale_shift: scalar, [B], or with more of the leading dimensions, added to the log-scales of a
            mixture; below 0 draws vary less. A categorical ignores it.
          bounds: function of a channel's index and the list of the pixel's earlier channels, int32 [...]
            each, that returns the channel's `Bounds`: int32 with 0 <= low <= high < num_values, and a
            float32 center, [...] each. Draws lie in low .. high in both modes. None for no bounds.

        Returns int32 [..., num_channels], pixel values.

        Raises ValueError and NotImplementedError as `log_prob`.
        """
        params, noise = arrays.alike(params, noise)
        noise, log_scale_shift = (arrays.cast(x, params.dtype) for x in (noise, log_scale_shift))
        self._check_centered(bounds, "bounds")
        if bounds is None:
            _check_shapes(params, self.num_params, noise, self.noise_size, "noise")
            pixels = self._draw(params, noise, log_scale_shift)
            return self._result(params, pixels, self.num_channels)
        self._check_bounded()
        _check_shapes(params, self.num_params, noise, self.bounded_noise_size, "noise")
        pixels = self._bounded_draw(params, noise, log_scale_shift, bounds)
        return self._result(params, pixels, self.num_channels)

    def value_log_probs(
        self, params: Tensor, channel: int, earlier: Sequence[Tensor], *, bounds: Sequence[Bounds]
    ) -> Tensor:
        """Log-probabilities of all values of one channel, given the channels before it: [..., num_values].

        Args:
          params: float32 or float64 [..., num_params].
          channel: int.
          earlier: list of the pixel's earlier channels, int32 [...] each.
          bounds: list of `Bounds` [...], of the earlier channels and of this one.

        They are in nats, -inf outside the interval. Over the channels of a pixel they add up to `log_prob`.
        Raises NotImplementedError for a likelihood without `_value_log_probs`.
        """
        logits = self._value_log_probs(params, channel, earlier, bounds)
        low, high, _ = bounds[channel]
        return arrays.log_softmax(masked(logits, low, high), axis=-1)

    def _value_log_probs(self, params, channel, earlier, bounds):
        """`value_log_probs` without an interval, up to a constant."""
        fits = self.num_channels == 1 and not self.centered
        expected = "a likelihood that defines the probabilities of a channel's values"
        self._check_defined(fits, expected, "_value_log_probs")
        values = arrays.arange(self.num_values, params.dtype)[:, None]  # [V, 1]
        params = arrays.repeat(params[..., None, :], self.num_values, axis=-2)
        return self.log_prob(params, arrays.zeros_like(params[..., :1]) + values)

    def entropy(self, params: Tensor, images: Tensor, bounds: Bounds | None = None) -> Tensor:
        """Expected negative log-probability of each pixel: the sum of the entropies of its channels.

        The entropy of a channel is that of its distribution within its interval, given the pixel's earlier
        channels in `images`: the mean of its part of -`log_prob` over that distribution.

        Arguments and errors are those of `log_prob` and `value_log_probs`. The result is [...] of the dtype
        of `params`, in nats, accurate to 4e-4 per channel. It is meaningless where earlier values contradict
        the bounds.
        """
        params, images = self._checked(params, images, bounds)
        if bounds is None:
            values = arrays.cast(images, params.dtype)
            zeros = arrays.zeros_like(values)
            bounds = Bounds(zeros, zeros + (self.num_values - 1), zeros)
        else:
            values, bounds, _ = self._within(params, images, bounds)
        return self._result(params, self._entropy(params, values, bounds))

    def _entropy(self, params, images, bounds):
        """`entropy` from `_value_log_probs`, for images and `Bounds` of floats."""
        leading = arrays.shape(params)[:-1]
        params = arrays.reshape(params, (-1, self.num_params))
        whole = (arrays.cast(x, "int32") for x in (images, bounds.low, bounds.high))
        flat = [arrays.reshape(x, (-1, self.num_channels)) for x in (*whole, bounds.center)]

        def entropies_at(index):
            params_n, total = lookup(params, index), 0.0
            values, *bounds = (
                arrays.unstack(lookup(x, index), num=self.num_channels, axis=-1) for x in flat
            )
            bounds = [Bounds(*x) for x in zip(*bounds)]  # of each channel
            for i in range(self.num_channels):
                log_probs = self.value_log_probs(params_n, i, values[:i], bounds=bounds[: i + 1])
                finite = arrays.where(log_probs > -math.inf, log_probs, 0.0)
                total -= arrays.sum(arrays.exp(log_probs) * finite, axis=-1)
            return total

        at_once = max(1, entropies.AT_ONCE * 256 // self.num_values)
        _, indices = arrays.alike(params, arrays.arange(arrays.shape(params)[0]))
        return arrays.reshape(entropies.in_chunks(entropies_at, indices, at_once), leading)

    def _checked(self, params, images, bounds):
        """Params and images, checked as in `log_prob`."""
        params, images = arrays.alike(params, images)
        _check_shapes(params, self.num_params, images, self.num_channels, "images")
        self._check_centered(bounds and bounds.center, "bounds")
        return params, images

    def _within(self, params, images, bounds):
        """Images and nonempty bounds, of the dtype of params, and whether each pixel is in bounds: [...]."""
        self._check_bounded()
        values = arrays.cast(images, params.dtype)
        low, high, center = bounds
        center = arrays.zeros_like(values) if center is None else center
        bounds = Bounds(*(arrays.cast(x, params.dtype) for x in (low, high, center)))
        for name, x in bounds._asdict().items():
            _check_shapes(params, self.num_params, x, self.num_channels, name)
        low, high, center = bounds
        agrees = arrays.all(arrays.logical_and(low <= values, values <= high), axis=-1)
        low = arrays.clip(low, 0, self.num_values - 1)
        high = arrays.minimum(arrays.maximum(high, low), self.num_values - 1)
        return values, Bounds(low, high, center), agrees

    def _result(self, params, result, *channels):
        """The result of a subclass, checked: a number per pixel, or per channel of a draw."""
        result, shape = _like(params, result), (*params.shape[:-1], *channels)
        remedy = "Sum over the channels, or squeeze the last dimension"
        if channels:
            remedy = "Stack the channels along the last dimension, also a single one"
        what = "pixels that it draws" if channels else "numbers"
        expected = f"{type(self).__name__} to give {what} of shape {list(shape)}"
        expect(_agree(result.shape, shape), expected, list(result.shape), remedy)
        return result

    def _check_centered(self, center, name):
        fits, expected = (
            center is not None or not self.centered,
            f"`{name}` for a centered likelihood",
        )
        remedy = "Give those of the transform's `fixed_sum`, or a likelihood with centered=False"
        expect(fits, expected, None, remedy)

    def _check_bounded(self):
        methods = "bounded_noise_size, _bounded_log_prob, _bounded_noise and _bounded_draw"
        fits = self.bounded_noise_size is not None
        self._check_defined(fits, "a likelihood that has bounds", methods)

    def _check_defined(self, fits, expected, names):
        name, remedy = type(self).__name__, f"Define {names}"
        expect(fits, expected, name, remedy, kind=NotImplementedError)


def _check_shapes(params, num_params, other, num_channels, name):
    params, other = tuple(params.shape), tuple(other.shape)
    for label, shape, size in (("params", params, num_params), (name, other, num_channels)):
        expected, remedy = f"`{label}` of shape [..., {size}]", "Give that number of channels"
        expect(shape[-1:] == (size,), expected, f"{label}.shape={shape}", remedy)
    expected = f"`params` and `{name}` to have the same leading shape"
    received = f"params.shape={params}, {name}.shape={other}"
    remedy = "Give one set of parameters for each pixel"
    expect(_agree(params[:-1], other[:-1]), expected, received, remedy)


def _agree(shape, other):
    """Whether two shapes have the same rank, and the same sides where both are known."""
    if len(shape) != len(other):
        return False
    for side, of_other in zip(shape, other):
        if side != of_other and None not in (side, of_other):
            return False
    return True


def _like(x, result):
    """The result as a NumPy array if x is one."""
    return np.asarray(result) if arrays.is_plain(x) else result


def gumbel(uniforms):
    return -arrays.log(-arrays.log(uniforms))


def draw_index(logits, gumbels):
    """Draws from each categorical distribution by the Gumbel-max trick: [..., K] -> int32 [...]."""
    return arrays.argmax(logits + gumbels)


def select(x, index):
    """The element of x [..., K] at index [...], as a masked sum; other elements need not be finite."""
    mask = index[..., None] == arrays.arange(x.shape[-1])
    return arrays.sum(arrays.where(mask, x, arrays.zeros_like(x)), axis=-1)


def interpolate(x, index):
    """`select` at a float index, linear between two elements and beyond the ends; all must be finite."""
    below = arrays.clip(arrays.floor(arrays.stop_gradient(index)), 0, x.shape[-1] - 2)
    share, below = index - below, arrays.cast(below, "int32")
    return (1 - share) * select(x, below) + share * select(x, below + 1)


def masked(logits, low, high):
    """Logits [..., K] with -inf for values outside low .. high, [...] each."""
    values = arrays.arange(logits.shape[-1], low.dtype)
    agrees = arrays.logical_and(low[..., None] <= values, values <= high[..., None])
    return arrays.where(agrees, logits, -math.inf)
