"""Array functions under Keras's names, for NumPy arrays and for tensors.

NumPy arrays, numbers, and lists of them ("plain" values) are computed by NumPy, without importing Keras. If
any argument is a tensor, `keras.ops` computes. Dtypes follow Keras's rules, except that NumPy makes lists and
Python numbers float64. `arange` of a number returns a NumPy array, which both accept.

Draws, bounds and conditions use these functions, so that one implementation serves graphs and NumPy.
Exponentials may overflow on purpose: NumPy draws run within `np.errstate(all="ignore")`.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from pixelcnn_aux.base.arguments import Tensor

# A lookup by type is fast: each pixel of a draw calls some 200 functions.
_PLAIN = {np.ndarray, np.memmap, bool, int, float, *np.sctypeDict.values()}
_keras = functools.cache(lambda: importlib.import_module("keras.ops"))
backend = functools.cache(lambda: importlib.import_module("pixelcnn_aux.base.backend"))


def is_plain(*values: Any) -> bool:
    """Whether no value is a tensor, nor in a list of values."""
    for x in values:
        if type(x) not in _PLAIN and not (isinstance(x, (list, tuple)) and is_plain(*x)):
            return False
    return True


def alike(*xs: Any) -> list[Tensor]:
    """Arrays or lists as NumPy arrays if all are plain, else as tensors."""
    return [*map(np.asarray if is_plain(*xs) else _keras().convert_to_tensor, xs)]


def is_symbolic(x: Any) -> bool:
    """Whether x is a tensor in a graph that is being traced, without values."""
    return not is_plain(x) and backend().is_symbolic(x)


def tensor(x: Any) -> Tensor:
    """A tensor of Keras's backend."""
    return _keras().convert_to_tensor(x)


def value(x: Any) -> Tensor:
    """The present value of a variable as a tensor; arrays and tensors unchanged."""
    return x if is_plain(x) else backend().read(x)


def mapped(function: Callable[..., Any], *structures: Any) -> Any:
    """Applies a function to the leaves of nested dicts, lists and tuples of the same structure."""
    first = structures[0]
    if isinstance(first, dict):
        return {key: mapped(function, *(x[key] for x in structures)) for key in first}
    if not isinstance(first, (list, tuple)):
        return function(*structures)
    results = [mapped(function, *each) for each in zip(*structures)]
    return type(first)(*results) if hasattr(first, "_fields") else type(first)(results)


def numpy_dtype(dtype: Any) -> Any:
    """The NumPy dtype for the dtype of an array or tensor."""
    is_numpy = isinstance(dtype, (np.dtype, str, type))
    return dtype if is_numpy else dtype.as_numpy_dtype  # TensorFlow's own


def cast(x: Any, dtype: Any) -> Tensor:
    if type(x) is np.ndarray:
        return x if x.dtype is dtype else x.astype(numpy_dtype(dtype), copy=False)
    return np.asarray(x, numpy_dtype(dtype)) if is_plain(x) else _keras().cast(x, dtype)


def arange(count: Any, dtype: Any = "int32") -> Tensor:
    if type(count) not in _PLAIN:
        return _keras().arange(count, dtype=dtype)
    return np.arange(count, dtype=numpy_dtype(dtype))


def lookup(table: Tensor, index: Tensor, axis: int = 0) -> Tensor:
    """A faster `take`, for nonnegative indices: [N, ...], int [B] -> [B, ...], B any dimensions."""
    if type(table) in _PLAIN and type(index) in _PLAIN:
        return table.take(index, axis)
    return backend().lookup(table, index, axis)


def pick(x: Tensor, index: Tensor) -> Tensor:
    """The element at each index along the last axis: [B, ..., K], int32 [B] -> [B, ...], B any dimensions."""
    if type(x) not in _PLAIN or type(index) not in _PLAIN:
        return backend().pick(x, index)
    if index.ndim == 1:
        return x[np.arange(len(index)), ..., index]
    picked = pick(x.reshape(index.size, *x.shape[index.ndim :]), index.reshape(-1))
    return picked.reshape(index.shape + picked.shape[1:])


