"""How programs start, and how they end.

A program is a module with a docstring, which is its help; `define_flags`; `main`, a function of strings; and
`ARGUMENTS`, the names of these, if it takes other arguments than flags. A last name that ends in "..." stands
for any number of arguments. The module imports Keras, TensorFlow and Matplotlib as `main` needs them, by
names of `pixelcnn_aux` or in functions, so that help and errors in flags come at once.
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
    """The command that started this process, without its arguments."""
    spec = sys.modules["__main__"].__spec__
    if spec:
        return f"python -m {spec.name.removesuffix('.__main__')}"
    return pathlib.Path(sys.argv[0]).name


def start(module=None, command=None, *first):
    """Runs a program, by default this process's module, by the `command` that was typed, with flags parsed.

    The arguments `first` come before those that were typed. An error that the input explains ends it with the
    message alone, and exit status 1; -v=1 shows where it was raised. Ctrl-C ends it with status 130.
    """
    module, command = module or sys.modules["__main__"], command or typed()
    arguments = getattr(module, "ARGUMENTS", [])
    usage = " ".join([command, *arguments[len(first) :], "[flags]"])
    documented = (module.__doc__ or "").rstrip()  # python -OO drops it
    sys.modules["__main__"].__doc__ = f"{usage}\n\n{documented}\n"
    sys.argv[:] = [command, *first, *sys.argv[1:]]
    module.define_flags()
    plugin = "A module to import first, which registers classes of yours; repeatable."
    flags.DEFINE_multi_string("plugin", [], plugin)
    # --help shows the flags of all our modules, not only those of the one that was started.
    for name, defined in FLAGS.flags_by_module_dict().items():
        if name.partition(".")[0] in _PACKAGES:
            for flag in defined:
                FLAGS.register_key_flag_for_module(command, flag)
    app.run(lambda argv: run(module.main, arguments, argv[1:]), flags_parser=_parsed)


def _parsed(argv):
    try:
        return FLAGS(argv)
    except SystemExit:  # after help, which absl ends with status 1
        sys.exit()
    except (flags.Error, ValueError) as error:
        sys.exit(_flag_error(error, argv[0]))


def _flag_error(error, command):
    """absl's error about flags of a command, in the format of `errors`."""
    expected, received = f"flags of {command}", f"{error}"
    remedy = f"{command} --help explains the flags"
    if isinstance(error, flags.UnrecognizedFlagError):
        received = f"--{error.flagname}"
        remedy = did_you_mean(error.flagname, FLAGS, remedy)
    one = re.match(r"flag --(\w+)=(.*?): ", received, re.DOTALL)
    if one and isinstance(error.__context__, ValueError):  # of a parser, not of a validator
        name, received = one.groups()
        values = ", ".join(getattr(parser := FLAGS[name].parser, "enum_values", ("true", "false")))
        expected = f"--{name} as {parser.syntactic_help or f'one of {values}'}"
    return f"Expected {expected}. Received: {received.rstrip('.')}. {remedy}."


def run(main, arguments, given):
    """Calls `main` with the arguments `given`, lists of str, after the modules of --plugin are imported."""
    least, most = len(arguments), len(arguments)
    if arguments and arguments[-1].endswith("..."):
        least, most = least - 1, sys.maxsize
    usage = f"{' '.join(arguments)} and flags" if arguments else "flags alone"
    fits, remedy = least <= len(given) <= most, "See the lines above"
    expect(fits, usage, given, remedy, kind=app.UsageError)
    if logging.get_verbosity() < logging.DEBUG:
        process.silence(logging.get_absl_handler())
    # Not all memory of a GPU at once, so that a second process finds some: an export's verification.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX's
    on_interrupt = signal.getsignal(signal.SIGINT)
    process.interrupts.clear()
    if on_interrupt is signal.SIG_DFL:  # `process.begin` left it: from here on `main` can clean up
        signal.signal(signal.SIGINT, process.interrupt)
    try:
        for name in FLAGS.plugin:
            import_plugin(name)
        with needs_all("this program"):
            main(*given)
        if error := process.lost_output():
            with disk.explained("to write to standard output"):
                raise error
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except (ImportError, OSError, RuntimeError, ValueError, *_tensorflow_errors()) as error:
        logging.debug("%s", error, exc_info=True)
        if process.interrupts:  # of which TensorFlow makes another error as it traces
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
    """The class of TensorFlow's errors in a list, if TensorFlow is imported."""
    tensorflow = sys.modules.get("tensorflow")
    return [tensorflow.errors.OpError] if tensorflow else []


def import_plugin(name):
    """Imports a module that --plugin names. Raises ImportError, whatever the module raises."""
    sys.path.append(os.getcwd())  # which is not there for the installed script
    expected = "--plugin as the name of a module that Python can import, such as examples.mine"
    received, remedy = f"{name}, whose import failed", "Run from its folder, or mend the module"
    with restated(expected, received, remedy, Exception, kind=ImportError):
        importlib.import_module(name)
