"""How the parameters of a mixture lie side by side, and what they make of the channels before each one."""

from keras import ops


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
