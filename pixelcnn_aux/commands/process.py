"""Process-wide setup of a program: its streams, Ctrl-C during imports, and other packages' logs.

Programs call `begin` first, and `silence` once flags are parsed. Importing `pixelcnn_aux` alone changes
nothing in a process.
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
# Keras imports these if installed, for functions that no program calls.
_UNUSED = ("matplotlib.pyplot", "pandas", "sklearn")


def begin():
    """Sets up the process's streams and Ctrl-C for a program."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # End the process at once: some packages swallow a KeyboardInterrupt during their import.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    for number, access in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:  # closed: keep the next opened file from taking its number; use still fails
            os.open(os.devnull, access)
    sys.stdin = sys.stdin or open(0, closefd=False)
    sys.stdout, sys.stderr = _lenient(1, sys.stdout), _lenient(2, sys.stderr)


def begin_if_run():
    """Calls `begin` if Python imports a package to run one of its modules (python -m)."""
    if sys.argv[0] == "-m":
        begin()


interrupts: list[int] = []  # signal numbers that `interrupt` received


def interrupt(number, frame):
    """Handles Ctrl-C while a program runs: Python's default, plus a record in `interrupts`."""
    interrupts.append(number)
    signal.default_int_handler(number, frame)


class _Output(io.FileIO):
    """A file that keeps its first write error, and discards everything written later."""

    error = None

    def write(self, data):
        if self.error is None:
            try:
                return super().write(data)
            except OSError as error:
                self.error = error
        return len(data)


def _lenient(number, stream):
    """An `_Output` as text, encoded like Python's own `stream`, or None if that is closed."""
    buffer = io.BufferedWriter(_Output(number, "w", closefd=False))
    encoding, errors = (stream.encoding, stream.errors) if stream else (None, None)
    return io.TextIOWrapper(buffer, encoding, errors, line_buffering=True)


def lost_output():
    """The error that lost printed lines; None if all were written, or the reader closed the stream."""
    sys.stdout.flush()
    error = getattr(getattr(sys.stdout.buffer, "raw", None), "error", None)
    return error if error and error.errno not in (errno.EBADF, errno.EPIPE) else None


def silence(handler):
    """Silences other packages from now on; `handler` is the program's log handler."""
    # TensorFlow logs a missing GPU as an error. With a GPU, its warnings say why it is not used.
    has_gpu = bool(glob.glob("/dev/nvidia[0-9]*"))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1" if has_gpu else "3")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    handler.addFilter(_is_ours)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ.setdefault("PYTHONWARNINGS", "ignore")  # for child processes
    # TensorFlow warns about functions traced once per factor, which is intended.
    logging.getLogger("tensorflow").setLevel("ERROR")
    sys.meta_path.insert(0, _Quiet)


def _is_ours(record):
    """Whether a log record is this package's, or an error."""
    # JAX's warnings say why it uses no accelerator.
    level = logging.WARNING if record.name == "jax._src.xla_bridge" else logging.ERROR
    is_installed = re.search("/(site|dist)-packages/", record.pathname)
    return record.levelno >= level or not is_installed or record.pathname.startswith(_OURS)


class _Quiet:
    """Import hook that silences the first import of `_LARGE` packages."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        spec = name in _LARGE and importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec:
            spec.loader.exec_module = _importing()(spec.loader.exec_module)
        return spec or None


@contextlib.contextmanager
def _importing():
    absent = [name for name in _UNUSED if name not in sys.modules]
    stderr = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    on_interrupt = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if is_default := is_main and on_interrupt is interrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # as in `begin`
    with lazy.lasting_objects():
        sys.modules.update(dict.fromkeys(absent))
        os.dup2(null, 2)  # native libraries log before they read the level
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            os.close(null)
            for name in absent:
                del sys.modules[name]
            if is_default:
                signal.signal(signal.SIGINT, on_interrupt)
    gc.freeze()  # later collections skip these modules' objects
