"""ArrayFactor: a factor with arrays as weights, evaluated in NumPy or in a graph."""

import copy
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from pixelcnn_aux import batches
from pixelcnn_aux.base import arguments, arrays, serialization, threads
from pixelcnn_aux.base.arguments import Tensor
from pixelcnn_aux.base.errors import expect, needs_all
from pixelcnn_aux.base.inputs import DrawRequest, Inputs
from pixelcnn_aux.base.rounding import in_quarters
from pixelcnn_aux.factors import checks
from pixelcnn_aux.factors.conditional import PARTS, Conditional, compiled
from pixelcnn_aux.factors.quantizing import quantized
from pixelcnn_aux.networks import MaskedPixelCNN, ParallelPixelCNN, PixelCNN
from pixelcnn_aux.networks.array_layers import ArrayMaker, CheckingMaker
from pixelcnn_aux.scanning import deciders
from pixelcnn_aux.scanning.diagonals import DiagonalScan, MaskedScan
from pixelcnn_aux.scanning.full import FullScan
from pixelcnn_aux.scanning.groups import GroupScan
from pixelcnn_aux.scanning.rows import RowScan
from pixelcnn_aux.sums import FixedSum

_BAND = 2**17  # pixels of auxiliary images per call of the embedding
_CLASSES = {"pixelcnn_aux>Factor": False, "pixelcnn_aux>RoundedFactor": True}  # whether rounded


def _by_own_threads(method):
    """Decorator of NumPy computations: exponentials may overflow, and BLAS is limited to one thread."""

    # BLAS threads busy-wait: beside other programs, products would take ten times as long.
    def call(*args):
        with np.errstate(all="ignore"), threads.one_blas_thread():
            return method(*args)

    return call


