"""RoundedFactor: a factor whose outputs are bit-identical on every machine."""

from typing import Any, Self

from pixelcnn_aux.base import rounding, serialization
from pixelcnn_aux.factors import checks
from pixelcnn_aux.factors.array_factor import ArrayFactor
from pixelcnn_aux.factors.factor import Factor
from pixelcnn_aux.factors.quantizing import quantized
from pixelcnn_aux.sums import FixedSum


@serialization.register()
class RoundedFactor(Factor):
    """A factor of a `ParallelPixelCNN` or `MaskedPixelCNN`, in whole numbers times powers of two.

    All sums in its networks are exact in float32 (`base/rounding.py`), on any processor and library, for any
    number of threads and any size of tiles and batches. Weights are not rounded in training: gradients pass
    straight through the rounding. `quantize_weights` rounds them.

    Args: as for `Factor`. The likelihood is a mixture, whose unit is a power of two, or a categorical; the
      embedding has no gates; the dtype is float32; there is no condition; a fixed sum is within each channel,
      with centers in quarters of values. Raises ValueError for other parts.
    """

    mixes_precisions, rounded = False, True

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        checks.check_rounded(self)

    def with_fixed_sum(self, fixed_sum: FixedSum | None) -> Self:
        """`Factor.with_fixed_sum`, with centers in quarters of values."""
        return super().with_fixed_sum(rounding.in_quarters(fixed_sum))

    def quantize_weights(self) -> None:
        """Rounds the weights for good. Raises ValueError for a layer whose sums could reach 2 ** 24 units."""
        for name, arrays in quantized(ArrayFactor.of(self))[0].items():
            for path, weight in self.variables_by_path[name].items():
                weight.assign(arrays[path])
