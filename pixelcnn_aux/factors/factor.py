"""Factor: one conditional distribution p(x | x_hat) of the chain, a Keras model."""

import functools
import importlib.util
from collections.abc import Callable
from typing import Any, NoReturn, Self

import keras
import numpy as np
from keras import ops

from pixelcnn_aux import conditions, layers, networks, summaries
from pixelcnn_aux.base import arguments, arrays, backend, serialization
from pixelcnn_aux.base.arguments import ArrayLike, PathLike, Tensor
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.inputs import Inputs
from pixelcnn_aux.conditions import Condition
from pixelcnn_aux.factors import causality, checks
from pixelcnn_aux.factors.array_factor import ArrayFactor
from pixelcnn_aux.factors.conditional import PARTS, Conditional, compiled
from pixelcnn_aux.likelihoods import Likelihood
from pixelcnn_aux.sums import Bounds, FixedSum

# The name of a factor's own loss in saved files.
_OWN_LOSS = "likelihood.bits_per_dim"
# Packages that write export formats.
_PACKAGES = {"onnx": "tf2onnx", "openvino": "openvino"}


@serialization.register()
class Factor(Conditional, keras.Model):
    """p(x | x_hat) = network(x; f_w(x_hat)), or p(x) for an unconditional factor: equation (3).

    A Keras model from `Inputs`, or a tuple or dict of their fields, or images alone, to the parameters of the
    pixels' distributions. A call evaluates one batch; `log_prob` and `params` evaluate any number of images
    in batches. Plain Keras trains and saves it:

        factor.compile("adam", jit_compile=False)
        factor.fit(batches)   # of ((images, auxiliary), images), or of (images, images)
        factor.save("factor.keras")

    The default loss is the bits per dimension of the images, given the sum that x_hat fixes.

    Images are uint8 if their likelihood has up to 256 values, and uint16 if more.

    Args:
      likelihood: `Likelihood` of the pixels of x.
      network: `networks.Network` with `likelihood.num_params` output channels.
      embedding: `networks.Embedding`, f_w; None for an unconditional factor.
      auxiliary_likelihood: `Likelihood` of x_hat, for its channels and number of pixel values; None for an
        unconditional factor.
      fixed_sum: `sums.FixedSum`, the sum of pixel values that x_hat fixes and the likelihood uses; None as in
        the paper.
      condition: `conditions.Condition` of the whole image, such as its class; None as in the paper. The
        networks' blocks take it, and methods as the third field of `Inputs`.

    Attributes: those of `Conditional`, and
      mixes_precisions: bool, whether it supports mixed-precision policies.
      num_parameters: int, also of a factor built within `layers.counting_parameters`, which has no weights.

    Raises:
      ValueError: for parts that do not fit each other, or more than `arguments.MAX_PARAMETERS` parameters.
    """

    mixes_precisions = is_keras = True

    def __init__(
        self,
        likelihood: Likelihood,
        network: networks.Network,
        embedding: networks.Embedding | None = None,
        *,
        auxiliary_likelihood: Likelihood | None = None,
        fixed_sum: FixedSum | None = None,
        condition: Condition | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self._array_factor: ArrayFactor | None = None  # the last result of `plain`
        self.likelihood = likelihood
        self.network = self._as_module(network)
        self.embedding = self._as_module(embedding)
        self.auxiliary_likelihood = auxiliary_likelihood
        self.fixed_sum = fixed_sum
        self.condition = condition
        checks.check_parts(self)
        backend.check_policy(self)
        self.build()  # else Keras 3.12 needs shapes of inputs that are None
        inputs, context = self.smallest_inputs(), layers.current()
        with layers.counting_parameters() as counted:
            backend.build(self, inputs)
        self.num_parameters = sum(count for count, _ in counted.values())
        arguments.at_most_parameters(self.name, self.num_parameters)
        if context.counts is None:
            zeros = context.before_weights is not None and context.before_weights(self)
            with self.conditioned(inputs.condition), layers.context(zeros=zeros):
                for layer, (_, shapes) in counted.items():
                    if not layer.built:
                        layer.build(shapes)
            self._check_takes_condition()
            modules = (type(part.module).__module__ for part in self.networks())
            if not all(name.startswith("pixelcnn_aux.") for name in modules):
                array_factor = ArrayFactor.of(self)
                checks.check_layers(array_factor)
                if self.network.check_causality:
                    causality.check(array_factor)

    def _as_module(self, part):
        """A network as a Keras model, built from its description unless it is one."""
        if not isinstance(part, networks.Module) or isinstance(part, keras.Model):
            return part
        return layers.made(part, self.dtype_policy, self.rounded)

    def _check_takes_condition(self):
        for part in self.networks() if self.condition else ():
            expect(
                any(layer.h is not None for layer in layers.normalized_layers(part)),
                f"blocks, which take the condition, in the networks of the factor {self.name!r}",
                f"none in {type(part).__name__}",
                "Build it with networks.GatedResidualBlock, or without a condition",
            )

    def with_fixed_sum(self, fixed_sum: FixedSum | None) -> Self:
        """A factor of the same networks, not copies, with another sum, or None."""
        parts = {name: getattr(self, name) for name in PARTS} | {"fixed_sum": fixed_sum}
        return type(self)(**parts, name=self.name, dtype=self.dtype_policy)

    def __repr__(self):
        return summaries.factor_line(self)

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Prints the layers, their output shapes for H x W images and their parameters by `print_fn`."""
        print_fn(summaries.factor_table(self))

    # Networks.

    def call(self, inputs, training=None):
        backend.check_not_forked()
        inputs = Inputs.of(inputs)
        self.check_takes(inputs.auxiliary)
        with self.conditioned(inputs.condition):
            features = ()
            if inputs.auxiliary is not None:
                features = self._embed(inputs.auxiliary, training)
            return self.network(self.seen(inputs), features, training=training)  # [B, H, W, P]

    def conditioned(self, condition: Tensor | None) -> Any:
        """Context manager that gives the networks a condition [B, ...], or None."""
        if (self.condition is None) != (condition is None):
            conditions.checked(self.condition, condition)  # raises
        return layers.context(condition=self.condition and self.condition.encode(condition))

    def _embed(self, auxiliary, training=False):
        return self.embedding(self.seen_auxiliary(auxiliary), training=training)

    def as_keras(self) -> Self:
        return self

    def keras_class(self) -> Any:
        return type(self)

    def description(self) -> Any:
        described = serialization.serialize(self)
        serialization.check(described)
        return described

    @functools.cached_property
    def variables_by_path(self) -> dict[str, dict[str, Any]]:
        """The variables of "network" and "embedding", by their paths in these, named as in files."""
        named = {}
        for name, part in self.named_networks().items():
            depth, weights = 1 + part.path.count("/"), serialization.named_weights(part)
            named[name] = {"/".join(path.split("/")[depth:]): x for path, x in weights.items()}
        return named

    def named_arrays(self) -> dict[str, np.ndarray]:
        """The weights, by their names in a file of weights."""
        weights = serialization.named_weights(self)
        return {name: np.asarray(weight.value) for name, weight in weights.items()}

    def plain(self) -> ArrayFactor:
        if self.is_recording():
            return self.symbolic()
        # Normalizing weights takes longer than finding out that they are the same.
        self._array_factor = ArrayFactor.of(self, self._array_factor)
        return self._array_factor

    def symbolic(self) -> ArrayFactor:
        return ArrayFactor.symbolic_of(self)

    def is_recording(self) -> bool:
        return backend.is_recording(self)

    def needs_tensors(self) -> bool:
        return self.compute_dtype != self.variable_dtype or self.is_recording()

    @compiled
    def _features(self, inputs):
        if arrays.is_plain(inputs.auxiliary) and not self.needs_tensors():
            return self.plain()._features.uncompiled(inputs)
        with self.conditioned(inputs.condition):
            return [ops.cast(x, self.variable_dtype) for x in self._embed(inputs.auxiliary)]

    def _evaluated(self, inputs):
        if arrays.is_plain(inputs.images) and not self.needs_tensors():
            return self.plain()._evaluated(inputs)
        return self(inputs, training=False)

    @compiled
    def _group_log_prob(self, inputs, conditions):
        if arrays.is_plain(inputs.images):
            return super()._group_log_prob(inputs, conditions)
        function = functools.partial(self._log_prob_given, inputs)
        return ops.transpose(ops.vectorized_map(function, conditions))

    # Draws.

    def check_scannable(self) -> None:
        """Raises ValueError in mixed precision, which is not evaluated pixel by pixel."""
        expected = "a factor in float32 or float64, to be evaluated pixel by pixel"
        remedy = 'Give its weights to one of model.new_factor(name, "float32")'
        expect(self.compute_dtype == self.variable_dtype, expected, self.dtype_policy.name, remedy)

    # Training and saving by Keras.

    def initialize_from_data(
        self, images: ArrayLike | Inputs, auxiliary: ArrayLike | None = None
    ) -> None:
        """Fits `g` and `b` of every layer to a batch: see `layers.Context`. Raises ValueError as `log_prob`.

        Call it once, eagerly, before training; under a strategy, inside its scope.
        """
        inputs = self.inputs(images, auxiliary)
        expected = "images to fit the first weights to"
        expect(inputs.images.shape[0] != 0, expected, "none", "Give a batch of them")
        with layers.context(initialize_from_data=True):
            self(inputs, training=False)

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
        return loss is None or loss == self.likelihood.bits_per_dim

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if not self._is_own(self.loss):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        inputs = Inputs.of(x)
        images_and_bounds = (inputs.images, *(self._bounds(inputs, self.fixed_sum) or ()))
        loss = BitsPerDim(self.likelihood, self.variable_dtype)
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
        """Does nothing: the constructor builds the layers."""

    def get_build_config(self):
        return None

    def get_config(self):
        parts = {name: getattr(self, name) for name in PARTS}
        own = {name: part.module for name, part in self.named_networks().items()}
        parts = {name: serialization.serialize(x) for name, x in {**parts, **own}.items()}
        config = backend.layer_config(self)
        for name in own:
            shared = {x: config[x] for x in ("trainable", "dtype")}
            parts[name]["config"] = {**shared, **parts[name]["config"]}
        if self.condition is None:
            del parts["condition"]
        return {**config, **parts}

    @classmethod
    def from_config(cls, config):
        """The factor of a `get_config`, randomly initialized. Raises ValueError for an invalid one."""
        serialization.check_entries(cls.__name__, config, serialization.arguments_of(cls))
        parts = {x: serialization.deserialize(config.get(x), kind) for x, kind in PARTS.items()}
        return cls(**{**config, **parts})

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
            likelihoods = {"images": self.likelihood, "auxiliary": self.auxiliary_likelihood}
            specs = {}
            for name, likelihood in likelihoods.items():
                if likelihood is not None:
                    dtype = arguments.pixel_dtype(likelihood.num_values)
                    shape: Any = (None, None, None, likelihood.num_channels)
                    specs[name] = keras.InputSpec(dtype, shape, name=name)
            input_signature = [tuple(specs.values())] if len(specs) > 1 else [*specs.values()]
            if self.condition is not None:
                shape = (None, *self.condition.shape)
                spec = keras.InputSpec(self.condition.dtype, shape, name="condition")
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