def argmax(x: Tensor) -> Tensor:
    """Index of the first largest value along the last axis: [..., K] -> int32 [...]."""
    return x.argmax(-1).astype(np.int32) if type(x) in _PLAIN else backend().argmax(x)


def map_rows(function: Callable[[Tensor], Tensor], xs: Tensor) -> Tensor:
    """Applies a function to each row of xs, [N, ...], one by one: Keras's `map`."""
    return np.stack([function(x) for x in xs]) if is_plain(xs) else _keras().map(function, xs)


def while_loop(proceeds: Any, body: Any, loop_vars: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Updates loop variables by `body` while `proceeds`, both functions of them."""
    if not is_plain(*loop_vars):
        return _keras().while_loop(proceeds, body, loop_vars)
    while proceeds(*loop_vars):
        loop_vars = body(*loop_vars)
    return loop_vars


def zeros(shape: Any, like: Tensor, dtype: Any = None) -> Tensor:
    """Zeros, a NumPy array or tensor as `like` is, of its dtype or another one."""
    return (np if is_plain(like) else _keras()).zeros(shape, dtype or like.dtype)


def item(x: Tensor, index: Any, axis: int = 0) -> Tensor:
    """x at an index along axis 0 or 1; in NumPy a view."""
    if type(x) in _PLAIN:
        return x[index] if axis == 0 else x[:, index]
    return backend().lookup(x, index, axis)


def pixels(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels at (row, column) pairs: [B, H, W, ...], int [n], int [n] -> [B, n, ...]."""
    if is_plain(x, rows):
        return x[:, rows, columns]
    return backend().pixels(x, rows, columns)


# In NumPy these functions write x in place and return it. Scans carry the returned arrays through loops.


def with_pixels(x: Tensor, rows: Tensor, columns: Tensor, y: Tensor) -> Tensor:
    """x, [B, H, W, ...], with pixels y, [B, n, ...] of any dtype, at distinct rows and columns, int [n]."""
    if not is_plain(x):
        return backend().with_pixels(x, rows, columns, cast(y, x.dtype))
    x[:, rows, columns] = y
    return x


def window(x: Tensor, starts: Any, counts: Any) -> Tensor:
    """A slice of x: `counts` elements from `starts` along its first axes; None takes all of an axis."""
    if is_plain(x):
        parts = (slice(start, n and start + n) for start, n in zip(starts, counts))
        return x[tuple(parts)]
    return backend().window(x, starts, counts)


def written(x: Tensor, starts: Any, y: Tensor) -> Tensor:
    """x with y written at `starts` of its first axes; TensorFlow loops write in place, too."""
    if not is_plain(x):
        return backend().written(x, starts, y)
    x[tuple(slice(start, start + n) for start, n in zip(starts, y.shape))] = y
    return x


def added(x: Tensor, start: int, y: Tensor) -> Tensor:
    """x, [B, n, C], plus y, [B, m, C], at every other position from `start` on."""
    if not is_plain(x):
        return backend().added(x, start, y)
    x[:, start : start + 2 * y.shape[1] : 2] += y
    return x


def product(x: Tensor, kernel: Tensor) -> Tensor:
    """[..., C] times [C, F]."""
    if not is_plain(x):
        return backend().product(x, kernel)
    # NumPy's product of more dimensions multiplies one matrix after another.
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], kernel.shape[-1])


def contiguous(x: Tensor) -> Tensor:
    """x; in NumPy, contiguous in memory."""
    return np.ascontiguousarray(x) if is_plain(x) else x


def loop(steps: range, advance: Callable[[Any], None], *carriers: Any) -> None:
    """Calls `advance` for each step, in a graph a tensor. It changes the carriers' `state` lists alone."""
    if is_plain(*(x for carrier in carriers for x in carrier.state)):
        for step in steps:
            advance(step)
        return

    def body(step, *states):
        for carrier, state in zip(carriers, states):
            carrier.state = list(state)
        with backend().sums_in_order():
            advance(step)
        return step + steps.step, *(carrier.state for carrier in carriers)

    first = steps.start, *(carrier.state for carrier in carriers)
    _, *states = while_loop(lambda step, *_: step < steps.stop, body, first)
    for carrier, state in zip(carriers, states):
        carrier.state = list(state)


