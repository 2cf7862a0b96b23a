"""The logistic distribution of a pixel value."""

from keras import ops

from pixelcnn_aux.backend import tfp

tfd = tfp.distributions

TAIL = 40.0  # in scales: exp(-TAIL) is nothing beside 1, in float64 too


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

        With `a` and `b` the edges of the cut in scales from the location and `w = b - a`, the quantile `u`
        lies so many scales above the lower edge:

        ```none
        log(1 + u (exp(w) - 1) sigmoid(-b)) - log(1 - u (1 - exp(-w)) sigmoid(b))
        ```

        This loses nothing where the cut is far out in a tail, nor where it is narrow for the scale.

        Args:
          uniforms: tensor of the distribution's dtype, in [0, 1); 0 for the lower edge.
          low, high: as for `log_mass`.

        Returns:
          Tensor of the shape that they broadcast to, whole values from `low` to `high`.
        """
        # The end values have the tails, which are cut where next to nothing is left of them.
        tail = TAIL * self.scale
        bottom = ops.where(low > 0, low - 0.5, ops.minimum(self.loc, -0.5) - tail)
        top = ops.where(high < 255, high + 0.5, ops.maximum(self.loc, 255.5) + tail)
        width, b = (top - bottom) / self.scale, (top - self.loc) / self.scale
        share = ops.expm1(-width)  # in [-1, 0)
        above = ops.softplus(ops.log(uniforms) + width + ops.log(-share) - ops.softplus(b))
        above -= ops.log1p(uniforms * share * ops.sigmoid(b))
        return ops.clip(ops.round(bottom + self.scale * above), low, high)
