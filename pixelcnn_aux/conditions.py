"""Conditions of whole images, classes or vectors, the same for every factor of a chain.

A factor encodes a condition as a vector per image. The blocks of networks add a projection of it as biases.
"""

from typing import Any

import numpy as np

from pixelcnn_aux.base import arguments, arrays
from pixelcnn_aux.base.arguments import ArrayLike, Tensor
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.serialization import Configured, register


class Condition(Configured):
    """Base class of conditions. A subclass is registered, and defines the attributes, `_check` and `encode`.

    Attributes:
      size: int, D, the length of the encoded vector.
      shape: tuple of int, the shape of one image's value.
      dtype: str, of values: "int32" or "float32".
      absent: the value of an image without a condition. Its vector is zero, and so are its biases.
      remedy: str, the remedy of the error about a missing condition.
    """

    size: int
    shape: tuple[int, ...]
    dtype: str
    absent: float
    remedy: str

    def encode(self, values: Tensor) -> Tensor:
        """Values [B, *shape] -> [B, size]."""
        raise NotImplementedError

    def _check(self, values: np.ndarray) -> None:
        """Raises ValueError for values out of range."""

    def unknown(self, count: int) -> np.ndarray:
        """The values of `count` images without a condition: [count, *shape] of `dtype`."""
        return np.full((count, *self.shape), self.absent, self.dtype)

    def checked(self, values: ArrayLike | None, batch: int | None = None) -> Tensor:
        """Values [B, *shape], of any integers or floats, as a NumPy array or tensor of `dtype`.

        Raises ValueError for missing or invalid values, or another B than `batch`, which None leaves open.
        """
        kind = "int" if self.dtype == "int32" else "float"
        sides = ("B" if batch is None else batch, *self.shape)
        shape = f"{kind} [{', '.join(map(str, sides))}]"
        expected = f"a condition, {shape}, since the model is conditional on {self}"
        expect(values is not None, expected, "none", self.remedy)
        array: Any = arguments.array("condition", values)
        dtype, array_shape = str(getattr(array.dtype, "name", array.dtype)), tuple(array.shape)
        # Integers are valid floats, but floats are not labels.
        fits = dtype.startswith(("int", "uint") + ("float",) * (kind == "float"))
        fits = fits and len(array_shape) > 0 and array_shape[1:] == self.shape
        fits = fits and (batch is None or array_shape[0] in (None, batch))
        expected, received = f"a condition as {shape}, of {self}", f"{dtype} {list(array_shape)}"
        expect(fits, expected, received, "Give one for each image")
        if isinstance(array, np.ndarray):
            self._check(array)
            return array.astype(self.dtype)
        if not arrays.is_symbolic(array):
            self._check(np.asarray(array))
        return arrays.cast(array, self.dtype)


@register()
class Classes(Condition):
    """A class per image: int [B], 0 to `num_classes` - 1, or -1 for no class.

    Args:
      num_classes: int.
    """

    shape, dtype, absent = (), "int32", -1
    remedy = "Give a label for each image, or -1 for no class"

    def __init__(self, num_classes: int):
        most = arguments.MAX_PER_PIXEL
        self.num_classes = self.size = arguments.whole("num_classes", num_classes, 1, most)

    def __repr__(self):
        return f"{self.num_classes} classes"

    def encode(self, values: Tensor) -> Tensor:
        # Not ONNX's one-hot operation, which takes -1 for the last class and not for zeros.
        classes = arrays.arange(self.num_classes, self.dtype)
        # Keras passes labels unchanged.
        values = arrays.cast(values, self.dtype)[..., None]
        return arrays.cast(values == classes, "float32")

    def _check(self, values):
        wrong = values[(values < -1) | (values >= self.num_classes)]
        if len(wrong):
            expected = f"classes from 0 to {self.num_classes - 1}, or -1 for no class"
            expect(False, expected, wrong[0], "Number them from 0 on")


@register()
class Vector(Condition):
    """A vector per image: float [B, `size`], or zeros for an unknown one.

    Args:
      size: int.
    """

    dtype, absent = "float32", 0.0
    remedy = "Give a vector for each image, or zeros for an unknown one"

    def __init__(self, size: int):
        self.size = arguments.whole("size", size, 1, arguments.MAX_PER_PIXEL)
        self.shape = (self.size,)

    def __repr__(self):
        return f"vectors of {self.size}"

    def encode(self, values: Tensor) -> Tensor:
        return arrays.cast(values, self.dtype)

    def _check(self, values):
        remedy = "Replace unknown vectors by zeros"
        expect(np.isfinite(values).all(), "finite vectors", "NaN or Inf", remedy)


def checked(
    condition: Condition | None, values: ArrayLike | None, batch: int | None = None
) -> Tensor | None:
    """`Condition.checked`, or None without a condition: then values raise ValueError."""
    if condition is not None:
        return condition.checked(values, batch)
    if values is not None:
        expected = "no condition: the model is not conditional on classes or vectors"
        received = arguments.short_repr(values)
        expect(False, expected, received, "Leave it out, or build the model with condition=")
    return None
