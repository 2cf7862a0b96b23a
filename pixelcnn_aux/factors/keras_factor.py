"""KerasFactor: a Keras model that owns the variables of a factor, to train it."""

import importlib.util
from typing import Any, NoReturn

import keras
from keras import ops

from pixelcnn_aux.base import arguments, backend, serialization
from pixelcnn_aux.base.arguments import PathLike, Tensor
from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.conditions import checked
from pixelcnn_aux.factors.factor import NAMES, Factor
from pixelcnn_aux.factors.inputs import Inputs
from pixelcnn_aux.layers import ModuleLayer
from pixelcnn_aux.sums import Bounds

# The name of a factor's own loss in saved files.
_OWN_LOSS = "likelihood.bits_per_dim"
# Packages that write export formats.
_PACKAGES = {"onnx": "tf2onnx", "openvino": "openvino"}
# Files of earlier versions name these classes, and are refused with a message.
keras.saving.get_custom_objects().update(dict.fromkeys(NAMES, Factor))


@serialization.register()
class KerasFactor(keras.Model):
    """The Keras model of a factor, from `Factor.keras_model`: it owns variables, and evaluates the factor.

    It maps `Inputs`, or a tuple or dict of their fields, or images alone, to the parameters of the pixels'
    distributions, float [B, H, W, P]. Plain Keras trains, saves and exports it. The default loss is the bits
    per dimension of the images, given the sum that x_hat fixes. Variables, layers and the model may be
    frozen by `trainable = False`.

    Args:
      factor: `Factor`, whose weights and frozen paths the variables take.
      dtype: str, the factor's dtype, or one of Keras's mixed policies; None for the factor's dtype.

    Attributes:
      network, embedding: `layers.ModuleLayer`s; `embedding` is None for an unconditional factor.
      by_path: dict, path -> `keras.Variable`, in the order of `Factor.weights`.
      seeds: dict, path of a dropout -> `keras.random.SeedGenerator`.

    Raises ValueError for another dtype, or a mixed one of a factor of whole numbers.
    """

    def __init__(self, factor: Factor, dtype: str | None = None, **kwargs: Any):
        dtype = factor.dtype if dtype is None else getattr(dtype, "name", dtype)
        choices = (factor.dtype, *(backend.POLICIES if not factor.rounded else ()))
        arguments.choice(f"dtype of the factor {factor.name!r}", dtype, choices)
        backend.check_dtype(factor.dtype)
        super().__init__(dtype=dtype, autocast=False, **{"name": factor.name, **kwargs})
        self._description, self._weights_of = factor.without_weights(), factor.name
        self.network = self._layer(factor, "network")
        self.embedding: Any = self._layer(factor, "embedding") if factor.is_conditional else None
        self.built = True
        for path, variable in self.by_path.items():
            variable.trainable = not factor.is_frozen(path)

    def _layer(self, factor, part):
        module, prefix = factor.definitions[part], f"{part}/"
        layer = ModuleLayer(module, factor.rounded, name=part, dtype=self.dtype_policy)
        recorded, weights = (
            {x.removeprefix(prefix): y for x, y in values.items() if x.startswith(prefix)}
            for values in (factor.recorded, factor.weights)
        )
        own = {x.removeprefix(prefix): y for x, y in factor.keras_layers.items()}
        layer.build_from(recorded, weights, own)
        return layer

    def _parts(self):
        parts = {"network": self.network, "embedding": self.embedding}
        return {name: part for name, part in parts.items() if part is not None}

    @property
    def by_path(self) -> dict[str, Any]:
        parts = self._parts().items()
        return {f"{part}/{path}": x for part, layer in parts for path, x in layer.by_path.items()}

    @property
    def seeds(self) -> dict[str, Any]:
        parts = self._parts().items()
        return {f"{part}/{path}": x for part, layer in parts for path, x in layer.seeds.items()}

    def factor(self) -> Factor:
        """The `Factor` with the present weights, and what is frozen."""
        weights = {path: ops.convert_to_numpy(x.value) for path, x in self.by_path.items()}
        return self._description.with_weights(weights).with_frozen(*self._frozen())

    def _frozen(self):
        """Paths of frozen weights, or the names of parts that are frozen as a whole."""
        paths = self.by_path
        trained = {id(x) for x in self.trainable_variables}
        parts = {path.partition("/")[0] for path, x in paths.items() if id(x) in trained}
        whole = [part for part in self._parts() if part not in parts]
        frozen = (x for x, y in paths.items() if id(y) not in trained)
        return [*whole, *(x for x in frozen if x.partition("/")[0] not in whole)]

    def call(self, inputs: Any, training: bool | None = None, remat: bool = False) -> Tensor:
        backend.check_not_forked()
        inputs, factor = Inputs.of(inputs), self._description
        factor.check_takes(inputs.auxiliary)
        condition = factor.condition
        if (condition is None) != (inputs.condition is None):
            checked(condition, inputs.condition)  # raises
        encoded = condition and condition.encode(inputs.condition)
        options = {"condition": encoded, "training": training, "remat": remat}
        features = []
        if inputs.auxiliary is not None:
            features = self.embedding(factor.embedding_input(inputs.auxiliary), **options)
        return self.network(factor.network_input(inputs), features, **options)

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Keras's `compile`. The default loss is the bits per dimension.

        Metrics are then functions of images and the parameters of their pixels' distributions, or a subclass
        of `keras.metrics.Metric`. Raises ValueError for Keras's own metrics, which would compare the two.
        """
        keras_metrics = [
            metric
            for metric in keras.tree.flatten([metrics, weighted_metrics])
            if isinstance(metric, str) or type(metric).__module__.startswith("keras.")
        ]
        if keras_metrics and self._is_own(loss):
            raise ValueError(
                "Expected metrics as functions of (images, parameters of their pixels' distributions), or of "
                f"a class of your own. Received: {arguments.short_repr(keras_metrics[0])}, one of Keras's, "
                "which would compare the two. Leave it out: the loss is the bits per dimension."
            )
        super().compile(optimizer, loss, loss_weights, metrics, weighted_metrics, **kwargs)

    def _is_own(self, loss):
        return loss is None or loss == self._description.likelihood.bits_per_dim

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if not self._is_own(self.loss):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        inputs, factor = Inputs.of(x), self._description
        images_and_bounds = (inputs.images, *(factor.bounds(inputs, factor.fixed_sum) or ()))
        loss = BitsPerDim(factor.likelihood, self.variable_dtype)
        return loss(images_and_bounds, y_pred, sample_weight)

    def get_compile_config(self):
        config = super().get_compile_config()
        if config and self._is_own(self.loss):
            config["loss"] = _OWN_LOSS  # a method, which the factor restores
        return config

    def compile_from_config(self, config):
        own = config.get("loss") == _OWN_LOSS
        config = keras.saving.deserialize_keras_object({**config, "loss": None} if own else config)
        self.compile(**config)
        self.optimizer.build(self.trainable_variables)

    def build(self, *shapes):
        """Does nothing: the constructor makes the variables."""

    def get_build_config(self):
        return None

    def get_config(self):
        described = {"factor": self._description.description(), "frozen": self._frozen()}
        return {"name": self.name, "dtype": self.dtype_policy.name, **described}

    @classmethod
    def from_config(cls, config):
        """The model of a `get_config`, with random weights. Raises ValueError for an invalid one."""
        config, remedy = {**config}, "Take the file from where it came from again"
        expected, received = "the description of a factor", "one that cannot be built"
        with restated(expected, received, remedy, TypeError, KeyError, AttributeError):
            factor = Factor.described(config.pop("factor")).with_frozen(*config.pop("frozen"))
        return cls(factor, **config)

    def save(self, filepath: PathLike, *args: Any, **kwargs: Any) -> None:
        """Keras's `save`. Raises ValueError for HDF5 files, which would not load."""
        fits, expected = not str(filepath).endswith((".h5", ".hdf5")), "a name that ends in .keras"
        received = f"{filepath}, of a format that does not hold registered classes"
        expect(fits, expected, received, "Give such a name")
        super().save(filepath, *args, **kwargs)

    def quantize(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises NotImplementedError: Keras does not quantize these layers."""
        raise NotImplementedError(
            "Expected layers that Keras quantizes. Received: weight-normalized convolutions. Quantize an "
            "export: onnxruntime.quantization.quantize_dynamic. Or compute in mixed precision: "
            'factor.keras_model("mixed_bfloat16").'
        )

    def export(
        self,
        filepath: PathLike,
        format: str = "tf_saved_model",
        verbose: Any = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Keras's `export` of `call`, which returns `params`, for inference without this package.

        Args:
          filepath: path: of a folder for a SavedModel, of a file .onnx, .xml for OpenVINO.
          format: "tf_saved_model", "onnx", "openvino", or another one of Keras.
          input_signature: None for inputs of any size, named as the factor's fields of `Inputs`.

        Raises:
          ImportError: if the package that writes the format is missing.
          RuntimeError: for backends other than TensorFlow.
          ValueError: for an unknown format, or an invalid path.
        """
        backend.require_tensorflow("exports")
        package = _PACKAGES.get(format)
        fits = package is None or importlib.util.find_spec(package)
        expected, remedy = f"{package}, which writes {format}", f"Run pip install {package}"
        expect(fits, expected, "no such package", remedy, kind=ImportError)
        if input_signature is None:
            factor = self._description
            likelihoods = {"images": factor.likelihood, "auxiliary": factor.auxiliary_likelihood}
            specs = {}
            for name, likelihood in likelihoods.items():
                if likelihood is not None:
                    dtype = arguments.pixel_dtype(likelihood.num_values)
                    shape: Any = (None, None, None, likelihood.num_channels)
                    specs[name] = keras.InputSpec(dtype, shape, name=name)
            input_signature = [tuple(specs.values())] if len(specs) > 1 else [*specs.values()]
            if factor.condition is not None:
                shape = (None, *factor.condition.shape)
                spec = keras.InputSpec(factor.condition.dtype, shape, name="condition")
                input_signature = [
                    {**specs, "condition": spec}
                ]  # by name, since auxiliary images may be missing
        path = str(arguments.path("filepath", filepath))
        super().export(path, format, verbose, input_signature, **kwargs)


class BitsPerDim(keras.losses.Loss):
    """`Likelihood.bits_per_dim` of (images, *bounds), with or without the three `Bounds`, in a dtype."""

    def __init__(self, likelihood, dtype):
        super().__init__(dtype=dtype)
        self._likelihood = likelihood

    def call(self, images_and_bounds, params):
        images, *bounds = images_and_bounds
        return self._likelihood.bits_per_dim(images, params, Bounds(*bounds) if bounds else None)
