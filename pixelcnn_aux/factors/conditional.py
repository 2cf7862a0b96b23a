"""Conditional: the mathematics of one factor p(x | x_hat), independent of how networks are evaluated.

`factor.Factor`, which is trained, evaluates them by Keras; `ArrayFactor` in NumPy, or in graphs.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from pixelcnn_aux import batches, conditions, sums
from pixelcnn_aux.base import arguments, arrays, rounding
from pixelcnn_aux.base.arguments import ArrayLike, Tensor
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.inputs import (
    METHODS,
    DrawRequest,
    Inputs,
    check_images,
    check_multiple,
    check_sides_known,
)
from pixelcnn_aux.factors.quantizing import quantized
from pixelcnn_aux.likelihoods import Likelihood
from pixelcnn_aux.networks import (
    Embedding,
    MaskedPixelCNN,
    Network,
    ParallelPixelCNN,
    PixelCNN,
)
from pixelcnn_aux.scanning import deciders
from pixelcnn_aux.sums import FixedSum

# The classes of a factor's parts, in the order of descriptions.
PARTS: dict[str, Any] = {
    "likelihood": Likelihood,
    "network": Network,
    "embedding": Embedding,
    "auxiliary_likelihood": Likelihood,
    "fixed_sum": FixedSum,
    "condition": conditions.Condition,
}


class PixelNats(NamedTuple):
    """Likelihoods of each pixel given the pixels before it and x_hat: float [B, H, W] each, in nats."""

    log_prob: Tensor  # log p(pixel)
    bound: Tensor  # log p(pixel) if the factor is not exact: the paper's lower bound
    entropy: Tensor  # the expectation of -log p(pixel): `Likelihood.entropy`


class compiled(functools.cached_property):  # lower case, as a decorator
    """Decorator: a factor's method runs in TensorFlow graphs, or compiled by JAX.

    Its arguments are structures of tensors [B, ...] and plain values. Its attributes are `any_size`, as of
    `backend.traced`, and `uncompiled`, the method itself, for calls that are not worth a graph.
    """

    def __init__(self, method: Callable[..., Any], jit_compile: bool = False):
        super().__init__(lambda factor: _Compiled(method.__get__(factor), factor, jit_compile))


class _Compiled:
    def __init__(self, method, factor, jit_compile):
        self.uncompiled, self._factor, self._jit_compile = method, factor, jit_compile

    @functools.cached_property
    def _graphs(self):
        backend = arrays.backend()
        if backend.NAME == "jax":
            return (
                backend.jitted(self.uncompiled, self._factor)
                if self._factor.is_keras
                else self.uncompiled
            )
        return backend.traced(self.uncompiled, self._jit_compile)

    def __call__(self, *args):
        return self._graphs(*args)

    def any_size(self, *args):
        return getattr(self._graphs, "any_size", self._graphs)(*args)


class Conditional:
    """p(x | x_hat), or p(x) for an unconditional factor: likelihoods and draws from network outputs.

    A subclass evaluates networks: it defines the methods that are declared here.

    Attributes:
      name: str.
      likelihood, network, embedding, auxiliary_likelihood, fixed_sum, condition: see `Factor`.
      rounded: bool, whether networks compute with whole numbers (`base/rounding.py`).
      variable_dtype: str, of all floats.
      is_keras: bool, whether it is a Keras model, so that graphs evaluate it and the transforms of its chain.
      exact: bool, whether images that contradict x_hat have probability 0, so that log p(x | x_hat) is exact
        and not a bound.
      auxiliary_ratio: int, the height of x over that of x_hat.
    """

    name: str
    likelihood: Likelihood
    network: Any
    embedding: Any
    auxiliary_likelihood: Likelihood | None
    fixed_sum: FixedSum | None
    condition: conditions.Condition | None
    rounded = is_keras = False
    variable_dtype: str
    watch: Callable[[Tensor], None] | None = None  # called with unfinished images, [B, H, W, C]
    as_keras: Callable[[], Any]  # the `factor.Factor` with its weights, for training and graphs
    plain: Callable[[], Any]  # the `ArrayFactor` of NumPy arrays, its present weights
    symbolic: Callable[[], Any]  # the `ArrayFactor` of tensors, in a graph that is being traced
    keras_class: Callable[[], Any]  # the class of `as_keras()`
    description: Callable[[], Any]  # see `serialization.serialize`
    # A factor of the same networks, not copies, with another `FixedSum`, or None.
    with_fixed_sum: Callable[..., Self]
    _evaluated: Callable[[Inputs], Tensor]  # parameters: float [B, H, W, P]
    _features: Callable[[Inputs], list[Tensor]]  # f_w(x_hat): float [B, h, w, F] each

    @property
    def quantized(self) -> bool:
        """Whether the present weights are whole numbers. Raises as `RoundedFactor.quantize_weights`."""
        return self.rounded and quantized(self.plain())[1]

    def is_recording(self) -> bool:
        """Whether operations on weights are recorded, in a graph or for gradients."""
        return False

    def needs_tensors(self) -> bool:
        """Whether the networks cannot be evaluated in NumPy now."""
        return False

    @property
    def auxiliary_ratio(self) -> int:
        return 1 if self.embedding is None else self.network.side * self.embedding.ratio

    @property
    def radius(self) -> int | None:
        """Blocks of an image that the networks see in each direction; None if unknown."""
        radii = [part.radius for part in self.networks()]
        return None if None in radii else sum(radii)

    @property
    def exact(self) -> bool:
        return self.fixed_sum is not None and self.fixed_sum.exact

    def networks(self) -> list[Any]:
        """The factor's networks."""
        return [*self.named_networks().values()]

    def named_networks(self) -> dict[str, Any]:
        """The factor's networks by name: "network" and, if it is conditional, "embedding"."""
        parts = {"network": self.network, "embedding": self.embedding}
        return {name: part for name, part in parts.items() if part is not None}

    def smallest_inputs(self) -> Inputs:
        """`Inputs` of zeros, with the smallest images that the networks accept."""
        side, auxiliary = self.network.multiple, None
        if self.embedding is not None:
            side = math.lcm(side, self.embedding.multiple * self.auxiliary_ratio)
            auxiliary = _zeros(side // self.auxiliary_ratio, self.auxiliary_likelihood)
        condition = self.condition and self.condition.unknown(1)
        return Inputs(_zeros(side, self.likelihood), auxiliary, condition)

    # Networks.

    def seen(self, inputs: Inputs) -> Tensor:
        """The network's input for the images of `Inputs`: float [B, H, W, C]."""
        (images, auxiliary, _), fixed_sum, centers = inputs, self.fixed_sum, None
        if fixed_sum is not None and self.likelihood.centered:
            centers = fixed_sum.centers(images, auxiliary)
        return self.network_inputs(images, centers)

    def network_inputs(self, pixels: Tensor, centers: Tensor = None) -> Tensor:
        """The network's input for pixel values [..., C] of any dtype: float [..., C].

        Pixels are `scaled`; or, if the likelihood is centered, differences from `FixedSum.centers` in its
        units, which are small compared with the variation of x_hat.
        """
        if not self.likelihood.centered:
            return self.scaled(pixels)
        pixels, centers = (arrays.cast(x, self.variable_dtype) for x in (pixels, centers))
        return self._in_units(pixels - centers)

    def seen_auxiliary(self, auxiliary: Tensor) -> Tensor:
        """The embedding's input for x_hat, [B, h, w, c] of any dtype: float [B, h, w, c], or 3 c channels.

        Pixels are `scaled`; if the embedding has `differences`, those from the pixels to the left and above
        follow, in the likelihood's units, and 0 at the border.
        """
        x = self.scaled(auxiliary, self.auxiliary_likelihood)
        if not self.embedding.differences:
            return x
        pixels = arrays.cast(auxiliary, self.variable_dtype)
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
        images, half = arrays.cast(images, self.variable_dtype), (num_values - 1) / 2
        if self.rounded:
            return rounding.whole_pixels(images, num_values)
        return (images - half) / half

    def inputs(self, images: ArrayLike | Inputs, auxiliary: ArrayLike | None = None) -> Inputs:
        """`Inputs` for `call`, checked.

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
        if self.embedding is not None:
            auxiliary = self._checked_auxiliary(auxiliary)
        inputs = Inputs(checked, auxiliary, condition)
        self.check_shapes(inputs)
        return inputs

    def check_takes(self, auxiliary: Tensor) -> None:
        """Raises ValueError for auxiliary images, maybe labels in their place, if the factor takes none."""
        expected = "no auxiliary images: this factor takes none"
        remedy = 'Give the images alone, or with labels as {"images": images, "condition": labels}'
        expect(auxiliary is None or self.embedding is not None, expected, "some", remedy)

    def check_shapes(self, inputs: Inputs) -> None:
        """Raises ValueError for sizes of images or auxiliary images that the factor does not accept."""
        check_multiple(inputs.images, self.network.multiple)
        if self.embedding is None:
            return
        check_multiple(inputs.auxiliary, self.embedding.multiple)
        (batch, *size), ratio = inputs.images.shape[:3], self.auxiliary_ratio
        check_sides_known(size)
        expected = f"image sides that are multiples of {ratio}, the ratio to auxiliary images"
        fits, received = sums.is_divided(size, ratio // self.network.side), "{} x {}".format(*size)
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

    def features(
        self, auxiliary: ArrayLike, condition: ArrayLike | None = None, by: str | None = None
    ) -> list[Tensor]:
        """f_w(x_hat): [B, h, w, c] -> float [B, h_k, w_k, F] each, finest first. Raises as `inputs`."""
        received, remedy = "an unconditional one", "Call it on one that has an embedding"
        expect(self.embedding is not None, "a conditional factor", received, remedy)
        images, embedding = self._checked_auxiliary(auxiliary), self.networks()[1]
        check_multiple(images, embedding.multiple)
        condition = conditions.checked(self.condition, condition, images.shape[0])
        return self._in_batches("_features", Inputs(None, images, condition), images, by)

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
          float [B, H, W, P] of the model's dtype.

        Raises:
          ValueError: as `inputs`, for another method, or for "incremental" of a factor in mixed precision.
        """
        arguments.choice("method", method, METHODS)
        inputs, evaluate = self.inputs(images, auxiliary), "_full_params"
        if method == "incremental":
            self.check_scannable()
            # Groups with all pixels known, and custom networks, have no incremental evaluation.
            if isinstance(self.network, (PixelCNN, MaskedPixelCNN)):
                evaluate, by = "_forced_params", "numpy"
        return self._in_batches(evaluate, inputs, inputs.images, by)

    @compiled
    def _full_params(self, inputs):
        return self._evaluated(inputs)

    def _forced_params(self, inputs):
        inputs = Inputs(*(None if x is None else np.asarray(x) for x in inputs))
        images, params = inputs.images, []
        pixels = np.arange(images[0, ..., 0].size).reshape(1, *images.shape[1:3])

        def decider(pixel_params, pick, bounds):
            params.append((pick(pixels)[0], pixel_params))
            return pick(images)

        request = DrawRequest(size=images.shape[1:3], auxiliary=inputs.auxiliary)
        evaluation = self.plain().with_condition(inputs.condition)
        evaluation.decide_pixels(request, decider, len(images))
        order, in_order = (np.concatenate(x, axis=k) for k, x in enumerate(zip(*params)))
        return in_order[:, np.argsort(order)].reshape(*images.shape[:3], -1)

    def _in_batches(self, method, inputs, images, by):
        """Calls the named method of `Inputs` in batches."""
        use_graphs = batches.by_graph(by, [self], images)
        factor = self.as_keras() if use_graphs and not arrays.is_symbolic(images) else self
        function = getattr(factor, method)
        if not use_graphs:
            function = getattr(function, "uncompiled", function)
        results = batches.in_batches(function, inputs, images.shape[1:3], by_tensors=use_graphs)
        return as_numpy(results, [self])

    # Likelihoods. Methods that take `Inputs` alone assume that they are valid, and evaluate one batch.

    def log_prob(
        self,
        images: ArrayLike | Inputs,
        auxiliary: ArrayLike | None = None,
        by: str | None = None,
    ) -> Tensor:
        """log p(x | x_hat) in nats: float [B] of the model's dtype. Raises ValueError as `inputs`.

        If `exact`, it is -inf for images that contradict x_hat.
        """
        inputs = self.inputs(images, auxiliary)
        return self._in_batches("batch_log_prob", inputs, inputs.images, by)

    def pixel_log_prob(
        self,
        images: ArrayLike | Inputs,
        auxiliary: ArrayLike | None = None,
        by: str | None = None,
    ) -> Tensor:
        """log p(pixel | the pixels before it, x_hat) in nats: float [B, H, W], whose sum is `log_prob`."""
        inputs = self.inputs(images, auxiliary)
        return self._in_batches("batch_pixel_log_prob", inputs, inputs.images, by)

    def batch_pixel_log_prob(self, inputs: Inputs) -> Tensor:
        """`pixel_log_prob` of one batch."""
        return batches.map_tiles(self, self._pixel_log_prob, inputs)

    def batch_params(self, inputs: Inputs) -> Tensor:
        """`params` of one batch."""
        return batches.map_tiles(self, self._full_params, inputs)

    def batch_log_prob(self, inputs: Inputs) -> Tensor:
        """`log_prob` of one batch."""
        return batches.sum_tiles(self, self._pixel_log_prob, inputs)

    def bound_and_exact(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """`log_prob` as if the factor were not exact, and as it is, by one evaluation of the networks."""
        return batches.sum_tiles(self, self._bound_and_exact, inputs)

    def pixel_nats(self, inputs: Inputs) -> PixelNats:
        """`PixelNats` of one batch, for a likelihood that gives the probabilities of a channel's values."""
        return batches.map_tiles(self, self._pixel_nats, inputs)

    def _bounds(self, inputs, fixed_sum):
        """The `Bounds` of images by a sum; None without one."""
        return fixed_sum and fixed_sum.bounds(inputs.images, inputs.auxiliary)

    def _nats(self, params, inputs, fixed_sum):
        """log p(pixel | the pixels before it, x_hat): [B, H, W]."""
        bounds = self._bounds(inputs, fixed_sum)
        return batches.in_chunks(self.likelihood.log_prob, params, inputs.images, bounds)

    def _both_nats(self, params, inputs):
        """`_nats` of the factor as if it were not exact, and as it is."""
        centers_only = self.fixed_sum.with_exact(False) if self.likelihood.centered else None
        return [self._nats(params, inputs, x) for x in (centers_only, self.fixed_sum)]

    @compiled
    def _pixel_log_prob(self, inputs):
        return self._nats(self._evaluated(inputs), inputs, self.fixed_sum)

    @compiled
    def _bound_and_exact(self, inputs):
        return self._both_nats(self._evaluated(inputs), inputs)

    @compiled
    def _pixel_nats(self, inputs):
        params = self._evaluated(inputs)
        bound, nats = self._both_nats(params, inputs)
        bounds = self._bounds(inputs, self.fixed_sum)
        entropy = batches.in_chunks(self.likelihood.entropy, params, inputs.images, bounds)
        return PixelNats(nats, bound, entropy)

    def log_prob_given(self, inputs: Inputs, groups: list[Any]) -> Tensor:
        """`log_prob` given each of several conditions, in groups [K, ...]: float [B, sum of K]."""
        # Keras's graphs compute bounds, and layers before the first conditional one, once per group.
        evaluate = self._group_log_prob
        if arrays.is_plain(inputs.images):
            evaluate = getattr(evaluate, "uncompiled", evaluate)
        return arrays.concatenate([evaluate(inputs, x) for x in groups], axis=-1)

    def _group_log_prob(self, inputs, conditions):
        return arrays.stack([self._log_prob_given(inputs, x) for x in conditions], axis=-1)

    def _log_prob_given(self, inputs, condition):
        shape = (arrays.shape(inputs.images)[0], *self.condition.shape)
        inputs = inputs._replace(condition=arrays.broadcast_to(condition, shape))
        nats = self._nats(self._evaluated(inputs), inputs, self.fixed_sum)
        return arrays.sum(nats, axis=(1, 2))

    @compiled
    def log_density(self, inputs: Inputs) -> Tensor:
        """`AuxiliaryModel.log_density` of this factor, if it is not exact, for float `Inputs`."""
        (images, auxiliary, _), centers = inputs, None
        if self.likelihood.centered:
            fixed_sum: Any = self.fixed_sum
            centers = fixed_sum.centers(images, auxiliary)
            centers = arrays.cast(centers, self.variable_dtype) + arrays.zeros_like(images)
        params = self._evaluated(inputs)
        return arrays.sum(self.likelihood.log_density(params, images, centers), axis=(1, 2))

    # Draws.

    def draw(self, request: DrawRequest) -> Tensor:
        """Draws images [B, H, W, C], in NumPy unless the request says otherwise; in a traced graph, by it.

        Raises ValueError as `check_scannable`, and for particles in graphs.
        """
        self.check_scannable()
        is_traced = arrays.is_symbolic(request.log_scale_shift)
        in_graph = is_traced or request.by == "graph" or request.jit_compile
        fits = request.particles is None or not in_graph
        expect(fits, "particles=1 of draws by graphs", "more", 'Draw by="numpy"')
        if in_graph or not isinstance(self.network, ParallelPixelCNN):
            request = request._replace(noise=request.noise[:, :, :])
        if is_traced:
            return self._draw_in_graph(request)
        if in_graph:
            return np.asarray(self.as_keras()._draw_in_graph(request))
        evaluation = self.plain().with_condition(request.condition)
        decider = deciders.drawn_pixels(self.likelihood, request)
        return evaluation.decide_pixels(request, decider, len(request.log_scale_shift))

    def _draw_in_graph(self, request):
        features: Any = []
        if request.auxiliary is not None:
            features = self._features(Inputs(None, request.auxiliary, request.condition))
        draw = self._draw_by_xla if request.jit_compile else self._draw
        # Without fields that graphs do not depend on: each value would trace another graph.
        request = request._replace(seeds=None, mode="", size=None, jit_compile=False, by=None)
        return draw(features, request if self.fixed_sum else request._replace(auxiliary=None))

    def _drawn(self, features, request):
        return self.symbolic().drawn(features, request)

    _draw, _draw_by_xla = compiled(_drawn), compiled(_drawn, jit_compile=True)

    def check_scannable(self) -> None:
        """Raises ValueError if the factor cannot be evaluated pixel by pixel."""


def as_numpy(results: Any, factors: Iterable[Conditional]) -> Any:
    """A structure with tensors as NumPy arrays, unless they are symbolic or recorded for gradients."""
    if any(factor.is_recording() for factor in factors):
        return results
    return arrays.mapped(lambda x: x if arrays.is_symbolic(x) else np.asarray(x), results)


def in_bits_per_dim(log_probs: dict[str, Tensor], shape: Sequence[int]) -> dict[str, Tensor]:
    """dict, name -> nats [B] -> bits per dimension of full images [H, W, C], and their sum, "total"."""
    bits = math.log(2.0) * math.prod(shape)
    result = {name: -nats / bits for name, nats in log_probs.items()}
    return {**result, "total": sum(result.values())}


def _zeros(side, likelihood):
    dtype = arguments.pixel_dtype(likelihood.num_values)
    return np.zeros([1, side, side, likelihood.num_channels], dtype)
