"""The logistic distribution of a pixel value."""

import numpy as np
from keras import ops

from pixelcnn_aux.backend import lookup, tfp

tfd = tfp.distributions

# Where the bin of each value begins and ends: [256, 1]. The end values have the tails.
BOTTOMS = np.concatenate([[-np.inf], np.arange(1, 256) - 0.5])[:, np.newaxis]
TOPS = np.concatenate([np.arange(255) + 0.5, [np.inf]])[:, np.newaxis]


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
        self._width = (self._bottom - self._top) * rate

    def log_mass(self):
        """Log-probability of the interval before the cut, in nats: `DiscretizedLogistic.log_mass`."""
        log_width = ops.log(-ops.expm1(self._width))
        return log_width - ops.softplus(self._below) - ops.softplus(self._above)

    def quantile(self, uniforms):
        """A point of the interval: once rounded and clipped, a draw, if it is given uniforms.

        With l and t the ends in scales from the location and r the point between them that is nearest to it,
        `a = expm1(l - r)`, `d = expm1(r - t)`, `h = expm1(l - t)` and `c = 1 + d sigmoid(-r)`, the quantile u
        lies so many scales above that point:

        ```none
        log1p((a c - u h) / (c + u h sigmoid(r)))
        ```

        This loses nothing where the interval is far out in a tail, nor where it is narrow for the scale.

        Args:
          uniforms: [..., 1] of the distribution's dtype, in (0, 1); below 0 for the nearest point itself.

        Returns:
          [..., K].
        """
        below, above, width = self._below, self._above, self._width
        a, d = (ops.expm1(ops.minimum(ops.maximum(x, width), 0.0)) for x in (below, above))
        share = ops.sigmoid(ops.relu(below) - ops.relu(above))
        c = 1.0 + d * (1.0 - share)
        uh = ops.abs(uniforms) * ops.expm1(width)
        x = ops.log1p((a * c - uh) / (c + uh * share)) * ops.relu(ops.sign(uniforms))
        nearest = ops.maximum(ops.minimum(self._loc, self._top), self._bottom)
        return nearest + x / self._rate
