"""Argument checks: types, ranges and model sizes; and type aliases for annotations.

Arguments also come from files, which may be hostile: constructors call these functions before they allocate
memory. Each returns the argument as a plain Python value, or raises a ValueError that names it.
"""

import math
import os
import pathlib
import sys
from collections.abc import Collection, Sequence
from typing import Any, NoReturn, TypeAlias, TypeVar

import numpy as np
import numpy.typing

from pixelcnn_aux.base.errors import did_you_mean, expect

# Arrays, tensors, numbers, and lists of them.
ArrayLike: TypeAlias = numpy.typing.ArrayLike
Tensor: TypeAlias = Any  # of Keras's backend, which has no types
Seeds: TypeAlias = int | Sequence[Sequence[int]] | np.ndarray  # a str is another `ArrayLike`
Size: TypeAlias = Sequence[int]  # (H, W)
PathLike: TypeAlias = str | os.PathLike[str]
Config: TypeAlias = dict[str, Any]  # JSON-serializable
ImageSource: TypeAlias = Any  # whatever `data.as_images` takes; much of it is untyped

_T = TypeVar("_T")

# Limits of about ten times the paper's numbers, more than current machines can train.
LARGEST = 2048  # filters, blocks, components; height and width of images and kernels
MAX_PIXELS = 2**26  # of an image of any height and width: a small file can claim far more
MAX_VALUES = 2**16  # of a channel
MAX_HALVINGS = 8  # of an image's height and width, inside a network
MAX_PER_PIXEL = 2**20  # outputs of a layer
MAX_PARAMETERS = 10**10  # of a factor: 40 GB in float32, and five times that in training

MODES = ("sample", "map")  # of draws
BACKENDS = ("numpy", "graph")  # choices of `by`
# Packages whose arrays stay tensors; other arrays become NumPy's.
_TENSOR_PACKAGES = ("jax", "jaxlib", "keras", "tensorflow", "tensorflow_probability")


def is_whole(value: Any, smallest: int, largest: int) -> bool:
    """Whether a value is a Python or NumPy int from `smallest` to `largest`."""
    is_int = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return is_int and smallest <= value <= largest


def whole(name: str, value: Any, smallest: int = 1, largest: int = LARGEST) -> int:
    """A Python or NumPy int from `smallest` to `largest`, as an int; bools are rejected."""
    if not is_whole(value, smallest, largest):
        _refuse(name, value, f"from {smallest:,} to {largest:,}, a whole number")
    return int(value)


def positive(name: str, value: Any, largest: float = math.inf) -> float:
    """A finite number above 0 and at most `largest`, as a float."""
    if not _is_finite(value) or not 0 < value <= largest:
        most = "and finite" if largest == math.inf else f"of at most {largest:,}"
        _refuse(name, value, f"above 0, {most}")
    return float(value)


def rate(name: str, value: Any, largest: float) -> float:
    """A number from 0 to `largest`, as a float."""
    if not _is_finite(value) or not 0 <= value <= largest:
        _refuse(name, value, f"from 0 to {largest}")
    return float(value)


def flag(name: str, value: Any) -> bool:
    """A Python or NumPy bool, as a bool; 0 and 1 are rejected."""
    if not isinstance(value, (bool, np.bool_)):
        _refuse(name, value, "of True or False")
    return bool(value)


def whole_each(name: str, value: Any, count: int, one: str) -> list[int]:
    """A list of `count` whole numbers: a list with one per `one`, or one number that is repeated."""
    each = value if isinstance(value, (list, tuple)) else [value] * count
    expected = f"{name} as a whole number, or a list of {count}, one for each {one}"
    expect(len(each) == count, expected, short_repr(value), "Give one for each")
    return [whole(name, number) for number in each]


def choice(name: str, value: Any, choices: Collection[str], optional: bool = False) -> Any:
    """One of `choices`, as a str; or None if `optional`."""
    if not (optional and value is None) and (not isinstance(value, str) or value not in choices):
        remedy = did_you_mean(value, choices, "Give such a value")
        _refuse(name, value, f"of {', '.join(map(repr, choices))}", remedy)
    return value