class ArrayFactor(Conditional):
    """p(x | x_hat) of arrays: evaluated in NumPy, or as constants of a graph.

    Attributes that it lacks, such as `compile` and `fit`, are those of the Keras model `as_keras()`, which is
    built with the same weights when it is first needed. From then on that model's weights are the factor's,
    and `network` and `embedding` are that model's; `plain()` has networks of arrays, with the present
    weights.

    Args:
      name: str.
      parts: dict, the arguments of `Factor` by their names, with networks that are not Keras's.
      rounded: bool, whether networks compute with whole numbers.
      dtype: str, "float32" or "float64".
    """

    def __init__(
        self,
        name: str,
        parts: dict[str, Any],
        rounded: bool = False,
        dtype: str = "float32",
    ):
        self.name, self.rounded = name, rounded
        self.variable_dtype = self.compute_dtype = dtype
        self._networks = {name: parts[name] for name in ("network", "embedding")}
        self.network_weights: dict[str, ArrayMaker] = {}  # by the networks' names
        self._description: Any = None  # from a file
        self._prefixes: dict[str, str] = {}  # of the names of arrays in a file, by network
        # `as_keras()` by the fixed sum's description. Factors that differ in it share the dict and the
        # weights.
        self._keras_factors: dict[str, Any] = {}
        vars(self).update({name: x for name, x in parts.items() if name not in self._networks})
        checks.check_parts(self)
        if rounded:
            checks.check_rounded(self)

    @classmethod
    def of(cls, factor: Any, last: Self | None = None) -> Self:
        """The present weights of a Keras `Factor`; `last`, an earlier result, if they are still the same."""
        snapshot = arrays.backend().snapshot
        weights = {
            part: {path: snapshot(x) for path, x in variables.items()}
            for part, variables in factor.variables_by_path.items()
        }
        # Nothing writes to a snapshot's memory: where a variable still has it, the value is the same.
        if last and all(
            _address(x) == _address(last.network_weights[part].arrays[path])
            for part, by_path in weights.items()
            for path, x in by_path.items()
        ):
            return last
        return cls._like(factor).with_weights(weights)

    @classmethod
    def symbolic_of(cls, factor: Any) -> Self:
        """The weights of a Keras `Factor` as tensors, in a graph that is being traced."""
        from pixelcnn_aux.layers import normalized_layers  # here: it needs Keras

        symbolic, read = cls._like(factor), arrays.backend().read
        for name, part in factor.named_networks().items():
            variables = factor.variables_by_path[name]
            tensors = {p: read(x.value) if p.endswith("/h") else x for p, x in variables.items()}
            symbolic.network_weights[name] = weights = ArrayMaker(tensors, factor.rounded)
            layer_paths = {id(x): path.rpartition("/")[0] for path, x in variables.items()}
            for layer in normalized_layers(part):
                kernel, bias = map(read, layer.normalized())
                if layer.kernel_output_axis == -2:
                    kernel = arrays.swapaxes(kernel, -1, -2)
                weights.kept[layer_paths[id(layer.b)]] = kernel, bias
        return symbolic.with_condition(None)

    @classmethod
    def _like(cls, factor):
        parts = {name: getattr(factor, name) for name in PARTS}
        parts |= {name: part.module for name, part in factor.named_networks().items()}
        return cls(factor.name, parts, factor.rounded, factor.variable_dtype)

    @classmethod
    def described(cls, description: Any, dtype: str) -> Self:
        """The described factor, without weights. Raises ValueError for an invalid description."""
        config, name = description["config"], description["config"]["name"]
        class_name = description["registered_name"]
        remedy = "Import the module that defines it (--plugin)"
        expected = f"a class of factors of {[*_CLASSES]}"
        expect(class_name in _CLASSES, expected, class_name, remedy)
        rest, parts = {**config}, {}
        for part, cls_of_part in PARTS.items():
            if (description_of_part := rest.pop(part, None)) is not None:
                registered_name = description_of_part["registered_name"]
                fits = serialization.registered_class(registered_name) is not None
                expected = f"the {part} of the factor {name!r} of a class that is registered"
                expect(fits, expected, registered_name, remedy)
            parts[part] = serialization.deserialize(description_of_part, cls_of_part)
        serialization.check_entries(class_name, rest, serialization.OF_KERAS)
        policy = {"class_name": "DTypePolicy", "config": {"name": dtype}}
        for part in filter(None, (description, config["network"], config["embedding"])):
            part["config"]["dtype"] = {"module": "keras", **policy, "registered_name": None}
        factor = cls(name, parts, _CLASSES[class_name], dtype)
        factor._description = description
        return factor

    def with_weights(self, weights: dict[str, dict[str, np.ndarray]]) -> Self:
        """The factor with other weights: "network" or "embedding" -> path -> array."""
        factor = copy.copy(self)
        factor.network_weights = {part: ArrayMaker(x, self.rounded) for part, x in weights.items()}
        factor._keras_factors = {}
        return factor.with_condition(None)

    def with_file(self, weights: dict[str, np.ndarray]) -> Self:
        """The factor with the arrays of a weights file. Raises ValueError for those of another factor."""
        weights_of: dict[str, Any] = {part: {} for part in self.named_networks()}
        prefixes = {}
        for path, x in weights.items():
            name, part, *rest = path.split("/")
            prefix, part = f"{name}/{part}/", "embedding" if part == "embedding" else "network"
            prefixes[part] = prefix
            weights_of.setdefault(part, {})["/".join(rest)] = x.astype(self.variable_dtype)
        self._check_shapes(weights_of)
        factor = self.with_weights(weights_of)
        factor._prefixes = prefixes
        for part, made in factor.network_weights.items():
            for path, (kernel, _) in made.kept.items():
                if not np.isfinite(kernel).all():
                    raise ValueError(f"{part}/{path}/v, which cannot be normalized")
        # Training leaves them unrounded.
        return factor.with_weights(quantized(factor)[0]) if self.rounded else factor

    def _check_shapes(self, weights):
        """Raises ValueError unless these are the weights of all layers, which are evaluated once."""
        arrays = {f"{part}/{path}": x for part, own in weights.items() for path, x in own.items()}
        inputs, checked = self.smallest_inputs(), copy.copy(self)
        condition = self.condition and self.condition.encode(inputs.condition)
        maker = CheckingMaker(arrays, self.rounded, condition)
        checked._networks = {part: x and maker.part(part, x) for part, x in self._networks.items()}
        checked._params_at_once(inputs)
        if unknown := arrays.keys() - maker.kept:
            raise ValueError(f"{min(unknown):.200}, which no layer has")

    def with_tensors(self, tensor: Callable[[np.ndarray], Any]) -> Self:
        """The factor with its normalized kernels and biases as tensors, which graphs share."""
        factor = copy.copy(self)
        tensors = {part: x.mapped(tensor) for part, x in factor.network_weights.items()}
        factor.network_weights = tensors
        return factor.with_condition(None)

    network = property(lambda self: self._part("network"))
    embedding = property(lambda self: self._part("embedding"))

    def _part(self, name):
        return getattr(self.as_keras(), name) if self._keras_factors else self._networks[name]

    # As a Keras model.

    def as_keras(self) -> Any:
        key = repr(serialization.serialize(self.fixed_sum))
        if key not in self._keras_factors:
            first = next(iter(self._keras_factors.values()), None)
            factor = first.with_fixed_sum(self.fixed_sum) if first else self._built_keras()
            self._keras_factors[key] = factor
        return self._keras_factors[key]

    def _built_keras(self):
        with needs_all("training, gradients and graphs"):
            from pixelcnn_aux import layers
            from pixelcnn_aux.base import backend

        backend.check_dtype(self.variable_dtype)
        with layers.context(before_weights=lambda _: bool(self.network_weights)):
            factor = self.keras_class().from_config(self.get_config())
        for name, weights in self.network_weights.items():
            for path, variable in factor.variables_by_path[name].items():
                variable.assign(weights.arrays[path])
        return factor

    def keras_class(self) -> Any:
        from pixelcnn_aux.factors import factor, rounded_factor

        return rounded_factor.RoundedFactor if self.rounded else factor.Factor

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # of copies and pickles
            raise AttributeError(name)
        return getattr(self.as_keras(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.as_keras()(*args, **kwargs)

    def __copy__(self) -> Self:
        copied = object.__new__(type(self))
        # Without graphs, which belong to one factor.
        graphs = {x for x in vars(self) if isinstance(getattr(type(self), x, None), compiled)}
        vars(copied).update({x: y for x, y in vars(self).items() if x not in graphs})
        return copied

    def __getstate__(self) -> Any:  # for other processes
        return {
            **vars(copy.copy(self.plain())),
            "_description": self._description,
            "_keras_factors": {},
        }

    @property
    def weights(self) -> list[np.ndarray]:
        """All arrays, in the order of the Keras factor's weights; empty for an untrained factor."""
        return [x for weights in self.plain().network_weights.values() for x in weights.in_order()]

    def named_arrays(self) -> dict[str, np.ndarray]:
        """All arrays, by their names in a file of weights."""
        if self._keras_factors or not self._prefixes:
            return self.as_keras().named_arrays()
        weights = self.network_weights.items()
        return {self._prefixes[x] + path: y for x, own in weights for path, y in own.arrays.items()}

    def get_config(self) -> Any:
        own = [name for name in PARTS if name not in self._networks]
        parts = {name: serialization.serialize(getattr(self, name)) for name in own}
        if self.condition is None:
            del parts["condition"]
        return {**copy.deepcopy(self._description["config"]), **parts}

    def description(self) -> Any:
        return {**self._description, "config": self.get_config()}

    def with_fixed_sum(self, fixed_sum: FixedSum | None) -> Self:
        factor = copy.copy(self)
        factor.fixed_sum = in_quarters(fixed_sum) if self.rounded else fixed_sum
        checks.check_parts(factor)
        return factor

    # Evaluation.

    def plain(self) -> Self:
        return self.as_keras().plain() if self._keras_factors else self

    def with_condition(self, condition: Tensor | None) -> Self:
        """This factor with a condition of the images, [B, ...] as in `Inputs`, or None, in its networks."""
        encoded = None
        if condition is not None:
            encoded = self.condition.encode(condition)  # type: ignore[union-attr]
        factor = copy.copy(self)
        weights = {part: x.with_condition(encoded) for part, x in self.network_weights.items()}
        factor.network_weights = weights
        own = {part: x.made(self._networks[part]) for part, x in weights.items()}
        factor._networks = self._networks | own
        return factor

    def symbolic(self) -> Self:
        return self.plain().with_tensors(arrays.backend().read)

    @compiled
    def _features(self, inputs):
        factor = self.plain() if arrays.is_plain(inputs.auxiliary) else self.symbolic()
        return factor.with_condition(inputs.condition).embed(inputs.auxiliary)

    @_by_own_threads
    def embed(self, auxiliary: Tensor) -> list[Any]:
        """f_w(x_hat): [B, h, w, c] -> list of float [B, h_k, w_k, F]; empty without an embedding."""
        if self.embedding is None:
            return []

        def embedded(part):
            return self.embedding(self.seen_auxiliary(part))

        radius, (_, height, width, _) = self.embedding.radius, auxiliary.shape
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

    def _evaluated(self, inputs):
        if not arrays.is_plain(inputs.images):
            return self.symbolic()._params_at_once(inputs)
        plain, (count, height, width, _) = self.plain(), inputs.images.shape
        at_once, params = max(1, batches.CACHED // (height * width)), []
        for first in range(0, max(count, 1), at_once):
            batch = Inputs(*(x if x is None else x[first : first + at_once] for x in inputs))
            params.append(plain._params_at_once(batch))
        return np.concatenate(params)

    @_by_own_threads
    def _params_at_once(self, inputs):
        factor = self.with_condition(inputs.condition)
        return factor.network(self.seen(inputs), factor.embed(inputs.auxiliary))

    @_by_own_threads
    def decide_pixels(self, request: DrawRequest, decider: Any, batch: int) -> Tensor:
        """Decides all pixels by a decider (`scanning/deciders.py`): images [B, H, W, C]."""
        size: Any = request.size
        if isinstance(self.network, ParallelPixelCNN):
            return self.group_scan(request, batch).decide_all(decider)
        dtype = arguments.pixel_dtype(self.likelihood.num_values)
        images = np.zeros((batch, *size, self.likelihood.num_channels), dtype)
        return self.decide_in_order(request, decider, self._embedded_once(request), images)

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

        wrap: Any = (lambda function: function) if in_graph else _by_own_threads
        functions = wrap(first_inputs), wrap(network.group_params)
        return GroupScan(self, request, batch, *functions, in_graph=in_graph)

    def drawn(self, features: list[Any], request: DrawRequest) -> Tensor:
        """Draws images in a graph that is being traced, given the features of their auxiliary images."""
        factor, likelihood = self.with_condition(request.condition), self.likelihood
        batch, *size, _ = arrays.shape(request.noise)
        request = request._replace(size=size)
        decider = deciders.drawn_pixels(likelihood, request)
        if isinstance(self.network, ParallelPixelCNN):
            drawn = factor.group_scan(request, batch, features).decide_all(decider)
        else:
            images = arrays.zeros((batch, *size, likelihood.num_channels), request.noise, "int32")
            drawn = factor.decide_in_order(request, decider, features, images)
        return arrays.cast(drawn, arguments.pixel_dtype(likelihood.num_values))

    def decide_in_order(
        self, request: DrawRequest, decider: Any, features: list[Any], images: Tensor
    ) -> Tensor:
        """Decides pixels one by one, or along diagonals, in images of zeros: [B, H, W, C]."""
        network, fixed_sum, shape = self.network, self.fixed_sum, arrays.shape(images)
        canvas = deciders.Canvas(self, request, decider, images)
        if not isinstance(network, (PixelCNN, MaskedPixelCNN)) or request.method == "full":
            scan: Any = FullScan(network, features, arrays.cast(images, self.variable_dtype))
        elif network.num_resolutions > 1:
            scan = RowScan(network, features, shape)
        elif isinstance(network, MaskedPixelCNN):
            scan = MaskedScan(network, features, shape)
        else:
            # The rows of a block are not decided at the same time.
            scan = DiagonalScan(network, features, shape, fixed_sum.ratio if fixed_sum else 1)
        scan.run(canvas)
        return canvas.images

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


def _address(x):
    return x.__array_interface__["data"][0]
