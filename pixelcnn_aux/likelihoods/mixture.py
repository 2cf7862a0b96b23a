"""The likelihood of images of many values: a mixture of discretized logistics (section 3.3)."""

import math

from keras import ops

from pixelcnn_aux import arguments
from pixelcnn_aux.arguments import Config
from pixelcnn_aux.backend import pick, tfp
from pixelcnn_aux.likelihoods import entropies
from pixelcnn_aux.likelihoods.base import Likelihood, draw_index, gumbel
from pixelcnn_aux.likelihoods.logistic import DiscretizedLogistic, TruncatedLogistic
from pixelcnn_aux.serialization import register
from pixelcnn_aux.sums import Bounds

tfd = tfp.distributions

MIN_LOG_SCALE = -7.0  # of 256 values; of more it is lower, for as many of them
MAX_LOG_SCALE = 30.0  # so that scales are finite, and what is divided by them is not 0
# Centered, for a unit of 16 values, so that log-scales of 0 stand for 17 values and not for 127.5: a center
# tells most of what the others spread over.
CENTERED_LOG_SCALE_SHIFT = -2.0
MAX_CHANNELS = 16


@register()
class LogisticMixture(Likelihood):
    """Mixture of discretized logistics over the channels of a pixel, of RGB unless others are given.

    The components are shared by the channels, and each mean depends on the channels before it: that of G on
    r, that of B on r and g:

    ```none
    P(r, g, b) = sum_k w_k P(r; m_R) P(g; m_G + c_R r) P(b; m_B + c_G r + c_B g)
    ```

    `params` hold, for each pixel, `num_components` logits of the weights w, then for each channel as many
    means m, log-scales (kept within -7 and 30) and coefficients (c after a tanh). All of them refer to pixels
    scaled to [-1, 1]. C channels have C (C - 1) / 2 coefficients: those of each mean in turn, one for each
    channel before it. The first C of them come one after each channel, the others at the end. With K
    components, one channel has 3 K parameters, two have 6 K, three 10 K, four 15 K.

    Within bounds, each channel is renormalized over its interval I given the channels before it:

    ```none
    P'(r) = P(r) / P(I_R),   P'(g | r) = P(g | r) / P(I_G | r),   P'(b | r, g) = P(b | r, g) / P(I_B | r, g)
    ```

    If centered, locations are in units from each channel's center. The coefficients
    multiply the earlier channels' differences from their own centers. Log-scales have 2 subtracted for a unit
    of 16 in 256 values, and for others as much as makes scales of 0 as wide beside the unit.

    Of more than 256 values the least log-scale is lower, so that the narrowest scale is 0.12 values of any
    number. Parameters in float32 resolve a 256th of a value among 65,536, and draws are quantiles at
    multiples of 2^-23: a component that is as wide as all 65,536 values is not drawn at some of the outermost
    ones. Probabilities of narrow bins have closed forms that do not cancel, and truncated draws of more than
    256 values are computed in float64.

    Args:
      num_components: int, components of the mixture, one or more.
      centered: bool, whether `log_prob` and `draw` have to be given centers.
      unit: float, of centered locations, in pixel values: about how far values are from their centers.
      num_channels: int, C, 1 to 16.
      num_values: int, 2 to 65,536: pixel values are 0 .. num_values - 1.

    Raises:
      ValueError: for arguments of other types, or out of range.
    """

    optional = ("num_channels", "num_values")

    def __init__(
        self,
        num_components: int = 10,
        centered: bool = False,
        unit: float = 16.0,
        num_channels: int = 3,
        num_values: int = 256,
    ):
        self.num_components = arguments.whole("num_components", num_components)
        self.centered = arguments.flag("centered", centered)
        self.num_channels = arguments.whole("num_channels", num_channels, 1, MAX_CHANNELS)
        self.num_values = arguments.whole("num_values", num_values, 2, arguments.MAX_VALUES)
        self.unit = arguments.positive("unit", unit, max(self.num_values, 256))
        self._layout = Layout(self.num_channels)
        # What pixels are scaled by, and the middle of their values.
        self._half = (self.num_values - 1) / 2
        self._min_log_scale = MIN_LOG_SCALE - math.log(max(self._half / 127.5, 1.0))
        self.num_params = self._layout.num_blocks * self.num_components
        self.noise_size = self.num_components + self.num_channels
        self.bounded_noise_size = self.num_channels * (self.num_components + 1)

    def get_config(self) -> Config:
        return {
            "num_components": self.num_components,
            "centered": self.centered,
            "unit": self.unit,
            "num_channels": self.num_channels,
            "num_values": self.num_values,
        }

    def _log_prob(self, params, images):
        images = ops.cast(images, params.dtype)
        logits, means, log_scales, coefficients = self._layout.parts(params)
        half, channels = self._half, self.num_channels
        scaled = ((images - half) / half)[..., None]
        scaled = ops.unstack(scaled, num=channels, axis=-2)  # [..., 1] each
        means = [conditional_mean(c, means, coefficients, scaled) for c in range(channels)]
        components = DiscretizedLogistic(
            loc=half * ops.stack(means, axis=-1) + half,  # [..., K, C]
            scale=half * self._scale(ops.stack(log_scales, axis=-1)),
            num_values=self.num_values,
        )
        mixture = tfd.MixtureSameFamily(
            tfd.Categorical(logits=logits), tfd.Independent(components, reinterpreted_batch_ndims=1)
        )
        return mixture.log_prob(images)

    def _log_density(self, params, images, center):
        if not self.centered:
            return self._log_prob(params, images)
        low, high = ops.zeros_like(images), ops.full_like(images, self.num_values - 1)
        return self._bounded_log_prob(params, images, Bounds(low, high, center))

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
        blocks = ops.reshape(
            params, (*ops.shape(component), self._layout.num_blocks, self.num_components)
        )
        x, log_scales, coefficients = self._layout.kinds(pick(blocks, component))  # [..., C]
        x += self._scale(log_scales + _against(log_scale_shift, log_scales)) * logistics
        # From here on in pixel units, zero in the middle: a draw is on the way of few operations.
        half, channels = self._half, self.num_channels
        x = ops.unstack(half * x, num=channels, axis=-1)
        coefficients = ops.unstack(
            ops.tanh(coefficients), num=self._layout.num_coefficients, axis=-1
        )
        pixel, centered = [], []
        for channel in range(channels):
            y = conditional_mean(channel, x, coefficients, centered) + half
            pixel.append(ops.round(ops.clip(y, 0.0, self.num_values - 1.0)))
            # What the next mean sees is the pixel as it is stored, just as in `log_prob`.
            centered.append(pixel[-1] - half)
        return ops.cast(ops.stack(pixel, axis=-1), "int32")

    def _bounded_log_prob(self, params, images, bounds):
        (low, high, center), total = bounds, 0.0
        channels = enumerate(self._channels(params, images, center))
        for i, (log_weights, components, value_log_prob) in channels:
            interval_log_prob = components.log_mass(low[..., i : i + 1], high[..., i : i + 1])
            total += ops.logsumexp(log_weights + value_log_prob, axis=-1)
            total -= ops.logsumexp(log_weights + interval_log_prob, axis=-1)
        return total

    def _entropy(self, params, images, bounds):
        (low, high, center), total = bounds, 0.0
        channels = enumerate(self._channels(params, images, center))
        for i, (log_weights, components, _) in channels:
            ends = (low[..., i : i + 1], high[..., i : i + 1])
            total += entropies.of_mixtures(log_weights, components, *ends)
        return total

    def _channels(self, params, images, center):
        """Yields of each channel, given those before it: log-weights, logistics, log-probs of its value."""
        logits, means, log_scales, coefficients = self._layout.parts(params)
        means = [self._mean_unit * x for x in means]
        log_weights, deviations = ops.log_softmax(logits, axis=-1), []
        for channel in range(self.num_channels):
            here = slice(channel, channel + 1)
            value, middle = images[..., here], center[..., here]
            components = DiscretizedLogistic(
                self._loc(channel, means, coefficients, middle, deviations),
                self._scales(log_scales[channel]),
                self.num_values,
            )
            value_log_prob = components.log_prob(value)
            yield log_weights, components, value_log_prob
            log_weights += value_log_prob
            deviations.append(value - self._center(middle))

    def _value_log_probs(self, params, channel, earlier, bounds):
        log_weights, components = self._channel(params, channel, earlier, bounds)
        log_probs = components.log_probs()  # [..., K, V]
        return ops.logsumexp(log_weights[..., None] + log_probs, axis=-2)  # [..., V]

    def _interval_log_probs(self, params, channel, earlier, bounds, lows, highs):
        log_weights, components = self._channel(params, channel, earlier, bounds, each=(..., None))
        ends = (ops.cast(x, params.dtype)[..., None, :] for x in (lows, highs))
        return ops.logsumexp(log_weights[..., None] + components.log_mass(*ends), axis=-2)

    def _channel(self, params, channel, earlier, bounds, each=...):
        """The log-weights and the logistics of a channel, [..., K] each, given those before it.

        `each` indexes what the logistics are of, such as by (..., None).
        """
        logits, means, log_scales, coefficients = self._layout.parts(params)
        means = [self._mean_unit * x for x in means]
        log_weights, deviations = logits, []
        values = [*(ops.cast(x, params.dtype)[..., None] for x in earlier), None]
        for here, value in enumerate(values[: channel + 1]):
            middle = ops.cast(bounds[here].center, params.dtype)[..., None]
            loc = self._loc(here, means, coefficients, middle, deviations)
            scale = self._scales(log_scales[here])
            if value is not None:
                log_weights += DiscretizedLogistic(loc, scale, self.num_values).log_prob(value)
                deviations.append(value - self._center(middle))
        return log_weights, DiscretizedLogistic(loc[each], scale[each], self.num_values)

    def _bounded_noise(self, uniforms, mode):
        # For each channel a Gumbel for each component, and a uniform: a negative one stands for a location.
        gumbels, uniforms = ops.split(uniforms, [self.num_channels * self.num_components], axis=-1)
        uniforms = ops.full_like(uniforms, -0.5) if mode == "map" else uniforms
        return ops.concatenate([gumbel(gumbels), uniforms], axis=-1)

    def _bounded_draw(self, params, noise, log_scale_shift, bounds):
        size, channels = self.num_components, self.num_channels
        log_weights = params[..., :size]  # up to a constant
        blocks = ops.reshape(params, (*ops.shape(params)[:-1], self._layout.num_blocks, size))
        means, log_scales, coefficients = self._layout.kinds(blocks, slice(None))  # [..., C, K]
        shift = _against(log_scale_shift, log_scales)
        scales = self._scales(log_scales, shift)
        blocks = (self._mean_unit * means, scales, ops.tanh(coefficients))
        means, channel_scales, coefficients = (
            ops.unstack(x, num=num, axis=-2)
            for x, num in zip(blocks, (channels, channels, self._layout.num_coefficients))
        )
        ends = [size * (channel + 1) for channel in range(channels)]
        *gumbels, uniforms = ops.split(noise, ends, axis=-1)
        moves = ops.unstack(ops.relu(ops.sign(uniforms)), num=channels, axis=-1)
        uniforms = ops.unstack(ops.abs(uniforms), num=channels, axis=-1)
        is_drawn = moves[0] > 0  # and no location
        pixel, deviations, loc, component = [], [], None, None
        for channel in range(channels):
            low, high, center = bounds(channel, pixel)
            middle = ops.cast(center, params.dtype)[..., None]
            before, loc = loc, self._loc(channel, means, coefficients, middle, deviations)
            truncated = TruncatedLogistic(loc, channel_scales[channel], low, high, self.num_values)
            if channel == 0:
                log_mass = truncated.log_mass()
            else:
                # Together, in half the operations: what the value before says of the components.
                both = TruncatedLogistic(
                    ops.stack([before, loc], axis=-2),  # [..., 2, K]
                    scales[..., channel - 1 : channel + 1, :],
                    ops.stack([pixel[-1], low], axis=-1),
                    ops.stack([pixel[-1], high], axis=-1),
                    self.num_values,
                )
                value_log_prob, log_mass = ops.unstack(both.log_mass(), num=2, axis=-2)
                log_weights += value_log_prob
            drawn = draw_index(log_weights + log_mass, gumbels[channel])
            # A location is that of one component in all channels.
            component = drawn if channel == 0 else ops.where(is_drawn, drawn, component)
            value = truncated.draw(component, uniforms[channel], moves[channel])
            pixel.append(ops.cast(value, "int32"))
            deviations.append(value[..., None] - self._center(middle))
        return ops.stack(pixel, axis=-1)

    @property
    def _mean_unit(self):
        """What means are multiplied by, in pixels."""
        return self.unit if self.centered else self._half

    def _center(self, center):
        """Where means are 0, in pixels: the center, if this is centered."""
        return center if self.centered else self._half

    def _loc(self, channel, means, coefficients, center, deviations):
        """Locations [..., K], given a channel's center [..., 1] and how far earlier ones are from theirs."""
        return self._center(center) + conditional_mean(channel, means, coefficients, deviations)

    def _scales(self, log_scales, shift=0.0):
        """Scales in pixels."""
        if self.centered:
            unit = self.unit / (self._half / 127.5)  # as of 256 values
            shift += CENTERED_LOG_SCALE_SHIFT + math.log(unit / 16.0)
        return self._half * self._scale(log_scales + shift)

    def _scale(self, log_scales):
        return ops.exp(ops.minimum(ops.maximum(log_scales, self._min_log_scale), MAX_LOG_SCALE))


