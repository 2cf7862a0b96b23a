"""`Inputs`, the arguments of factors."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from pixelcnn_aux.base.arguments import Tensor


class Inputs(NamedTuple):
    """Images, uint8 up to 256 pixel values and uint16 above, with their auxiliary images and condition."""

    images: Tensor  # [B, H, W, C]
    auxiliary: Tensor = None  # [B, h, w, c]; None for an unconditional factor
    condition: Tensor = None  # [B, ...], as in `conditions`; None without one

    @classmethod
    def of(cls, inputs: Any) -> Self:
        """`Inputs` from a tuple or list in the order of the fields, a dict, or images alone."""
        if isinstance(inputs, cls):
            return inputs
        if isinstance(inputs, Mapping):
            return cls(**inputs)
        return cls(*inputs) if isinstance(inputs, (tuple, list)) else cls(inputs)
