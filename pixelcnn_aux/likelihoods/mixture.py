"""Mixtures of discretized logistics, the likelihood of images of many values (section 3.3)."""

import itertools
import math

from pixelcnn_aux.base import arguments, arrays
from pixelcnn_aux.base.arrays import pick
from pixelcnn_aux.base.serialization import register
from pixelcnn_aux.likelihoods import entropies
from pixelcnn_aux.likelihoods.base import Likelihood, draw_index, gumbel
from pixelcnn_aux.likelihoods.logistic import Logistics, TruncatedLogistic
from pixelcnn_aux.sums import Bounds

MIN_LOG_SCALE = (
    -7.0
)  # for 256 values; lower for more values, so that scales span the same range of values
MAX_LOG_SCALE = 30.0  # keeps scales finite, and quotients by them nonzero
# For a centered mixture with a unit of 16 values: a log-scale of 0 stands for 17 values instead of 127.5,
# since values are near their centers.
CENTERED_LOG_SCALE_SHIFT = -2.0
MAX_CHANNELS = 16


@register()
class LogisticMixture(Likelihood):
    """Mixture of discretized logistics over the channels of a pixel, RGB by default.

    The channels share the components, and each mean depends on the channels before it: the mean of G on r,
    the mean of B on r and g:

    ```none
    P(r, g, b) = sum_k w_k P(r; m_R) P(g; m_G + c_R r) P(b; m_B + c_G r + c_B g)
    ```

    `params` hold, for each pixel, `num_components` logits of the weights w, then for each channel as many
    means m, log-scales (clipped to -7 and 30) and coefficients (c after a tanh), for pixels scaled to
    [-1, 1]. C channels have C (C - 1) / 2 coefficients, ordered by mean, then by earlier channel. The first C
    of them follow the parameters of one channel each, the others come at the end. With K components, one
    channel has 3 K parameters, two have 6 K, three 10 K, four 15 K.

    Within bounds, each channel is renormalized over its interval I given the channels before it:

    ```none
    P'(r) = P(r) / P(I_R),   P'(g | r) = P(g | r) / P(I_G | r),   P'(b | r, g) = P(b | r, g) / P(I_B | r, g)
    ```

    If centered, means are differences from each channel's center, in units of `unit`. Coefficients multiply
    the earlier channels' differences from their own centers. Log-scales are shifted by -2 for a unit of 16
    in 256 values; for other units, so that a log-scale of 0 has the same ratio to the unit.

    With more than 256 values the minimum log-scale is lower, so that the narrowest scale is always 0.12
    values. Parameters in float32 resolve 1/256 of a value among 65,536, and draws are quantiles at multiples
    of 2^-23: a component as wide as all 65,536 values never draws some of the outermost values.
    Probabilities of narrow bins have closed forms without cancellation, and truncated draws from more than
    256 values are computed in float64.

    Args:
      num_components: int, components of the mixture, one or more.
      centered: bool, whether `log_prob` and `draw` need centers.
      unit: float, the unit of centered means in pixel values: the typical distance from the centers.
      num_channels: int, C, 1 to 16.
      num_values: int, 2 to 65,536: pixel values are 0 .. num_values - 1.

    Raises ValueError for arguments of wrong types or out of range.
    """

    optional = ("num_channels", "num_values")

    def __init__(
        self,
        num_components: int = 10,
        centered: bool = False,
        unit: float = 16.0,
        *,
        num_channels: int = 3,
        num_values: int = 256,
    ):
        self.num_components = arguments.whole("num_components", num_components)
        self.centered = arguments.flag("centered", centered)
        self.num_channels = arguments.whole("num_channels", num_channels, 1, MAX_CHANNELS)
        self.num_values = arguments.whole("num_values", num_values, 2, arguments.MAX_VALUES)
        self.unit = arguments.positive("unit", unit, max(self.num_values, 256))
        self._layout = Layout(self.num_channels)
        self._half = (self.num_values - 1) / 2  # the middle of pixel values, and their scale
        self._mean_unit = self.unit if self.centered else self._half  # in pixels
        self._min_log_scale = MIN_LOG_SCALE - math.log(max(self._half / 127.5, 1.0))
        self.num_params = self._layout.per_component * self.num_components
        self.noise_size = self.num_components + self.num_channels
        self.bounded_noise_size = self.num_channels * (self.num_components + 1)

    def _log_prob(self, params, images):
        images = arrays.cast(images, params.dtype)
        logits, means, log_scales, coefficients = self._layout.parts(params)
        half, channels = self._half, self.num_channels
        scaled = ((images - half) / half)[..., None]
        scaled = arrays.unstack(scaled, num=channels, axis=-2)  # [..., 1] each
        means = [conditional_mean(c, means, coefficients, scaled) for c in range(channels)]
        loc = half * arrays.stack(means, axis=-1) + half  # [..., K, C]
        scale = half * self._scale(arrays.stack(log_scales, axis=-1))
        logistics = Logistics(loc, scale, self.num_values)
        if arrays.is_plain(params, images) or arrays.backend().NAME != "tensorflow":
            values = images[..., None, :]
            nats = arrays.sum(logistics.log_mass(values, values), axis=-1)
            return arrays.logsumexp(arrays.log_softmax(logits, axis=-1) + nats, axis=-1)
        from pixelcnn_aux.likelihoods import distributions  # of TensorFlow Probability

        return distributions.mixture(logits, logistics).log_prob(images)

    def _log_density(self, params, images, center):
        if not self.centered:
            return self._log_prob(params, images)
        low, high = arrays.zeros_like(images), arrays.full_like(images, self.num_values - 1)
        return self._bounded_log_prob(params, images, Bounds(low, high, center))

    def _noise(self, uniforms, mode):
        # A Gumbel number for each component, a logistic one for each channel; 0 stands for the location.
        gumbels, logistics = arrays.split(uniforms, [self.num_components], axis=-1)
        logistics = arrays.log(logistics) - arrays.log1p(-logistics)
        if mode == "map":
            logistics = arrays.zeros_like(logistics)
        return arrays.concatenate([gumbel(gumbels), logistics], axis=-1)

    def _draw(self, params, noise, log_scale_shift):
        gumbels, logistics = arrays.split(noise, [self.num_components], axis=-1)
        component = draw_index(params[..., : self.num_components], gumbels)
        shape = (*arrays.shape(component), self._layout.per_component, self.num_components)
        params = pick(arrays.reshape(params, shape), component)
        x, log_scales, coefficients = self._layout.kinds(params)  # [..., C]
        x = x + self._scale(log_scales + _against(log_scale_shift, log_scales)) * logistics
        # From here on in pixel units, with zero in the middle, which takes few operations.
        half, channels = self._half, self.num_channels
        x = arrays.unstack(half * x, num=channels, axis=-1)
        size = self._layout.num_coefficients
        coefficients = arrays.unstack(arrays.tanh(coefficients), num=size, axis=-1)
        pixel, centered = [], []
        for channel in range(channels):
            y = conditional_mean(channel, x, coefficients, centered) + half
            pixel.append(arrays.round(arrays.clip(y, 0.0, self.num_values - 1.0)))
            # The next mean depends on the rounded pixel, as in `log_prob`.
            centered.append(pixel[-1] - half)
        return arrays.cast(arrays.stack(pixel, axis=-1), "int32")

    def _bounded_log_prob(self, params, images, bounds):
        (low, high, center), total = bounds, 0.0
        channels = enumerate(self._channels(params, images, center))
        for i, (log_weights, components, value_log_prob) in channels:
            interval_log_prob = components.log_mass(low[..., i : i + 1], high[..., i : i + 1])
            total += arrays.logsumexp(log_weights + value_log_prob, axis=-1)
            total -= arrays.logsumexp(log_weights + interval_log_prob, axis=-1)
        return total

    def _entropy(self, params, images, bounds):
        (low, high, center), total = bounds, 0.0
        channels = enumerate(self._channels(params, images, center))
        for i, (log_weights, components, _) in channels:
            ends = (low[..., i : i + 1], high[..., i : i + 1])
            total += entropies.of_mixtures(log_weights, components, *ends)
        return total

    def _channels(self, params, images, center):
        """Yields log-weights, logistics, and log-probs of the value, of each channel given earlier ones."""
        logits, means, log_scales, coefficients = self._layout.parts(params)
        means = [self._mean_unit * x for x in means]
        log_weights, deviations = arrays.log_softmax(logits, axis=-1), []
        for channel in range(self.num_channels):
            value, middle = (x[..., channel : channel + 1] for x in (images, center))
            components = Logistics(
                self._loc(channel, means, coefficients, middle, deviations),
                self._scales(log_scales[channel]),
                self.num_values,
            )
            value_log_prob = components.log_mass(value, value)
            yield log_weights, components, value_log_prob
            log_weights = log_weights + value_log_prob
            deviations.append(value - self._center(middle))

    def _value_log_probs(self, params, channel, earlier, bounds):
        values = [*earlier, bounds[channel].low]  # the last one is arbitrary
        centers = [x.center for x in bounds[: channel + 1]]
        images, center = (
            arrays.stack([arrays.cast(x, params.dtype) for x in each], axis=-1)
            for each in (values, centers)
        )
        channels = self._channels(params, images, center)
        log_weights, components, _ = next(itertools.islice(channels, channel, None))
        loc, scale = components.loc[..., None], components.scale[..., None]  # [..., K, 1]
        values = arrays.arange(self.num_values, params.dtype)
        log_probs = Logistics(loc, scale, self.num_values).log_mass(values, values)
        return arrays.logsumexp(log_weights[..., None] + log_probs, axis=-2)  # [..., V]

    def _bounded_noise(self, uniforms, mode):
        # For each channel a Gumbel number for each component, and a uniform one; -0.5: the location.
        end = self.num_channels * self.num_components
        gumbels, uniforms = arrays.split(uniforms, [end], axis=-1)
        uniforms = arrays.full_like(uniforms, -0.5) if mode == "map" else uniforms
        return arrays.concatenate([gumbel(gumbels), uniforms], axis=-1)

    def _bounded_draw(self, params, noise, log_scale_shift, bounds):
        size, channels = self.num_components, self.num_channels
        log_weights = params[..., :size]  # up to a constant
        shape = (*arrays.shape(params)[:-1], self._layout.per_component, size)
        kinds = self._layout.kinds(arrays.reshape(params, shape), slice(None))
        means, log_scales, coefficients = kinds  # [..., C, K]
        shift = _against(log_scale_shift, log_scales)
        scales = self._scales(log_scales, shift)
        kinds = (self._mean_unit * means, scales, arrays.tanh(coefficients))
        means, channel_scales, coefficients = (
            arrays.unstack(x, num=num, axis=-2)
            for x, num in zip(kinds, (channels, channels, self._layout.num_coefficients))
        )
        ends = [size * (channel + 1) for channel in range(channels)]
        *gumbels, uniforms = arrays.split(noise, ends, axis=-1)
        moves = arrays.unstack(arrays.relu(arrays.sign(uniforms)), num=channels, axis=-1)
        uniforms = arrays.unstack(arrays.absolute(uniforms), num=channels, axis=-1)
        is_drawn = moves[0] > 0  # not a location
        pixel, deviations, loc, component = [], [], None, None
        for channel in range(channels):
            low, high, center = bounds(channel, pixel)
            middle = arrays.cast(center, params.dtype)[..., None]
            before, loc = loc, self._loc(channel, means, coefficients, middle, deviations)
            truncated = TruncatedLogistic(loc, channel_scales[channel], low, high, self.num_values)
            if channel == 0:
                log_mass = truncated.log_mass()
            else:
                # The previous value changes the weights of the components. One call for both takes half the
                # operations of two calls.
                both = TruncatedLogistic(
                    arrays.stack([before, loc], axis=-2),  # [..., 2, K]
                    scales[..., channel - 1 : channel + 1, :],
                    arrays.stack([pixel[-1], low], axis=-1),
                    arrays.stack([pixel[-1], high], axis=-1),
                    self.num_values,
                )
                value_log_prob, log_mass = arrays.unstack(both.log_mass(), num=2, axis=-2)
                log_weights = log_weights + value_log_prob
            drawn = draw_index(log_weights + log_mass, gumbels[channel])
            # All channels of a "map" draw come from one component.
            component = drawn if channel == 0 else arrays.where(is_drawn, drawn, component)
            value = truncated.draw(component, uniforms[channel], moves[channel])
            pixel.append(arrays.cast(value, "int32"))
            deviations.append(value[..., None] - self._center(middle))
        return arrays.stack(pixel, axis=-1)

    def _center(self, center):
        """The pixel value of a mean of 0."""
        return center if self.centered else self._half

    def _loc(self, channel, means, coefficients, center, deviations):
        """Locations [..., K], given the center [..., 1] and earlier channels' deviations from theirs."""
        return self._center(center) + conditional_mean(channel, means, coefficients, deviations)

    def _scales(self, log_scales, shift=0.0):
        """Scales in pixels."""
        if self.centered:
            unit = self.unit / (self._half / 127.5)  # as for 256 values
            shift = shift + (CENTERED_LOG_SCALE_SHIFT + math.log(unit / 16.0))
        return self._half * self._scale(log_scales + shift)

    def _scale(self, log_scales):
        log_scales = arrays.maximum(log_scales, self._min_log_scale)
        return arrays.exp(arrays.minimum(log_scales, MAX_LOG_SCALE))


