"""A Keras model whose loss is its likelihood, and which is saved as the parts that it consists of."""

import keras

from pixelcnn_aux import networks, serialization
from pixelcnn_aux.bounds import Bounds
from pixelcnn_aux.inputs import Inputs
from pixelcnn_aux.likelihoods import Likelihood
from pixelcnn_aux.sums import FixedSum

# How a saved file names the loss that is the model's own.
_OWN_LOSS = "likelihood.bits_per_dim"


class LikelihoodModel(keras.Model):
    """What Keras asks of a `Factor`, beside its outputs: how it is described, compiled and compared.

    A subclass's constructor takes `likelihood`, `network`, `embedding`, `auxiliary_likelihood` and
    `fixed_sum`, and it has them as attributes, and a method `_bounds`.
    """

    def build(self, *shapes):
        """Leaves it to the layers, which are built as they are called."""

    def get_build_config(self):
        return None  # The constructor builds it.

    def get_config(self):
        return {
            **super().get_config(),
            "likelihood": serialization.serialize(self.likelihood),
            "network": _unnamed(serialization.serialize(self.network)),
            "embedding": _unnamed(serialization.serialize(self.embedding)),
            "auxiliary_likelihood": serialization.serialize(self.auxiliary_likelihood),
            "fixed_sum": serialization.serialize(self.fixed_sum),
        }

    @classmethod
    def from_config(cls, config):
        """The factor that `get_config` described, randomly initialized.

        Raises ValueError for a description that names a class which is not registered.
        """
        kinds = {
            "likelihood": Likelihood,
            "network": networks.Network,
            "embedding": networks.Embedding,
            "auxiliary_likelihood": Likelihood,
            "fixed_sum": FixedSum,
        }
        parts = {
            name: serialization.deserialize(config.get(name), kind) for name, kind in kinds.items()
        }
        return cls(**{**config, **parts})

    def get_compile_config(self):
        config = super().get_compile_config()
        if config and self.loss == self.likelihood.bits_per_dim:
            config["loss"] = _OWN_LOSS  # a method: it comes back with the factor
        return config

    def compile_from_config(self, config):
        if config.get("loss") != _OWN_LOSS:
            super().compile_from_config(config)
            return
        others = {name: value for name, value in config.items() if name != "loss"}
        others = keras.saving.deserialize_keras_object(others)
        self.compile(loss=self.likelihood.bits_per_dim, **others)
        self.optimizer.build(self.trainable_variables)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if self.loss not in (None, self.likelihood.bits_per_dim):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        inputs = Inputs.of(x)
        known = (inputs.images, *(self._bounds(inputs, self.fixed_sum) or ()))
        return BitsPerDim(self.likelihood, self.variable_dtype)(known, y_pred, sample_weight)


class BitsPerDim(keras.losses.Loss):
    """`Likelihood.bits_per_dim` of images and, if anything, their `Bounds`.

    Args:
      likelihood: `Likelihood`.
      dtype: str, that of the parameters, in which it is computed.
    """

    def __init__(self, likelihood, dtype):
        super().__init__(dtype=dtype)
        self._likelihood = likelihood

    def call(self, known, params):
        images, *bounds = known
        return self._likelihood.bits_per_dim(images, params, Bounds(*bounds) if bounds else None)


def _unnamed(description):
    """The description of a network without its name, which counts how many this process has made."""
    if description is None:
        return None
    config = {key: value for key, value in description["config"].items() if key != "name"}
    return {**description, "config": config}
