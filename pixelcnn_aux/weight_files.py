"""Files of a factor's weights: Keras's .weights.h5, with a checksum of what is in it."""

import hashlib
import io

import h5py
import numpy as np

from pixelcnn_aux import disk

_CHECKSUM = "sha256"  # the attribute that has it, absent from files that Keras alone has written


class _Contents(io.BytesIO):
    """The contents of a file, in memory: where a disk is full, HDF5 may end the process as it writes."""

    def __str__(self):
        return ".weights.h5"  # Keras takes no file of another name


def save(file, factor, **notes):
    """Writes a factor's weights, so that a reader sees the old file or the new one, whole.

    Args:
      file: `pathlib.Path`, of a name that ends in .weights.h5.
      factor: `Factor`, or another Keras model.
      **notes: numbers to keep beside them.

    Raises:
      OSError: as `disk.explained`.
    """
    contents = _Contents()
    factor.save_weights(contents)
    with h5py.File(contents, "r+") as opened:
        opened.attrs.update(notes)
        opened.attrs[_CHECKSUM] = _checksum(_arrays(opened), _notes(opened))
    with disk.replacing(file) as aside:
        aside.write(contents.getbuffer())


def notes(file):
    """dict, the notes of a file, as `save` was given them. Raises ValueError as `load`, or OSError."""
    return _read(file)[2]


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
        written.attrs[_CHECKSUM] = _checksum(_arrays(written), _notes(written))


def load(file, factor):
    """Gives a factor the weights of a file.

    Raises ValueError, which says what is wrong, for a file that is damaged, of another network, or has
    weights that are not finite, and OSError for one that cannot be read; the factor is as it was then.
    """
    contents, arrays, _ = _read(file)
    # Keras itself takes what it needs of a larger network's file, and says nothing.
    if len(arrays) != len(factor.weights):
        raise ValueError(f"{len(arrays)} arrays, expected {len(factor.weights)}")
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise ValueError(f"{array.dtype} in the array {name}, expected floats")
        if not np.isfinite(array).all():
            raise ValueError(f"numbers that are not finite in the array {name}")
    try:
        factor.load_weights(contents)
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise ValueError(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error


def _read(file):
    """(contents, dict of arrays, dict of notes) of a file that has the checksum that it should, if any."""
    with disk.explained(f"to read {file}"):
        contents = _Contents(file.read_bytes())
    try:
        with h5py.File(contents) as opened:
            arrays, found = _arrays(opened), _notes(opened)
            expected = opened.attrs.get(_CHECKSUM)
    except Exception as error:  # HDF5 raises almost anything where a file is damaged
        raise ValueError(f"{type(error).__name__}: {error}".splitlines()[0]) from error
    if expected is not None and expected != _checksum(arrays, found):
        raise ValueError("its arrays are not those that were written: their checksum differs")
    return contents, arrays, found


def _arrays(opened):
    """dict, name -> array, of an open file."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    opened.visititems(visit)
    return found


def _notes(opened):
    """dict, name -> number, of an open file."""
    found = opened.attrs.items()
    return {name: value.item() for name, value in found if isinstance(value, np.number)}


def _checksum(arrays, notes):
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.data)
    for name in sorted(notes):
        digest.update(f"{name} {notes[name]!r}".encode())
    return digest.hexdigest()
