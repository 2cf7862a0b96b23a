"""Array functions under Keras's names, which compute with NumPy or with tensors, whichever they are given.

Arrays of NumPy, numbers, and lists of these give arrays of NumPy, and nothing imports Keras. If any argument
<<<<<<< HEAD
is a tensor, `keras.ops` computes. Dtypes are Keras's either way, but for lists and Python's numbers alone, which
NumPy makes float64. `arange` of a number is NumPy's: a constant that both kinds take.
=======
is a tensor, `keras.ops` computes. Dtypes are Keras's either way, but for lists and Python's numbers alone,
which NumPy makes float64. `arange` is always NumPy's: a constant that both kinds take.
>>>>>>> math

Draws, bounds and conditions are written in these functions, once for graphs and for NumPy. Exponentials may
overflow on purpose: whoever draws with NumPy does it within `np.errstate(all="ignore")`.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from pixelcnn_aux.arguments import Tensor

# Looked up by type, since that is fast: some 200 functions are called for each pixel of a draw.
_PLAIN = {np.ndarray, np.memmap, bool, int, float, list, tuple, *np.sctypeDict.values()}


def is_plain(*values: Any) -> bool:
    """Whether no value is a tensor: all are NumPy's or Python's."""
    for x in values:
        if type(x) not in _PLAIN:
            return False
    return True


@functools.cache
def _keras():
    from keras import ops

    return ops


@functools.cache
def _backend():
    from pixelcnn_aux import backend

    return backend


def _either(plain: Callable[..., Any], name: str | None = None) -> Callable[..., Any]:
    """A function for NumPy, and Keras's of the same name where any positional argument is a tensor."""
    name = name or plain.__name__

    def function(*args, **kwargs):
        for x in args:
            if type(x) not in _PLAIN:
                return getattr(_keras(), name)(*args, **kwargs)
        return plain(*args, **kwargs)

    return function


def _of_list(plain: Callable[..., Any]) -> Callable[..., Any]:
    """As `_either`, of a function of a list of arrays."""
    name = plain.__name__

    def function(xs, axis):
        return plain(xs, axis) if is_plain(*xs) else getattr(_keras(), name)(xs, axis=axis)

    return function


def numpy_dtype(dtype: Any) -> Any:
    """The dtype of an array of NumPy, or a tensor, as one of NumPy."""
    is_numpy = isinstance(dtype, (np.dtype, str, type))
    return dtype if is_numpy else dtype.as_numpy_dtype  # TensorFlow's alone are its own


def _axes_after(axis):
    """An index of all that comes after a negative axis."""
    return (slice(None),) * (-1 - axis)


# Arrays as they are.


def alike(*xs: Any) -> list[Tensor]:
    """Arrays or lists: as arrays of NumPy if none is a tensor, else all as tensors."""
    if is_plain(*xs):
        return [np.asarray(x) for x in xs]
    return [_keras().convert_to_tensor(x) for x in xs]


def is_float(x: Tensor) -> bool:
    if type(x) in _PLAIN:
        return x.dtype.kind == "f"
    import keras

    return keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype))


def cast(x: Any, dtype: Any) -> Tensor:
    if type(x) is np.ndarray:
        return x.astype(numpy_dtype(dtype), copy=False)
    if type(x) in _PLAIN:
        return np.asarray(x, numpy_dtype(dtype))
    return _keras().cast(x, dtype)


def arange(count: Any, dtype: Any = "int32") -> Tensor:
    if type(count) not in _PLAIN:
        return _keras().arange(count, dtype=dtype)
    return np.arange(count, dtype=numpy_dtype(dtype))


broadcast_to = _either(np.broadcast_to)
shape = _either(np.shape)
reshape = _either(np.reshape)
swapaxes = _either(np.swapaxes)
repeat = _either(np.repeat)
zeros_like = _either(np.zeros_like)
full_like = _either(np.full_like)
take = _either(np.take)
stop_gradient = _either(lambda x: x, "stop_gradient")
concatenate = _of_list(np.concatenate)


@_of_list
def stack(xs, axis):
    before = (slice(None),) * axis if axis >= 0 else (...,)
    index = (*before, None, *_axes_after(axis))
    return np.concatenate([x[index] for x in xs], axis)


@_either
def unstack(x, num=None, axis=0):  # axis below 0
    after = _axes_after(axis)
    return [x[(..., i, *after)] for i in range(x.shape[axis])]


@_either
def split(x, indices_or_sections, axis=0):  # axis below 0
    ends, count = indices_or_sections, x.shape[axis]
    if isinstance(ends, int):
        ends = range(count // ends, count, count // ends)
    after = _axes_after(axis)
    return [x[(..., slice(*ends), *after)] for ends in zip((0, *ends), (*ends, count))]


def lookup(table: Tensor, index: Tensor, axis: int = 0) -> Tensor:
    """As `take`, but faster, at indices from 0 on: [N, ...], int [B] -> [B, ...], B any sides."""
    if type(index) in _PLAIN and type(table) in _PLAIN:
        return table.take(index, axis)
    return _backend().lookup(table, index, axis)


def pick(x: Tensor, index: Tensor) -> Tensor:
    """The element at each index along the last axis: [B, ..., K], int32 [B] -> [B, ...], B any sides."""
    if type(x) not in _PLAIN or type(index) not in _PLAIN:
        return _backend().pick(x, index)
    if index.ndim != 1:
        leading, after = index.shape, x.shape[index.ndim :]
        found = pick(x.reshape(-1, *after), index.reshape(-1))
        return found.reshape((*leading, *after[:-1]))
    return x[(np.arange(len(index)), *(slice(None),) * (x.ndim - 2), index)]


def argmax(x: Tensor) -> Tensor:
    """Index of the largest along the last axis, the first of several: [..., K] -> int32 [...]."""
    return x.argmax(-1).astype(np.int32) if type(x) in _PLAIN else _backend().argmax(x)


# Elementwise.

absolute = _either(np.absolute, "abs")
ceil = _either(np.ceil)
exp = _either(np.exp)
expm1 = _either(np.expm1)
floor = _either(np.floor)
log = _either(np.log)
log1p = _either(np.log1p)
logical_and = _either(np.logical_and)
maximum = _either(np.maximum)
minimum = _either(np.minimum)
multiply = _either(np.multiply)
round = _either(np.rint, "round")
sign = _either(np.sign)
tanh = _either(np.tanh)
where = _either(np.where)


@_either
def clip(x, low, high):
    return np.minimum(np.maximum(x, low), high)


@_either
def relu(x):
    return np.maximum(x, 0)


@_either
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@_either
def softplus(x):
    return np.logaddexp(x, 0)


# Reductions.

min = _either(np.min)
max = _either(np.max)
all = _either(np.all)
mean = _either(np.mean)


@_either
def sum(x, axis=None, keepdims=False):
    return np.add.reduce(x, axis, x.dtype, None, keepdims)


@_either
def cumsum(x, axis):
    return np.cumsum(x, axis, x.dtype)


@_either
def logsumexp(x, axis):
    largest = np.max(x, axis, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0)
    return np.log(np.sum(np.exp(x - largest), axis)) + np.squeeze(largest, axis)


@_either
def log_softmax(x, axis):
    x = x - np.max(x, axis, keepdims=True)
    return x - np.log(np.sum(np.exp(x), axis, keepdims=True))
