"""Conditions of whole images: classes, or vectors. The same for every factor of a chain.

A factor encodes a condition as a vector for each image, and the blocks of networks add a projection of that
vector, one bias for each of their units.
"""

from typing import Any

import numpy as np

from pixelcnn_aux.base import arguments, arrays
from pixelcnn_aux.base.arguments import ArrayLike, Tensor
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.serialization import Configured, register


class Condition(Configured):
    """A kind of condition. A subclass, which is registered, defines the attributes, `_check` and `encode`.

    Attributes:
      size: int, D, of the vector that `encode` makes for an image.
      shape: tuple of int, the shape of one image's value.
      dtype: str, of values: "int32" or "float32".
      absent: the value of an image without a condition. Its vector is zero, and so are its biases.
      remedy: str, the advice of an error about a missing condition.
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
        """Raises ValueError for values of the right shape and dtype that do not exist."""

    def unknown(self, count: int) -> np.ndarray:
        """The values of `count` images without a condition: [count, *shape] of `dtype`."""
        return np.full((count, *self.shape), self.absent, self.dtype)

    def checked(self, values: ArrayLike | None, batch: int | None = None) -> Tensor:
        """Values [B, *shape] of `dtype`, a NumPy array or a tensor, of any integers, or any floats.

        `batch` is the B expected; None if it is not known while a graph is traced. Raises ValueError for no
        values, values that do not exist, of another dtype, shape or number.
        """
        kind = "int" if self.dtype == "int32" else "float"
        sides = ("B" if batch is None else batch, *self.shape)
        shape = f"{kind} [{', '.join(map(str, sides))}]"
        expected = f"a condition, {shape}, since the model is conditional on {self}"
        expect(values is not None, expected, "none", self.remedy)
        found: Any = arguments.array("condition", values)
        dtype, found_shape = str(getattr(found.dtype, "name", found.dtype)), tuple(found.shape)
        # Whole numbers are floats too, but floats are not labels.
        fits = dtype.startswith(("int", "uint") + ("float",) * (kind == "float"))
        fits = fits and len(found_shape) > 0 and found_shape[1:] == self.shape
        fits = fits and (batch is None or found_shape[0] in (None, batch))
        expected, received = f"a condition as {shape}, of {self}", f"{dtype} {list(found_shape)}"
        expect(fits, expected, received, "Give one for each image")
        if isinstance(found, np.ndarray):
            self._check(found)
            return found.astype(self.dtype)
        if not arrays.is_symbolic(found):
            self._check(np.asarray(found))
        return arrays.cast(found, self.dtype)


@register()
class Classes(Condition):
    """One of some classes, by its number: int [B], from 0 to `num_classes` - 1; -1 is no class.

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
        # Zeros for -1, which ONNX's own operation for this takes for the last class.
        classes = arrays.arange(self.num_classes, self.dtype)
        # Keras passes labels on as they are.
        values = arrays.cast(values, self.dtype)[..., None]
        return arrays.cast(values == classes, "float32")

    def _check(self, values):
        wrong = values[(values < -1) | (values >= self.num_classes)]
        if len(wrong):
            expected = f"classes from 0 to {self.num_classes - 1}, or -1 for no class"
            expect(False, expected, wrong[0], "Number them from 0 on")


@register()
class Vector(Condition):
    """A vector: float [B, `size`]. Zeros are an unknown one.

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
        remedy = "Leave out what is not known by zeros"
        expect(np.isfinite(values).all(), "finite vectors", "others", remedy)


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
