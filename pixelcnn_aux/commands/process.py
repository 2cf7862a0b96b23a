"""The process of a program: its streams, Ctrl-C during imports, and the logs of other packages.

Programs call `begin` first, and `silence` once flags are parsed. Importing `pixelcnn_aux` changes nothing in
a process.
"""

import contextlib
import errno
import gc
import glob
import importlib.machinery
import io
import logging
import os
import pathlib
import re
import signal
import sys
import threading
import warnings

from pixelcnn_aux.base import lazy

_OURS = f"{pathlib.Path(__file__).resolve().parents[1]}{os.sep}"
_LARGE = ("keras", "tensorflow", "tensorflow_probability")
# Keras imports them where they are installed, for functions of its own that no program calls.
_UNUSED = ("matplotlib.pyplot", "pandas", "sklearn")


def begin():
    """Prepares this process for a program: its streams and Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Ctrl-C during imports ends the process at once; some packages take an exception for their own.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    for number, access in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file would take its number. Using it is still an error.
            os.open(os.devnull, access)
    sys.stdin = sys.stdin or open(0, closefd=False)
    sys.stdout, sys.stderr = _lenient(1, sys.stdout), _lenient(2, sys.stderr)


def begin_if_run():
    """`begin`, if Python imports a package to run one of its modules (python -m)."""
    if sys.argv[0] == "-m":
        begin()


interrupts: list[int] = []  # the numbers of the signals that `interrupt` received


def interrupt(number, frame):
    """The handler of Ctrl-C while a program works: Python's own, which leaves a note."""
    interrupts.append(number)
    signal.default_int_handler(number, frame)


class _Output(io.FileIO):
    """A file that keeps its first error, and drops what is written after it."""

    error = None

    def write(self, data):
        if self.error is None:
            try:
                return super().write(data)
            except OSError as error:
                self.error = error
        return len(data)


def _lenient(number, stream):
    """An `_Output` as text, encoded as Python's own `stream`, which is None if it was closed."""
    buffer = io.BufferedWriter(_Output(number, "w", closefd=False))
    encoding, errors = (stream.encoding, stream.errors) if stream else (None, None)
    return io.TextIOWrapper(buffer, encoding, errors, line_buffering=True)


def lost_output():
    """The error that lost printed lines; None if nobody was to read them, or all were written."""
    sys.stdout.flush()
    error = getattr(getattr(sys.stdout.buffer, "raw", None), "error", None)
    return error if error and error.errno not in (errno.EBADF, errno.EPIPE) else None


def silence(handler):
    """Makes a program print its own lines and nothing else, from now on; `handler` is that of its logs."""
    # Without a GPU, TensorFlow logs that as an error. With one, its warnings say why it is not used.
    has_gpu = bool(glob.glob("/dev/nvidia[0-9]*"))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1" if has_gpu else "3")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    handler.addFilter(_is_ours)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ.setdefault("PYTHONWARNINGS", "ignore")  # in processes of ours
    # It warns of functions that are traced once for each factor, as they have to be.
    logging.getLogger("tensorflow").setLevel("ERROR")
    sys.meta_path.insert(0, _Quiet)


def _is_ours(record):
    """Whether a record to log is of this package, or an error."""
    # JAX's warnings say why it uses no accelerator.
    least = logging.WARNING if record.name == "jax._src.xla_bridge" else logging.ERROR
    is_other = re.search("/(site|dist)-packages/", record.pathname)
    return record.levelno >= least or not is_other or record.pathname.startswith(_OURS)


class _Quiet:
    """Finds the `_LARGE` packages, which whoever needs them first imports quietly."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        spec = name in _LARGE and importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec:
            spec.loader.exec_module = _importing()(spec.loader.exec_module)
        return spec or None


@contextlib.contextmanager
def _importing():
    absent = [name for name in _UNUSED if name not in sys.modules]
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    on_interrupt = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if is_default := is_main and on_interrupt is interrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # as in `begin`
    with lazy.lasting_objects():
        sys.modules.update(dict.fromkeys(absent))
        os.dup2(nowhere, 2)  # its libraries log before they know the level
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            os.close(nowhere)
            for name in absent:
                del sys.modules[name]
            if is_default:
                signal.signal(signal.SIGINT, on_interrupt)
    gc.freeze()  # nor are they looked through later
