"""Reads the variables in a file, of which nothing is trusted: no code that it names is run."""

import io
import pathlib
import pickle
import pickletools
import re
import zipfile

import numpy as np

# Of a pickle, or of what an archive claims to hold: more than any network of the paper's.
MAX_BYTES = 2**31
# What hashes things, which takes for ever where pairs of pairs of pairs are keys. No list of arrays has any.
_HASHING = ("DICT", "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_SET", "ADDITEMS", "FROZENSET")


def read_variables(file):
    """The variables in a file: the `model.pickle` of the paper's authors, or an .npz.

    A pickle is a list of (name, array), from Python 2 or 3. Nothing that it names is called or imported, and
    where it names anything but numpy's arrays it is refused.

    Args:
      file: path. In an .npz, the variables are the arrays under "var/", or all if none is.

    Returns:
      dict, name -> array, without the ":0" that TensorFlow appends to names.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: naming the file, if it is neither, or damaged, or its pickle names something else.
    """
    file = pathlib.Path(file)
    if not file.is_file():
        raise FileNotFoundError(
            "Expected a file of variables, model.pickle or an .npz. "
            f"Received: {file}, which is no file. Give another path."
        )
    with open(file, "rb") as opened:
        is_npz = opened.read(2) == b"PK"
        opened.seek(0)
        try:
            return dict(_unique(_npz(opened) if is_npz else _pickled(opened)))
        except Exception as error:  # Damaged bytes raise whatever they happen to spell.
            raise ValueError(
                f"Expected a pickle of (name, array of floats) or an .npz in {file}. Received: a file "
                f"that is neither, or damaged ({type(error).__name__}: {error}). Give another file."
            ) from error


def _unique(pairs):
    names = set()
    for name, array in pairs:
        name = name.decode() if isinstance(name, bytes) else name
        name = name.removesuffix(":0")
        if name in names:
            raise ValueError(f"expected one variable {name!r}, received several")
        names.add(name)
        yield name, array


def _npz(opened):
    with zipfile.ZipFile(opened) as archive:
        members = archive.infolist()
    # Others than NumPy's are inflated as a whole, whatever size they claim.
    if methods := {x.compress_type for x in members} - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise ValueError(
            f"expected an archive as NumPy writes it, received ZIP's methods {methods}"
        )
    claimed = sum(member.file_size for member in members)
    if claimed > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES:,} bytes of arrays, received {claimed:,}")
    opened.seek(0)
    with np.load(opened, allow_pickle=False) as archive:
        prefix = "var/" if any(name.startswith("var/") for name in archive) else ""
        for name in archive:
            if name.startswith(prefix):
                yield name.removeprefix(prefix), archive[name]


def _pickled(opened):
    contents = opened.read(MAX_BYTES + 1)
    if len(contents) > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES:,} bytes, received more")
    _check_opcodes(contents)
    total = 0
    # Python 2 pickled bytes, those of the arrays too, as its strings.
    for name, array in _Unpickler(io.BytesIO(contents), encoding="latin1").load():
        # Nothing else is shown: what refers to itself a hundred times has no end of a representation.
        if not isinstance(name, (str, bytes)):
            raise ValueError(f"expected a name, received {type(name).__name__}")
        if not isinstance(array, _PickledArray):
            raise ValueError(f"expected an array in {name!r}, received {type(array).__name__}")
        floats = array.floats(name)
        total += floats.nbytes
        if total > len(contents):  # one array under many names
            raise ValueError("expected each array once, received more numbers than it has bytes")
        yield name, floats


def _check_opcodes(contents):
    """Raises ValueError for a pickle that hashes things, or numbers what it remembers beyond its size.

    The unpickler takes memory for all numbers up to the largest.
    """
    for count, (opcode, argument, _) in enumerate(pickletools.genops(contents)):
        if opcode.name in _HASHING:
            raise ValueError("expected a list of pairs, received dicts or sets in it")
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and not 0 <= argument <= count:
            raise ValueError(
                f"expected a memo of at most {count} entries, received number {argument}"
            )


class _PickledDtype:
    """Stands for `numpy.dtype`: a code such as "f4", and an order of bytes."""

    order = "="

    def __init__(self, code, *_):
        self.code = code

    def __setstate__(self, state):
        self.order = state[1]


class _PickledArray:
    """Stands for `numpy.ndarray`: the parts of an array of floats.

    numpy's own functions trust their arguments, and can be made to take bytes of a file for objects.
    """

    axes = None  # by which it is transposed at last

    def __init__(self, *_):
        pass  # All that counts is in the state.

    def __setstate__(self, state):
        _, self.shape, self.dtype, self.fortran, self.data = state

    def floats(self, name):
        """The array, which is the variable `name`. Raises ValueError for other data."""
        order, code = self.dtype.order, self.dtype.code
        dtype = order + code if isinstance(order, str) and isinstance(code, str) else ""
        kinds = (bytes, bytearray, str)
        if not re.fullmatch("[<>=|]f[248]", dtype) or not isinstance(self.data, kinds):
            raise ValueError(f"expected floats in {name!r}, received an array of {dtype!r:.40}")
        data = self.data.encode("latin1") if isinstance(self.data, str) else self.data
        array = np.frombuffer(data, dtype)
        array = array.reshape(self.shape, order="F" if self.fortran else "C")
        return array if self.axes is None else array.transpose(self.axes)


def _pickled_scalar(dtype, data):
    array = _PickledArray()
    array.__setstate__((1, (), dtype, False, data))
    return array


def _pickled_buffer(data, dtype, shape, order, axes=None):
    """What protocol 5 writes: the array's bytes by themselves, in an order of C, Fortran or their own."""
    array = _PickledArray()
    array.__setstate__((1, shape, dtype, order == "F", data))
    array.axes = axes
    return array


def _pickled_bytes(text, _):
    return text  # as Python 2's: what is used of it is encoded, once


class _Unpickler(pickle.Unpickler):
    """Reads lists, numbers and strings, and arrays as the parts that stand for them."""

    # What a pickled array names -> what stands for it. NumPy 2 has moved the module of the functions.
    stand_ins = {
        "numpy.ndarray": _PickledArray,
        "numpy.dtype": _PickledDtype,
        "numpy.core.multiarray._reconstruct": _PickledArray,
        "numpy.core.multiarray.scalar": _pickled_scalar,
        "numpy._core.multiarray._reconstruct": _PickledArray,
        "numpy._core.multiarray.scalar": _pickled_scalar,
        "numpy.core.numeric._frombuffer": _pickled_buffer,
        "numpy._core.numeric._frombuffer": _pickled_buffer,
        "_codecs.encode": _pickled_bytes,  # Python 3 writes bytes so for Python 2
    }

    def find_class(self, module, name):
        found = f"{module}.{name}"
        if found not in self.stand_ins:
            raise pickle.UnpicklingError(f"expected arrays alone, refused {found!r}")
        return self.stand_ins[found]
