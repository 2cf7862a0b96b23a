"""Factor: a factor of a chain whose networks are evaluated in NumPy."""

import copy
import functools
import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from pixelcnn_aux import arguments, batches, checks, conditional, serialization
from pixelcnn_aux.arguments import Tensor
from pixelcnn_aux.conditional import Conditional
from pixelcnn_aux.engine import threads
from pixelcnn_aux.engine.groups import TileScan
from pixelcnn_aux.engine.layers import Weights
from pixelcnn_aux.engine.networks import NETWORKS
from pixelcnn_aux.engine.quantizing import quantized
from pixelcnn_aux.engine.raster import RasterScan, WholeScan
from pixelcnn_aux.engine.waves import MaskedWaveScan, WaveScan
from pixelcnn_aux.errors import expect, restated
from pixelcnn_aux.inputs import DrawRequest, Inputs
from pixelcnn_aux.rounding import in_quarters
from pixelcnn_aux.runs import tensors
from pixelcnn_aux.scanning.groups import known_nats
from pixelcnn_aux.sums import FixedSum, Remainders
from pixelcnn_aux.topology import DecidesGroups, DecidesInMaskedOrder, DecidesInRasterOrder

_BAND = 2**17  # pixels of an auxiliary image that are embedded together
_CLASSES = {"pixelcnn_aux>Factor": False, "pixelcnn_aux>RoundedFactor": True}  # whether rounded


class Unsupported(ValueError):
    """A model has a part that the engine cannot evaluate: `pa.load` may."""


def _by_own_threads(method):
    """A method that computes in NumPy: exponentials may overflow, and BLAS has no threads of its own.

    Those wait for each other by computing: beside other programs, products would take ten times as long.
    """

    @functools.wraps(method)
    def call(*args):
        with np.errstate(all="ignore"), threads.one_blas_thread():
            return method(*args)

    return call


def supports(factor: Any) -> bool:
    """Whether a Keras `Factor` can be evaluated in NumPy: of known networks, and of one precision."""
    known = all(serialization.registered_name(type(part)) in NETWORKS for part in factor.parts())
    return known and factor.compute_dtype == factor.variable_dtype