def _against(shift, x):
    """A shift, scalar or [B, ...], in a shape that broadcasts against x [B, ..., K]."""
    return shift[(..., *[None] * (len(x.shape) - len(shift.shape)))]


class Layout:
    """The order of the parameters of components over the channels of a pixel: see `LogisticMixture`."""

    def __init__(self, num_channels):
        self._end = 3 * num_channels  # of the parameters ordered by channel
        self.num_coefficients = num_channels * (num_channels - 1) // 2  # of each component
        self.per_component = 1 + 2 * num_channels + self.num_coefficients  # parameters

    def parts(self, params):
        """Params -> logits [..., K], and lists of [..., K]: means, log-scales and coefficients."""
        *others, before_tanh = self.sorted(arrays.split(params, self.per_component, axis=-1))
        return *others, [arrays.tanh(part) for part in before_tanh]

    def sorted(self, parts):
        """`parts` of a list of [..., K], with coefficients before the tanh."""
        (logits, *parts), end = parts, self._end
        return logits, parts[0:end:3], parts[1:end:3], parts[2:end:3] + parts[end:]

    def kinds(self, params, *after):
        """Means, log-scales and coefficients before the tanh, [..., n, *after] each, from all parameters."""
        end = self._end + 1
        means = params[(..., slice(1, end, 3), *after)]
        log_scales = params[(..., slice(2, end, 3), *after)]
        coefficients = params[(..., slice(3, end, 3), *after)]
        if end < self.per_component:
            others = params[(..., slice(end, None), *after)]
            coefficients = arrays.concatenate([coefficients, others], axis=-1 - len(after))
        return means, log_scales, coefficients


def conditional_mean(channel, means, coefficients, earlier):
    """Mean of a channel given the earlier ones, with zero in the middle. Means are a list by channel."""
    mean, first = means[channel], channel * (channel - 1) // 2
    for coefficient, x in zip(coefficients[first : first + channel], earlier):
        mean = mean + coefficient * x
    return mean
