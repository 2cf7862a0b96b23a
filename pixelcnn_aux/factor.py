"""Factor: one conditional distribution p(x | x_hat) of the chain, a Keras model."""

import importlib.util
import math
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn, Self

import keras
from keras import ops

from pixelcnn_aux import (
    arguments,
    backend,
    batches,
    checks,
    conditions,
    layers,
    networks,
    serialization,
    summaries,
)
from pixelcnn_aux.arguments import ArrayLike, PathLike, Tensor
from pixelcnn_aux.conditions import Condition
from pixelcnn_aux.inputs import Inputs
from pixelcnn_aux.likelihoods import Likelihood
from pixelcnn_aux.scanning import TileScan, groups
from pixelcnn_aux.sums import Bounds, FixedSum, Remainders

# How a saved file names the loss that is the model's own.
_OWN_LOSS = "likelihood.bits_per_dim"
# The packages that write a format.
_PACKAGES = {"onnx": "tf2onnx", "openvino": "openvino"}


class PixelNats(NamedTuple):
    """What a factor says of each pixel given the pixels before it and x_hat: float [B, H, W], in nats."""

    log_prob: Tensor  # log p(pixel)
    bound: Tensor  # the same as if the factor were not exact
    entropy: Tensor  # what -log p(pixel) was expected to be: `Likelihood.entropy`