def _against(shift, x):
    """A shift [B] or a scalar, so that it broadcasts against x [B, ..., K]."""
    return shift[(..., *[None] * (len(x.shape) - len(shift.shape)))]


class Layout:
    """The parameters of components over the channels of a pixel, as `LogisticMixture` describes them.

    Args:
      num_channels: int.

    Attributes:
      num_coefficients: int, of each component: one for each channel before each one.
      num_blocks: int, all parameters of each component: its logit, means, log-scales and coefficients.
    """

    def __init__(self, num_channels):
        self._end = 3 * num_channels  # of what comes channel by channel
        self.num_coefficients = _triangle(num_channels)
        self.num_blocks = 1 + 2 * num_channels + self.num_coefficients

    def parts(self, params):
        """Params -> logits [..., K], and lists of [..., K]: means, log-scales and coefficients."""
        *others, before_tanh = self.sorted(ops.split(params, self.num_blocks, axis=-1))
        return *others, [ops.tanh(block) for block in before_tanh]

    def sorted(self, blocks):
        """As `parts`, of a list of blocks [..., K], with coefficients as they are before the tanh."""
        (logits, *blocks), end = blocks, self._end
        return logits, blocks[0:end:3], blocks[1:end:3], blocks[2:end:3] + blocks[end:]

    def kinds(self, blocks, *after):
        """Means, log-scales and coefficients out of [..., blocks, *after], of which the first are logits."""
        end = self._end + 1
        means, log_scales, coefficients = (
            blocks[(..., slice(i, end, 3), *after)] for i in (1, 2, 3)
        )
        if end < self.num_blocks:
            others = blocks[(..., slice(end, None), *after)]
            coefficients = ops.concatenate([coefficients, others], axis=-1 - len(after))
        return means, log_scales, coefficients


def conditional_mean(channel, means, coefficients, earlier):
    """Mean of a channel given the earlier ones, with zero in the middle; lists have an entry per channel."""
    own = coefficients[_triangle(channel) : _triangle(channel + 1)]
    return sum((c * x for c, x in zip(own, earlier)), start=means[channel])


def _triangle(channels):
    return channels * (channels - 1) // 2
