"""Factor: one conditional distribution p(x | x_hat) of the chain, a description and its weights."""

import functools
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, Self

import numpy as np

from pixelcnn_aux import batches, conditions, summaries, sums
from pixelcnn_aux.base import arguments, arrays, rounding, serialization, threads
from pixelcnn_aux.base.arguments import ArrayLike, Config, Tensor
from pixelcnn_aux.base.errors import expect, needs_all
from pixelcnn_aux.base.image_checks import check_images, check_multiple, check_sides_known
from pixelcnn_aux.factors import causality, checks
from pixelcnn_aux.factors.inputs import Inputs
from pixelcnn_aux.factors.weight_rounding import rounded_weights
from pixelcnn_aux.likelihoods import Likelihood
from pixelcnn_aux.networks import (
    Embedding,
    MaskedPixelCNN,
    Network,
    ParallelPixelCNN,
    PixelCNN,
)
from pixelcnn_aux.networks.array_layers import Fitting, Layers, ShapeRecorder, Weight
from pixelcnn_aux.scanning import deciders
from pixelcnn_aux.scanning.diagonals import DiagonalScan, MaskedScan
from pixelcnn_aux.scanning.full import FullScan
from pixelcnn_aux.scanning.groups import GroupScan
from pixelcnn_aux.scanning.requests import METHODS, DrawRequest
from pixelcnn_aux.scanning.rows import RowScan
from pixelcnn_aux.sums import FixedSum

_BAND = 2**17  # pixels of auxiliary images per call of the embedding
# The registered names of descriptions, from when these were two classes: whether rounded.
NAMES = {"pixelcnn_aux>Factor": False, "pixelcnn_aux>RoundedFactor": True}
_DTYPES = ("float32", "float64")
_DERIVED = ("modules", "_layers", "tensors", "_graphs")  # attributes that follow from the others


class PixelNats(NamedTuple):
    """Likelihoods of each pixel given the pixels before it and x_hat: float [B, H, W] each, in nats."""

    log_prob: Tensor  # log p(pixel)
    bound: Tensor  # log p(pixel) if the factor is not exact: the paper's lower bound
    entropy: Tensor  # the expectation of -log p(pixel): `Likelihood.entropy`