@serialization.register()
class Factor(keras.Model):
    """p(x | x_hat) = PixelCNN(x; f_w(x_hat)), or p(x) where nothing is given: equation (3).

    A Keras model from `Inputs`, or a tuple or dict of their fields, or images alone, to the parameters of the
    pixels' distributions. A call evaluates all images at once; `log_prob` and the other methods take any
    number of them and evaluate them in batches. Plain Keras trains and saves it:

        factor.compile("adam", jit_compile=False)
        factor.fit(batches)   # of ((images, auxiliary), images), or of (images, images)
        factor.save("factor.keras")

    The loss, where `compile` is given no other, is the bits per dimension of the images, given what x_hat
    says about them.

    Images are uint8 where their likelihood is of up to 256 values, and uint16 where it is of more.

    Args:
      likelihood: `Likelihood` of the pixels of x.
      network: `networks.Network` with `likelihood.num_params` output channels.
      embedding: `networks.Embedding`, f_w; None for an unconditional factor.
      auxiliary_likelihood: `Likelihood` of x_hat, for its channels and number of pixel values; None
        for an unconditional factor.
      fixed_sum: `sums.FixedSum`, what x_hat tells of x and the likelihood is to know; None for nothing, as in
        the paper.
      condition: `conditions.Condition`, what else is known of the image; None for nothing, as in the paper.
        It comes to the networks' gated blocks, and methods take it as the third of the fields of `Inputs`.

    Attributes:
      mixes_precisions: bool, whether it may compute in a policy of mixed precision.
      exact: bool, whether images have no probability where x_hat is not theirs. log p(x | x_hat) is exact
        then, and not a bound.
      auxiliary_ratio: int, the height of x over that of x_hat.
      num_parameters: int. A factor that is built within `layers.counting_parameters` has no weights.

    Raises:
      ValueError: for parts that do not fit each other, or more than `arguments.MAX_PARAMETERS` parameters.
    """

    mixes_precisions = True

    def __init__(
        self,
        likelihood: Likelihood,
        network: networks.Network,
        embedding: networks.Embedding | None = None,
        auxiliary_likelihood: Likelihood | None = None,
        fixed_sum: FixedSum | None = None,
        condition: Condition | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.likelihood = likelihood
        self.network = network
        self.embedding = embedding
        self.auxiliary_likelihood = auxiliary_likelihood
        self.fixed_sum = fixed_sum
        self.condition = condition
        checks.check_parts(self)
        with layers.counting_parameters() as counts:
            self._evaluate_smallest()
        self.num_parameters = sum(counts.values())
        arguments.at_most_parameters(self.name, self.num_parameters)
        if layers.current().counts is None:
            with layers.context(build_only=True):
                self._evaluate_smallest()
            checks.check_takes_condition(self)

    def _evaluate_smallest(self):
        """Evaluates the networks on the smallest images that they take."""
        side, auxiliary = self.network.multiple, None
        if self.embedding is not None:
            side = math.lcm(side, self.embedding.multiple * self.auxiliary_ratio)
            small = side // self.auxiliary_ratio
            shape = [1, small, small, self.auxiliary_likelihood.num_channels]
            auxiliary = ops.zeros(
                shape, arguments.pixel_dtype(self.auxiliary_likelihood.num_values)
            )
        shape = [1, side, side, self.likelihood.num_channels]
        images = ops.zeros(shape, arguments.pixel_dtype(self.likelihood.num_values))
        condition = self.condition and ops.convert_to_tensor(self.condition.unknown(1))
        self(Inputs(images, auxiliary, condition))

    @property
    def auxiliary_ratio(self) -> int:
        return 1 if self.embedding is None else self.network.side * self.embedding.ratio

    @property
    def radius(self) -> int | None:
        """How many blocks of an image the networks see in each direction; None where that is not known."""
        seen = [part.radius for part in self.parts()]
        return None if None in seen else sum(seen)

    @property
    def exact(self) -> bool:
        return self.fixed_sum is not None and self.fixed_sum.exact

    def __repr__(self):
        return summaries.factor_line(self)

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Prints a table of the layers, with their outputs for images of H x W and their parameters.

        Args:
          print_fn: function of a str, which prints it.
        """
        print_fn(summaries.factor_table(self))

    def with_fixed_sum(self, fixed_sum: FixedSum | None) -> Self:
        """A factor of the same networks, not copies, that knows another sum, or none."""
        parts = (self.likelihood, self.network, self.embedding, self.auxiliary_likelihood)
        how = {"name": self.name, "dtype": self.dtype_policy}
        return type(self)(*parts, fixed_sum, self.condition, **how)

    def parts(self) -> list[Any]:
        """The networks that the factor consists of."""
        return [self.network] if self.embedding is None else [self.network, self.embedding]

    def call(self, inputs, training=None):
        images, auxiliary, condition = Inputs.of(inputs)  # uint8 [B, H, W, C], [B, h, w, c]
        centers = self.fixed_sum.centers(images, auxiliary) if self.likelihood.centered else None
        x = self.network_inputs(images, centers)  # float [B, H, W, C]
        with self.given(condition):
            features = () if auxiliary is None else self._embed(auxiliary, training)
            return self.network(x, features, training=training)  # [B, H, W, P]

    def network_inputs(self, pixels: Tensor, centers: Tensor = None) -> Tensor:
        """What the network sees of pixels.

        Args:
          pixels: [..., C], whole values in any dtype.
          centers: float [..., C] or [..., 1], as from `FixedSum.centers`; only if the likelihood is centered.

        Returns:
          float [..., C]: the values `scaled`. If the likelihood is centered, their distances from the centers
          in its units: x_hat has told the rest, beside which these would hardly be seen.
        """
        if not self.likelihood.centered:
            return self.scaled(pixels)
        deviations = ops.cast(pixels, self.variable_dtype) - ops.cast(centers, self.variable_dtype)
        return deviations / self.likelihood.unit

    def scaled(self, images: Tensor, likelihood: Likelihood | None = None) -> Tensor:
        """Pixel values 0 .. num_values - 1 -> floats in [-1, 1], as the networks see them."""
        half = ((likelihood or self.likelihood).num_values - 1) / 2
        return (ops.cast(images, self.variable_dtype) - half) / half

    def _embed(self, auxiliary, training=False):
        return self.embedding(self.scaled(auxiliary, self.auxiliary_likelihood), training=training)

    def _bounds(self, inputs, fixed_sum):
        """What a sum says about images: `Bounds`, or None where there is no sum."""
        return fixed_sum and fixed_sum.bounds(inputs.images, inputs.auxiliary)

    def initialize_from_data(
        self, images: ArrayLike | Inputs, auxiliary: ArrayLike | None = None
    ) -> None:
        """Fits `g` and `b` of every layer to a batch: see `layers.Context`.

        Takes and raises what `log_prob` does, and ValueError for no images. To be called once, eagerly,
        before training; under a strategy, inside its scope.
        """
        inputs = self.inputs(images, auxiliary)
        if inputs.images.shape[0] == 0:
            raise ValueError(
                "Expected images to fit the first weights to. Received: none. Give a batch of them."
            )
        with layers.context(initialize_from_data=True):
            self(inputs, training=False)

    def _nats(self, params, inputs, fixed_sum):
        """log p(pixel | those before it, x_hat): [B, H, W]."""
        return self.likelihood.log_prob(params, inputs.images, self._bounds(inputs, fixed_sum))

    @backend.compiled
    def _features(self, inputs):
        with self.given(inputs.condition):
            return self._embed(inputs.auxiliary)

    @backend.compiled
    def _full_params(self, inputs):
        return self(inputs, training=False)

    @backend.compiled
    def _pixel_log_prob(self, inputs):
        return self._nats(self(inputs, training=False), inputs, self.fixed_sum)

    @backend.compiled
    def _log_prob_given(self, inputs, conditions):
        batch = ops.shape(inputs.images)[0]

        def given(condition):
            everywhere = ops.broadcast_to(condition, (batch, *self.condition.shape))
            found = inputs._replace(condition=everywhere)
            nats = self._nats(self(found, training=False), found, self.fixed_sum)
            return ops.sum(nats, axis=(1, 2))

        return ops.transpose(ops.vectorized_map(given, conditions))

    @backend.compiled
    def _log_density(self, inputs):
        (images, auxiliary, _), centers = inputs, None
        if self.likelihood.centered:
            centers = self.fixed_sum.centers(images, auxiliary)
            centers = ops.cast(centers, self.variable_dtype) + ops.zeros_like(images)
        params = self(inputs, training=False)
        return ops.sum(self.likelihood.log_density(params, images, centers), axis=(1, 2))

    @backend.compiled
    def _bound_and_exact(self, inputs):
        return self._both(self(inputs, training=False), inputs)

    def _both(self, params, inputs):
        """`_nats` as if the factor were not exact, and as it is."""
        bounding = self.fixed_sum.with_exact(False) if self.likelihood.centered else None
        return [self._nats(params, inputs, x) for x in (bounding, self.fixed_sum)]

    @backend.compiled
    def _pixel_nats(self, inputs):
        params = self(inputs, training=False)
        bound, nats = self._both(params, inputs)
        bounds = self._bounds(inputs, self.fixed_sum)
        return PixelNats(nats, bound, self.likelihood.entropy(params, inputs.images, bounds))

    def inputs(self, images: ArrayLike | Inputs, auxiliary: ArrayLike | None = None) -> Inputs:
        """`Inputs` that are known to fit the factor: what `call` takes.

        Args:
          images: uint8 [B, H, W, C]; or `Inputs`, or a tuple like it, with all that there is.
          auxiliary: uint8 [B, h, w, c]; None for an unconditional factor.

        Raises:
          ValueError: for images or a condition of another dtype, shape or range, one without the other.
        """
        inputs = Inputs(*images) if isinstance(images, tuple) else Inputs(images, auxiliary)
        return checks.checked_inputs(self, inputs)

    def features(self, auxiliary: ArrayLike, condition: ArrayLike | None = None) -> list[Tensor]:
        """f_w(x_hat): uint8 [B, h, w, c] -> list of float [B, h_k, w_k, F], finest first.

        They are of the dtype that the model computes in.

        Raises ValueError for images or a condition of another dtype, shape or range, or a factor that embeds
        none.
        """
        return _evaluate(self._features, checks.checked_embedded(self, auxiliary, condition))

    def params(
        self,
        images: ArrayLike | Inputs,
        auxiliary: ArrayLike | None = None,
        method: str = "full",
    ) -> Tensor:
        """Parameters of every pixel's distribution given the pixels before it.

        Args:
          images, auxiliary: as for `inputs`.
          method: "full", the network evaluated over whole images; or "incremental", pixel by pixel as
            `AuxiliaryModel.sample` does, with the pixels of `images` in place of draws (teacher forcing):
            equal but for rounding.

        Returns:
          float [B, H, W, P] of the model's dtype.

        Raises:
          ValueError: as `inputs`, for another method, or for "incremental" of a factor in mixed precision.
        """
        arguments.choice("method", method, networks.METHODS)
        evaluate = self._full_params if method == "full" else self.forced_params
        return _evaluate(evaluate, self.inputs(images, auxiliary))

    def log_prob(self, images: ArrayLike | Inputs, auxiliary: ArrayLike | None = None) -> Tensor:
        """log p(x | x_hat) in nats: uint8 [B, H, W, C], uint8 [B, h, w, c] -> float [B] of the model's dtype.

        If `exact`, -inf for images that contradict x_hat.

        Raises ValueError as `inputs`.
        """
        return batches.added_up(self, self._pixel_log_prob, self.inputs(images, auxiliary))

    def log_prob_given(self, inputs: Inputs, conditions: ArrayLike) -> Tensor:
        """`log_prob` of images given each of several conditions: float [B, K].

        What does not depend on a condition is computed once: the first layers up to where a first condition
        is added, auxiliary images' too, and bounds.

        Args:
          inputs: `Inputs`, as from `inputs`, whose condition does not matter. They are one batch.
          conditions: [K, ...], as `conditions` has them.
        """
        return self._log_prob_given(inputs, ops.convert_to_tensor(conditions))

    def log_density(self, inputs: Inputs) -> Tensor:
        """As `log_prob`, of images whose values need not be whole, by which it is differentiable.

        Args:
          inputs: `Inputs` of floats, as from `AuxiliaryModel.moved_inputs`. They are one batch.

        Raises:
          NotImplementedError: for a likelihood without `_log_density`.
          ValueError: for an exact factor.
        """
        if self.exact:
            raise ValueError(
                "Expected a model that is not exact, to evaluate its density. Received: one that is: images "
                "have no probability unless they fit their auxiliary images to the last bit. Ask "
                "model.with_exact(False)."
            )
        return self._log_density(inputs)

    def pixel_log_prob(
        self, images: ArrayLike | Inputs, auxiliary: ArrayLike | None = None
    ) -> Tensor:
        """log p(pixel | the pixels before it, x_hat) in nats: float [B, H, W], which add up to `log_prob`.

        Takes and raises what `log_prob` does, and is of the same dtype.
        """
        return batches.side_by_side(self, self._pixel_log_prob, self.inputs(images, auxiliary))

    def pixel_nats(
        self, images: ArrayLike | Inputs, auxiliary: ArrayLike | None = None
    ) -> PixelNats:
        """`PixelNats` of the model's dtype: also what each pixel was expected to cost.

        Takes and raises what `log_prob` does, and NotImplementedError for a likelihood that does not tell the
        probabilities of a channel's values.
        """
        return batches.side_by_side(self, self._pixel_nats, self.inputs(images, auxiliary))

    def bound_and_exact(
        self, images: ArrayLike | Inputs, auxiliary: ArrayLike | None = None
    ) -> tuple[Tensor, Tensor]:
        """`log_prob` as if the factor were not exact, and as it is, evaluating the networks once.

        Args:
          images, auxiliary: as for `log_prob`.

        Returns:
          float [B] of the model's dtype twice, in nats. They are the same where the factor is not exact.

        Raises:
          ValueError: as `log_prob`.
        """
        return batches.added_up(self, self._bound_and_exact, self.inputs(images, auxiliary))

    def given(self, condition):
        """Within it, the networks are given a condition [B, ...]; None of a factor without one."""
        if (self.condition is None) != (condition is None):
            conditions.checked(self.condition, condition)  # which says what is wrong
        return layers.context(condition=self.condition and self.condition.encode(condition))

    def check_scannable(self):
        """Raises ValueError where the factor cannot be evaluated pixel by pixel: in mixed precision."""
        if self.compute_dtype != self.variable_dtype:
            raise ValueError(
                f"Expected a factor in float32 or float64, to be evaluated pixel by pixel. Received: "
                f'{self.dtype_policy.name}. Give its weights to one of model.new_factor(name, "float32").'
            )

    def scan(
        self, size, batch, auxiliary=None, within=None, method="incremental", keep_params=False
    ):
        """What evaluates the network pixel by pixel, in a graph that is being traced.

        Args:
          size: (H, W), ints.
          batch: B, an int or a scalar tensor.
          auxiliary: uint8 [B, h, w, c], which a factor with a fixed sum needs.
          within: (uint8 [B, H, W, C], uint8 [B, H, W, C]), the least and the most that each value is known to
            be; None where nothing is known.
          method: "incremental", as the network is evaluated step by step; or "full", the whole network again
            for every pixel.
          keep_params: bool, whether to return the parameters that the pixels were decided from.

        Returns:
          A scan of `scanning`, which like this method is to be called within `given`.
        """
        remainders = self.fixed_sum and Remainders(self.fixed_sum, auxiliary, within)
        shape = (*size, self.likelihood.num_channels)
        scan = self.network.scan(method)
        return scan(self.network, self.network_inputs, shape, batch, remainders, keep_params)

    def forced_params(self, inputs):
        """The parameters that a scan meets on its way through given images (teacher forcing).

        Args:
          inputs: `Inputs` that fit.

        Returns:
          float [B, H, W, P].

        Raises:
          ValueError: as `check_scannable`.
        """
        self.check_scannable()
        features = ()
        if inputs.auxiliary is not None:
            features = self.features(inputs.auxiliary, inputs.condition)
        return self._forced_params(features, inputs)

    @backend.compiled
    def _forced_params(self, features, inputs):
        images, auxiliary, condition = inputs
        batch, *size, _ = ops.shape(images)
        with self.given(condition):
            scan = self.scan(size, batch, auxiliary, keep_params=True)
            _, params = scan.decide_each_pixel(features, groups.given_pixels(images))
        return params

    def draw(
        self,
        features,
        noise,
        log_scale_shift,
        auxiliary=None,
        completed=None,
        within=None,
        condition=None,
        method="incremental",
        jit_compile=False,
    ):
        """Draws images.

        Args:
          features: list of float [B, h, w, F], `Factor.features` of the auxiliary images; () for an
            unconditional factor.
          noise: float [B, H, W, noise_size], from `sampling.noise`: `bounded` for a factor with a fixed sum,
            and wherever `within` is given.
          log_scale_shift: float32 [B].
          auxiliary: uint8 [B, h, w, c], the auxiliary images themselves. Only a factor with a fixed sum needs
            them.
          completed: (uint8 [B, H, W, C], uint8 [B, H, W, 1]), pixels that are known, and 1 where they
            are; None where none is.
          condition: as in `Inputs`.
          within, method: as for `scan`.
          jit_compile: bool, whether XLA compiles the loop, once for each B.

        Returns:
          uint8 [B, H, W, C].

        Raises:
          ValueError: as `check_scannable`.
        """
        self.check_scannable()
        if self.fixed_sum is None:
            auxiliary = None
        draw = self._draw_by_xla if jit_compile else self._draw_by_graph
        known = auxiliary, completed, within, condition
        return draw(features, noise, log_scale_shift, known, method)

    def _draw(self, features, noise, log_scale_shift, known, method):
        auxiliary, completed, within, condition = known
        decider = self._draws(noise, log_scale_shift, completed, within)
        batch, *size, _ = ops.shape(noise)
        with self.given(condition):
            scan = self.scan(size, batch, auxiliary, within, method)
            [images] = scan.decide_each_pixel(features, decider)
        return ops.cast(images, arguments.pixel_dtype(self.likelihood.num_values))

    _draw_by_graph = backend.compiled(_draw)
    _draw_by_xla = backend.compiled(_draw, jit_compile=True)

    def _draws(self, noise, log_scale_shift, completed, within):
        """The decider that draws what is not known."""
        decider = groups.draws(self.likelihood, noise, log_scale_shift)
        if completed is not None:
            decider = groups.completion(*completed, decider)
        if within is not None:
            decider = groups.narrowed(*within, decider)
        return decider

    def draw_in_tiles(
        self,
        noise,
        log_scale_shift,
        size,
        auxiliary=None,
        completed=None,
        within=None,
        condition=None,
    ):
        """As `draw`, of a factor that has a radius: in memory that grows with a tile, and traced for no size.

        Args:
          noise: `sampling.Noise`.
          size: (H, W).
          log_scale_shift, auxiliary, completed, within, condition: as for `draw`.
        """
        self.check_scannable()
        scan = TileScan(self, size, len(log_scale_shift), auxiliary, condition, within)
        images = scan.decide_each_pixel(self._draws(noise, log_scale_shift, completed, within))
        return ops.cast(images, arguments.pixel_dtype(self.likelihood.num_values))

    @backend.compiled
    def known_at_first(self, ones, auxiliary, condition):
        """`ParallelPixelCNN.known_at_first` of a tile: `ones` is [B, h, w, 1], of its blocks."""
        with self.given(condition):
            features = () if auxiliary is None else self._embed(auxiliary)
            return self.network.known_at_first(ops.shape(ones)[:3], features)

    @backend.compiled
    def group_params(self, k, known, condition):
        """`ParallelPixelCNN.group_params` of a tile."""
        with self.given(condition):
            return self.network.group_params(k, known)

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
                f"a class of your own. Received: {arguments.short_repr(asked[0])}, which would compare the "
                "two. Leave it out: the loss is the bits per dimension."
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


def _evaluate(method, inputs):
    """What a compiled method gives for `Inputs` of any number of images."""
    images = inputs.auxiliary if inputs.images is None else inputs.images
    return batches.in_batches(method, inputs, images.shape[1:3])


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
