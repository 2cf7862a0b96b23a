"""The logistic distribution of a pixel value."""

import numpy as np
from keras import ops

from pixelcnn_aux.backend import lookup, tfp

tfd = tfp.distributions

# Where the bin of each value begins and ends: [256, 1]. The end values have tails: finite, since infinities
# make NaN, and one longer than the other, so that one of two ends is always nearer.
BOTTOMS = np.concatenate([[-1e30], np.arange(1, 256) - 0.5])[:, np.newaxis]
TOPS = np.concatenate([np.arange(255) + 0.5, [2e30]])[:, np.newaxis]
TAIL = 40.0  # in scales: exp(-TAIL) is nothing beside 1, in float64 too
TINY = 1e-30  # turns a difference of 0, which has no sign, into one that has


class DiscretizedLogistic(tfd.Distribution):
    """Logistic distribution rounded to the pixel values 0, 1, ..., 255.

    With `a = (y + 0.5 - loc) / scale`, `b = (y - 0.5 - loc) / scale`, tails in the end bins:

    ```none
    P(0)   = sigmoid(a)
    P(y)   = sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(-1 / scale))
    P(255) = sigmoid(-b)
    ```

    An interval of values has the same form, over a wider bin.

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
        self.loc = ops.convert_to_tensor(loc)
        self.scale = ops.convert_to_tensor(scale, dtype=self.loc.dtype)
        pairs = zip(reversed(self.loc.shape), reversed(self.scale.shape))
        if any(a != b for a, b in pairs if a not in (1, None) and b not in (1, None)):
            raise ValueError(
                "Expected `loc` and `scale` of shapes that broadcast. "
                f"Received: loc.shape={self.loc.shape}, scale.shape={self.scale.shape}"
            )
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
        return self.batch_shape[:0]  # scalars, as a shape of the backend's kind

    def _log_prob(self, value):
        return self.log_mass(value, value)

    def log_mass(self, low, high):
        """Log-probability of the values from `low` to `high`, both included.

        Args:
          low, high: tensors of the distribution's dtype, whole, 0 <= low <= high <= 255. Their shapes
            broadcast against the batch shape.

        Returns:
          Tensor of the shape that they broadcast to, in nats; finite, as its gradient is.
        """
        inverse_scale = 1.0 / self.scale
        a = (high - self.loc + 0.5) * inverse_scale
        # Of one value they are an inverse scale apart, which spares a training step half of this.
        b = (a if low is high else (low - self.loc + 0.5) * inverse_scale) - inverse_scale
        log_width = ops.log(-ops.expm1(-(high - low + 1.0) * inverse_scale))
        # All three terms are finite, so that masks can drop them without a NaN in the gradient.
        not_first = ops.cast(low > 0, self.dtype)
        not_last = ops.cast(high < 255, self.dtype)
        return (
            not_first * not_last * log_width
            - not_last * ops.softplus(-a)
            - not_first * ops.softplus(b)
        )


class CutLogistic:
    """Logistic distribution cut to an interval of pixel values, for draws: few operations, and no gradients.

    Args:
      loc: floating point tensor [..., K], locations in pixel units.
      rate: tensor [..., K] of that dtype, one over the scales.
      low, high: int32 [...], the interval, 0 <= low <= high <= 255.
    """

    def __init__(self, loc, rate, low, high):
        self._loc, self._rate = loc, rate
        # Looked up, which takes less time than selecting the ends.
        bottoms, tops = (ops.convert_to_tensor(x, loc.dtype) for x in (BOTTOMS, TOPS))
        self._bottom, self._top = lookup(bottoms, low), lookup(tops, high)  # [..., 1]
        # In scales: the bottom above the location, the top below it, and the bottom above the top.
        self._below = (self._bottom - loc) * rate
        self._above = (loc - self._top) * rate
        self._log_width = ops.log(-ops.expm1((self._bottom - self._top) * rate))

    def log_mass(self):
        """Log-probability of the interval before the cut, in nats: `DiscretizedLogistic.log_mass`."""
        return self._log_width - ops.softplus(self._below) - ops.softplus(self._above)

    def quantile(self, log_uniforms):
        """A point of the interval: once rounded and clipped, a draw, if it is given logarithms of uniforms.

        Going from the end that is nearer to the location, p scales beyond it, to the other one, q scales
        before it, the quantile u comes after so many scales, with `m = log sigmoid(-q) + log(-expm1(-w))` for
        an interval of w scales:

        ```none
        log(1 + u exp(m - p)) - log(1 - u exp(m))
        ```

        This loses nothing where the interval is far out in a tail, nor where it is narrow for the scale. An
        end that is more than 40 scales away from the location is where 40 scales are.

        Args:
          log_uniforms: [..., 1] of the distribution's dtype, below 0; above 0 for the point of the interval
            that is nearest to the location.

        Returns:
          [..., K].
        """
        near = ops.maximum(ops.maximum(self._below, self._above), -TAIL)
        far = ops.minimum(self._below, self._above)
        from_near = self._log_width - ops.softplus(far) - ops.abs(log_uniforms)
        scales = ops.softplus(from_near - near) - ops.log1p(-ops.exp(from_near))
        # Upwards from the bottom, downwards from the top; not at all if it is the location that is asked for.
        up = (
            ops.sign(self._below - self._above + TINY)
            * ops.relu(-ops.sign(log_uniforms))
            / self._rate
        )
        start = ops.maximum(ops.minimum(self._loc - TAIL * up, self._top), self._bottom)
        return start + up * scales
