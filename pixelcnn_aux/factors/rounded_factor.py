"""RoundedFactor: a factor whose parameters are the same on every machine, to the last bit."""

from typing import Any, Self

from keras import ops

from pixelcnn_aux import layers
from pixelcnn_aux.base import rounding, serialization
from pixelcnn_aux.factors import checks
from pixelcnn_aux.factors.array_factor import ArrayFactor, relative
from pixelcnn_aux.factors.factor import Factor
from pixelcnn_aux.factors.quantizing import quantized
from pixelcnn_aux.sums import FixedSum


@serialization.register()
class RoundedFactor(Factor):
    """A factor of a `ParallelPixelCNN` or `MaskedPixelCNN`, in whole numbers times powers of two.

    All sums in its networks are exact in float32 (`rounding`), whatever the processor, the library,
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
        checks.check_rounded(self)

    def with_fixed_sum(self, fixed_sum: FixedSum | None) -> Self:
        """As of `Factor`; centers become quarters of values."""
        return super().with_fixed_sum(rounding.in_quarters(fixed_sum))

    def quantize_weights(self) -> None:
        """Rounds the weights, so that rounding them again is exact wherever they are loaded.

        Raises ValueError, which names the layer, if a sum could reach 2 ** 24 of its units, and would not be
        exact.
        """
        for name, arrays in quantized(ArrayFactor.of(self)).items():
            for path, weight in relative(getattr(self, name)).items():
                weight.assign(arrays[path])

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
