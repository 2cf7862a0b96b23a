"""Reads the variables in a file, of which nothing is trusted: no code that it names is run."""

import io
import pickle
import pickletools
import re
import zipfile
from collections.abc import Callable

import numpy as np

from pixelcnn_aux import arguments
from pixelcnn_aux.arguments import PathLike

# Of a pickle, or of what an archive claims to hold: more than any network of the paper's.
MAX_BYTES = 2**31
# What hashes things, which takes for ever where pairs of pairs of pairs are keys. No list of arrays has any.
_HASHING = ("DICT", "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_SET", "ADDITEMS", "FROZENSET")


def read_variables(file: PathLike) -> dict[str, np.ndarray]:
    """The variables in a file: the `model.pickle` of the paper's authors, or an .npz.

    A pickle is a list of (name, array), from Python 2 or 3. Nothing that it names is called or imported, and
    where it names anything but numpy's arrays it is refused.

    Args:
      file: path. In an .npz, the variables are the arrays under "var/", or all if none is.

    Returns:
      dict, name -> array, without the ":0" that TensorFlow appends to names.

    Raises FileNotFoundError, and ValueError for a file that is neither, damaged, or names something else.
    """
    file = arguments.path("file", file)
    if not file.is_file():
        raise FileNotFoundError(
            "Expected a file of variables, model.pickle or an .npz. "
            f"Received: {file}, which is no file. Give another path."
        )
    with open(file, "rb") as opened:
        is_npz = opened.read(2) == b"PK"
        opened.seek(0)
        try:
            found = {}
            for name, array in (_npz if is_npz else _pickled)(opened):
                name = (name.decode() if isinstance(name, bytes) else name).removesuffix(":0")
                if name in found:
                    raise ValueError(f"expected one variable {name!r}, received several")
                found[name] = array
            return found
        except Exception as error:  # Damaged bytes raise whatever they happen to spell.
            raise ValueError(
                f"Expected a pickle of (name, array of floats) or an .npz in {file}. Received: a file "
                f"that is neither, or damaged ({type(error).__name__}: {error}). Give another file."
            ) from error


def _npz(opened):
    members = zipfile.ZipFile(opened).infolist()
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
        if not isinstance(array, _Call):
            raise ValueError(f"expected an array in {name!r}, received {type(array).__name__}")
        floats = _floats(name, array)
        total += floats.nbytes
        if total > len(contents):  # one array under many names
            raise ValueError("expected each array once, received more numbers than it has bytes")
        yield name, floats


def _check_opcodes(contents):
    """Raises ValueError for a pickle that hashes things, or numbers what it remembers beyond its size."""
    # The unpickler takes memory for all numbers up to the largest.
    for count, (opcode, argument, _) in enumerate(pickletools.genops(contents)):
        if opcode.name in _HASHING:
            raise ValueError("expected a list of pairs, received dicts or sets in it")
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and not 0 <= argument <= count:
            raise ValueError(
                f"expected a memo of at most {count} entries, received number {argument}"
            )


class _Call:
    """Stands for what a call of one of numpy's makes: the arguments, and the state that it is given then.

    numpy's own functions trust their arguments, and can be made to take bytes of a file for objects.
    """

    arguments = state = ()

    def __init__(self, *arguments):
        self.arguments = arguments

    def __setstate__(self, state):
        self.state = state


# What a pickled array names -> what stands for it: a class of that name, or text as Python 3 writes it for
# Python 2, of which what is used is encoded once.
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
    """Reads lists, numbers and strings, and `_Call` in place of arrays."""

    def find_class(self, module, name):
        module = module.replace("numpy._core.", "numpy.core.")  # where NumPy 2 has moved them
        stand_in = _STAND_INS.get(f"{module}.{name}")
        if stand_in is None:
            raise pickle.UnpicklingError(f"expected arrays alone, refused '{module}.{name}'")
        return stand_in


def _floats(name, call):
    """The array of floats that a `_Call` stands for, the variable `name`."""
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
    if not re.fullmatch("[<>=|]?f[248]", code) or not isinstance(data, (bytes, bytearray, str)):
        raise ValueError(f"expected floats in {name!r}, received an array of {code!r:.40}")
    data = data.encode("latin1") if isinstance(data, str) else data
    array = np.frombuffer(data, code).reshape(shape, order="F" if fortran else "C")
    return array.transpose(*axes) if axes else array
