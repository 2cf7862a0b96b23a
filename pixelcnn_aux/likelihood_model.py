"""A Keras model whose loss is its likelihood, and which is saved as the parts that it consists of."""

import importlib.util
from typing import Any, NoReturn

import keras

from pixelcnn_aux import arguments, backend, networks, serialization
from pixelcnn_aux.annotations import PathLike
from pixelcnn_aux.bounds import Bounds
from pixelcnn_aux.conditions import Condition
from pixelcnn_aux.inputs import Inputs
from pixelcnn_aux.likelihoods import Likelihood
from pixelcnn_aux.sums import FixedSum

# How a saved file names the loss that is the model's own.
_OWN_LOSS = "likelihood.bits_per_dim"
# The packages that write a format.
_PACKAGES = {"onnx": "tf2onnx", "openvino": "openvino"}


class LikelihoodModel(keras.Model):
    """What Keras asks of a `Factor`, beside its outputs: how it is described, compiled and compared.

    A subclass's constructor takes `likelihood`, `network`, `embedding`, `auxiliary_likelihood`, `fixed_sum`
    and `condition`, and it has them as attributes, and a method `_bounds`.
    """

    def build(self, *shapes):
        """Leaves it to the layers, which are built as they are called."""

    def get_build_config(self):
        return None  # The constructor builds it.

    def get_config(self):
        condition = self.condition and {"condition": serialization.serialize(self.condition)}
        return {
            **super().get_config(),
            "likelihood": serialization.serialize(self.likelihood),
            "network": _unnamed(serialization.serialize(self.network)),
            "embedding": _unnamed(serialization.serialize(self.embedding)),
            "auxiliary_likelihood": serialization.serialize(self.auxiliary_likelihood),
            "fixed_sum": serialization.serialize(self.fixed_sum),
            **(condition or {}),
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
            "condition": Condition,
        }
        parts = {
            name: serialization.deserialize(config.get(name), kind) for name, kind in kinds.items()
        }
        return cls(**{**config, **parts})

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """As Keras's. The loss, unless another one is given, is the bits per dimension.

        Metrics are then functions of images and the parameters of their pixels' distributions, or of a
        subclass of `keras.metrics.Metric`. Raises ValueError for Keras's own, which would compare the two.
        """
        asked = [x for x in keras.tree.flatten([metrics, weighted_metrics]) if _is_of_keras(x)]
        if asked and self._is_own(loss):
            raise ValueError(
                "Expected metrics as functions of (images, parameters of their pixels' distributions), or of "
                f"a class of your own. Received: {arguments.shown(asked[0])}, which would compare the two. "
                "Leave it out: the loss is the bits per dimension."
            )
        super().compile(optimizer, loss, loss_weights, metrics, weighted_metrics, **kwargs)

    def _is_own(self, loss):
        return loss is None or loss == self.likelihood.bits_per_dim

    def get_compile_config(self):
        config = super().get_compile_config()
        if config and self._is_own(self.loss):
            config["loss"] = _OWN_LOSS  # a method: it comes back with the factor
        return config

    def compile_from_config(self, config):
        own = config.get("loss") == _OWN_LOSS
        config = keras.saving.deserialize_keras_object({**config, "loss": None} if own else config)
        self.compile(**config)
        self.optimizer.build(self.trainable_variables)

    def save(self, filepath: PathLike, *args: Any, **kwargs: Any) -> None:
        """As Keras's. Raises ValueError for HDF5 files, which would not load."""
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                f"Expected a name that ends in .keras. Received: {filepath}, of a format that does not hold "
                "registered classes. Give such a name."
            )
        super().save(filepath, *args, **kwargs)

    def quantize(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises NotImplementedError: Keras quantizes none of these layers."""
        raise NotImplementedError(
            "Expected layers that Keras quantizes. Received: weight-normalized convolutions. Quantize an "
            "export: onnxruntime.quantization.quantize_dynamic. Or compute in mixed precision: "
            'model.new_factor(name, "mixed_bfloat16").'
        )

    def export(
        self,
        filepath: PathLike,
        format: str = "tf_saved_model",
        verbose: Any = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """As Keras's: writes `call`, which gives what `params` does, for inference without this package.

        Args:
          filepath: path: of a folder for a SavedModel, of a file .onnx, .xml for OpenVINO.
          format: "tf_saved_model", "onnx", "openvino", or another one of Keras.
          verbose, **kwargs: as Keras's.
          input_signature: as Keras's; None for inputs of any size, named as the fields of `Inputs`: `images`,
            uint8 [B, H, W, C], and those of `auxiliary`, uint8 [B, h, w, c], and `condition` that the factor
            takes.

        Raises:
          ImportError: without the package that writes the format.
          RuntimeError: under another backend than TensorFlow.
          ValueError: for another format, or what is no path.
        """
        backend.require_tensorflow("exports")
        package = _PACKAGES.get(format)
        if package and importlib.util.find_spec(package) is None:
            raise ImportError(
                f"Expected {package}, which writes the format {format}. Received: no such package. "
                f"Run pip install {package}."
            )
        if input_signature is None:
            kinds = {"images": self.likelihood, "auxiliary": self.auxiliary_likelihood}
            specs = {
                name: keras.InputSpec(
                    arguments.pixel_dtype(kind.num_values),
                    (None, None, None, kind.num_channels),
                    name=name,
                )
                for name, kind in kinds.items()
                if kind is not None
            }
            input_signature = [tuple(specs.values())] if len(specs) > 1 else [*specs.values()]
            if self.condition is not None:
                shape = (None, *self.condition.shape)
                spec = keras.InputSpec(self.condition.dtype, shape, name="condition")
                input_signature = [{**specs, "condition": spec}]  # by name: some may be missing
        path = str(arguments.path("filepath", filepath))
        super().export(path, format, verbose, input_signature, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if not self._is_own(self.loss):
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


def _is_of_keras(metric):
    return isinstance(metric, str) or type(metric).__module__.startswith("keras.")


def _unnamed(description):
    """The description of a network without its name, which counts how many this process has made."""
    if description is None:
        return None
    config = {key: value for key, value in description["config"].items() if key != "name"}
    return {**description, "config": config}
