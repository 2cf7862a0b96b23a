"""ArrayFactor: a factor with arrays of weights, which NumPy evaluates, or a graph."""

import copy
import functools
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from pixelcnn_aux import batches
from pixelcnn_aux.base import arguments, arrays, serialization, threads
from pixelcnn_aux.base.arguments import Tensor
from pixelcnn_aux.base.errors import expect, needs_all, restated
from pixelcnn_aux.base.inputs import DrawRequest, Inputs
from pixelcnn_aux.base.rounding import in_quarters
from pixelcnn_aux.factors import checks, conditional
from pixelcnn_aux.factors.conditional import Conditional, compiled
from pixelcnn_aux.factors.quantizing import quantized
from pixelcnn_aux.networks import Embedding, MaskedPixelCNN, Network, ParallelPixelCNN, PixelCNN
from pixelcnn_aux.networks.array_layers import ArrayMaker
from pixelcnn_aux.scanning import deciders
from pixelcnn_aux.scanning.diagonals import DiagonalScan, MaskedScan
from pixelcnn_aux.scanning.full import FullScan
from pixelcnn_aux.scanning.groups import GroupScan
from pixelcnn_aux.scanning.rows import RowScan
from pixelcnn_aux.sums import FixedSum

_BAND = 2**17  # pixels of an auxiliary image that are embedded together
_CLASSES = {"pixelcnn_aux>Factor": False, "pixelcnn_aux>RoundedFactor": True}  # whether rounded
_PARTS = {"network": Network, "embedding": Embedding, **conditional.PARTS}


def _by_own_threads(method):
    """A method that computes in NumPy: exponentials may overflow, and BLAS has no threads of its own.

    Those wait for each other by computing: beside other programs, products would take ten times as long.
    """

    @functools.wraps(method)
    def call(*args):
        with np.errstate(all="ignore"), threads.one_blas_thread():
            return method(*args)

    return call


