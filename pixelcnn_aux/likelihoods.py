"""Likelihoods: what the parameters that a network puts out say about each pixel of an image.

Section 3.3 of Kolesnikov & Lampert (2017): a mixture of discretized logistics over RGB, which is
the likelihood of PixelCNN++ (Salimans et al., 2017), and a categorical over the values of a 4-bit
gray. Both have one interface: `log_prob` and `bits_per_dim` of an image, and `draw` of a pixel.
"""

import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

MODES = ("sample", "map")
MIN_LOG_SCALE = -7.0
# Which channels' coefficient blocks weigh the earlier channels in the mean of R, of G and of B.
COEFFICIENTS_OF_MEAN = ((), (0,), (1, 2))


class DiscretizedLogistic(tfd.Distribution):
    """Logistic distribution rounded to the pixel values 0, 1, ..., 255.

    With `a = (y + 0.5 - loc) / scale`, `b = (y - 0.5 - loc) / scale`, tails in the end bins:

    ```none
    P(0)   = sigmoid(a)
    P(y)   = sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(-1 / scale))
    P(255) = sigmoid(-b)
    ```

    The product keeps every logarithm and its gradient finite where the difference cancels to zero.

    ```python
    dist = DiscretizedLogistic(loc=[100.0, 300.0], scale=5.0)
    dist.prob([100.0, 255.0])  # [0.05, 0.9999]
    ```

    #### References

    [1]: Tim Salimans, Andrej Karpathy, Xi Chen, Diederik P. Kingma. PixelCNN++: Improving the
         PixelCNN with Discretized Logistic Mixture Likelihood and Other Modifications. _ICLR_,
         2017.
    """

    def __init__(self, loc, scale, name="DiscretizedLogistic"):
        """Constructs distributions over pixel values.

        Args:
          loc: floating point tensor, locations in pixel units.
          scale: floating point tensor of `loc`'s dtype, positive, in pixel units; its shape
            broadcasts against `loc`'s.
          name: name of the distribution's ops.

        Raises:
          ValueError: if the shapes of `loc` and `scale` do not broadcast.
        """
        parameters = dict(locals())
        with tf.name_scope(name):
            self.loc = tf.convert_to_tensor(loc)
            self.scale = tf.convert_to_tensor(scale, dtype=self.loc.dtype)
            tf.broadcast_static_shape(self.loc.shape, self.scale.shape)
            super().__init__(
                dtype=self.loc.dtype,
                reparameterization_type=tfd.NOT_REPARAMETERIZED,
                validate_args=False,
                allow_nan_stats=True,
                parameters=parameters,
                name=name,
            )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        positive = tfp.util.ParameterProperties(
            default_constraining_bijector_fn=tfp.bijectors.Softplus
        )
        return {"loc": tfp.util.ParameterProperties(), "scale": positive}

    def _event_shape(self):
        return tf.TensorShape([])

    def _log_prob(self, value):
        inverse_scale = 1.0 / self.scale
        a = (value - self.loc + 0.5) * inverse_scale
        b = a - inverse_scale
        log_width = tf.math.log(-tf.math.expm1(-inverse_scale))
        # All three terms are finite, so that masks can drop them without a NaN in the gradient.
        not_first = tf.cast(value > 0, self.dtype)
        not_last = tf.cast(value < 255, self.dtype)
        return (
            not_first * not_last * log_width
            - not_last * tf.math.softplus(-a)
            - not_first * tf.math.softplus(b)
        )


