"""Starts and ends programs.

A program is a module with a docstring, its help; `define_flags`; `main`, which takes the positional arguments
as strings; and `ARGUMENTS`, their names, if there are any. A last name that ends in "..." stands for any
number of arguments. The module imports Keras, TensorFlow and Matplotlib lazily, through `pixelcnn_aux` or in
functions, so that help and flag errors appear at once.
"""

import importlib
import os
import pathlib
import re
import signal
import sys

from absl import app, flags, logging

from pixelcnn_aux.base import disk
from pixelcnn_aux.base.errors import did_you_mean, expect, needs_all, restated
from pixelcnn_aux.commands import process

FLAGS = flags.FLAGS

_PACKAGES = ("benchmarks", "evaluate", "examples", "pixelcnn_aux", "train")


def typed():
    """The command that started this process, without arguments."""
    spec = sys.modules["__main__"].__spec__
    if spec:
        return f"python -m {spec.name.removesuffix('.__main__')}"
    return pathlib.Path(sys.argv[0]).name


def start(module=None, command=None, *first):
    """Parses flags and runs a program, by default this process's main module.

    `command` is the typed command, and the arguments `first` precede the typed ones. Errors due to the input
    exit with status 1 and the message alone; -v=1 shows the traceback. Ctrl-C exits with status 130.
    """
    module, command = module or sys.modules["__main__"], command or typed()
    arguments = getattr(module, "ARGUMENTS", [])
    usage = " ".join([command, *arguments[len(first) :], "[flags]"])
    documented = (module.__doc__ or "").rstrip()  # python -OO drops it
    sys.modules["__main__"].__doc__ = f"{usage}\n\n{documented}\n"
    sys.argv[:] = [command, *first, *sys.argv[1:]]
    module.define_flags()
    plugin = "A module to import first, to register your own classes; repeatable."
    flags.DEFINE_multi_string("plugin", [], plugin)
    # Show the flags of all our modules in --help, not only those of the main module.
    for name, defined in FLAGS.flags_by_module_dict().items():
        if name.partition(".")[0] in _PACKAGES:
            for flag in defined:
                FLAGS.register_key_flag_for_module(command, flag)
    app.run(lambda argv: run(module.main, arguments, argv[1:]), flags_parser=_parsed)


def _parsed(argv):
    try:
        return FLAGS(argv)
    except SystemExit:  # after help, for which absl exits with status 1
        sys.exit()
    except (flags.Error, ValueError) as error:
        sys.exit(_flag_error(error, argv[0]))


def _flag_error(error, command):
    """Rephrases absl's error about flags of a command in the format of `errors`."""
    expected = f"flags of {command}"
    received = f"{error}"
    remedy = f"{command} --help explains the flags"
    if isinstance(error, flags.UnrecognizedFlagError):
        received = f"--{error.flagname}"
        remedy = did_you_mean(error.flagname, FLAGS, remedy)
    match = re.match(r"flag --(\w+)=(.*?): ", received, re.DOTALL)
    if match and isinstance(error.__context__, ValueError):  # from a parser, not a validator
        name, received = match.groups()
        values = ", ".join(getattr(parser := FLAGS[name].parser, "enum_values", ("true", "false")))
        expected = f"--{name} as {parser.syntactic_help or f'one of {values}'}"
    return f"Expected {expected}. Received: {received.rstrip('.')}. {remedy}."


def run(main, parameters, arguments):
    """Imports the modules of --plugin, then calls `main` with `arguments`, named by `parameters`."""
    fits = len(arguments) == len(parameters)
    if parameters and parameters[-1].endswith("..."):
        fits = len(arguments) >= len(parameters) - 1
    usage = f"{' '.join(parameters)} and flags" if parameters else "only flags"
    expect(fits, usage, arguments, "See the lines above", kind=app.UsageError)
    if logging.get_verbosity() < logging.DEBUG:
        process.silence(logging.get_absl_handler())
    # Leave GPU memory for a second process: the verification of an export.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX
    on_interrupt = signal.getsignal(signal.SIGINT)
    process.interrupts.clear()
    if on_interrupt is signal.SIG_DFL:  # set by `process.begin`; from here on `main` can clean up
        signal.signal(signal.SIGINT, process.interrupt)
    try:
        for name in FLAGS.plugin:
            import_plugin(name)
        with needs_all("this program"):
            main(*arguments)
        if error := process.lost_output():
            with disk.explained("to write to standard output"):
                raise error
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except (ImportError, OSError, RuntimeError, ValueError, *_tensorflow_errors()) as error:
        logging.debug("%s", error, exc_info=True)
        if process.interrupts:  # TensorFlow turns them into other errors while tracing
            sys.exit(128 + signal.SIGINT)
        if "can't start new thread" in str(error):
            _exit_without_memory(error)
        sys.exit(f"{type(error).__name__}: {error}")
    except MemoryError as error:
        _exit_without_memory(error)
    finally:
        signal.signal(signal.SIGINT, on_interrupt)


def _exit_without_memory(error):
    remedy = "Close other programs, raise the limit (ulimit -v), or ask for less at once"
    sys.exit(f"Expected more memory. Received: {error or 'no more'}. {remedy}.")


def _tensorflow_errors():
    """TensorFlow's error class, in a list, if TensorFlow is imported."""
    tensorflow = sys.modules.get("tensorflow")
    return [tensorflow.errors.OpError] if tensorflow else []


def import_plugin(name):
    """Imports a module named by --plugin. Raises ImportError for any error of the module."""
    sys.path.append(os.getcwd())  # missing from the path of the installed script
    expected = "--plugin as the name of a module that Python can import, such as examples.mine"
    received, remedy = f"{name}, whose import failed", "Run from its folder, or fix the module"
    with restated(expected, received, remedy, Exception, kind=ImportError):
        importlib.import_module(name)
