"""Files of a factor's weights: Keras's .weights.h5, sealed, so that what is read is what was written.

The seal is a checksum at the beginning, which is compared before anything in the file is interpreted: HDF5
reads a damaged file as it can, may give other numbers, and may not come to an end. It takes the first 512
bytes of a file for its user's, and looks for its own behind them, so that a sealed file is one of HDF5
still, for Keras and for any other reader.
"""

import hashlib
import io
import math

import h5py
import numpy as np

from pixelcnn_aux import arguments
from pixelcnn_aux.runs import disk

_DEEPEST = 64  # several times what Keras writes
_SIZE = 512  # bytes of a seal
_START = b"pixelcnn_aux, sha256 of what follows these 512 bytes: "
_HDF5 = b"\x89HDF\r\n\x1a\n"


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
    _write(file, contents)


def shrink(file, smaller):
    """Writes the arrays of a file anew, as float16.

    Args:
      file: `pathlib.Path` of weights.
      smaller: `pathlib.Path` of the new file, of a name that ends in .weights.h5.

    Raises:
      OSError, ValueError: as `load` and `save`.
      ValueError: for numbers beyond those of float16.
    """
    contents = _Contents()
    with h5py.File(_contents(file)) as opened, h5py.File(contents, "w") as written:

        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                with np.errstate(over="ignore"):
                    small = item[()].astype(np.float16)
                if not np.isfinite(small).all():
                    raise ValueError(
                        "Expected weights from -65,504 to 65,504, which 16 bits hold. Received: others in "
                        f"the array {arguments.shown(name)} of {file}. Train with a lower learning rate."
                    )
                copied = written.create_dataset(name, data=small)
            else:
                copied = written.require_group(name)
            copied.attrs.update(item.attrs)

        opened.visititems(copy)
        written.attrs.update(opened.attrs)
    _write(smaller, contents)


def _write(file, contents):
    with disk.replacing(file, disk.AGAIN) as opened:
        opened.write(sealed(contents.getvalue()))


def notes(file):
    """dict, the notes of a file, as `save` was given them. Raises ValueError as `load`, or OSError."""
    contents = _contents(file)
    try:
        with h5py.File(contents) as opened:
            found = opened.attrs.items()
            return {name: value.item() for name, value in found if isinstance(value, np.number)}
    except Exception as error:
        raise ValueError(_summary(error)) from error


def count(file):
    """int, how many numbers a file says that there are in it; None where it is damaged, or none."""
    try:
        with h5py.File(_contents(file)) as opened:
            return _count(_datasets(opened))
    except Exception:  # HDF5 raises almost anything where a file is damaged
        return None


def load(file, factor):
    """Gives a factor the weights of a file.

    Raises ValueError, which says what is wrong, for a file that is damaged, of another network, or has
    weights that are not finite, and OSError for one that cannot be read. Where another network has as many
    arrays, those that fit may be in the factor by then.
    """
    contents = _contents(file)
    most = sum(math.prod(weight.shape) for weight in factor.weights)
    try:
        with h5py.File(contents) as opened:
            arrays = _arrays(opened, most)
    except Exception as error:
        raise ValueError(_summary(error)) from error
    # Keras itself takes what it needs of a larger network's file, and says nothing.
    if len(arrays) != len(factor.weights):
        raise ValueError(f"{len(arrays)} arrays, expected {len(factor.weights)}")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"numbers that are not finite in the array {arguments.shown(name)}")
    try:
        factor.load_weights(contents)
    except Exception as error:
        raise ValueError(_summary(error)) from error


def _contents(file):
    """What is in a file, once its seal is compared. Raises OSError, and ValueError where they differ."""
    return _Contents(unsealed(disk.contents(file)))


def _summary(error):
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _arrays(opened, most):
    """dict, name -> array, of an open file; of one that claims more than `most` numbers none is read."""
    datasets = _datasets(opened)
    if _count(datasets) > most:
        raise ValueError(f"{_count(datasets):,} numbers, expected {most:,}")
    for name, dataset in datasets.items():
        if dataset.dtype.kind != "f":
            raise ValueError(
                f"{dataset.dtype} in the array {arguments.shown(name)}, expected floats"
            )
    return {name: dataset[()] for name, dataset in datasets.items()}


def _count(datasets):
    return sum(int(dataset.size) for dataset in datasets.values())


def _datasets(opened):
    """dict, name -> `h5py.Dataset`, of an open file.

    Raises ValueError for what takes more time or memory to read than its size says.
    """
    found = {}

    def visit(name, item):
        if name.count("/") >= _DEEPEST:  # HDF5 takes a time that grows with the square of the depth
            raise ValueError(f"groups in one another, more than {_DEEPEST} deep")
        if isinstance(item, h5py.Dataset):
            if item.chunks or item.external or item.is_virtual:
                shown = arguments.shown(name)
                raise ValueError(
                    f"the array {shown} in pieces or other files, expected in one piece"
                )
            found[name] = item

    opened.visititems(visit)
    return found


def sealed(contents):
    """The bytes of a sealed file of HDF5, of those of one that is not."""
    digest = hashlib.sha256(contents).hexdigest().encode()
    return (_START + digest + b"\n").ljust(_SIZE, b"\0") + contents


def unsealed(contents):
    """The bytes of HDF5 in a file, sealed or, as Keras alone writes it, not.

    Raises ValueError where they are not those that were sealed, or the file is another one.
    """
    if contents.startswith(_HDF5):
        return contents
    if not contents.startswith(_START):
        raise ValueError("another beginning than that of a file of weights")
    kept = contents[_SIZE:]
    if sealed(kept) != contents:
        raise ValueError("its bytes are not those that were written: their checksum differs")
    return kept
