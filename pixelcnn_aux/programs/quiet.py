"""Programs print their own lines and nothing else; -v=1 shows also what other packages have to say.

`pixelcnn_aux` imports this module before TensorFlow, which logs from its import on. It quiets a process
that runs a program of this project with `python -m`, and leaves every other process as it is.
"""

import glob
import importlib.util
import logging
import os
import pathlib
import re
import sys
import sysconfig
import tempfile
import warnings

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("benchmarks", "evaluate", "examples", "pixelcnn_aux", "train")
_JAX_DEVICES = "jax._src.xla_bridge"  # the logger of what JAX finds to compute on
_INSTALLED = tuple(sysconfig.get_path(name) + os.sep for name in ("purelib", "platlib"))


def is_program(command):
    """Whether a command, such as `sys.orig_argv`, runs one of the packages beside this one with -m."""
    module = command[command.index("-m") + 1] if "-m" in command[:-1] else ""
    name = module.partition(".")[0]
    spec = importlib.util.find_spec(name) if name in PACKAGES else None
    folders = (spec and spec.submodule_search_locations) or ()
    return _PACKAGE.parent / name in [pathlib.Path(folder).resolve() for folder in folders]


def is_verbose(command):
    """Whether a command has -v=1 or more: absl parses flags only after TensorFlow is imported."""
    return bool(re.search(r" --?v(erbosity)?[ =][1-9]", " ".join(command)))


def drop_others(handler):
    """Keeps from a logging handler what other installed packages log below an error.

    But for JAX's warnings of why it does not use an accelerator.
    """

    def is_kept(record):
        ours = record.pathname.startswith(f"{_PACKAGE}{os.sep}")
        ours = ours or (record.name == _JAX_DEVICES and record.levelno >= logging.WARNING)
        return ours or record.levelno >= logging.ERROR or not record.pathname.startswith(_INSTALLED)

    handler.addFilter(is_kept)


def _import_tensorflow():
    """Imports TensorFlow without the information that its libraries log before they know their level."""
    try:
        aside = tempfile.TemporaryFile()
    except OSError:  # nowhere to keep it aside: it is heard
        return
    with aside:
        stderr = os.dup(2)
        os.dup2(aside.fileno(), 2)
        try:
            importlib.import_module("tensorflow")
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            aside.seek(0)
            information = re.compile(
                rb"I\d{4} |WARNING: All log messages before absl::InitializeLog"
            )
            os.write(2, b"".join(line for line in aside if not information.match(line)))


if is_program(sys.orig_argv) and not is_verbose(sys.orig_argv):
    # With no GPU, TensorFlow logs that as an error. With one, its warnings say why it is not used.
    has_gpu = bool(glob.glob("/dev/nvidia[0-9]*"))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1" if has_gpu else "3")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    drop_others(logging.lastResort)  # until absl installs its own handler
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    # Under JAX too, where TensorFlow Probability may import it.
    if importlib.util.find_spec("tensorflow"):
        _import_tensorflow()
