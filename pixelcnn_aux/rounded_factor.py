"""RoundedFactor: a factor whose parameters are the same on every machine, to the last bit."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any, NoReturn, Self

import numpy as np
from keras import ops

from pixelcnn_aux import layers, networks, serialization
from pixelcnn_aux.arguments import Tensor
from pixelcnn_aux.factor import Factor
from pixelcnn_aux.layers import rounding
from pixelcnn_aux.likelihoods import Likelihood, LogisticMixture
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.sums import FixedSum

_LARGE = 256 // rounding.CENTERS  # a deviation, in pixel values


@serialization.register()
class RoundedFactor(Factor):
    """A factor of a `ParallelPixelCNN` that computes with whole numbers times powers of two.

    All that its networks add up is exact in float32 (`layers.rounding`), whatever the processor, the library,
    the number of threads, and the size of tiles and batches. Its weights may be any while it is trained:
    gradients go through the rounding. `settle` makes them what they are rounded to.

    Args: as for `Factor`. The likelihood is a mixture of at most 256 values, whose unit is a power of two;
      the embedding has no gates, the dtype is float32, there is no condition, and a fixed sum is one within
      each channel, with centers in quarters of values.

    Raises:
      ValueError: also for other parts.
    """

    mixes_precisions = False

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if not isinstance(self.network, networks.ParallelPixelCNN):
            self._refuse("a ParallelPixelCNN", type(self.network).__name__)
        kind = self.likelihood
        if not isinstance(kind, LogisticMixture) or kind.num_values > 256:
            found = f"{type(kind).__name__} of {kind.num_values} values"
            self._refuse("a LogisticMixture of at most 256 values", found)
        if self.fixed_sum is not None and self.fixed_sum.num_channels is not None:
            self._refuse("a sum within each channel", "one over all channels")
        if self.embedding is not None and self.embedding.stream.gated:
            self._refuse("an embedding without gates", "one with gates")
        if self.condition is not None:
            self._refuse("no condition", self.condition)
        if self.dtype_policy.name != "float32":
            self._refuse("float32", self.dtype_policy.name)
        if self.likelihood.centered:
            unit = self.likelihood.unit
            units = self.fixed_sum and self.fixed_sum.center_units
            if units != rounding.CENTERS or math.frexp(unit)[0] != 0.5:
                expected = f"center_units={rounding.CENTERS}, and a unit that is a power of two"
                self._refuse(expected, f"center_units={units}, unit={unit}")

    def _refuse(self, expected: str, found: Any) -> NoReturn:
        raise ValueError(
            f"Expected {expected}, of a factor of whole numbers. Received: {found}. Give it, or build "
            "a Factor."
        )

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
        whole = ops.round(x * self.likelihood.unit) / self.likelihood.unit
        return ops.where(ops.abs(whole) * self.likelihood.unit < _LARGE, x, whole)

    def scaled(self, images: Tensor, likelihood: Likelihood | None = None) -> Tensor:
        """Pixel values -> multiples of a power of two in (-1, 1), at most 255 of them of 256 values."""
        num_values = (likelihood or self.likelihood).num_values
        twice = 2 * ops.cast(images, self.variable_dtype) - (num_values - 1)
        return twice / 2.0 ** math.ceil(math.log2(num_values))

    def settle(self) -> None:
        """Makes weights what they are rounded to, so that rounding them is exact wherever they are loaded.

        Raises ValueError, which names the layer, where something that is added up could reach 2 ** 24 of its
        units, and would not be exact.
        """
        normalized = layers.normalized_layers(self)
        found = {layer: _Rounded(layer, *self._inputs(layer)) for layer in normalized}
        for layer, rounded in found.items():
            if rounded.most >= rounding.EXACT:
                _refuse_sum(layer, rounded.most)
        for part, firsts in self._streams():
            blocks = [block.conv_out for block in part.steps]
            for first in firsts:
                reached = sum(found[layer].reach for layer in (first, *blocks)) * rounding.SUMS
                if reached >= rounding.EXACT:
                    _refuse_sum(part, reached)
        for layer, rounded in found.items():
            layer.v.assign(rounded.kernel)
            layer.g.assign(np.sqrt(np.square(rounded.kernel).sum(axis=rounded.inputs)))
            layer.b.assign(rounded.bias)

    def whole_kernels(self) -> list[tuple[Any, np.ndarray]]:
        """Pairs of a weight and what may be stored in its place, once weights are settled.

        These are the `v` of layers, whose lengths do not matter, as the units of their kernels: int8.
        """
        found = []
        for layer in layers.normalized_layers(self):
            kernel = layer.kernel()
            units = kernel * rounding.kernel_units(kernel, layer.bias())
            found.append((layer.v, np.asarray(ops.convert_to_numpy(ops.round(units)), np.int8)))
        return found

    @property
    def settled(self) -> bool:
        """Whether weights are what they are rounded to, but for the last digits of their normalization."""
        for layer in layers.normalized_layers(self):
            kernel, bias = layer.kernel(), layer.bias()
            units = rounding.kernel_units(kernel, bias)
            for x, near in ((kernel * units, 2.0**-8), (bias * units * rounding.ACTIVATIONS, 0.0)):
                if ops.max(ops.abs(x - ops.round(x))) > near:
                    return False
        return True

    def _streams(self):
        """Pairs of a stream and of the layers whose outputs it begins with."""
        pairs = [] if self.embedding is None else [(self.embedding.stream, [self.embedding.first])]
        return [*pairs, *((x, [y]) for x, y in zip(self.network.streams, self.network.firsts))]

    def _inputs(self, layer):
        """What a layer takes: how many units are 1, and the most units of each channel, or of all."""
        if self.embedding is not None and layer is self.embedding.first:
            values = self.auxiliary_likelihood.num_values
            return 2.0 ** math.ceil(math.log2(values)), values - 1
        firsts = self.network.firsts
        if layer not in firsts:
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
    if fixed_sum is None:
        return None
    return type(fixed_sum)(**{**fixed_sum.get_config(), "center_units": rounding.CENTERS})


class _Rounded:
    """The weights of a layer as they are rounded, float64, and how large what they add up can be.

    Attributes:
      kernel, bias: of the shapes of `v` and `b`.
      inputs: tuple of the axes of the kernel but the last.
      most: float, the most units that a sum can have.
      reach: float, the most that the output can be.
    """

    def __init__(self, layer, units, most):
        kernel, bias = layer.kernel(), layer.bias()
        per_kernel = ops.convert_to_numpy(rounding.kernel_units(kernel, bias)).astype(np.float64)
        whole = np.round(ops.convert_to_numpy(kernel).astype(np.float64) * per_kernel)
        self.inputs = tuple(range(whole.ndim - 1))
        per_bias = rounding.ACTIVATIONS * per_kernel
        self.kernel = whole / per_kernel
        self.bias = np.round(ops.convert_to_numpy(bias) * per_bias) / per_bias
        sums = (np.abs(whole) * np.reshape(most, (-1, 1))).sum(axis=self.inputs)
        sums += np.abs(self.bias) * units * per_kernel
        self.most, self.reach = sums.max(), (sums / (units * per_kernel)).max()


def _refuse_sum(layer: Any, most: float) -> NoReturn:
    raise ValueError(
        f"Expected sums of less than 2 ** 24 units in {layer.path}, which are exact in float32. Received: up "
        f"to {most:,.0f}. Give it fewer channels, or smaller weights."
    )


def rounded(model: AuxiliaryModel) -> AuxiliaryModel:
    """A model whose factors are `RoundedFactor`s with another one's weights, settled.

    It may be trained on, and settled again. Raises ValueError where a factor is none that can be: see
    `RoundedFactor`, and `RoundedFactor.settle`.
    """
    made = untrained(model)
    for name, factor in made.factors.items():
        factor.set_weights(model.factors[name].get_weights())
        factor.settle()
    return made


def untrained(model: AuxiliaryModel) -> AuxiliaryModel:
    """As `rounded`, with new weights, which are not settled."""
    factors = []
    for factor in model.factors.values():
        config = factor.get_config()
        config["fixed_sum"] = serialization.serialize(_in_quarters(factor.fixed_sum))
        factors.append(RoundedFactor.from_config(config))
    return AuxiliaryModel(factors, model.transforms, model.image_size)
