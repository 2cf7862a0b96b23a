"""How the programs start, and how they end where their input is at fault."""

import importlib
import logging as python_logging
import os
import sys

from absl import app, flags, logging

from pixelcnn_aux.commands import process
from pixelcnn_aux.runs import disk

FLAGS = flags.FLAGS

_PACKAGES = ("benchmarks", "evaluate", "examples", "pixelcnn_aux", "train")


def start(module, command=None, *first):
    """Runs a program that is a module, under any name: its docstring, below a line of usage, is its help.

    Args:
      module: has `define_flags`, `main`, and `ARGUMENTS` if it takes others than flags; as of `run`.
      command: str, what was typed for this program; by default `process.command`.
      *first: str, arguments of the program before those that were typed.
    """
    command, arguments = command or process.command(), getattr(module, "ARGUMENTS", [])
    shown = " ".join([command, *arguments[len(first) :], "[flags]"])
    sys.modules["__main__"].__doc__ = f"{shown}\n\n{module.__doc__.rstrip()}\n"
    sys.argv[:] = [command, *first, *sys.argv[1:]]
    module.define_flags()
    run(module.main, arguments)


def run(main, arguments=()):
    """Runs `main` after absl has parsed the flags and the modules of --plugin are imported.

    An error that the input explains ends the program with its message alone, and exit status 1; -v=1
    shows where it was raised, and what other packages log. Ctrl-C ends it with status 130.

    Args:
      main: function of strings, one for each of `arguments`.
      arguments: list of str, what the usage calls those that are no flags. Of a last one that ends in
        "..." there may be any number, or none.
    """
    flags.DEFINE_multi_string(
        "plugin", [], "A module to import first, which registers classes of yours; repeatable."
    )
    repeated = bool(arguments) and arguments[-1].endswith("...")

    def checked(argv):
        given, fixed = len(argv) - 1, len(arguments) - repeated
        if given < fixed or (given > fixed and not repeated):
            expected = f"{' '.join(arguments)} and flags" if arguments else "flags alone"
            raise app.UsageError(f"Expected {expected}. Received: {argv[1:]}. See the lines above.")
        if logging.get_verbosity() < logging.DEBUG:
            # It warns of functions that are traced once for each factor, as they have to be.
            python_logging.getLogger("tensorflow").setLevel("ERROR")
            process.drop_others(logging.get_absl_handler())
        # Not all memory of a GPU at once, so that a second process finds some: an export's verification.
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX's
        try:
            with process.interruptible():
                for name in FLAGS.plugin:
                    import_plugin(name)
                main(*argv[1:])
            if error := process.unwritten():
                with disk.explained("to write to standard output"):
                    raise error
        except (ImportError, OSError, RuntimeError, ValueError, *_tensorflow_errors()) as error:
            logging.debug("%s", error, exc_info=True)
            sys.exit(f"{type(error).__name__}: {error}")

    _show_all_flags()
    app.run(checked)


def _tensorflow_errors():
    """The class of TensorFlow's errors in a list, once something has imported it."""
    tensorflow = sys.modules.get("tensorflow")
    return [tensorflow.errors.OpError] if tensorflow else []


def _show_all_flags():
    """Has --help show the flags of all our modules, not only those of the one that was started."""
    for module, defined in FLAGS.flags_by_module_dict().items():
        if module.partition(".")[0] in _PACKAGES:
            for flag in defined:
                FLAGS.register_key_flag_for_module(sys.argv[0], flag)


def import_plugin(name):
    """Imports what a --plugin names. Raises ImportError, whatever the module raises."""
    try:
        importlib.import_module(name)
    except Exception as error:  # whatever a module of someone else's raises
        raise ImportError(
            f"Expected --plugin as the name of a module that Python can import, such as examples.mine. "
            f"Received: {name}, whose import failed ({type(error).__name__}: {error}). "
            "Run from the folder that it is in, or mend the module."
        ) from error