def size(name: str, value: Any, any_sides: bool = False) -> tuple[int, int]:
    """(H, W) as a tuple of ints, 1 to `LARGEST` each, or with `any_sides` at most `MAX_PIXELS` pixels."""
    largest = MAX_PIXELS if any_sides else LARGEST
    sides = tuple(value) if isinstance(value, (list, tuple, np.ndarray)) else ()
    fits = len(sides) == 2 and all(is_whole(x, 1, largest) for x in sides)
    if not fits or math.prod(map(int, sides)) > MAX_PIXELS:
        limit = f", of at most {MAX_PIXELS:,} pixels" if any_sides else f" to {LARGEST:,}"
        _refuse(name, value, f"as (H, W), whole numbers from 1{limit}")
    return int(sides[0]), int(sides[1])


def pixel_dtype(num_values: int) -> str:
    """The dtype of images with `num_values` pixel values: "uint8" up to 256, else "uint16"."""
    return "uint8" if num_values <= 256 else "uint16"


def array(name: str, value: Any) -> Any:
    """A tensor unchanged, or an array of real numbers; Python ints become int32 if they fit."""
    if type(value).__module__.partition(".")[0] in _TENSOR_PACKAGES and hasattr(value, "dtype"):
        return value
    try:
        converted = np.asarray(value)
    except (ValueError, TypeError, OverflowError):  # lists of different lengths
        converted = np.empty(0, object)
    if converted.dtype.kind not in "biuf" or isinstance(value, np.ma.MaskedArray):
        remedy = "Give such a value; of a data set, pa.data.as_images(...).pixels"
        _refuse(name, value, "as an array of numbers", remedy)
    if converted.dtype == np.int64 and not isinstance(value, np.ndarray):
        narrow = converted.astype(np.int32)
        return narrow if (narrow == converted).all() else converted
    return converted


def instance(name: str, value: Any, cls: type[_T], optional: bool = False) -> _T:
    """The value, checked to be an instance of `cls`; or None if `optional`."""
    fits = isinstance(value, cls) or (optional and value is None)
    if not fits:
        _refuse(name, value, f"of class {cls.__name__}{', or None' * optional}")
    return value


def path(name: str, value: Any) -> pathlib.Path:
    """A str or `os.PathLike` as a `pathlib.Path`. It must be UTF-8, since TensorFlow writes to no other."""
    text: Any = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    try:
        fits = isinstance(text, str) and b"\0" not in text.encode()
    except UnicodeEncodeError:
        fits = False
    if not fits:
        _refuse(name, value, "as a path, a str or pathlib.Path of UTF-8")
    try:
        pathlib.Path(text).absolute()
    except FileNotFoundError:  # the current folder was removed
        _refuse(name, value, "as an absolute path, since the current folder is gone")
    return pathlib.Path(text)


def at_most_parameters(
    name: str, count: int, most: int = MAX_PARAMETERS, why: str = "whatever the machine"
) -> None:
    """Raises ValueError if the named factor has, or would have, more than `most` parameters."""
    expected = f"factor {name!r} with at most {most:,} parameters, {why}"
    remedy = "Choose fewer filters, blocks or mixture components"
    expect(count <= most, expected, f"another network, of {count:,}", remedy)


def short_repr(value: Any) -> str:
    """The first 80 characters of any value's repr."""
    try:
        return f"{value!r:.80}"
    except (ValueError, RecursionError):  # ints of thousands of digits, deeply nested lists
        return f"a {type(value).__name__} too large to be shown"


def _refuse(name: str, value: Any, expected: str, remedy: str = "Give such a value") -> NoReturn:
    received = f"{name}={short_repr(value)}" if name.isidentifier() else short_repr(value)
    raise ValueError(f"Expected {name} {expected}. Received: {received}. {remedy}.")


def _is_finite(value):
    if isinstance(value, np.floating):
        value = float(value)  # the largest float is infinite in float32
    is_number = isinstance(value, (int, float, np.integer)) and not isinstance(value, bool)
    # Not `math.isfinite`, which raises for ints too large for a float.
    return is_number and abs(value) <= sys.float_info.max
