"""Reads variables from untrusted pickle and .npz files without running their code."""

import io
import pickle
import pickletools
import re
import zipfile
from collections.abc import Callable

import numpy as np

from pixelcnn_aux.base import arguments, disk
from pixelcnn_aux.base.arguments import PathLike
from pixelcnn_aux.base.errors import expect, restated

# Of a pickle, or of the arrays that an archive claims to hold: more than any network of the paper.
MAX_BYTES = 2**31
# Opcodes that hash, which never ends for deeply nested pairs as keys. A list of arrays has none.
_HASHING = ("DICT", "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_SET", "ADDITEMS", "FROZENSET")


def read_variables(file: PathLike) -> dict[str, np.ndarray]:
    """Reads variables from a file: the `model.pickle` of the paper's authors, or an .npz.

    A pickle is a list of (name, array), from Python 2 or 3. Nothing that it names is called or imported, and
    names of anything but numpy's arrays are rejected.

    Args:
      file: path. In an .npz, the variables are the arrays under "var/", or all arrays if there are none.

    Returns:
      dict, name -> array, without the ":0" that TensorFlow appends to names.

    Raises FileNotFoundError, and ValueError for a file that is neither, is damaged, or names other objects.
    """
    file = arguments.path("file", file)
    expected, received = "a file of variables, model.pickle or an .npz", f"{file}, which is no file"
    expect(file.is_file(), expected, received, "Give another path", kind=FileNotFoundError)
    variables: dict[str, np.ndarray] = {}
    expected = f"a pickle of (name, array of floats) or an .npz in {file}"
    received, remedy = "a file that is neither, or damaged", "Give another file"
    with disk.opened(file) as opened:
        is_npz = opened.read(2) == b"PK"
        opened.seek(0)
        # Damaged bytes may raise any exception.
        with restated(expected, received, remedy, Exception):
            for name, array in (_npz if is_npz else _pickled)(opened):
                name = (name.decode() if isinstance(name, bytes) else name).removesuffix(":0")
                _expect(name not in variables, f"one variable {name!r}", "several")
                variables[name] = array
    return variables


def _expect(fits, expected, received):
    if not fits:
        raise ValueError(f"expected {expected}, received {received}")


def _npz(opened):
    members = zipfile.ZipFile(opened).infolist()
    # Methods that NumPy does not write would inflate a whole member, whatever size it claims.
    methods = {x.compress_type for x in members} - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
    _expect(not methods, "an archive as NumPy writes it", f"ZIP's methods {methods}")
    claimed = sum(member.file_size for member in members)
    _expect(claimed <= MAX_BYTES, f"at most {MAX_BYTES:,} bytes of arrays", f"{claimed:,}")
    opened.seek(0)
    with np.load(opened, allow_pickle=False) as archive:
        prefix = "var/" if any(name.startswith("var/") for name in archive) else ""
        for name in archive:
            if name.startswith(prefix):
                yield name.removeprefix(prefix), archive[name]


def _pickled(opened):
    contents = opened.read(MAX_BYTES + 1)
    _expect(len(contents) <= MAX_BYTES, f"at most {MAX_BYTES:,} bytes", "more")
    for count, (opcode, argument, _) in enumerate(pickletools.genops(contents)):
        _expect(opcode.name not in _HASHING, "a list of pairs", "dicts or sets in it")
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            # The unpickler takes memory for all numbers up to the largest.
            fits = 0 <= argument <= count
            _expect(fits, f"a memo of at most {count} entries", f"number {argument}")
    total = 0
    # Python 2 pickled bytes, including those of arrays, as strings.
    for name, array in _Unpickler(io.BytesIO(contents), encoding="latin1").load():
        # Errors name only types: the repr of a self-referential object may be endless.
        _expect(isinstance(name, (str, bytes)), "a name", type(name).__name__)
        _expect(isinstance(array, _Call), f"an array in {name!r}", type(array).__name__)
        floats = _floats(name, array)
        total += floats.nbytes
        # One array under many names could fill the memory.
        _expect(total <= len(contents), "each array once", "more numbers than it has bytes")
        yield name, floats


class _Call:
    """Stand-in for the result of a NumPy call, with its arguments and state.

    NumPy's own functions are not called: they trust their arguments, and could treat a file's bytes as
    objects.
    """

    arguments = state = ()

    def __init__(self, *arguments):
        self.arguments = arguments

    def __setstate__(self, state):
        self.state = state


# Name in a pickled array -> stand-in class. Python 3 writes bytes for Python 2 as a call of `encode` with
# text, which `_floats` encodes.
_STAND_INS: dict[str, Callable] = {
    name: type(name, (_Call,), {})
    for name in (
        "numpy.dtype",
        "numpy.ndarray",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy.core.numeric._frombuffer",
    )
}
_STAND_INS["_codecs.encode"] = lambda text, _: text


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        module = module.replace("numpy._core.", "numpy.core.")  # moved in NumPy 2
        stand_in = _STAND_INS.get(f"{module}.{name}")
        if stand_in is None:
            raise pickle.UnpicklingError(f"expected only arrays, refused '{module}.{name}'")
        return stand_in


def _floats(name, call):
    """Float array of the variable `name`, from its `_Call`."""
    shape, fortran, axes, dtype, code = (), False, (), None, ""
    match type(call).__name__.rpartition(".")[2], call.arguments, call.state:
        case "scalar", (dtype, data), _:
            pass
        case "_frombuffer", (data, dtype, shape, order, *axes), _:  # by protocol 5
            fortran = order == "F"
        case "ndarray" | "_reconstruct", _, (_, shape, dtype, fortran, data):
            pass
    match type(dtype).__name__, getattr(dtype, "arguments", ()), getattr(dtype, "state", ()):
        case "numpy.dtype", (str(code), *_), (_, str(order), *_):
            code = order + code
        case "numpy.dtype", (str(code), *_), ():
            pass
    fits = re.fullmatch("[<>=|]?f[248]", code) and isinstance(data, (bytes, bytearray, str))
    _expect(fits, f"floats in {name!r}", f"an array of {code!r:.40}")
    data = data.encode("latin1") if isinstance(data, str) else data
    array = np.frombuffer(data, code).reshape(shape, order="F" if fortran else "C")
    return array.transpose(*axes) if axes else array
