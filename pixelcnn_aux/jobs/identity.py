"""Checksums by which the results of jobs are told apart."""

import functools
import hashlib
import inspect
import io
import pathlib
import pickle
import sys
import types

from pixelcnn_aux.base import arguments, disk
from pixelcnn_aux.base.errors import restated

_NAMED = {*sys.stdlib_module_names, "numpy", "pixelcnn_aux"}  # whose functions count by name alone


def checksum(value: object) -> str:
    """The SHA-256 of a value as workers receive it, of files' bytes, and of the text of functions' modules.

    Raises ValueError for a value without one, such as a closure.
    """
    pickler = _Pickler(file := io.BytesIO(), 4)
    pickler.fast = True  # without references to earlier parts: equal values have equal bytes
    kinds = AttributeError, OSError, RecursionError, TypeError, ValueError, pickle.PicklingError
    expected = "a function of a module, plain objects, arrays or files, which have a checksum"
    remedy = "Define functions in a module, settings by functools.partial, or omit the folder"
    with restated(expected, arguments.short_repr(value), remedy, *kinds):
        pickler.dump(value)
    return hashlib.sha256(file.getbuffer()).hexdigest()


class _Pickler(pickle.Pickler):
    def persistent_id(self, value):
        is_path = isinstance(value, pathlib.Path)
        if isinstance(value, (set, frozenset)) or (is_path and value.is_dir()):
            raise TypeError("a set has no order, and a folder no bytes")
        if is_path:
            return str(value), disk.checksum(value)
        is_code = isinstance(value, (types.FunctionType, type))
        if is_code and value.__module__.partition(".")[0] not in _NAMED:
            return pickle.dumps(value), _text_checksum(value)
        return None


@functools.cache  # a process goes on with the text that it has imported
def _text_checksum(value):
    return hashlib.sha256(inspect.getsource(inspect.getmodule(value)).encode()).hexdigest()
