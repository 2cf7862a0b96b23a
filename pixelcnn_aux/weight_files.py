"""Files of a factor's weights: Keras's .weights.h5, with a checksum of the arrays in it."""

import hashlib
import os

import h5py
import numpy as np

_CHECKSUM = "sha256"  # the attribute that has it, absent from files that Keras alone has written


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


def shrink(file, smaller):
    """Writes the arrays of a file anew, as float16, with a checksum of their own.

    Args:
      file: `pathlib.Path` of weights.
      smaller: `pathlib.Path` of the new file, of a name that ends in .weights.h5.
    """
    with h5py.File(file) as opened, h5py.File(smaller, "w") as written:

        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                copied = written.create_dataset(name, data=item[()].astype(np.float16))
            else:
                copied = written.require_group(name)
            copied.attrs.update(item.attrs)

        opened.visititems(copy)
        written.attrs.update(opened.attrs)
        written.attrs[_CHECKSUM] = _checksum(_arrays(written))


def load(file, factor):
    """Gives a factor the weights of a file.

    Raises ValueError, which says what is wrong, for a file that is damaged, of another network, or has
    weights that are not finite; the factor is as it was then.
    """
    try:
        with h5py.File(file) as opened:
            arrays = _arrays(opened)
            expected = opened.attrs.get(_CHECKSUM)
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error
    if expected is not None and expected != _checksum(arrays):
        raise ValueError("its arrays are not those that were written: their checksum differs")
    # Keras itself takes what it needs of a larger network's file, and says nothing.
    if len(arrays) != len(factor.weights):
        raise ValueError(f"{len(arrays)} arrays, expected {len(factor.weights)}")
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise ValueError(f"{array.dtype} in the array {name}, expected floats")
        if not np.isfinite(array).all():
            raise ValueError(f"numbers that are not finite in the array {name}")
    try:
        factor.load_weights(file)
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise ValueError(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error


def _arrays(opened):
    """dict, name -> array, of an open file."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    opened.visititems(visit)
    return found


def _checksum(arrays):
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
