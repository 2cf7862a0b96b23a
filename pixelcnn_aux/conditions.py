"""What is known of whole images: their classes, or vectors. The same for every factor of a chain.

A factor encodes a condition as a vector for each image, and gated blocks (`layers.GatedResidualBlock`) add a
projection of that vector, one bias for each unit of theirs.
"""

from typing import Any

import numpy as np
from keras import ops

from pixelcnn_aux import arguments, backend
from pixelcnn_aux.arguments import ArrayLike, Tensor
from pixelcnn_aux.serialization import Configured, register


class Condition(Configured):
    """A kind of condition. A subclass, which is registered, defines the attributes, `_check` and `encode`.

    Attributes:
      size: int, D, of the vector that `encode` makes for an image.
      shape: tuple of int, what follows B in the shape of values.
      dtype: str, of values: "int32" or "float32".
      absent: what stands for an unknown value. Its vector is zero, and so are its biases.
      remedy: str, what to give where a condition is missing.
    """

    size: int
    shape: tuple[int, ...]
    dtype: str
    absent: float
    remedy: str

    def encode(self, values: Tensor) -> Tensor:
        """Values [B, *shape] -> [B, size]."""
        raise NotImplementedError

    def unknown(self, count: int) -> np.ndarray:
        """The values of `count` images of which nothing is known: [count, *shape] of `dtype`."""
        return np.full((count, *self.shape), self.absent, self.dtype)

    def _check(self, values: np.ndarray) -> None:
        """Raises ValueError for values of the right shape and dtype that do not exist."""

    def checked(self, values: ArrayLike | None, batch: int | None = None) -> Tensor:
        """Values [B, *shape] of `dtype`, a NumPy array or a tensor, or an error that says what is wrong.

        Args:
          values: [B, *shape]; of any integers, or any floats.
          batch: int, the B expected; None where it is not known while a graph is traced.

        Raises:
          ValueError: for no values, others than there are, of another dtype, shape or number.
        """
        kind = "int" if self.dtype == "int32" else "float"
        sides = ("B" if batch is None else batch, *self.shape)
        expected = f"{kind} [{', '.join(map(str, sides))}]"
        if values is None:
            raise ValueError(
                f"Expected a condition, {expected}, since the model is conditional on {self}. "
                f"Received: none. {self.remedy}."
            )
        found: Any = arguments.array("condition", values)
        dtype, shape = str(getattr(found.dtype, "name", found.dtype)), tuple(found.shape)
        # Whole numbers are floats too, but floats are no labels.
        fits = dtype.startswith(("int", "uint") + ("float",) * (kind == "float"))
        batches = {batch, *shape[:1]} - {None}  # unknown ones may yet be the same
        if not fits or not shape or shape[1:] != self.shape or len(batches) > 1:
            raise ValueError(
                f"Expected a condition as {expected}, of {self}. Received: {dtype} {list(shape)}. Give one "
                "for each image."
            )
        if backend.is_symbolic(found):
            return ops.cast(found, self.dtype)
        is_array = isinstance(found, np.ndarray)
        self._check(found if is_array else ops.convert_to_numpy(found))
        return found.astype(self.dtype) if is_array else ops.cast(found, self.dtype)


@register()
class Classes(Condition):
    """One of some classes, by its number: int [B], from 0 to `num_classes` - 1; -1 is no class.

    Args:
      num_classes: int.
    """

    shape, dtype, absent = (), "int32", -1
    remedy = "Give a label for each image, or -1 for no class"

    def __init__(self, num_classes: int):
        self.num_classes = self.size = arguments.whole(
            "num_classes", num_classes, 1, arguments.MAX_PER_PIXEL
        )

    def __repr__(self):
        return f"{self.num_classes} classes"

    def get_config(self) -> dict[str, Any]:
        return {"num_classes": self.num_classes}

    def encode(self, values: Tensor) -> Tensor:
        # Zeros for -1, which ONNX's own operation for this takes for the last class.
        classes = ops.arange(self.num_classes, dtype=self.dtype)
        # Keras passes labels on as they are.
        values = ops.cast(ops.expand_dims(values, -1), self.dtype)
        return ops.cast(values == classes, "float32")

    def _check(self, values):
        wrong = values[(values < -1) | (values >= self.num_classes)]
        if len(wrong):
            raise ValueError(
                f"Expected classes from 0 to {self.num_classes - 1}, or -1 for no class. Received: "
                f"{wrong[0]}. Number them from 0 on."
            )


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

    def get_config(self) -> dict[str, Any]:
        return {"size": self.size}

    def encode(self, values: Tensor) -> Tensor:
        return ops.cast(values, self.dtype)

    def _check(self, values):
        if not np.isfinite(values).all():
            raise ValueError(
                "Expected finite vectors. Received: others. Leave out what is not known by zeros."
            )


def checked(
    condition: Condition | None, values: ArrayLike | None, batch: int | None = None
) -> Tensor | None:
    """What a model that is conditional on `condition`, or not, takes beside `batch` images.

    Raises ValueError as `Condition.checked`, and for values where there is no `condition`.
    """
    if condition is not None:
        return condition.checked(values, batch)
    if values is not None:
        raise ValueError(
            "Expected no condition: the model is not conditional on classes or vectors. Received: "
            f"{arguments.short_repr(values)}. Leave it out, or build the model with condition=."
        )
    return None