def custom_gradient(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """Keras's decorator, for a function of tensors that returns its result and a gradient function."""
    return _keras().custom_gradient(function)


def _either(plain: Any, name: str = "") -> Callable[..., Any]:
    """Dispatches to `plain`, or to the Keras function of that name if any positional argument is a tensor."""
    name = name or plain.__name__

    def function(*args: Any, **kwargs: Any) -> Any:
        for x in args:
            if type(x) not in _PLAIN and not is_plain(x):
                return getattr(_keras(), name)(*args, **kwargs)
        return plain(*args, **kwargs)

    return function


# NumPy's own functions.
exp, expm1, log, log1p, tanh = map(_either, (np.exp, np.expm1, np.log, np.log1p, np.tanh))
square, sqrt, transpose = map(_either, (np.square, np.sqrt, np.transpose))
maximum, minimum, floor, ceil = map(_either, (np.maximum, np.minimum, np.floor, np.ceil))
matmul, multiply = map(_either, (np.matmul, np.multiply))
where, logical_and = map(_either, (np.where, np.logical_and))
sign, argsort = map(_either, (np.sign, np.argsort))
absolute, round = _either(np.absolute, "abs"), _either(np.rint, "round")
all, mean, min, max = map(_either, (np.all, np.mean, np.min, np.max))
shape, reshape, swapaxes = map(_either, (np.shape, np.reshape, np.swapaxes))
broadcast_to = _either(np.broadcast_to)
full_like, zeros_like, ones_like = map(_either, (np.full_like, np.zeros_like, np.ones_like))
concatenate, repeat, take, pad = map(_either, (np.concatenate, np.repeat, np.take, np.pad))

# Functions that NumPy lacks, or names or types otherwise.
stop_gradient = _either(lambda x: x, "stop_gradient")
relu = _either(lambda x: np.maximum(x, 0), "relu")
sigmoid = _either(lambda x: 1 / (1 + np.exp(-x)), "sigmoid")
silu = _either(lambda x: x * sigmoid(x), "silu")
elu = _either(lambda x: np.maximum(x, np.expm1(np.minimum(x, 0))), "elu")
softplus = _either(lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), "softplus")
clip = _either(lambda x, low, high: np.minimum(np.maximum(x, low), high), "clip")
expand_dims = _either(lambda x, axis: x[(*_before(axis), None)], "expand_dims")
cumsum = _either(lambda x, axis: np.cumsum(x, axis, x.dtype), "cumsum")


@_either
def sum(x, axis=None, keepdims=False):
    return np.add.reduce(x, axis, x.dtype, None, keepdims)


@_either
def logsumexp(x, axis):
    largest = np.max(x, axis, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0)
    return np.log(np.sum(np.exp(x - largest), axis)) + np.squeeze(largest, axis)


@_either
def log_softmax(x, axis):
    x = x - np.max(x, axis, keepdims=True)
    return x - np.log(np.sum(np.exp(x), axis, keepdims=True))


@_either
def softmax(x, axis=-1):
    x = np.exp(x - np.max(x, axis, keepdims=True))
    return x / np.sum(x, axis, keepdims=True)


@_either
def stack(xs, axis):
    index = (*_before(axis), None, *_after(axis))
    return np.concatenate([x[index] for x in xs], axis)


@_either
def unstack(x, num=None, axis=0):
    before, after = _before(axis), _after(axis)
    return [x[(*before, i, *after)] for i in range(x.shape[axis])]


@_either
def split(x, indices_or_sections, axis=0):
    ends, count, before, after = indices_or_sections, x.shape[axis], _before(axis), _after(axis)
    if isinstance(ends, int):
        ends = range(count // ends, count, count // ends)
    return [x[(*before, slice(*ends), *after)] for ends in zip((0, *ends), (*ends, count))]


def _before(axis):
    """An index of all axes before this one."""
    return (slice(None),) * axis if axis >= 0 else (...,)


def _after(axis):
    """An index of all axes after a negative one; empty for others."""
    return (slice(None),) * (-1 - axis)