class _Likelihood:
    """What the two likelihoods share; they add `_log_prob`, `_noise` and `_draw`."""

    def log_prob(self, params, images):
        """Log-probability of each pixel, all its channels together.

        Args:
          params: float32 or float64 [..., num_params], the output of a network.
          images: [..., num_channels], whole pixel values from 0 to num_values - 1 in any integer or
            float dtype; leading shape as `params`'.

        Returns:
          [...] of `params`' dtype, in nats.

        Raises:
          ValueError: if a channel count is not this likelihood's, or the leading shapes differ.
        """
        params, images = tf.convert_to_tensor(params), tf.convert_to_tensor(images)
        _check_shapes(params, self.num_params, images, self.num_channels, "images")
        return self._log_prob(params, images)

    def bits_per_dim(self, images, params):
        """Negative log-likelihood in bits per dimension of `images`: a loss for `Model.compile`.

        Args:
          images: [B, H, W, num_channels], whole pixel values in any dtype (the loss's `y_true`).
          params: float32 or float64 [B, H, W, num_params] (its `y_pred`).

        Returns:
          [B] of `params`' dtype, in bits per dimension that this likelihood models: the mean over H
          and W, divided by `num_channels`.

        Raises:
          ValueError: as `log_prob`.
        """
        nats = -self.log_prob(params, images)
        nats_per_pixel = tf.reduce_mean(nats, axis=list(range(1, nats.shape.rank)))
        return nats_per_pixel / (self.num_channels * math.log(2.0))

    def noise(self, uniforms, mode="sample"):
        """What `draw` consumes: apart from it, so that it is computed of many pixels at once.

        Args:
          uniforms: float [..., noise_size], in [0, 1).
          mode: "sample", or "map" for draws that are the location of a component that is drawn (section
            4.2), where its density peaks. A categorical draws as usual under both.

        Returns:
          [..., noise_size] of `uniforms`' dtype.

        Raises:
          ValueError: if `mode` is unknown.
        """
        if mode not in MODES:
            raise ValueError(f"Expected `mode` to be one of {MODES}. Received: mode={mode!r}")
        return self._noise(_open(uniforms), mode)

    def draw(self, params, noise, log_scale_shift=0.0):
        """Draws one pixel per leading index, as a function of given noise.

        Args:
          params: float32 or float64 [..., num_params].
          noise: [..., noise_size] of `params`' dtype and leading shape, from `noise`.
          log_scale_shift: scalar or [B], the first of the leading dimensions, added to the
            log-scales of a mixture; below 0 draws vary less. A categorical ignores it.

        Returns:
          int32 [..., num_channels], pixel values.

        Raises:
          ValueError: if a channel count is wrong or the leading shapes differ.
        """
        params = tf.convert_to_tensor(params)
        noise = tf.convert_to_tensor(noise, params.dtype)
        _check_shapes(params, self.num_params, noise, self.noise_size, "noise")
        return self._draw(params, noise, tf.cast(log_scale_shift, params.dtype))


class LogisticMixture(_Likelihood):
    """Mixture of discretized logistics over the channels of an RGB pixel.

    The components are shared by the channels, and the mean of G depends on r, that of B on r and g:

    ```none
    P(r, g, b) = sum_k w_k P(r; m_R) P(g; m_G + c_R r) P(b; m_B + c_G r + c_B g)
    ```

    `params` hold, for each pixel, `num_components` logits of the weights w, then for each of R, G
    and B as many means m, log-scales (floored at -7) and coefficients (c after a tanh). All of them
    refer to pixels scaled to [-1, 1].

    Args:
      num_components: int, components of the mixture.
    """

    num_channels = 3
    num_values = 256

    def __init__(self, num_components=10):
        self.num_components = num_components
        self.num_params = 10 * num_components
        self.noise_size = num_components + 3

    def get_config(self):
        return {"num_components": self.num_components}

    def _log_prob(self, params, images):
        images = tf.cast(images, params.dtype)
        logits, *blocks = tf.split(params, 10, axis=-1)  # [..., K] each
        means, log_scales = blocks[0::3], blocks[1::3]
        coefficients = [tf.tanh(block) for block in blocks[2::3]]
        rgb = tf.unstack(_to_scaled(images)[..., tf.newaxis], axis=-2)  # [..., 1] each
        means = [_conditional_mean(c, means, coefficients, rgb) for c in range(3)]
        components = DiscretizedLogistic(
            loc=_to_pixels(tf.stack(means, axis=-1)),  # [..., K, 3]
            scale=127.5 * _scale(tf.stack(log_scales, axis=-1)),
        )
        mixture = tfd.MixtureSameFamily(
            tfd.Categorical(logits=logits), tfd.Independent(components, reinterpreted_batch_ndims=1)
        )
        return mixture.log_prob(images)

    def _noise(self, uniforms, mode):
        # A Gumbel for each component, a logistic for each channel: none leaves a component's location.
        gumbels, logistics = tf.split(uniforms, [self.num_components, 3], axis=-1)
        logistics = tf.math.log(logistics) - tf.math.log1p(-logistics)
        if mode == "map":
            logistics = tf.zeros_like(logistics)
        return tf.concat([_gumbel(gumbels), logistics], axis=-1)

    def _draw(self, params, noise, log_scale_shift):
        gumbels, logistics = tf.split(noise, [self.num_components, 3], axis=-1)
        component = _draw_index(params[..., : self.num_components], gumbels)
        leading = component.shape.rank
        blocks = tf.concat([tf.shape(component), [10, self.num_components]], axis=0)
        drawn = tf.gather(tf.reshape(params, blocks), component, axis=-1, batch_dims=leading)
        # The first of the 10 is the component's logit.
        x, log_scales, coefficients = (drawn[..., i::3] for i in (1, 2, 3))  # [..., 3]
        new_axes = [tf.newaxis] * (leading + 1 - log_scale_shift.shape.rank)
        shift = log_scale_shift[(..., *new_axes)]  # against [B, ..., 3]
        # No noise is a location, be the scale infinite.
        x += tf.math.multiply_no_nan(_scale(log_scales + shift), logistics)
        # From here on in pixel units, zero in the middle: a draw is on the way of few operations.
        x = tf.unstack(127.5 * x, axis=-1)
        coefficients = tf.unstack(tf.tanh(coefficients), axis=-1)
        pixel, centered = [], []
        for channel in range(3):
            y = _conditional_mean(channel, x, coefficients, centered) + 127.5
            pixel.append(tf.round(tf.clip_by_value(y, 0.0, 255.0)))
            # What the next mean sees is the pixel as it is stored, just as in `log_prob`.
            centered.append(pixel[-1] - 127.5)
        return tf.cast(tf.stack(pixel, axis=-1), tf.int32)


