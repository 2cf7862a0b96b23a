"""RoundedFactor: a factor whose parameters are the same on every machine, to the last bit."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np
from keras import ops

from pixelcnn_aux import arrays, layers, networks, serialization
from pixelcnn_aux.arguments import Tensor
from pixelcnn_aux.errors import expect
from pixelcnn_aux.factor import Factor
from pixelcnn_aux.layers import rounding
from pixelcnn_aux.likelihoods import Likelihood, LogisticMixture
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.sums import FixedSum

_LARGE = 256 // rounding.CENTERS  # a deviation, in pixel values


@serialization.register()
class RoundedFactor(Factor):
    """A factor of a `ParallelPixelCNN` that computes with whole numbers times powers of two.

    All sums in its networks are exact in float32 (`layers.rounding`), whatever the processor, the library,
    the number of threads, and the size of tiles and batches. Its weights may have any values while it is
    trained: gradients go through the rounding. `quantize_weights` rounds the weights themselves.

    Args: as for `Factor`. The likelihood is a mixture of at most 256 values, whose unit is a power of two;
      the embedding has no gates, the dtype is float32, there is no condition, and a fixed sum is one within
      each channel, with centers in quarters of values.

    Raises:
      ValueError: also for other parts.
    """

    mixes_precisions, rounded = False, True

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)

        def check(fits, expected, received):
            expected = f"{expected}, of a factor of whole numbers"
            expect(fits, expected, received, "Give it, or build a Factor")

        kind, known, network = self.likelihood, self.fixed_sum, self.network
        fits = isinstance(network, networks.ParallelPixelCNN)
        check(fits, "a ParallelPixelCNN", type(network).__name__)
        fits = isinstance(kind, LogisticMixture) and kind.num_values <= 256
        received = f"{type(kind).__name__} of {kind.num_values} values"
        check(fits, "a LogisticMixture of at most 256 values", received)
        fits = known is None or known.num_channels is None
        check(fits, "a sum within each channel", "one over all channels")
        fits = self.embedding is None or not self.embedding.stream.gated
        check(fits, "an embedding without gates", "one with gates")
        check(self.condition is None, "no condition", self.condition)
        check(self.dtype_policy.name == "float32", "float32", self.dtype_policy.name)
        if kind.centered:
            units = known and known.center_units
            expected = f"center_units={rounding.CENTERS}, and a unit that is a power of two"
            fits = units == rounding.CENTERS and math.frexp(kind.unit)[0] == 0.5
            check(fits, expected, f"center_units={units}, unit={kind.unit}")

    def with_fixed_sum(self, fixed_sum: FixedSum | None) -> Self:
        """As of `Factor`; centers become quarters of values."""
        return super().with_fixed_sum(_in_quarters(fixed_sum))

    @contextlib.contextmanager
    def given(self, condition: Tensor | None) -> Iterator[None]:
        """As of `Factor`, with rounding."""
        with super().given(condition), layers.context(rounded=True):
            yield

    def network_inputs(self, pixels: Tensor, centers: Tensor = None) -> Tensor:
        """As of `Factor`, but large deviations from centers are rounded: all have 8 bits, as in bfloat16."""
        x = super().network_inputs(pixels, centers)
        if not self.likelihood.centered:
            return x
        whole = arrays.round(x * self.likelihood.unit) / self.likelihood.unit
        return arrays.where(arrays.absolute(whole) * self.likelihood.unit < _LARGE, x, whole)

    def scaled(self, images: Tensor, likelihood: Likelihood | None = None) -> Tensor:
        """Pixel values -> multiples of a power of two in (-1, 1), at most 255 of them of 256 values."""
        num_values = (likelihood or self.likelihood).num_values
        twice = 2 * arrays.cast(images, self.variable_dtype) - (num_values - 1)
        return twice / 2.0 ** math.ceil(math.log2(num_values))

    def quantize_weights(self) -> None:
        """Rounds the weights, so that rounding them again is exact wherever they are loaded.

        Raises ValueError, which names the layer, if a sum could reach 2 ** 24 of its units, and would not be
        exact.
        """
        found = {x: _quantized(x, *self._inputs(x)) for x in layers.normalized_layers(self)}
        for layer, weights in found.items():
            _check_exact(layer, weights.largest_sum)
        pairs = [] if self.embedding is None else [(self.embedding.stream, self.embedding.first)]
        for stream, first in [*pairs, *zip(self.network.streams, self.network.firsts)]:
            blocks = [block.conv_out for block in stream.steps]
            largest = sum(found[layer].largest_output for layer in (first, *blocks))
            _check_exact(stream, largest * rounding.SUMS)
        for layer, weights in found.items():
            layer.v.assign(weights.kernel)
            inputs = tuple(range(weights.kernel.ndim - 1))
            layer.g.assign(np.sqrt(np.square(weights.kernel).sum(axis=inputs)))
            layer.b.assign(weights.bias)

    @property
    def quantized(self) -> bool:
        """Whether the weights are rounded, but for the last digits of their normalization."""
        for layer in layers.normalized_layers(self):
            kernel, bias = layer.kernel(), layer.bias()
            units = rounding.kernel_units(kernel, bias)
            for x, near in ((kernel * units, 2.0**-8), (bias * units * rounding.ACTIVATIONS, 0.0)):
                if ops.max(ops.abs(x - ops.round(x))) > near:
                    return False
        return True

    def _inputs(self, layer):
        """The inputs of a layer: the units in 1, and the most units of each channel, or of all."""
        if self.embedding is not None and layer is self.embedding.first:
            values = self.auxiliary_likelihood.num_values
            return 2.0 ** math.ceil(math.log2(values)), values - 1
        if layer not in self.network.firsts:
            return rounding.ACTIVATIONS, rounding.MOST
        ones, features, pixels = 1.0, rounding.MOST / rounding.ACTIVATIONS, 1.0
        units = max(rounding.ACTIVATIONS, 2.0 ** math.ceil(math.log2(self.likelihood.num_values)))
        if self.likelihood.centered:
            units = rounding.ACTIVATIONS
            pixels = (self.likelihood.num_values - 1) / self.likelihood.unit
        channels = layer.v.shape[-2]
        count = 0 if self.embedding is None else self.embedding.filters
        most = [ones] + [features] * count
        return units, units * np.array(most + [pixels] * (channels - len(most)))


def _in_quarters(fixed_sum: FixedSum | None) -> FixedSum | None:
    """A `FixedSum`, or None, as a `RoundedFactor` uses it."""
    return fixed_sum and type(fixed_sum)(
        **{**fixed_sum.get_config(), "center_units": rounding.CENTERS}
    )


class _Quantized(NamedTuple):
    """The rounded weights of a layer, float64, and the largest numbers that it computes."""

    kernel: np.ndarray
    bias: np.ndarray
    largest_sum: float  # in units
    largest_output: float


def _quantized(layer, units, most):
    """`_Quantized` weights of a layer, for inputs as from `RoundedFactor._inputs`."""
    kernel, bias = map(ops.convert_to_numpy, (layer.kernel(), layer.bias()))
    per_kernel = rounding.kernel_units(kernel, bias).astype(np.float64)
    whole = np.round(kernel.astype(np.float64) * per_kernel)
    per_bias = rounding.ACTIVATIONS * per_kernel
    bias = np.round(bias * per_bias) / per_bias
    inputs = tuple(range(whole.ndim - 1))
    sums = (np.abs(whole) * np.reshape(most, (-1, 1))).sum(axis=inputs)
    sums += np.abs(bias) * units * per_kernel
    return _Quantized(whole / per_kernel, bias, sums.max(), (sums / (units * per_kernel)).max())


def _check_exact(layer: Any, most: float) -> None:
    expected = f"sums of less than 2 ** 24 units in {layer.path}, which are exact in float32"
    remedy = "Give it fewer channels, or smaller weights"
    expect(most < rounding.EXACT, expected, f"up to {most:,.0f}", remedy)


def rounded(model: AuxiliaryModel) -> AuxiliaryModel:
    """A model of `RoundedFactor`s with the quantized weights of another model.

    It may be trained further, and quantized again. Raises ValueError for a factor that cannot be rounded: see
    `RoundedFactor` and `RoundedFactor.quantize_weights`.
    """
    made = untrained(model)
    for name, factor in made.factors.items():
        factor.set_weights(model.factors[name].get_weights())
        factor.quantize_weights()
    return made


def untrained(model: AuxiliaryModel) -> AuxiliaryModel:
    """As `rounded`, with new weights, which are not quantized."""
    factors = []
    for factor in model.factors.values():
        config = factor.get_config()
        config["fixed_sum"] = serialization.serialize(_in_quarters(factor.fixed_sum))
        factors.append(RoundedFactor.from_config(config))
    return AuxiliaryModel(factors, model.transforms, model.image_size)
