"""The types that annotations of the public API name."""

import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy.typing

# What is given: arrays, tensors, numbers, lists of them.
ArrayLike: TypeAlias = numpy.typing.ArrayLike
Tensor: TypeAlias = Any  # of Keras's backend, which has no types
Size: TypeAlias = Sequence[int]  # (H, W)
PathLike: TypeAlias = str | os.PathLike[str]
Config: TypeAlias = dict[str, Any]  # what JSON can hold
ImageSource: TypeAlias = Any  # what `data.as_images` takes; many of these have no types