class Categorical(_Likelihood):
    """Categorical distribution over the values of a gray pixel; `params` are its logits.

    Args:
      num_values: int, gray values; 16 for the paper's 4 bits.
    """

    num_channels = 1

    def __init__(self, num_values=16):
        self.num_values = num_values
        self.num_params = num_values
        self.noise_size = num_values

    def get_config(self):
        return {"num_values": self.num_values}

    def _log_prob(self, params, images):
        return tfd.Categorical(logits=params).log_prob(tf.cast(images[..., 0], tf.int32))

    def _noise(self, uniforms, mode):
        del mode
        return _gumbel(uniforms)  # one for each value

    def _draw(self, params, noise, log_scale_shift):
        del log_scale_shift
        return _draw_index(params, noise)[..., tf.newaxis]


def _to_scaled(pixels):
    return (pixels - 127.5) / 127.5


def _to_pixels(scaled):
    return 127.5 * scaled + 127.5


def _scale(log_scales):
    return tf.exp(tf.maximum(log_scales, MIN_LOG_SCALE))


def _conditional_mean(channel, means, coefficients, earlier):
    """Mean of a channel given the earlier ones, with zero in the middle; lists have an entry per channel."""
    terms = zip(COEFFICIENTS_OF_MEAN[channel], earlier)
    return sum((coefficients[c] * x for c, x in terms), start=means[channel])


def _open(uniforms):
    """Uniforms in [0, 1) -> in (0, 1): a 0 stands for all those below the dtype's resolution.

    Left at 0 it would be a black pixel out of the narrowest component.
    """
    return tf.maximum(uniforms, np.finfo(uniforms.dtype.as_numpy_dtype).eps / 2)


def _gumbel(uniforms):
    return -tf.math.log(-tf.math.log(uniforms))


def _draw_index(logits, gumbels):
    """A draw from each categorical distribution: the largest of its logits, each with a Gumbel added."""
    return tf.argmax(logits + gumbels, axis=-1, output_type=tf.int32)


def _check_shapes(params, num_params, other, num_channels, name):
    for label, tensor, size in (("params", params, num_params), (name, other, num_channels)):
        if not tensor.shape[-1:].is_compatible_with([size]):
            raise ValueError(
                f"Expected `{label}` of shape [..., {size}]. Received: {label}.shape={tensor.shape}"
            )
    if not params.shape[:-1].is_compatible_with(other.shape[:-1]):
        raise ValueError(
            f"Expected `params` and `{name}` to have the same leading shape. "
            f"Received: params.shape={params.shape}, {name}.shape={other.shape}"
        )
