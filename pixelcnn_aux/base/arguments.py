"""Checks of arguments: their types, their ranges, and the size of a model; and the types of annotations.

Arguments also come from files, which may be hostile. Constructors call these functions before they allocate
anything. Each returns the argument as a plain Python value, or raises a ValueError that names it.
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
Size: TypeAlias = Sequence[int]  # (H, W)
PathLike: TypeAlias = str | os.PathLike[str]
Config: TypeAlias = dict[str, Any]  # JSON can hold it
ImageSource: TypeAlias = Any  # an argument of `data.as_images`; many of these have no types

_T = TypeVar("_T")

# About ten times the paper's numbers, and more than current machines can train. The first is of all that is
# counted: filters, blocks, components, the height and width of images and kernels.
LARGEST = 2048
MAX_PIXELS = 2**26  # of an image of any height and width: a small file can claim far more than that
MAX_VALUES = 2**16  # of a pixel's channel
MAX_HALVINGS = 8  # of an image's height and width, inside a network
MAX_PER_PIXEL = 2**20  # numbers that a layer puts out for a pixel
MODES = ("sample", "map")  # of draws
# The packages whose arrays are tensors; those of others become NumPy's.
_OF_TENSORS = ("jax", "jaxlib", "keras", "tensorflow", "tensorflow_probability")
MAX_PARAMETERS = 10**10  # of a factor: 40 GB in float32, and five times that while it is trained


def is_whole(value: Any, smallest: int, largest: int) -> bool:
    """Whether a value is an int, Python's or NumPy's, from `smallest` to `largest`."""
    is_int = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return is_int and smallest <= value <= largest


def whole(name: str, value: Any, smallest: int = 1, largest: int = LARGEST) -> int:
    """int of a whole number from `smallest` to `largest`, Python's or NumPy's; bools are rejected."""
    if not is_whole(value, smallest, largest):
        _refuse(name, value, f"from {smallest:,} to {largest:,}, a whole number")
    return int(value)


def positive(name: str, value: Any, largest: float = math.inf) -> float:
    """float of a finite number above 0, of at most `largest`."""
    if not _is_finite(value) or not 0 < value <= largest:
        most = "and finite" if largest == math.inf else f"of at most {largest:,}"
        _refuse(name, value, f"above 0, {most}")
    return float(value)


def rate(name: str, value: Any, largest: float) -> float:
    """float of a number from 0 to `largest`."""
    if not _is_finite(value) or not 0 <= value <= largest:
        _refuse(name, value, f"from 0 to {largest}")
    return float(value)


def flag(name: str, value: Any) -> bool:
    """bool of a bool, Python's or NumPy's; 0 and 1 are rejected."""
    if not isinstance(value, (bool, np.bool_)):
        _refuse(name, value, "of True or False")
    return bool(value)


def whole_each(name: str, given: Any, count: int, one: str) -> list[int]:
    """list of `count` whole numbers, of one number for all or a list with one for each `one`."""
    each = given if isinstance(given, (list, tuple)) else [given] * count
    expected = f"{name} as a whole number, or a list of {count}, one for each {one}"
    expect(len(each) == count, expected, short_repr(given), "Give one for each")
    return [whole(name, value) for value in each]


def choice(name: str, value: Any, choices: Collection[str]) -> str:
    """A str that is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        remedy = did_you_mean(value, choices, "Give such a value")
        _refuse(name, value, f"of {', '.join(map(repr, choices))}", remedy)
    return value


def size(name: str, value: Any, any_sides: bool = False) -> tuple[int, int]:
    """(H, W) as a tuple, whole numbers from 1 to `LARGEST`, or `any_sides` of at most `MAX_PIXELS`."""
    limit, largest = f" to {LARGEST:,}", LARGEST
    if any_sides:
        limit, largest = f", of at most {MAX_PIXELS:,} pixels", MAX_PIXELS
    sides = tuple(value) if isinstance(value, (list, tuple, np.ndarray)) else ()
    fits = len(sides) == 2 and all(is_whole(x, 1, largest) for x in sides)
    if not fits or math.prod(map(int, sides)) > MAX_PIXELS:
        _refuse(name, value, f"as (H, W), whole numbers from 1{limit}")
    return int(sides[0]), int(sides[1])


def pixel_dtype(num_values: int) -> str:
    """The dtype of images of so many pixel values: "uint8" or "uint16"."""
    return "uint8" if num_values <= 256 else "uint16"


def array(name: str, value: Any) -> Any:
    """A tensor as it is, or an array of real numbers, Python's whole ones as int32 where they fit."""
    if type(value).__module__.partition(".")[0] in _OF_TENSORS and hasattr(value, "dtype"):
        return value
    try:
        found = np.asarray(value)
    except (ValueError, TypeError, OverflowError):  # lists of different lengths
        found = np.empty(0, object)
    if found.dtype.kind not in "biuf" or isinstance(value, np.ma.MaskedArray):
        remedy = "Give such a value; of a data set, pa.data.as_images(...).pixels"
        _refuse(name, value, "as an array of numbers", remedy)
    narrow = found.astype(np.int32) if found.dtype == np.int64 else found
    return narrow if not isinstance(value, np.ndarray) and (narrow == found).all() else found


def instance(name: str, value: Any, kind: type[_T], optional: bool = False) -> _T:
    """An object of a class `kind`; or None if that is optional."""
    found: Any = value
    if not isinstance(value, kind) and not (optional and value is None):
        _refuse(name, value, f"of class {kind.__name__}{', or None' * optional}")
    return found


def path(name: str, value: Any) -> pathlib.Path:
    """`pathlib.Path` of a str or an `os.PathLike`, in UTF-8: TensorFlow writes to no other paths."""
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
    """Raises ValueError if a factor of this name has, or would have, more than `most` parameters."""
    expected = f"factor {name!r} with at most {most:,} parameters, {why}"
    remedy = "Choose fewer filters, blocks or mixture components"
    expect(count <= most, expected, f"another network, of {count:,}", remedy)


def short_repr(value: Any) -> str:
    """The first 80 characters of a value's repr, whatever the value."""
    try:
        return f"{value!r:.80}"
    except (ValueError, RecursionError):  # an int of thousands of digits, lists in lists in lists
        return f"a {type(value).__name__} too large to be shown"


def _refuse(name: str, value: Any, expected: str, remedy: str = "Give such a value") -> NoReturn:
    received = f"{name}={short_repr(value)}" if name.isidentifier() else short_repr(value)
    raise ValueError(f"Expected {name} {expected}. Received: {received}. {remedy}.")


def _is_finite(value):
    if isinstance(value, np.floating):
        value = float(value)  # The largest float is infinite as a float32.
    is_number = isinstance(value, (int, float, np.integer)) and not isinstance(value, bool)
    # A comparison, since `math.isfinite` raises for ints that are too large for a float.
    return is_number and abs(value) <= sys.float_info.max