class ArrayFactor(Conditional):
    """p(x | x_hat) as of `pixelcnn_aux.Factor`, of arrays: evaluated in NumPy, or by constants of a graph.

    All that it has not, such as `compile` and `fit`, are attributes of the Keras model `as_keras()`, which is
    made with the same weights when it is first needed. From then on its weights are those of the factor.

    Args:
      name, parts: its name; its likelihood, auxiliary_likelihood, fixed_sum and condition, by these names.
      networks: dict, "network" -> `networks.Network`, and "embedding" -> `networks.Embedding` or None.
      rounded: bool, whether networks compute with whole numbers.
      dtype: str, "float32" or "float64".
    """

    quantized = True  # if it is rounded

    def __init__(
        self,
        name: str,
        parts: dict[str, Any],
        networks: dict[str, Any],
        rounded: bool = False,
        dtype: str = "float32",
    ):
        self.name, self.rounded = name, rounded
        self.variable_dtype = self.compute_dtype = dtype
        self._networks = networks
        self.built: dict[str, ArrayMaker] = {}  # of the networks, with their layers
        self._described: Any = None  # in a file
        self._made: dict[str, Any] = {}  # a description of a fixed sum -> `as_keras`
        vars(self).update(parts)
        checks.check_parts(self, conditional.PARTS)
        if rounded:
            checks.check_rounded(self)

    @classmethod
    def of(cls, factor: Any) -> Self:
        """A Keras `Factor` with its weights of now."""
        return cls._like(factor).with_weights(
            {
                name: {path: np.asarray(x.value) for path, x in relative(part).items()}
                for name, part in factor.named_networks().items()
            }
        )

    @classmethod
    def traced(cls, factor: Any) -> Self:
        """A Keras `Factor` in a graph that is being traced, with tensors."""
        from pixelcnn_aux.layers import normalized_layers  # here: it needs Keras

        made = cls._like(factor)
        for name, part in factor.named_networks().items():
            read, found = arrays.backend().read, relative(part)
            found = {path: read(x.value) if path.endswith("/h") else x for path, x in found.items()}
            made.built[name] = weights = ArrayMaker(found, factor.rounded)
            paths = {id(x): path.rpartition("/")[0] for path, x in relative(part).items()}
            for layer in normalized_layers(part):
                kernel, bias = map(read, layer.normalized())
                if layer.kernel_output_axis == -2:
                    kernel = arrays.swapaxes(kernel, -1, -2)
                weights.kept[paths[id(layer.b)]] = kernel, bias
        return made.with_condition(None)

    @classmethod
    def _like(cls, factor):
        parts = {name: getattr(factor, name) for name in conditional.PARTS}
        networks = dict.fromkeys(("network", "embedding"))
        for name, part in factor.named_networks().items():
            networks[name] = part.module
        return cls(factor.name, parts, networks, factor.rounded, factor.variable_dtype)

    @classmethod
    def described(cls, description: Any, dtype: str) -> Self:
        """The factor of a description, without weights. Raises ValueError for another one."""
        config, name = description["config"], description["config"]["name"]
        remedy = "Import the module that defines it (--plugin)"

        def known(what, registered_name):
            expected = f"{what} of the factor {name!r} of a class that is registered"
            fits = serialization.registered_class(registered_name) is not None
            expect(fits, expected, registered_name, remedy)

        kind = description["registered_name"]
        expect(kind in _CLASSES, f"a kind of factor of {[*_CLASSES]}", kind, remedy)
        rest, parts = {**config}, {}
        for part, kind_of_part in _PARTS.items():
            if (found := rest.pop(part, None)) is not None:
                known(f"the {part}", found["registered_name"])
            parts[part] = serialization.deserialize(found, kind_of_part)
        serialization.check_entries(kind, rest, serialization.OF_KERAS)
        policy = {"class_name": "DTypePolicy", "config": {"name": dtype}}
        for part in filter(None, (description, config["network"], config["embedding"])):
            part["config"]["dtype"] = {"module": "keras", **policy, "registered_name": None}
        networks = {name: parts.pop(name) for name in ("network", "embedding")}
        made = cls(name, parts, networks, _CLASSES[kind], dtype)
        made._described = description
        return made

    def with_weights(self, weights: dict[str, dict[str, np.ndarray]]) -> Self:
        """The factor with arrays by their path, of "network" and of "embedding"."""
        made = copy.copy(self)
        made.built = {part: ArrayMaker(found, self.rounded) for part, found in weights.items()}
        made._made = {}
        return made.with_condition(None)

    def with_file(self, weights: dict[str, np.ndarray]) -> Self:
        """The factor with the arrays of a file of its weights. Raises ValueError for those of another."""
        found: dict[str, Any] = {"network": {}, "embedding": {}}
        for path, x in weights.items():
            _, part, *rest = path.split("/")
            part = "embedding" if part == "embedding" else "network"
            found[part]["/".join(rest)] = x.astype(self.variable_dtype)
        found = {part: x for part, x in found.items() if x}
        kinds = KeyError, ValueError, AttributeError, TypeError  # of layers that are missing
        with restated("weights of this network", "others", "Load its own", *kinds):
            made = self.with_weights(found)
            if self.rounded:  # training leaves their weights unrounded
                made = made.with_weights(quantized(made))
            params = made.params(made.smallest_inputs())  # which all layers have to fit
            if params.shape[-1] != self.likelihood.num_params:
                raise ValueError(f"{params.shape[-1]} parameters of a pixel")
        return made

    def with_tensors(self, tensor: Callable[[np.ndarray], Any]) -> Self:
        """The factor with tensors of its normalized kernels and biases, which graphs share."""
        made = copy.copy(self.plain())
        made.built = {part: weights.mapped(tensor) for part, weights in made.built.items()}
        return made.with_condition(None)

    network = property(lambda self: self._part("network"))
    embedding = property(lambda self: self._part("embedding"))

    def _part(self, name):
        return getattr(self.as_keras(), name) if self._made else self._networks[name]

    # As a Keras model.

    def as_keras(self) -> Any:
        key = repr(serialization.serialize(self.fixed_sum))
        if key not in self._made:
            first = next(iter(self._made.values()), None)
            self._made[key] = first.with_fixed_sum(self.fixed_sum) if first else self._made_anew()
        return self._made[key]

    def _made_anew(self):
        with needs_all("training, gradients and graphs"):
            from pixelcnn_aux import layers
            from pixelcnn_aux.base import backend

        backend.check_dtype(self.variable_dtype)
        with layers.context(before_weights=lambda _: bool(self.built)):
            made = self.keras_class().from_config(self.get_config())
        for name, weights in self.built.items():
            for path, variable in relative(getattr(made, name)).items():
                variable.assign(weights.arrays[path])
        return made

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
        made = object.__new__(type(self))
        graphs = {x for x in vars(self) if isinstance(getattr(type(self), x, None), compiled)}
        vars(made).update({x: y for x, y in vars(self).items() if x not in graphs})
        return made

    def __getstate__(self) -> Any:  # for other processes
        return {**vars(copy.copy(self.plain())), "_described": self._described, "_made": {}}

    @property
    def weights(self) -> list[np.ndarray]:
        """All arrays, in the order in which the Keras factor has them; none of an untrained factor."""
        return [x for weights in self.plain().built.values() for x in weights.in_order()]

    def get_config(self) -> Any:
        """As of `pixelcnn_aux.Factor`."""
        parts = {name: serialization.serialize(getattr(self, name)) for name in conditional.PARTS}
        if self.condition is None:
            del parts["condition"]
        return {**copy.deepcopy(self._described["config"]), **parts}

    def description(self) -> Any:
        return {**self._described, "config": self.get_config()}

    def with_fixed_sum(self, fixed_sum: FixedSum | None) -> Self:
        """As of `Conditional`."""
        made = copy.copy(self)
        made.fixed_sum = in_quarters(fixed_sum) if self.rounded else fixed_sum
        checks.check_parts(made, conditional.PARTS)
        return made

    # Evaluation.

    def plain(self) -> Self:
        """As of `Conditional`."""
        return self.as_keras().plain() if self._made else self

    def with_condition(self, condition: Tensor | None) -> Self:
        """This factor with networks of images that have a condition, [B, ...] as in `Inputs`, or None."""
        kind: Any = self.condition
        encoded = None if condition is None else kind.encode(condition)
        made = copy.copy(self)
        made.built = {part: weights.with_condition(encoded) for part, weights in self.built.items()}
        own = {part: weights.made(self._networks[part]) for part, weights in made.built.items()}
        made._networks = self._networks | own
        return made

    def in_graph(self) -> Self:
        return self.with_tensors(arrays.backend().read)

    @compiled
    def _features(self, inputs):
        made = self.plain() if arrays.is_plain(inputs.auxiliary) else self.in_graph()
        return made.with_condition(inputs.condition).embed(inputs.auxiliary)

    @_by_own_threads
    def embed(self, auxiliary: Tensor) -> list[Any]:
        """f_w(x_hat): uint8 [B, h, w, c] -> list of float [B, h, w, F]; empty without an embedding."""
        if self.embedding is None:
            return []

        def embedded(part):
            return self.embedding(self.scaled(part, self.auxiliary_likelihood))

        radius, (_, height, width, _) = self.embedding.radius, auxiliary.shape
        is_plain = arrays.is_plain(auxiliary)
        if radius is None or not is_plain or height * width <= _BAND:
            return embedded(auxiliary)
        # So that only its outputs are as large as the image.
        bands = batches.spans(height, radius, 1, _BAND // width)
        parts = [
            [x[:, band.kept(1, band.start)] for x in embedded(auxiliary[:, band.evaluated()])]
            for band in bands
        ]
        return [np.concatenate(x, axis=1) for x in zip(*parts)]

    def _evaluated(self, inputs):
        if not arrays.is_plain(inputs.images):
            return self.in_graph()._params_at_once(inputs)
        plain, (count, height, width, _) = self.plain(), inputs.images.shape
        at_once, params = max(1, batches.CACHED // (height * width)), []
        for first in range(0, max(count, 1), at_once):
            some = Inputs(*(x if x is None else x[first : first + at_once] for x in inputs))
            params.append(plain._params_at_once(some))
        return np.concatenate(params)

    @_by_own_threads
    def _params_at_once(self, inputs):
        given = self.with_condition(inputs.condition)
        return given.network(self.seen(inputs), given.embed(inputs.auxiliary))

    def density(self, inputs: Inputs) -> Tensor:
        """`log_density`, by the Keras model outside of graphs."""
        factor = self if arrays.is_symbolic(inputs.images) else self.as_keras()
        return factor.log_density(inputs)

    @_by_own_threads
    def decide_pixels(self, request: DrawRequest, decider: Any, batch: int) -> Tensor:
        """Decides the pixels of B images by a decider, as in `scanning.deciders`: [B, H, W, C]."""
        size: Any = request.size
        if isinstance(self.network, ParallelPixelCNN):
            return self.group_scan(request, batch).decide_all(decider)
        dtype = arguments.pixel_dtype(self.likelihood.num_values)
        images = np.zeros((batch, *size, self.likelihood.num_channels), dtype)
        return self.decide_in_order(request, decider, self._embedded_once(request), images)

    def group_scan(
        self, request: DrawRequest, batch: int, features: list[Any] | None = None
    ) -> GroupScan:
        """A scan of B images: in NumPy tile by tile, or, with their `features`, in a graph as a whole."""
        if features is None:
            return GroupScan(self, request, batch, self._known_at_first, self._group_params)

        def known_at_first(tile, ones, auxiliary):
            return self.network.first_inputs(ones, features)

        return GroupScan(self, request, batch, known_at_first, self.network.group_params, True)

    @_by_own_threads
    def _known_at_first(self, tile, ones, auxiliary):
        features = () if auxiliary is None else self.embed(tile.evaluated(auxiliary))
        return self.network.first_inputs(tile.evaluated(ones), features)

    @_by_own_threads
    def _group_params(self, k, known):
        return self.network.group_params(k, known)

    def drawn(self, features: list[Any], request: DrawRequest) -> Tensor:
        """Draws images in a graph that is being traced, given the features of their auxiliary images."""
        given, kind = self.with_condition(request.condition), self.likelihood
        batch, *size, _ = arrays.shape(request.noise)
        request = request._replace(size=size)
        decider = deciders.drawn_pixels(kind, request)
        if isinstance(self.network, ParallelPixelCNN):
            drawn = given.group_scan(request, batch, features).decide_all(decider)
        else:
            images = arrays.zeros((batch, *size, kind.num_channels), request.noise, "int32")
            drawn = given.decide_in_order(request, decider, features, images)
        return arrays.cast(drawn, arguments.pixel_dtype(kind.num_values))

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
        """`embed` of a request's auxiliary images: of one alone, where all draws are given the same."""
        condition, auxiliary = request.condition, request.auxiliary
        given = [x for x in (condition, auxiliary) if x is not None]
        # Particles are resampled in place.
        alike = auxiliary is not None and request.particles is None
        if not (alike and all((x == x[:1]).all() for x in given)):
            return self.embed(auxiliary)
        one = self.with_condition(None if condition is None else condition[:1]).embed(auxiliary[:1])
        return [np.broadcast_to(x, (len(auxiliary), *x.shape[1:])) for x in one]


def relative(network: Any) -> dict[str, Any]:
    """The weights of a Keras network by their paths within it, named as in files."""
    depth = 1 + network.path.count("/")
    found = serialization.named_weights(network).items()
    return {"/".join(path.split("/")[depth:]): x for path, x in found}