class Factor(Conditional):
    """p(x | x_hat) as of `pixelcnn_aux.Factor`, evaluated in NumPy.

    Args:
      name, parts: its name; its likelihood, auxiliary_likelihood, fixed_sum and condition, by these names.
      networks: dict, "network" and "embedding" -> an object of a class in `NETWORKS`, or None.
      rounded: bool, whether networks compute with whole numbers.
      dtype: str, "float32" or "float64".
    """

    quantized = True  # if it is rounded
    description: Any = None  # in a file
    graphs: Any = None  # the Keras factor that it was made of
    watch: Callable[[Tensor], None] | None = None  # called with unfinished images, [B, H, W, C]

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
        self.network, self.embedding = networks["network"], networks["embedding"]
        self.built: dict[str, Weights] = {}  # of the networks, with their layers
        vars(self).update(parts)
        checks.check_parts(self, conditional.PARTS)
        if rounded:
            checks.check_rounded(self)

    @classmethod
    def of(cls, factor: Any) -> Self:
        """A Keras `Factor` with its weights of now."""
        parts = {name: getattr(factor, name) for name in conditional.PARTS}
        networks: dict[str, Any] = {"network": None, "embedding": None}
        arrays = {}
        for name in networks:
            if (part := getattr(factor, name)) is not None:
                kind = NETWORKS[serialization.registered_name(type(part))]
                networks[name] = kind(part.get_config())
                found = relative(part).items()
                arrays[name] = {path: np.asarray(x.value) for path, x in found}
        made = cls(factor.name, parts, networks, factor.rounded, factor.variable_dtype)
        made.graphs = factor
        return made.with_weights(arrays)

    @classmethod
    def described(cls, description: Any, dtype: str) -> Self:
        """The factor of a description, without weights. Raises `Unsupported` and ValueError."""
        config, name = description["config"], description["config"]["name"]
        remedy = "Import the module that defines it (--plugin), or load the model by pa.load"

        def known(what, registered_name, names):
            expected = f"{what} of the factor {name!r} of a class that the engine knows"
            fits = registered_name in names
            expect(fits, expected, registered_name, remedy, kind=Unsupported)
            return names[registered_name]

        rounded = known("the kind", description["registered_name"], _CLASSES)
        rest, networks, parts = {**config}, {}, {}
        for part in ("network", "embedding"):
            networks[part] = found = rest.pop(part)
            if found is not None:
                kind = known(f"the {part}", found["registered_name"], NETWORKS)
                taken = getattr(kind, "entries", None)
                taken = taken and [*taken, *serialization.OF_KERAS]
                serialization.check_entries(found["registered_name"], found["config"], taken)
                networks[part] = kind(found["config"])
        for part, kind in conditional.PARTS.items():
            if (found := rest.pop(part, None)) is not None:
                registered = found["registered_name"]
                if serialization.registered_class(registered) is None:
                    known(f"the {part}", registered, {})
            parts[part] = serialization.deserialize(found, kind)
        serialization.check_entries(description["registered_name"], rest, serialization.OF_KERAS)
        policy = {"class_name": "DTypePolicy", "config": {"name": dtype}}
        for part in filter(None, (description, config["network"], config["embedding"])):
            part["config"]["dtype"] = {"module": "keras", **policy, "registered_name": None}
        made = cls(name, parts, networks, rounded, dtype)
        made.description = description
        return made

    def with_weights(self, arrays: dict[str, dict[str, np.ndarray]]) -> Self:
        """The factor with arrays by their path, of "network" and of "embedding"."""
        made = copy.copy(self)
        made.built = {part: Weights(found, self.rounded) for part, found in arrays.items()}
        return made.given(None)

    def with_file(self, arrays: dict[str, np.ndarray]) -> Self:
        """The factor with the arrays of a file of its weights. Raises ValueError for those of another."""
        found: dict[str, Any] = {"network": {}, "embedding": {}}
        for path, x in arrays.items():
            _, part, *rest = path.split("/")
            part = "embedding" if part == "embedding" else "network"
            found[part]["/".join(rest)] = x.astype(self.variable_dtype)
        found = {part: x for part, x in found.items() if x}
        # AttributeError: of a block without projection
        kinds = KeyError, ValueError, AttributeError
        with restated("weights of this network", "others", "Load its own", *kinds):
            made = self.with_weights(found)
            if self.rounded:  # training leaves their weights unrounded
                made = made.with_weights(quantized(made))
            params = made.params(made.smallest_inputs())  # which all layers have to fit
            if params.shape[-1] != self.likelihood.num_params:
                raise ValueError(f"{params.shape[-1]} parameters of a pixel")
        return made

    @property
    def weights(self) -> list[np.ndarray]:
        """All arrays, in the order in which the Keras factor has them; none of an untrained factor."""
        return [x for weights in self.built.values() for x in weights.in_order()]

    def get_config(self) -> Any:
        """As of `pixelcnn_aux.Factor`."""
        parts = {name: serialization.serialize(getattr(self, name)) for name in conditional.PARTS}
        if self.condition is None:
            del parts["condition"]
        return {**self.description["config"], **parts}

    def with_fixed_sum(self, fixed_sum: FixedSum | None) -> Self:
        """As of `Conditional`."""
        made = copy.copy(self)
        made.fixed_sum = in_quarters(fixed_sum) if self.rounded else fixed_sum
        checks.check_parts(made, conditional.PARTS)
        return made

    # Evaluation.

    def plain(self) -> Self:
        """As of `Conditional`."""
        return self

    def given(self, condition: Tensor | None) -> Self:
        """This factor with networks of images that have a condition, [B, ...] as in `Inputs`, or None."""
        kind: Any = self.condition
        encoded = None if condition is None else kind.encode(np.asarray(condition))
        made = copy.copy(self)
        made.built = {part: weights.given(encoded) for part, weights in self.built.items()}
        for part, weights in made.built.items():
            network = copy.copy(getattr(self, part))
            network.build(weights)
            setattr(made, part, network)
        return made

    def _features(self, inputs):
        return self.given(inputs.condition).embed(inputs.auxiliary)

    @_by_own_threads
    def embed(self, auxiliary: Tensor) -> list[Any]:
        """f_w(x_hat): uint8 [B, h, w, c] -> list of float [B, h, w, F]; empty without an embedding."""
        if self.embedding is None:
            return []
        auxiliary, radius = np.asarray(auxiliary), self.embedding.radius

        def embedded(part):
            return self.embedding(self.scaled(part, self.auxiliary_likelihood))

        _, height, width, _ = auxiliary.shape
        if radius is None or height * width <= _BAND:
            return embedded(auxiliary)
        # So that only its outputs are as large as the image.
        bands = batches.spans(height, radius, 1, _BAND // width)
        parts = [
            [x[:, band.kept(1, band.start)] for x in embedded(auxiliary[:, band.evaluated()])]
            for band in bands
        ]
        return [np.concatenate(x, axis=1) for x in zip(*parts)]

    @_by_own_threads
    def _evaluated(self, inputs):
        count, height, width, _ = inputs.images.shape
        at_once, parts = max(1, batches.CACHED // (height * width)), []
        for first in range(0, max(count, 1), at_once):
            some = Inputs(*(x if x is None else x[first : first + at_once] for x in inputs))
            given = self.given(some.condition)
            parts.append(given.network(self.seen(some), given.embed(some.auxiliary)))
        return np.concatenate(parts)

    def known_at_first(self, ones: Tensor, auxiliary: Tensor) -> list[Any]:
        """`ParallelPixelCNN.known_at_first` of a tile: `ones` is [B, h, w, 1], of its blocks."""
        return self.network.known_at_first(ones.shape[:3], self.embed(auxiliary))

    @_by_own_threads
    def group_params(self, k: int, known: list[Any]) -> Tensor:
        """`ParallelPixelCNN.group_params` of a tile."""
        return self.network.group_params(k, known)

    @_by_own_threads
    def decide_each_pixel(self, request: DrawRequest, decider: Any, batch: int) -> Tensor:
        """Decides the pixels of B images by a decider, as in `scanning.groups`: uint8 [B, H, W, C]."""
        size: Any = request.size
        if isinstance(self.network, DecidesGroups):
            return TileScan(self, request, batch, batch * math.prod(size)).decide_tiles(decider)
        return self._decide_in_waves(request, decider, batch)

    def _decide_in_waves(self, request, decider, batch):
        kind, fixed_sum, network = self.likelihood, self.fixed_sum, self.network
        particles = request.particles
        shape = batch, *request.size, kind.num_channels
        images = np.zeros(shape, arguments.pixel_dtype(kind.num_values))
        features = self._embedded_once(request)
        known = fixed_sum and Remainders(fixed_sum, request.auxiliary, request.within)
        known = known and known.blocks(request.size)
        if not isinstance(network, DecidesInRasterOrder) or request.method == "full":
            scan = WholeScan(network, features, shape)
        elif network.num_resolutions > 1:
            scan = RasterScan(network, features, shape)
        else:
            # The rows of a block are not decided at the same time.
            of_network = MaskedWaveScan if isinstance(network, DecidesInMaskedOrder) else WaveScan
            scan = of_network(network, features, shape, fixed_sum.ratio if fixed_sum else 1)
        decide = decider(lambda x: x)
        for rows, columns, params in scan.waves():

            def pick(x, rows=rows, columns=columns):
                return x[:, rows, columns]

            here = known and known.at_pixels(rows, columns)
            pixels = decide(params, pick, here and here.bounds())
            if particles is not None:
                nats = known_nats(kind, request, params, pixels, pick, here)
                particles.weigh(nats.sum(axis=1))
            images[:, rows, columns] = pixels
            if self.watch:
                self.watch(images)
            scan.decided(self.network_inputs(pixels, here and here.center()))
            if here:
                here.decided(pixels)
            if particles is not None and particles.are_few():
                state = [images, *scan.state(), *([known.remainder] if known else [])]
                particles.resample(state)
        return images

    def _embedded_once(self, request):
        """`embed` of a request's auxiliary images: of one alone, where all draws are given the same."""
        condition, auxiliary = request.condition, request.auxiliary
        given = [x for x in (condition, auxiliary) if x is not None]
        # Particles are resampled in place.
        alike = auxiliary is not None and request.particles is None
        if not (alike and all((x == x[:1]).all() for x in given)):
            return self.embed(auxiliary)
        one = self.given(None if condition is None else condition[:1]).embed(auxiliary[:1])
        return [np.broadcast_to(x, (len(auxiliary), *x.shape[1:])) for x in one]


def relative(network: Any) -> dict[str, Any]:
    """The weights of a Keras network by their paths within it, named as in files."""
    depth = 1 + network.path.count("/")
    found = tensors.named_weights(network).items()
    return {"/".join(path.split("/")[depth:]): x for path, x in found}
