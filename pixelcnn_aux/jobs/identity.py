"""Describes the functions, settings and items of jobs as text: others have other descriptions."""

import functools
import hashlib
import inspect
import io
import json
import pathlib
import pkgutil
import types
from typing import Any

import numpy as np

from pixelcnn_aux.base import arguments, disk
from pixelcnn_aux.base.errors import expect


def described(value: Any) -> str:
    """The description of a value, by which the results of jobs are told apart.

    A function or class counts by its name and, outside this package, the text of its module; a file by its
    path and bytes; an array by dtype, shape and values; an object by its class and attributes, as pickled.

    Raises ValueError, which names the value, if it cannot be described, such as a closure.
    """
    try:
        found = _described(value)
        is_name = isinstance(found, dict) and "name" in found
        return found["name"] if is_name else json.dumps(found, sort_keys=True)
    except RecursionError:
        return _refuse(value)


def checksum(text: str) -> str:
    """The SHA-256 of a text, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def _described(value):
    """JSON, in which each object has one entry that names a kind: dicts of settings cannot be mistaken."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind in (list, tuple):
        return [*map(_described, value)]
    if kind is dict and all(type(key) is str for key in value):
        return {"dict": {key: _described(x) for key, x in value.items()}}
    if kind in (np.ndarray, np.memmap) or isinstance(value, np.generic):
        return {"array": _array_checksum(value)}
    if kind is type(pathlib.Path()) and not value.is_dir():
        return {"file": [str(value), disk.checksum(value)]}
    if kind is functools.partial:
        return {"partial": _described([value.func, value.args, value.keywords])}
    if kind is types.MethodType:
        return {"method": _described([value.__func__, value.__self__])}
    if callable(value) and hasattr(value, "__qualname__"):
        return {"name": _name(value)}
    if (kind.__reduce_ex__, kind.__reduce__) != (object.__reduce_ex__, object.__reduce__):
        return _refuse(value)
    try:
        _, *parts = value.__reduce_ex__(2)  # class, attributes, and items of a list or dict
    except TypeError:  # a lock, a generator
        return _refuse(value)
    return {"object": [_described([*x] if hasattr(x, "__next__") else x) for x in parts]}


def _array_checksum(array):
    if array.dtype.hasobject:
        return _refuse(array)
    np.save(file := io.BytesIO(), np.asarray(array, order="C"))
    return hashlib.sha256(file.getbuffer()).hexdigest()


def _name(value):
    """The name of a function or class and, outside this package, a checksum of its module's text."""
    name = f"{value.__module__}:{value.__qualname__}"
    try:
        found = pkgutil.resolve_name(name)
        is_own = name.startswith("pixelcnn_aux.")
        described = name if is_own else f"{name} {_module_checksum(value)}"
    except (AttributeError, ImportError, OSError, TypeError, ValueError):
        return _refuse(value)
    captured = {*getattr(getattr(value, "__code__", None), "co_freevars", ())} - {"__class__"}
    return _refuse(value) if found is not value or captured else described


@functools.cache  # by the function: a long process may run an earlier text than the file has by now
def _module_checksum(value):
    return checksum(inspect.getsource(inspect.getmodule(value)))


def _refuse(value):
    expected = "functions, settings and items that a folder can tell from others: functions and classes "
    expected += "of modules in files, None, truth values, numbers, strings, lists and dicts of them, arrays, "
    remedy = "Define functions in a module, with settings as arguments of a functools.partial, or omit folder"
    expect(False, f"{expected}files as pathlib.Path, and plain objects", arguments.short_repr(value), remedy)
