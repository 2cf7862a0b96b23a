"""A program's process: its streams, Ctrl-C, and what other packages log.

Programs print their own lines and nothing else; -v=1 shows also what other packages have to say. TensorFlow
logs from its import on: programs call `begin` before. Importing `pixelcnn_aux` does nothing of all this.
"""

import contextlib
import errno
import gc
import glob
import importlib.util
import io
import logging
import os
import pathlib
import re
import signal
import sys
import tempfile
import warnings

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]
_JAX_DEVICES = "jax._src.xla_bridge"  # the logger of what JAX finds to compute on
_INSTALLED = re.compile(r"/(site|dist)-packages/")  # of any environment that this one sees


def begin(tensorflow=True):
    """Makes this process one of a program: to be called before anything imports TensorFlow.

    Args:
      tensorflow: bool, whether the program needs TensorFlow, which takes seconds to import.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Ctrl-C during imports ends the process at once; some packages take an exception for their own.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _open_closed()
    sys.stdin = sys.stdin or open(0, closefd=False)
    sys.stdout, sys.stderr = _lenient(1, sys.stdout), _lenient(2, sys.stderr)
    if not is_verbose(sys.argv):
        _quiet(tensorflow)


def begin_if_run():
    """`begin`, where Python imports a package to run a module of it (python -m)."""
    if sys.argv[0] == "-m":
        begin()


def command():
    """The command that started this process, without its arguments, as in usage lines."""
    spec = sys.modules["__main__"].__spec__
    if spec:
        return f"python -m {spec.name.removesuffix('.__main__')}"
    return pathlib.Path(sys.argv[0]).name


class _Output(io.FileIO):
    """A stream that nobody has to read: the first error is kept, and what is written after it is dropped."""

    error = None

    def write(self, data):
        if self.error is None:
            try:
                return super().write(data)
            except OSError as error:
                self.error = error
        return len(data)


def _open_closed():
    """Opens standard streams that are closed, as the next file would be one; using them is still an error."""
    for number, flags in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)


def _lenient(number, stream):
    """A text stream as Python's own of this number, None where it was closed, that is an `_Output`."""
    raw = _Output(number, "w", closefd=False)
    buffer = raw if stream and stream.write_through else io.BufferedWriter(raw)
    kept = ("encoding", "errors", "line_buffering", "write_through") if stream else ()
    return io.TextIOWrapper(buffer, **{name: getattr(stream, name) for name in kept})


def unwritten():
    """The system's error by which printed lines were lost that somebody would have read; None if none."""
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    error = getattr(getattr(buffer, "raw", buffer), "error", None)
    return error if error and error.errno not in (errno.EBADF, errno.EPIPE) else None


@contextlib.contextmanager
def interruptible():
    """Within it Ctrl-C is KeyboardInterrupt, which ends the program with the status of shells, 130."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_DFL:  # not begun, or to be ignored
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def is_verbose(command):
    """Whether a command has -v=1 or more: absl parses flags only after TensorFlow is imported."""
    return bool(re.search(r" --?v(erbosity)?[ =][1-9]", " ".join(command)))


def drop_others(handler):
    """Keeps from a logging handler what other packages log below an error, but why JAX has no accelerator."""

    def is_kept(record):
        least = logging.WARNING if record.name == _JAX_DEVICES else logging.ERROR
        ours = record.pathname.startswith(f"{_PACKAGE}{os.sep}")
        return ours or record.levelno >= least or not _INSTALLED.search(record.pathname)

    handler.addFilter(is_kept)


def _quiet(tensorflow):
    # With no GPU, TensorFlow logs that as an error. With one, its warnings say why it is not used.
    has_gpu = bool(glob.glob("/dev/nvidia[0-9]*"))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1" if has_gpu else "3")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    drop_others(logging.lastResort)  # until absl installs its own handler
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    # Under JAX too, where TensorFlow Probability may import it.
    if tensorflow and importlib.util.find_spec("tensorflow"):
        _import_tensorflow()


def _import_tensorflow():
    """Imports TensorFlow without the information that its libraries log before they know their level.

    What is imported lasts: looking through it for garbage meanwhile takes a fifth of the time.
    """
    try:
        aside = tempfile.TemporaryFile()
    except OSError:  # nowhere to keep it aside: it is heard
        return
    with aside:
        stderr = os.dup(2)
        os.dup2(aside.fileno(), 2)
        gc.disable()
        try:
            importlib.import_module("tensorflow")
        finally:
            gc.enable()
            os.dup2(stderr, 2)
            os.close(stderr)
            aside.seek(0)
            information = rb"I\d{4} |WARNING: All log messages before absl::InitializeLog"
            sys.stderr.buffer.writelines(x for x in aside if not re.match(information, x))
            sys.stderr.flush()
