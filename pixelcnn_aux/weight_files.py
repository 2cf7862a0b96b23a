"""Files of a factor's weights: Keras's .weights.h5, with a checksum of the arrays in it."""

import hashlib
import math
import os

import h5py
import numpy as np

_CHECKSUM = "sha256"  # the attribute that has it, absent from files that Keras alone has written
_DAMAGED = (
    OSError,
    KeyError,
    RuntimeError,
    TypeError,
    ValueError,
)  # what such a file makes h5py raise


def save(file, factor):
    """Writes a factor's weights, so that a reader sees the old file or the new one, whole.

    Args:
      file: `pathlib.Path`, of a name that ends in .weights.h5.
      factor: `Factor`, or another Keras model.
    """
    aside = file.with_name(f"writing.{file.name}")
    factor.save_weights(aside, overwrite=True)
    with h5py.File(aside, "r+") as opened:
        opened.attrs[_CHECKSUM] = _checksum(_arrays(opened))
    with open(aside, "rb") as written:
        os.fsync(written.fileno())
    os.replace(aside, file)


def count(file):
    """int, how many numbers there are in a file, of which none is read; None where it is damaged."""
    try:
        with h5py.File(file) as opened:
            return sum(int(array.size) for array in _datasets(opened).values())
    except _DAMAGED:
        return None


def load(file, factor):
    """Gives a factor the weights of a file.

    Raises ValueError, which says what is wrong, for a file that is damaged, of another network, or has
    weights that are not finite; the factor is as it was then.
    """
    # A damaged file may claim more than there is memory for.
    found, expected = count(file), sum(math.prod(weight.shape) for weight in factor.weights)
    if found not in (None, expected):
        raise ValueError(f"{found:,} numbers, expected {expected:,}")
    try:
        with h5py.File(file) as opened:
            arrays = _arrays(opened)
            expected = opened.attrs.get(_CHECKSUM)
    except _DAMAGED as error:
        raise ValueError(_summary(error)) from error
    if expected is not None and expected != _checksum(arrays):
        raise ValueError("its arrays are not those that were written: their checksum differs")
    # Keras itself takes what it needs of a larger network's file, and says nothing.
    if len(arrays) != len(factor.weights):
        raise ValueError(f"{len(arrays)} arrays, expected {len(factor.weights)}")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"numbers that are not finite in the array {name}")
    try:
        factor.load_weights(file)
    except _DAMAGED as error:
        raise ValueError(_summary(error)) from error


def _summary(error):
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _arrays(opened):
    """dict, name -> array, of an open file."""
    arrays = {}
    for name, array in _datasets(opened).items():
        if array.dtype.kind != "f":
            raise ValueError(f"{array.dtype} in the array {name}, expected floats")
        arrays[name] = array[()]
    return arrays


def _datasets(opened):
    """dict, name -> `h5py.Dataset`, of an open file."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item

    opened.visititems(visit)
    return found


def _checksum(arrays):
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
