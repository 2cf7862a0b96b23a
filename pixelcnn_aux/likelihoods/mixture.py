"""The likelihood of RGB images: a mixture of discretized logistics (section 3.3)."""

from keras import ops

from pixelcnn_aux.backend import tfp
from pixelcnn_aux.likelihoods.base import Likelihood, check_count, draw_index, gumbel, select
from pixelcnn_aux.likelihoods.logistic import DiscretizedLogistic
from pixelcnn_aux.serialization import register

tfd = tfp.distributions

MIN_LOG_SCALE = -7.0
# Which channels' coefficient blocks weigh the earlier channels in the mean of R, of G and of B.
COEFFICIENTS_OF_MEAN = ((), (0,), (1, 2))


@register()
class LogisticMixture(Likelihood):
    """Mixture of discretized logistics over the channels of an RGB pixel.

    The components are shared by the channels, and the mean of G depends on r, that of B on r and g:

    ```none
    P(r, g, b) = sum_k w_k P(r; m_R) P(g; m_G + c_R r) P(b; m_B + c_G r + c_B g)
    ```

    `params` hold, for each pixel, `num_components` logits of the weights w, then for each of R, G
    and B as many means m, log-scales (floored at -7) and coefficients (c after a tanh). All of them
    refer to pixels scaled to [-1, 1].

    Args:
      num_components: int, components of the mixture, one or more.
    """

    num_channels = 3
    num_values = 256

    def __init__(self, num_components=10):
        check_count("num_components", num_components, 1)
        self.num_components = num_components
        self.num_params = 10 * num_components
        self.noise_size = num_components + 3

    def get_config(self):
        return {"num_components": self.num_components}

    def _log_prob(self, params, images):
        images = ops.cast(images, params.dtype)
        logits, *blocks = ops.split(params, 10, axis=-1)  # [..., K] each
        means, log_scales = blocks[0::3], blocks[1::3]
        coefficients = [ops.tanh(block) for block in blocks[2::3]]
        rgb = ops.unstack(_to_scaled(images)[..., None], num=3, axis=-2)  # [..., 1] each
        means = [_conditional_mean(c, means, coefficients, rgb) for c in range(3)]
        components = DiscretizedLogistic(
            loc=_to_pixels(ops.stack(means, axis=-1)),  # [..., K, 3]
            scale=127.5 * _scale(ops.stack(log_scales, axis=-1)),
        )
        mixture = tfd.MixtureSameFamily(
            tfd.Categorical(logits=logits), tfd.Independent(components, reinterpreted_batch_ndims=1)
        )
        return mixture.log_prob(images)

    def _noise(self, uniforms, mode):
        # A Gumbel for each component, a logistic for each channel: none leaves a component's location.
        gumbels, logistics = ops.split(uniforms, [self.num_components], axis=-1)
        logistics = ops.log(logistics) - ops.log1p(-logistics)
        if mode == "map":
            logistics = ops.zeros_like(logistics)
        return ops.concatenate([gumbel(gumbels), logistics], axis=-1)

    def _draw(self, params, noise, log_scale_shift):
        gumbels, logistics = ops.split(noise, [self.num_components], axis=-1)
        component = draw_index(params[..., : self.num_components], gumbels)
        blocks = ops.reshape(params, (*ops.shape(component), 10, self.num_components))
        drawn = select(blocks, component[..., None])
        # The first of the 10 is the component's logit.
        x, log_scales, coefficients = (drawn[..., i::3] for i in (1, 2, 3))  # [..., 3]
        new_axes = [None] * (len(log_scales.shape) - len(log_scale_shift.shape))
        shift = log_scale_shift[(..., *new_axes)]  # against [B, ..., 3]
        # No noise is a location, be the scale infinite.
        spread = _scale(log_scales + shift) * logistics
        x += ops.where(logistics == 0, ops.zeros_like(spread), spread)
        # From here on in pixel units, zero in the middle: a draw is on the way of few operations.
        x = ops.unstack(127.5 * x, num=3, axis=-1)
        coefficients = ops.unstack(ops.tanh(coefficients), num=3, axis=-1)
        pixel, centered = [], []
        for channel in range(3):
            y = _conditional_mean(channel, x, coefficients, centered) + 127.5
            pixel.append(ops.round(ops.clip(y, 0.0, 255.0)))
            # What the next mean sees is the pixel as it is stored, just as in `log_prob`.
            centered.append(pixel[-1] - 127.5)
        return ops.cast(ops.stack(pixel, axis=-1), "int32")


def _to_scaled(pixels):
    return (pixels - 127.5) / 127.5


def _to_pixels(scaled):
    return 127.5 * scaled + 127.5


def _scale(log_scales):
    return ops.exp(ops.maximum(log_scales, MIN_LOG_SCALE))


def _conditional_mean(channel, means, coefficients, earlier):
    """Mean of a channel given the earlier ones, with zero in the middle; lists have an entry per channel."""
    terms = zip(COEFFICIENTS_OF_MEAN[channel], earlier)
    return sum((coefficients[c] * x for c, x in terms), start=means[channel])