class Factor:
    """p(x | x_hat) = network(x; f_w(x_hat)), or p(x) for an unconditional factor: equation (3).

    A description and its weights, which do not change: methods `with_...` return other factors. NumPy
    evaluates it; or TensorFlow or JAX, if they get tensors or are asked for. A Keras model trains it:

        keras_model = factor.keras_model()
        keras_model.compile("adam")
        keras_model.fit(batches)   # of ((images, auxiliary), images), or of (images, images)
        factor = keras_model.factor()

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
      name: str.
      dtype: str, "float32" or "float64", of all floats.
      rounded: bool, whether networks compute with whole numbers times powers of two, whose sums are exact on
        any machine (`base/rounding.py`). Training leaves weights unrounded: gradients pass straight through
        the rounding. `with_rounded_weights` rounds them. The network is then a `ParallelPixelCNN` or
        `MaskedPixelCNN`; the likelihood a mixture, whose unit is a power of two, or a categorical; the
        embedding has no gates; the dtype is float32; there is no condition; a fixed sum is within each
        channel, with centers in quarters of values.

    Attributes: the arguments, and
      definitions: dict, "network" and maybe "embedding" -> `networks.Module` without layers.
      modules: dict, the same with layers.
      network, embedding: those of `modules`.
      weights: dict, path -> np.ndarray. Weights that nobody gave are random: a function of NumPy's global
        seed when the factor was built.
      recorded, keras_layers: see `networks.ShapeRecorder`. A factor whose networks have layers of Keras's is
        evaluated, and drawn from, in graphs.
      frozen: tuple of str, the paths whose weights training leaves as they are: `with_frozen`.
      exact: bool, whether images that contradict x_hat have probability 0, so that log p(x | x_hat) is exact
        and not a bound.
      auxiliary_ratio: int, the height of x over that of x_hat.
      side, radius: those of the network; `radius` that of both networks.

    Raises:
      ValueError: for parts that do not fit each other, more than `arguments.MAX_PARAMETERS` parameters, or a
        network of a class outside of the package that is not causal.
    """

    watch: Callable[[Tensor], None] | None = None  # called with unfinished images, [B, H, W, C]

    def __init__(
        self,
        likelihood: Likelihood,
        network: Network,
        embedding: Embedding | None = None,
        *,
        auxiliary_likelihood: Likelihood | None = None,
        fixed_sum: FixedSum | None = None,
        condition: conditions.Condition | None = None,
        name: str = "factor",
        dtype: str = "float32",
        rounded: bool = False,
    ):
        self.name, self.rounded = name, arguments.flag("rounded", rounded)
        self.dtype = arguments.choice("dtype", dtype, _DTYPES)
        self.likelihood, self.auxiliary_likelihood = likelihood, auxiliary_likelihood
        self.fixed_sum, self.condition = fixed_sum, condition
        parts = {"network": network, "embedding": embedding}
        checks.check_parts(self, parts)
        self.definitions: dict[str, Any] = {k: x for k, x in parts.items() if x is not None}
        self.frozen: tuple[str, ...] = ()
        if rounded:
            checks.check_rounded(self)
        self.recorded, self.keras_layers = self._recorded()
        self.num_parameters = sum(math.prod(weight.shape) for weight in self.shapes.values())
        arguments.at_most_parameters(name, self.num_parameters)
        checks.check_takes_condition(self)
        self._weights: dict[str, np.ndarray] | None = None
        self._seed = np.random.randint(2**31)  # of random weights, drawn when they are needed
        modules = (type(part).__module__ for part in self.definitions.values())
        if network.check_causality and not all(x.startswith("pixelcnn_aux.") for x in modules):
            causality.check(self)

    def _recorded(self):
        inputs = self.smallest_inputs()
        condition = self.condition and self.condition.encode(inputs.condition)
        recorder = ShapeRecorder(self.rounded, condition)
        self.with_layers(recorder)._params_at_once(inputs._replace(condition=None))
        return recorder.recorded, recorder.keras_layers

    @property
    def shapes(self) -> dict[str, Weight]:
        """The shapes of all weights by path, in the order in which layers are made."""
        return {path: x for path, x in self.recorded.items() if isinstance(x, Weight)}

    def __repr__(self):
        return summaries.factor_line(self)

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Prints the layers, their output shapes for H x W images and their parameters by `print_fn`."""
        print_fn(summaries.factor_table(self))

    def __getattr__(self, name: str) -> NoReturn:
        message = f"{type(self).__name__!r} object has no attribute {name!r}"
        if name in _OF_KERAS:
            message = (
                f"Expected an attribute of a factor, which is a description and its weights. Received: "
                f"{name!r}, of Keras. Ask factor.keras_model(), and then model.with_factor("
                "keras_model.factor())."
            )
        raise AttributeError(message)

    def _with(self, **changes):
        """A copy with other attributes; without `_DERIVED` ones, unless they are given."""
        factor = object.__new__(type(self))
        vars(factor).update({x: y for x, y in vars(self).items() if x not in _DERIVED} | changes)
        return factor

    def __getstate__(self):  # for other processes
        return vars(self._with())

    # Weights.

    @property
    def weights(self) -> dict[str, np.ndarray]:
        if self._weights is None:
            random = np.random.default_rng(self._seed)
            self._weights = {x: y.drawn(random).astype(self.dtype) for x, y in self.shapes.items()}
        return self._weights

    def with_weights(self, weights: Mapping[str, ArrayLike]) -> Self:
        """The same factor with other weights, path -> array. Raises ValueError as `misfit` says."""
        if misfit := self.misfit(weights):
            remedy = "Give those of a factor of the same networks"
            expect(False, f"the weights of the factor {self.name!r}", misfit, remedy)
        ordered = {path: np.asarray(weights[path], self.dtype) for path in self.shapes}
        # Graphs take weights as arguments.
        return self._with(_weights=ordered, _graphs=vars(self).setdefault("_graphs", {}))

    def misfit(self, weights: Mapping[str, Any]) -> str:
        """The first weight of another shape than this factor's, that is missing or left over; else ""."""
        for path, weight in self.shapes.items():
            shape = tuple(weights[path].shape) if path in weights else "nothing"
            if shape != weight.shape:
                return f"{shape} instead of {weight.shape} as {path}"
        unknown = weights.keys() - self.shapes.keys()
        return f"{min(unknown):.200}, which no layer has" if unknown else ""

    def with_new_weights(self, seed: int | None = None) -> Self:
        """The same factor with random weights; None for a seed from NumPy's global one."""
        return self._with(_weights=None, _seed=np.random.randint(2**31) if seed is None else seed)

    def fitted_to(self, inputs: Inputs) -> Self:
        """The same factor with `g` and `b` of every layer fitted to a batch of `Inputs`: `networks.Fitting`.

        Raises ValueError for an empty batch.
        """
        expected = "images to fit the first weights to"
        expect(inputs.images.shape[0] != 0, expected, "none", "Give a batch of them")
        layers = Fitting(dict(self.weights), self.rounded, keras_layers=self.keras_layers)
        self.with_layers(layers)._params_at_once(inputs)
        return self.with_weights(layers.weights)

    def with_rounded_weights(self) -> Self:
        """The same factor with weights of whole numbers, which a second rounding leaves unchanged.

        Raises ValueError if it is not `rounded`, or for a layer whose sums could reach 2 ** 24 units.
        """
        remedy = "Make one by pixelcnn_aux.rounded(model)"
        expect(self.rounded, "a factor that computes with whole numbers", self.name, remedy)
        return self.with_weights(rounded_weights(self)[0])

    @property
    def has_rounded_weights(self) -> bool:
        """Whether the weights are whole numbers. Raises ValueError as `with_rounded_weights`."""
        return self.rounded and rounded_weights(self)[1]

    def without_weights(self) -> Self:
        """The same factor, whose weights are random ones again when they are needed."""
        return self._with(_weights=None)

    def with_fixed_sum(self, fixed_sum: FixedSum | None) -> Self:
        """The same factor with another sum, or None; if `rounded`, with centers in quarters of values."""
        fixed_sum = fixed_sum.rounded() if fixed_sum and self.rounded else fixed_sum
        kept = {x: vars(self)[x] for x in ("modules", "_layers", "tensors") if x in vars(self)}
        factor = self._with(fixed_sum=fixed_sum, **kept)
        checks.check_parts(factor, self.definitions)
        return factor

    def with_frozen(self, *paths: str) -> Self:
        """The same factor, of which training leaves some weights as they are.

        Args:
          paths: str, of weights or of what holds them: "embedding", "network/vertical/0_block". None for no
            frozen weights.

        Raises ValueError for a path that holds no weights.
        """
        for path in paths:
            fits = any(_is_within(x, (path,)) for x in self.shapes)
            expected = (
                f"a path of weights of the factor {self.name!r}, such as {next(iter(self.shapes))}"
            )
            expect(fits, expected, repr(path), "Choose among those of factor.weights")
        return self._with(
            frozen=tuple(paths), **{x: y for x, y in vars(self).items() if x in _DERIVED}
        )

    def is_frozen(self, path: str) -> bool:
        """Whether training leaves the weight at a path as it is."""
        return _is_within(path, self.frozen)

    def keras_model(self, dtype: str | None = None) -> Any:
        """A `keras_factor.KerasFactor` with these weights, for training.

        Args:
          dtype: str, the factor's dtype, or one of Keras's mixed policies "mixed_bfloat16" and
            "mixed_float16"; None for the factor's dtype.

        Raises ImportError without Keras, and ValueError for another dtype, or a mixed one of a rounded
        factor.
        """
        with needs_all("training, gradients and graphs"):
            keras_factor = importlib.import_module("pixelcnn_aux.factors.keras_factor")
        return keras_factor.KerasFactor(self, dtype=dtype)

    # Descriptions, in the format of when factors were Keras models.

    def get_config(self) -> Config:
        policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": self.dtype}}
        of_keras = {"trainable": True, "dtype": {**policy, "registered_name": None}}
        parts = {name: serialization.serialize(self._part(name)) for name in checks.PARTS}
        for name in self.definitions:
            parts[name]["config"] = {**of_keras, **parts[name]["config"]}
        if self.condition is None:
            del parts["condition"]
        return {"name": self.name, **of_keras, **parts}

    def _part(self, name):
        return self.definitions.get(name) if name in checks.MODULES else getattr(self, name)

    def description(self) -> Config:
        """The JSON-serializable dict from which `described` builds the factor, without weights."""
        [registered_name] = (name for name, rounded in NAMES.items() if rounded == self.rounded)
        class_name = registered_name.rpartition(">")[2]
        config = self.get_config()
        return {"class_name": class_name, "config": config, "registered_name": registered_name}

    @classmethod
    def described(cls, description: Any, dtype: str | None = None) -> Self:
        """The described factor with random weights, maybe in another dtype.

        Raises ValueError for an invalid description, or a class that is not registered.
        """
        config, name = description["config"], description["config"]["name"]
        class_name = description["registered_name"]
        remedy = "Import the module that defines it (--plugin)"
        expected = f"a class of factors of {[*NAMES]}"
        expect(class_name in NAMES, expected, class_name, remedy)
        rest, parts = {**config}, {}
        for part, cls_of_part in checks.PARTS.items():
            if (description_of_part := rest.pop(part, None)) is not None:
                registered_name = description_of_part["registered_name"]
                fits = serialization.registered_class(registered_name) is not None
                expected = f"the {part} of the factor {name!r} of a class that is registered"
                expect(fits, expected, registered_name, remedy)
            parts[part] = serialization.deserialize(description_of_part, cls_of_part)
        serialization.check_entries(class_name, rest, serialization.OF_KERAS)
        own_dtype = rest["dtype"]
        if isinstance(own_dtype, dict):
            own_dtype = own_dtype["config"]["name"]
        return cls(**parts, name=name, dtype=dtype or own_dtype, rounded=NAMES[class_name])

    @classmethod
    def from_config(cls, config: Config) -> NoReturn:
        """Raises ValueError: only files of earlier versions of the package describe a Keras model so."""
        raise ValueError(
            "Expected a .keras file of a KerasFactor. Received: one of a factor, "
            f"{config.get('name')!r}, which versions up to 0.2 of this package wrote. Load it with that "
            "version, and write its model by model.save, which this version loads."
        )

    # Networks, over arrays or tensors.

    def layers(self, **options: Any) -> Layers:
        """`networks.Layers` over the weights."""
        return self._layers_over(self.weights, **options)

    def _layers_over(self, weights, **options):
        return Layers(weights, self.rounded, keras_layers=self.keras_layers, **options)

    def with_layers(self, layers: Layers) -> Self:
        """The same factor with networks of other `networks.Layers`."""
        return self._with(_layers=layers)

    @functools.cached_property
    def modules(self) -> dict[str, Any]:
        if "_layers" not in vars(self):
            self._layers = self.layers()
        return {name: self._layers.part(name, x) for name, x in self.definitions.items()}

    @property
    def network(self) -> Any:
        return self.modules["network"]

    @property
    def embedding(self) -> Any:
        return self.modules.get("embedding")

    def with_condition(self, condition: Tensor | None) -> Self:
        """This factor with a condition of the images, [B, ...] as in `Inputs`, or None, in its networks."""
        if self.condition is None:
            return self
        _ = self.modules
        encoded = None if condition is None else self.condition.encode(condition)
        return self.with_layers(self._layers.with_condition(encoded))

    def kernels(self) -> dict[str, Tensor]:
        """Weights for `with_kernels`, with normalized kernels: path -> array."""
        _ = self.modules
        return self._layers.normalized()

    def with_kernels(self, kernels: Mapping[str, Tensor]) -> Self:
        """This factor with networks over arrays, tensors or variables as from `kernels`."""
        return self._with(_layers=self._layers_over(kernels), tensors=kernels)

    @functools.cached_property
    def tensors(self) -> dict[str, Tensor]:
        """`kernels` as tensors."""
        with arrays.backend().eagerly():
            return {path: arrays.tensor(x) for path, x in self.kernels().items()}

    def graph(self, function: Callable[..., Any], jit_compile: bool = False) -> Any:
        """A function of a factor and tensors as graphs: of `tensors` and these. See `backend.traced`."""
        graphs, key = vars(self).setdefault("_graphs", {}), (function, jit_compile)
        if key not in graphs:
            bare = self.without_weights()  # without what graphs take as an argument

            def of_tensors(tensors, *args):
                return function(bare.with_kernels(tensors), *args)

            graphs[key] = arrays.backend().traced(of_tensors, jit_compile)
        return graphs[key]

    @property
    def auxiliary_ratio(self) -> int:
        definitions = self.definitions
        return definitions["embedding"].ratio * self.side if "embedding" in definitions else 1

    @property
    def side(self) -> int:
        return self.definitions["network"].side

    @property
    def radius(self) -> int | None:
        """Blocks of an image that the networks see in each direction; None if unknown."""
        radii = [part.radius for part in self.definitions.values()]
        return None if None in radii else sum(radii)

    @property
    def is_conditional(self) -> bool:
        return "embedding" in self.definitions

    @property
    def exact(self) -> bool:
        return self.fixed_sum is not None and self.fixed_sum.exact

    def network_input(self, inputs: Inputs) -> Tensor:
        """The network's input for the images of `Inputs`: float [B, H, W, C]."""
        centers = None
        if self.fixed_sum is not None and self.likelihood.centered:
            centers = self.fixed_sum.centers(inputs.images, inputs.auxiliary)
        return self.pixels_input(inputs.images, centers)

    def pixels_input(self, pixels: Tensor, centers: Tensor = None) -> Tensor:
        """The network's input for pixel values [..., C] of any dtype: float [..., C].

        Pixels are `scaled`; or, if the likelihood is centered, differences from `FixedSum.centers` in its
        units, which are small compared with the variation of x_hat.
        """
        if not self.likelihood.centered:
            return self.scaled(pixels)
        pixels, centers = (arrays.cast(x, self.dtype) for x in (pixels, centers))
        return self._in_units(pixels - centers)

    def embedding_input(self, auxiliary: Tensor) -> Tensor:
        """The embedding's input for x_hat, [B, h, w, c] of any dtype: float [B, h, w, c], or 3 c channels.

        Pixels are `scaled`; if the embedding has `differences`, those from the pixels to the left and above
        follow, in the likelihood's units, and 0 at the border.
        """
        x = self.scaled(auxiliary, self.auxiliary_likelihood)
        if not self.definitions["embedding"].differences:
            return x
        pixels = arrays.cast(auxiliary, self.dtype)
        left = arrays.concatenate([pixels[:, :, :1], pixels[:, :, :-1]], axis=2)
        above = arrays.concatenate([pixels[:, :1], pixels[:, :-1]], axis=1)
        differences = [self._in_units(pixels - neighbor) for neighbor in (left, above)]
        return arrays.concatenate([x, *differences], axis=-1)

    def _in_units(self, differences):
        unit = self.likelihood.unit
        return rounding.whole_deviations(differences, unit) if self.rounded else differences / unit

    def scaled(self, images: Tensor, likelihood: Likelihood | None = None) -> Tensor:
        """Pixel values -> floats in [-1, 1] for networks; if `rounded`, multiples of a power of two."""
        num_values = (likelihood or self.likelihood).num_values
        images, half = arrays.cast(images, self.dtype), (num_values - 1) / 2
        if self.rounded:
            return rounding.whole_pixels(images, num_values)
        return (images - half) / half

    @threads.computing()
    def embed(self, auxiliary: Tensor) -> list[Any]:
        """f_w(x_hat): [B, h, w, c] -> list of float [B, h_k, w_k, F]; empty without an embedding."""
        if not self.is_conditional:
            return []

        def embedded(part):
            return self.embedding(self.embedding_input(part))

        radius, (_, height, width, _) = self.definitions["embedding"].radius, auxiliary.shape
        is_plain = arrays.is_plain(auxiliary)
        if radius is None or not is_plain or height * width <= _BAND:
            return embedded(auxiliary)
        # In bands, so that only the outputs are as large as the image.
        bands = batches.spans(height, radius, 1, _BAND // width)
        parts = [
            [x[:, band.kept(1, band.start)] for x in embedded(auxiliary[:, band.evaluated()])]
            for band in bands
        ]
        return [np.concatenate(x, axis=1) for x in zip(*parts)]

    # Inputs.

    def smallest_inputs(self) -> Inputs:
        """`Inputs` of zeros, with the smallest images that the networks accept."""
        side, auxiliary = self.definitions["network"].multiple, None
        if self.is_conditional:
            side = math.lcm(side, self.definitions["embedding"].multiple * self.auxiliary_ratio)
            auxiliary = _zeros(side // self.auxiliary_ratio, self.auxiliary_likelihood)
        condition = self.condition and self.condition.unknown(1)
        return Inputs(_zeros(side, self.likelihood), auxiliary, condition)

    def inputs(self, images: ArrayLike | Inputs, auxiliary: ArrayLike | None = None) -> Inputs:
        """`Inputs`, checked.

        Args:
          images: uint8 or uint16 [B, H, W, C]; or `Inputs`, or a tuple of their fields.
          auxiliary: uint8 or uint16 [B, h, w, c]; None for an unconditional factor.

        Raises:
          ValueError: for images or a condition of another dtype, shape or range, or one without the other.
        """
        inputs = Inputs(*(images if isinstance(images, tuple) else (images, auxiliary)))
        likelihood, auxiliary = self.likelihood, inputs.auxiliary
        self.check_takes(auxiliary)
        checked = check_images(inputs.images, likelihood.num_channels, likelihood.num_values)
        condition = conditions.checked(self.condition, inputs.condition, checked.shape[0])
        if self.is_conditional:
            auxiliary = self._checked_auxiliary(auxiliary)
        inputs = Inputs(checked, auxiliary, condition)
        self.check_shapes(inputs)
        return inputs

    def check_takes(self, auxiliary: Tensor) -> None:
        """Raises ValueError for auxiliary images, maybe labels in their place, if the factor takes none."""
        expected = "no auxiliary images: this factor takes none"
        remedy = 'Give the images alone, or with labels as {"images": images, "condition": labels}'
        expect(auxiliary is None or self.is_conditional, expected, "some", remedy)

    def check_shapes(self, inputs: Inputs) -> None:
        """Raises ValueError for sizes of images or auxiliary images that the factor does not accept."""
        check_multiple(inputs.images, self.definitions["network"].multiple)
        if not self.is_conditional:
            return
        check_multiple(inputs.auxiliary, self.definitions["embedding"].multiple)
        (batch, *size), ratio = inputs.images.shape[:3], self.auxiliary_ratio
        check_sides_known(size)
        expected = f"image sides that are multiples of {ratio}, the ratio to auxiliary images"
        fits, received = sums.is_divided(size, ratio // self.side), "{} x {}".format(*size)
        expect(fits, expected, received, "Choose another image size")
        channels = self.auxiliary_likelihood.num_channels  # type: ignore[union-attr]
        shape = [batch, *sums.num_blocks(size, ratio), channels]
        actual = list(inputs.auxiliary.shape)
        batch_sizes = {batch, actual[0]} - {None}  # an unknown one may be equal
        fits = len(batch_sizes) <= 1 and actual[1:] == shape[1:]
        expected = f"auxiliary images of shape {shape} beside images of {list(inputs.images.shape)}"
        expect(fits, expected, actual, "Compute them by the model's transform")

    def _checked_auxiliary(self, auxiliary):
        """Auxiliary images [B, h, w, c], checked."""
        likelihood: Any = self.auxiliary_likelihood
        expected = "auxiliary images: this factor is conditional"
        expect(auxiliary is not None, expected, "none", "Give images, and their auxiliary images")
        kind = likelihood.num_channels, likelihood.num_values
        return check_images(auxiliary, *kind, what="auxiliary images")

    # Parameters and likelihoods of any number of images, in batches.

    def features(
        self, auxiliary: ArrayLike, condition: ArrayLike | None = None, by: str | None = None
    ) -> list[Tensor]:
        """f_w(x_hat): [B, h, w, c] -> float [B, h_k, w_k, F] each, finest first. Raises as `inputs`."""
        received, remedy = "an unconditional one", "Call it on one that has an embedding"
        expect(self.is_conditional, "a conditional factor", received, remedy)
        images = self._checked_auxiliary(auxiliary)
        check_multiple(images, self.definitions["embedding"].multiple)
        condition = conditions.checked(self.condition, condition, images.shape[0])
        evaluate = batches.evaluator(by, [self], images)

        def of_batch(images, condition):
            return evaluate(Factor.batch_features, self, images, condition)

        return evaluate.in_batches(of_batch, (images, condition), images.shape[1:3])

    def params(
        self,
        images: ArrayLike | Inputs,
        auxiliary: ArrayLike | None = None,
        method: str = "full",
        by: str | None = None,
    ) -> Tensor:
        """Parameters of every pixel's distribution given the pixels before it.

        Args:
          images, auxiliary: as for `inputs`.
          method: "full", which evaluates whole images; or "incremental", pixel by pixel as
            `AuxiliaryModel.sample`, with the pixels of `images` in place of draws (teacher forcing). They are
            equal up to rounding.
          by: "numpy" or "graph", the backend; None for the default of `AuxiliaryModel`.

        Returns:
          float [B, H, W, P] of the factor's dtype.

        Raises ValueError as `inputs`, or for another method.
        """
        arguments.choice("method", method, METHODS)
        inputs = self.inputs(images, auxiliary)
        # Groups with all pixels known, and custom networks, have no incremental evaluation.
        if method == "incremental" and self._is_scanned:
            size = inputs.images.shape[1:3]
            return batches.NUMPY.in_batches(self._forced_params, (inputs,), size)
        evaluate = batches.evaluator(by, [self], inputs.images)

        def of_batch(inputs):
            return evaluate(Factor.batch_params, self, inputs)

        return evaluate.in_batches(of_batch, (inputs,), inputs.images.shape[1:3])

    @property
    def _is_scanned(self):
        return isinstance(self.definitions["network"], (PixelCNN, MaskedPixelCNN))

    def log_prob(
        self,
        images: ArrayLike | Inputs,
        auxiliary: ArrayLike | None = None,
        by: str | None = None,
    ) -> Tensor:
        """log p(x | x_hat) in nats: float [B] of the factor's dtype. Raises ValueError as `inputs`.

        If `exact`, it is -inf for images that contradict x_hat.
        """
        inputs = self.inputs(images, auxiliary)
        evaluate = batches.evaluator(by, [self], inputs.images)

        def of_batch(inputs):
            return batches.sum_tiles(evaluate, Factor.batch_nats, self, inputs)

        return evaluate.in_batches(of_batch, (inputs,), inputs.images.shape[1:3])

    def pixel_log_prob(
        self,
        images: ArrayLike | Inputs,
        auxiliary: ArrayLike | None = None,
        by: str | None = None,
    ) -> Tensor:
        """log p(pixel | the pixels before it, x_hat) in nats: float [B, H, W], whose sum is `log_prob`."""
        inputs = self.inputs(images, auxiliary)
        evaluate = batches.evaluator(by, [self], inputs.images)

        def of_batch(inputs):
            return batches.map_tiles(evaluate, Factor.batch_nats, self, inputs)

        return evaluate.in_batches(of_batch, (inputs,), inputs.images.shape[1:3])

    # Functions of one batch of valid `Inputs`, arrays or tensors, for evaluators (`batches`).

    def batch_features(self, auxiliary: Tensor, condition: Tensor | None) -> list[Tensor]:
        """f_w(x_hat): list of float [B, h, w, F]."""
        return self.with_condition(condition).embed(auxiliary)

    def batch_params(self, inputs: Inputs) -> Tensor:
        """Parameters of the pixels' distributions: float [B, H, W, P]."""
        if not arrays.is_plain(inputs.images):
            return self._params_at_once(inputs)
        count, height, width, _ = inputs.images.shape
        at_once, params = max(1, batches.CACHED // (height * width)), []
        for first in range(0, max(count, 1), at_once):
            batch = Inputs(*(x if x is None else x[first : first + at_once] for x in inputs))
            params.append(self._params_at_once(batch))
        return np.concatenate(params)

    def _params_at_once(self, inputs):
        factor = self.with_condition(inputs.condition) if inputs.condition is not None else self
        with threads.computing():
            return factor.network(self.network_input(inputs), factor.embed(inputs.auxiliary))

    def _forced_params(self, inputs):
        """`batch_params`, evaluated pixel by pixel in NumPy."""
        images, params = inputs.images, []
        pixels = np.arange(images[0, ..., 0].size).reshape(1, *images.shape[1:3])

        def decider(pixel_params, pick, bounds):
            params.append((pick(pixels)[0], pixel_params))
            return pick(images)

        request = DrawRequest(size=images.shape[1:3], auxiliary=inputs.auxiliary)
        factor = self.with_condition(inputs.condition)
        factor.decide_pixels(request, decider, len(images))
        order, in_order = (np.concatenate(x, axis=k) for k, x in enumerate(zip(*params)))
        return in_order[:, np.argsort(order)].reshape(*images.shape[:3], -1)

    def bounds(self, inputs: Inputs, fixed_sum: FixedSum | None) -> sums.Bounds | None:
        """The `Bounds` of images by a sum; None without one."""
        return None if fixed_sum is None else fixed_sum.bounds(inputs.images, inputs.auxiliary)

    def _nats(self, params, inputs, fixed_sum):
        bounds = self.bounds(inputs, fixed_sum)
        return batches.in_chunks(self.likelihood.log_prob, params, inputs.images, bounds)

    def _both_nats(self, params, inputs):
        fixed_sum: Any = self.fixed_sum
        centers_only = fixed_sum.with_exact(False) if self.likelihood.centered else None
        return [self._nats(params, inputs, x) for x in (centers_only, fixed_sum)]

    def batch_nats(self, inputs: Inputs) -> Tensor:
        """log p(pixel | the pixels before it, x_hat): float [B, H, W]."""
        return self._nats(self.batch_params(inputs), inputs, self.fixed_sum)

    def batch_bound_and_exact(self, inputs: Inputs) -> list[Tensor]:
        """`batch_nats` of the factor as if it were not exact, and as it is."""
        return self._both_nats(self.batch_params(inputs), inputs)

    def batch_pixel_nats(self, inputs: Inputs) -> PixelNats:
        """`PixelNats` of each pixel."""
        params = self.batch_params(inputs)
        bound, nats = self._both_nats(params, inputs)
        bounds = self.bounds(inputs, self.fixed_sum)
        entropy = batches.in_chunks(self.likelihood.entropy, params, inputs.images, bounds)
        return PixelNats(nats, bound, entropy)

    def batch_log_prob_by_condition(self, inputs: Inputs, values: Tensor) -> Tensor:
        """`log_prob` given each of several conditions, [K, ...]: float [B, K]."""

        def log_prob(value):
            shape = (arrays.shape(inputs.images)[0], *self.condition.shape)
            condition = arrays.broadcast_to(value, shape)
            given = inputs._replace(condition=condition)
            nats = self._nats(self.batch_params(given), given, self.fixed_sum)
            return arrays.sum(nats, axis=(1, 2))

        if arrays.is_plain(inputs.images):
            return np.stack([log_prob(value) for value in values], axis=-1)
        # Bounds, and layers before the first conditional one, are computed once.
        return arrays.transpose(arrays.backend().vectorized_map(log_prob, values))

    def batch_log_density(self, inputs: Inputs) -> Tensor:
        """`AuxiliaryModel.log_density` of this factor, if it is not exact, for float `Inputs`."""
        centers = None
        if self.likelihood.centered:
            fixed_sum: Any = self.fixed_sum
            centers = fixed_sum.centers(inputs.images, inputs.auxiliary)
            centers = arrays.cast(centers, self.dtype) + arrays.zeros_like(inputs.images)
        params = self.batch_params(inputs)
        return arrays.sum(self.likelihood.log_density(params, inputs.images, centers), axis=(1, 2))

    # Draws.

    def draw(self, request: DrawRequest) -> Tensor:
        """Draws images [B, H, W, C], in NumPy unless the request says otherwise; in a traced graph, by it.

        Raises ValueError for particles in graphs.
        """
        is_traced = arrays.is_symbolic(request.log_scale_shift)
        in_graph = is_traced or request.by == "graph" or request.jit_compile
        in_graph = in_graph or bool(self.keras_layers)
        fits = request.particles is None or not in_graph
        expect(fits, "particles=1 of draws by graphs", "more", 'Draw by="numpy"')
        if in_graph or not isinstance(self.definitions["network"], ParallelPixelCNN):
            request = request._replace(noise=request.noise[:, :, :])
        if in_graph:
            drawn = self._draw_in_graph(request, batches.TRACED if is_traced else batches.GRAPHS)
            return drawn if is_traced else np.asarray(drawn)
        decider = deciders.drawn_pixels(self.likelihood, request)
        factor = self.with_condition(request.condition)
        return factor.decide_pixels(request, decider, len(request.log_scale_shift))

    def _draw_in_graph(self, request, evaluate):
        features: Any = []
        if request.auxiliary is not None:
            features = evaluate(Factor.batch_features, self, request.auxiliary, request.condition)
        jit_compile = request.jit_compile
        # Without fields that graphs do not depend on: each value would trace another graph.
        request = request._replace(seeds=None, mode="", size=None, jit_compile=False, by=None)
        request = request if self.fixed_sum else request._replace(auxiliary=None)
        return evaluate(Factor.batch_drawn, self, features, request, jit_compile=jit_compile)

    def batch_drawn(self, features: list[Tensor], request: DrawRequest) -> Tensor:
        """Draws images in a graph that is being traced, given the features of their auxiliary images."""
        factor, likelihood = self.with_condition(request.condition), self.likelihood
        batch, *size, _ = arrays.shape(request.noise)
        request = request._replace(size=size)
        decider = deciders.drawn_pixels(likelihood, request)
        if isinstance(self.definitions["network"], ParallelPixelCNN):
            drawn = factor.group_scan(request, batch, features).decide_all(decider)
        else:
            images = arrays.zeros((batch, *size, likelihood.num_channels), request.noise, "int32")
            canvas = deciders.Canvas(factor, request, decider, images)
            factor._scan(request, features, images).run(canvas)
            drawn = canvas.images
        return arrays.cast(drawn, arguments.pixel_dtype(likelihood.num_values))

    def decide_pixels(self, request: DrawRequest, decider: Any, batch: int) -> Tensor:
        """Decides all pixels by a decider (`scanning/deciders.py`): images [B, H, W, C]."""
        size: Any = request.size
        with threads.computing():
            if isinstance(self.definitions["network"], ParallelPixelCNN):
                return self.group_scan(request, batch).decide_all(decider)
            dtype = arguments.pixel_dtype(self.likelihood.num_values)
            images = np.zeros((batch, *size, self.likelihood.num_channels), dtype)
            canvas = deciders.Canvas(self, request, decider, images)
            self._scan(request, self._embedded_once(request), images).run(canvas)
            return canvas.images

    def group_scan(
        self, request: DrawRequest, batch: int, features: list[Any] | None = None
    ) -> GroupScan:
        """A scan of B images: in NumPy tile by tile; or, with their `features`, in a graph at once."""
        network, in_graph = self.network, features is not None

        def first_inputs(tile, ones, auxiliary):
            if in_graph:
                return network.first_inputs(ones, features)
            embedded = () if auxiliary is None else self.embed(tile.evaluated(auxiliary))
            return network.first_inputs(tile.evaluated(ones), embedded)

        first, params = map(threads.computing(), (first_inputs, network.group_params))
        return GroupScan(self, request, batch, first, params, in_graph=in_graph)

    def _scan(self, request, features, images):
        """The scan of a network that decides pixels one by one, or along diagonals."""
        network, fixed_sum, shape = self.network, self.fixed_sum, arrays.shape(images)
        if not self._is_scanned or request.method == "full":
            return FullScan(network, features, arrays.cast(images, self.dtype))
        if network.num_resolutions > 1:
            return RowScan(network, features, shape)
        if isinstance(network, MaskedPixelCNN):
            return MaskedScan(network, features, shape)
        # The rows of a block are not decided at the same time.
        return DiagonalScan(network, features, shape, fixed_sum.ratio if fixed_sum else 1)

    def _embedded_once(self, request):
        """`embed` of a request's auxiliary images; of the first alone if all draws have the same."""
        condition, auxiliary = request.condition, request.auxiliary
        inputs = [x for x in (condition, auxiliary) if x is not None]
        # Particles are resampled in place.
        may_share = auxiliary is not None and request.particles is None
        if not (may_share and all((x == x[:1]).all() for x in inputs)):
            return self.embed(auxiliary)
        one = self.with_condition(None if condition is None else condition[:1]).embed(auxiliary[:1])
        return [np.broadcast_to(x, (len(auxiliary), *x.shape[1:])) for x in one]


# What factors had when they were Keras models.
_OF_KERAS = (
    "as_keras build call compile compute_loss count_params evaluate export fit get_layer get_weights "
    "initialize_from_data layers_by_name load_weights non_trainable_variables optimizer predict save "
    "save_weights set_weights stop_training to_json train_on_batch trainable trainable_variables "
    "trainable_weights variables"
).split()


def in_bits_per_dim(log_probs: dict[str, Tensor], shape: Sequence[int]) -> dict[str, Tensor]:
    """dict, name -> nats [B] -> bits per dimension of full images [H, W, C], and their sum, "total"."""
    bits = math.log(2.0) * math.prod(shape)
    result = {name: -nats / bits for name, nats in log_probs.items()}
    return {**result, "total": sum(result.values())}


def _is_within(path, prefixes):
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes)


def _zeros(side, likelihood):
    dtype = arguments.pixel_dtype(likelihood.num_values)
    return np.zeros([1, side, side, likelihood.num_channels], dtype)
