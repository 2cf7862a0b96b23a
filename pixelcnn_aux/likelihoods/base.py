"""What all likelihoods share: their interface."""

import math
from collections.abc import Callable

from keras import ops

from pixelcnn_aux import arguments
from pixelcnn_aux.annotations import Tensor
from pixelcnn_aux.bounds import Bounds
from pixelcnn_aux.likelihoods.shapes import agree, check_shapes, opened
from pixelcnn_aux.likelihoods.value_probabilities import ValueProbabilities
from pixelcnn_aux.serialization import Configured

MODES = ("sample", "map")


class Likelihood(ValueProbabilities, Configured):
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
