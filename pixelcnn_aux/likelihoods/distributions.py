"""The discretized logistic, and mixtures of it, as distributions of TensorFlow Probability."""

import keras

from pixelcnn_aux.base import backend
from pixelcnn_aux.base.arguments import Tensor
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.likelihoods.logistic import Logistics

if backend.NAME == "tensorflow":
    import tensorflow_probability as tfp
else:
    import jax
    import tensorflow_probability.substrates.jax as tfp

tfd, ParameterProperties = tfp.distributions, tfp.util.ParameterProperties


def seed_words(seed):
    """A seed of `sample` as int32 [2]; a key of JAX as uint32."""
    seed = tfp.random.sanitize_seed(seed)
    return seed if backend.NAME == "tensorflow" else jax.random.key_data(seed)


class DiscretizedLogistic(tfp.distributions.Distribution):
    """Logistic distribution rounded to the pixel values 0, 1, ..., num_values - 1; 255 below.

    With `a = (y + 0.5 - loc) / scale`, `b = (y - 0.5 - loc) / scale`, tails in the end bins:

    ```none
    P(0)   = sigmoid(a)
    P(y)   = sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(-1 / scale))
    P(255) = sigmoid(-b)
    ```

    An interval of values has the same form, over a wider bin. The product keeps every logarithm and its
    gradient finite where the difference cancels to zero.

    ```python
    dist = DiscretizedLogistic(loc=[100.0, 300.0], scale=5.0)
    dist.prob([100.0, 255.0])  # [0.05, 0.9999]
    ```

    #### References

    [1]: Tim Salimans, Andrej Karpathy, Xi Chen, Diederik P. Kingma. PixelCNN++: Improving the
         PixelCNN with Discretized Logistic Mixture Likelihood and Other Modifications. _ICLR_,
         2017.
    """

    def __init__(
        self,
        loc: Tensor,
        scale: Tensor,
        num_values: int = 256,
        *,
        name: str = "DiscretizedLogistic",
    ):
        """Constructs distributions over `num_values` pixel values, with locations and scales in pixels.

        The dtype is that of `loc`. Raises ValueError if the shapes do not broadcast.
        """
        parameters = dict(locals())
        self.loc = keras.ops.convert_to_tensor(loc)
        self.scale = keras.ops.convert_to_tensor(scale, dtype=self.loc.dtype)
        self.num_values = num_values
        pairs = zip(reversed(self.loc.shape), reversed(self.scale.shape))
        fits = all(a == b for a, b in pairs if a not in (1, None) and b not in (1, None))
        received = f"loc.shape={self.loc.shape}, scale.shape={self.scale.shape}"
        remedy = "Reshape one of them"
        expect(fits, "`loc` and `scale` of shapes that broadcast", received, remedy)
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
        positive = ParameterProperties(default_constraining_bijector_fn=tfp.bijectors.Softplus)
        return {"loc": ParameterProperties(), "scale": positive}

    def _event_shape(self):
        return self.batch_shape[:0]  # (), in the backend's type of shapes

    def _log_prob(self, value):
        return self.log_mass(value, value)

    def log_mass(self, low: Tensor, high: Tensor) -> Tensor:
        """Log-probability of the values from `low` to `high`, inclusive, in nats; the gradient is finite too.

        If `low` and `high`, of the distribution's dtype, are not whole, the bin is from `low` - 0.5 to
        `high` + 0.5, with a tail where the nearest whole number is the first or last value.
        """
        return Logistics(self.loc, self.scale, self.num_values).log_mass(low, high)


def mixture(logits: Tensor, logistics: Logistics) -> tfp.distributions.Distribution:
    """Mixtures of K components, logits [..., K], over a pixel's C channels, logistics [..., K, C]."""
    components = tfd.Independent(DiscretizedLogistic(*logistics), reinterpreted_batch_ndims=1)
    return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), components)
