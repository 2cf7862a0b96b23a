"""Files of a factor's weights: Keras's .weights.h5, sealed, and with a checksum of the arrays in it.

Files of earlier versions have the latter alone.
"""

import hashlib
import io
import math
import os

import h5py
import numpy as np

from pixelcnn_aux import seal

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
    contents = seal.sealed(aside.read_bytes())
    with open(aside, "wb") as written:
        written.write(contents)
        written.flush()
        os.fsync(written.fileno())
    os.replace(aside, file)


def count(file):
    """int, how many numbers a file says that there are in it; None where it is damaged."""
    try:
        with _opened(file) as opened:
            return _count(_datasets(opened))
    except Exception:  # HDF5 raises almost anything where a file is damaged
        return None


def load(file, factor):
    """Gives a factor the weights of a file.

    Raises ValueError, which says what is wrong, for a file that is damaged, of another network, or has
    weights that are not finite; the factor is as it was then.
    """
    most = sum(math.prod(weight.shape) for weight in factor.weights)
    try:
        with _opened(file) as opened:
            arrays = _arrays(opened, most)
            expected = opened.attrs.get(_CHECKSUM)
    except Exception as error:
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
    except Exception as error:
        raise ValueError(_summary(error)) from error


def _opened(file):
    """`h5py.File` of what is in a file, once its seal is compared."""
    return h5py.File(io.BytesIO(seal.opened(file.read_bytes())))


def _summary(error):
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _arrays(opened, most=math.inf):
    """dict, name -> array, of an open file; of one that claims more than `most` numbers none is read."""
    datasets = _datasets(opened)
    if _count(datasets) > most:
        raise ValueError(f"{_count(datasets):,} numbers, expected {most:,}")
    for name, dataset in datasets.items():
        if dataset.dtype.kind != "f":
            raise ValueError(f"{dataset.dtype} in the array {name}, expected floats")
    return {name: dataset[()] for name, dataset in datasets.items()}


def _count(datasets):
    return sum(int(dataset.size) for dataset in datasets.values())


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
