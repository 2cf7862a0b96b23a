"""Categorical distributions, the likelihood of images of few values (section 3.3)."""

from pixelcnn_aux.base import arguments, arrays
from pixelcnn_aux.base.serialization import register
from pixelcnn_aux.likelihoods import base
from pixelcnn_aux.likelihoods.base import Likelihood, masked, select


@register()
class Categorical(Likelihood):
    """Categorical distributions over few values, each channel's given the channels before it.

    With K values, `params` of a pixel are K logits a_i for every channel i, and for every pair of channels
    j < i a table b_ij of K x K: each value of channel j adds a row of it to the logits of channel i.

    ```none
    P(v_i | v_1, ..., v_(i-1)) = softmax(a_i + sum_(j<i) b_ij[v_j])[v_i]
    ```

    Centers are ignored, since there is no location. `log_density` interpolates linearly between the
    log-probabilities of two values.

    Args:
      num_values: int, K, 2 to 256; 16 for the paper's 4-bit grays, of one channel.
      num_channels: int, C, 1 to 256. There are C K + C (C - 1) / 2 K^2 parameters.

    Raises ValueError for arguments of wrong types or out of range, or more than a million parameters.
    """

    def __init__(self, num_values: int = 16, num_channels: int = 1):
        self.num_values = num_values = arguments.whole("num_values", num_values, 2, 256)
        self.num_channels = num_channels = arguments.whole("num_channels", num_channels, 1, 256)
        pairs = num_channels * (num_channels - 1) // 2
        num_params = num_channels * num_values + pairs * num_values**2
        self.num_params = arguments.whole("num_params", num_params, 1, arguments.MAX_PER_PIXEL)
        self.noise_size = self.bounded_noise_size = num_channels * num_values

    def _log_prob(self, params, images):
        return self._log_prob_at(params, arrays.cast(images, "int32"), select)

    def _log_density(self, params, images, center):
        del center
        return self._log_prob_at(params, images, base.interpolate)

    def _log_prob_at(self, params, images, at, bounds=None):
        """`log_prob`, where `at` is `select` or `interpolate`, which look up a value in logits."""
        values = arrays.unstack(images, num=self.num_channels, axis=-1)
        logits, tables = self._parts(params)
        log_probs = []
        for channel, value in enumerate(values):
            conditional = _conditional_logits(channel, logits, tables, values, at)
            if bounds is None:
                log_probs.append(at(arrays.log_softmax(conditional, axis=-1), value))
            else:
                allowed = masked(conditional, *(x[..., channel] for x in bounds[:2]))
                log_probs.append(at(conditional, value) - arrays.logsumexp(allowed, axis=-1))
        return sum(log_probs[1:], start=log_probs[0])

    def _noise(self, uniforms, mode):
        del mode
        return base.gumbel(uniforms)  # for each value of each channel

    def _draw(self, params, noise, log_scale_shift, bounds=None):
        del log_scale_shift
        logits, tables = self._parts(params)
        gumbels = arrays.split(noise, self.num_channels, axis=-1)
        drawn = []
        for channel in range(self.num_channels):
            conditional = _conditional_logits(channel, logits, tables, drawn)
            if bounds is not None:
                low, high, _ = bounds(channel, drawn)
                conditional = masked(conditional, low, high)
            drawn.append(base.draw_index(conditional, gumbels[channel]))
        return arrays.stack(drawn, axis=-1)

    def _bounded_log_prob(self, params, images, bounds):
        return self._log_prob_at(params, arrays.cast(images, "int32"), select, bounds)

    _bounded_noise, _bounded_draw = _noise, _draw

    def _value_log_probs(self, params, channel, earlier, bounds):
        del bounds
        return _conditional_logits(channel, *self._parts(params), earlier)

    def _parts(self, params):
        """Params -> (list of logits [..., K], list of tables [..., K, K], by pairs: 01, 02, 12, 03, ...)."""
        channels, values = self.num_channels, self.num_values
        logits = arrays.split(params[..., : channels * values], channels, axis=-1)
        leading, pairs = arrays.shape(params)[:-1], channels * (channels - 1) // 2
        tables = arrays.reshape(params[..., channels * values :], (*leading, pairs, values, values))
        return logits, [tables[..., pair, :, :] for pair in range(pairs)]


def _conditional_logits(channel, logits, tables, earlier, at=select):
    """Logits [..., K] of a channel, given `earlier` ones, a list of [...], int32 for `select`."""
    first = channel * (channel - 1) // 2
    rows = (
        at(arrays.swapaxes(tables[first + j], -1, -2), earlier[j][..., None])
        for j in range(channel)
    )
    return sum(rows, start=logits[channel])
