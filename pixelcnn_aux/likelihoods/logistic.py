"""The logistic distribution of a pixel value."""

import math

from keras import ops

from pixelcnn_aux.backend import tfp

tfd = tfp.distributions


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

    def quantile_within(self, uniforms, low, high):
        """The value at a quantile of the distribution cut to `low` .. `high`: a draw, if that is uniform.

        Args:
          uniforms: tensor of the distribution's dtype, in [0, 1]; 0 for the value nearest to the location.
          low, high: as for `log_mass`.

        Returns:
          Tensor of the shape that they broadcast to, whole values from `low` to `high`.
        """
        bottom, top = ends(low, high)
        cut = in_scales(self.loc[..., None], 1.0 / self.scale[..., None], bottom, top)
        cut = [x[..., 0] for x in cut]
        value = quantile(uniforms, cut, self.loc, self.scale, bottom, top)
        return ops.clip(ops.round(value), low, high)


def ends(low, high):
    """Where intervals of values low .. high, whole, begin and end: the end values have the tails."""
    bottom = ops.where(low > 0, low - 0.5, -math.inf)
    return bottom, ops.where(high < 255, high + 0.5, math.inf)


def in_scales(loc, rate, bottom, top):
    """Intervals as logistics see them.

    Args:
      loc, rate: tensors [..., K] of one floating point dtype, locations and one over scales.
      bottom, top: [...] of that dtype, from `ends`.

    Returns:
      With l and t the ends in scales from the location: l, -t and l - t, [..., K] each.
    """
    bottom, top = bottom[..., None], top[..., None]
    return (bottom - loc) * rate, (loc - top) * rate, (bottom - top) * rate


def log_mass(below, above, width):
    """`DiscretizedLogistic.log_mass` of what `in_scales` gave, for draws: it has no gradient at the ends."""
    return ops.log(-ops.expm1(width)) - ops.softplus(below) - ops.softplus(above)


def quantile(uniforms, cut, loc, scale, bottom, top):
    """A point of a logistic that is cut to an interval: a draw, if it is given uniforms.

    The quantile u is `x` scales from the point of the interval that is nearest to the location, `r` scales
    from it itself. With `a = expm1(l - r)`, `d = expm1(r - t)`, `h = expm1(l - t)`, `c = 1 + d sigmoid(-r)`:

    ```none
    x = log1p((a c - u h) / (c + u h sigmoid(r)))
    ```

    This loses nothing where the interval is far out in a tail, nor where it is narrow for the scale.

    Args:
      uniforms: [...], in [0, 1]. 0 stands for that nearest point itself.
      cut: from `in_scales`, [...] each.
      loc, scale, bottom, top: [...].

    Returns:
      [...], from bottom to top but for rounding.
    """
    below, above, width = cut
    r = ops.relu(below) - ops.relu(above)
    a, d, h = (ops.expm1(ops.clip(x, width, 0.0)) for x in (below, above, width))
    share = ops.sigmoid(r)
    c = 1.0 + d * (1.0 - share)
    uh = uniforms * h
    x = ops.log1p((a * c - uh) / (c + uh * share))
    x = ops.where(uniforms == 0, 0.0, x)
    return ops.clip(loc, bottom, top) + scale * x
