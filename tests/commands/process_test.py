"""Tests of programs: the command, plugins, arguments, streams, Ctrl-C, errors; and of imports."""

import ast
import errno
import importlib
import os
import pathlib
import pydoc
import re
import runpy
import signal
import subprocess
import sys
from unittest import mock

import keras
import tensorflow as tf
from absl import app

import pixelcnn_aux as pa
from pixelcnn_aux import __main__ as command
from pixelcnn_aux.commands import bpd, process, program, sample, train
from tests import helpers

# A program that has begun.
BEGUN = """
'A program.'
import sys
from pixelcnn_aux.commands import process, program
process.begin()
def define_flags():
    pass
def main():
    {}
program.start()
"""
INTERRUPT = "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(helpers.ROOT)}


def run(*arguments, cwd=None, **changes):
    """Runs Python in another process, without environment variables set to None: `CompletedProcess`."""
    environment = {name: x for name, x in {**ENVIRONMENT, **changes}.items() if x is not None}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def shell(code, redirections):
    """Runs a program whose `main` is `code` under a shell's redirections: (status, out, err)."""
    command = ["bash", "-c", f'"$0" -c "$1" {redirections}', sys.executable, BEGUN.format(code)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


class StreamsTest(helpers.TestCase):
    def test_output_that_nobody_reads_does_not_end_a_program(self):
        code = "[print(x, flush=True) for x in range(10**4)]; print('done', file=sys.stderr)"
        self.assertEqual(shell(code, "| head -n 1")[1:], ("0\n", "done\n"))
        self.assertEqual(shell(code, ">&-"), (0, "", "done\n"))
        self.assertEqual(shell(code, "2>&- | tail -n 1"), (0, "9999\n", ""))
        self.assertEqual(shell("print('done', file=sys.stderr)", "2> /dev/full"), (0, "", ""))

    def test_output_that_is_lost_is_an_error_once_the_work_is_done(self):
        status, _, errors = shell("print(1); print('done', file=sys.stderr)", "> /dev/full")
        self.assertEqual(status, 1)
        self.assertStartsWith(errors, "done\nOSError: Expected to write to standard output. ")
        self.assertIn(f"Received: {os.strerror(errno.ENOSPC)}. Free space", errors)

    def test_all_streams_closed(self):
        """No opened file takes the place of one."""
        file = self.folder / "file"
        code = f"file = open('{file}', 'w'); print(file.fileno(), sys.stdin, file=file)"
        self.assertEqual(shell(code, "<&- >&- 2>&-"), (0, "", ""))
        self.assertGreater(int(file.read_text().split()[0]), 2)
        status, _, errors = shell("sys.stdin.buffer.read()", "<&-")
        self.assertEqual((status, errors), (1, "OSError: [Errno 9] Bad file descriptor\n"))

    def test_encodings_stay(self):
        with mock.patch.dict(ENVIRONMENT, PYTHONIOENCODING="latin-1:replace"):
            found = shell("print(sys.stdout.encoding, sys.stdout.errors)", "")
        self.assertEqual(found[1], "iso8859-1 replace\n")


class InterruptedTest(helpers.TestCase):
    """Ctrl-C ends a program immediately, without a traceback."""

    def setUp(self):
        super().setUp()
        # Shells have what they start in the background ignore Ctrl-C, and so would what is started here.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)

    def test_during_imports(self):
        code = BEGUN.partition("def define_flags")[0] + INTERRUPT
        result = run("-c", code)
        self.assertEqual((result.returncode, result.stderr), (-signal.SIGINT, ""))

    def test_during_imports_at_work(self):
        """Logs of imported packages are hidden, except with -v=1."""
        file, code = self.folder / "keras.py", BEGUN.format("import keras")
        file.write_text(f"import sys; print('log', file=sys.stderr); {INTERRUPT}")
        path = f"{helpers.ROOT}{os.pathsep}{self.folder}"
        for flags, status, errors in (([], -signal.SIGINT, ""), (["-v=1"], 130, "log\n")):
            result = run("-c", code, *flags, PYTHONPATH=path)
            self.assertEqual((result.returncode, result.stderr), (status, errors))

    def test_at_work(self):
        """`finally` clauses run: temporary files are removed."""
        code = f"try: {INTERRUPT}\n    finally: print('cleaned up')"
        self.assertEqual(shell(code, ""), (130, "cleaned up\n", ""))

    def test_of_which_a_package_makes_another_error(self):
        code = f"try: {INTERRUPT}\n    except KeyboardInterrupt: raise RuntimeError('traced')"
        self.assertEqual(shell(code, ""), (130, "", ""))


# Whether what follows changes nothing in the process.
STATE = """
import logging, os, signal, sys, warnings
def state(): return dict(os.environ), logging.lastResort.filters[:], signal.getsignal(signal.SIGINT)
before, streams = state(), (sys.stdin, sys.stdout, sys.stderr)
{}
assert state() == before, state()
assert (sys.stdin, sys.stdout, sys.stderr) == streams
assert ("ignore", None, Warning, None, 0) not in warnings.filters
"""


class ImportTest(helpers.TestCase):
    def run_python(self, code):
        result = run("-c", STATE.format(code), "-v=0")
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_it_changes_nothing(self):
        """TensorFlow is imported when a name is first used."""
        self.run_python(
            "import pixelcnn_aux, train, evaluate, benchmarks, examples\n"
            "assert not {'tensorflow', 'keras', 'absl'} & set(sys.modules)"
        )

    def test_keras_loads_what_is_saved(self):
        """Importing a program does not change the process."""
        file = self.folder / "factor.keras"
        helpers.shared_model().factors["image"].keras_model().save(file)
        self.run_python(
            f"import keras, pixelcnn_aux; keras.saving.load_model({str(file)!r})\n"
            "assert not {f'pixelcnn_aux.{x}' for x in ('codec', 'interop')} & set(sys.modules)\n"
            "import evaluate.curves, pixelcnn_aux.commands.codec"
        )

    def test_presets_of_trained_models_need_no_import_before(self):
        code = (
            "from pixelcnn_aux.training import first_weights; print(*first_weights.preset_like{})"
        )
        result = run("-c", code.format(("cifar10-pixelcnn", "pixelcnn")))
        self.assertEqual(result.stdout, "pixelcnn medium\n", result.stderr)

    def test_all_names(self):
        """Type checkers see exactly the public names."""
        for module in (pa, pa.codec, pa.interop, pa.training):
            [block] = (
                node
                for node in ast.parse(pathlib.Path(module.__file__).read_text()).body
                if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
            )
            names = [alias.name for line in block.body for alias in line.names]
            for name in names:
                self.assertIsNotNone(getattr(module, name))
            with self.assertRaisesRegex(AttributeError, "no attribute 'none'"):
                module.none  # noqa: B018
            self.assertCountEqual(names, module._PUBLIC)
            self.assertIn("Codec(", pydoc.plain(pydoc.render_doc(pa.codec)))
            if module is pa:
                self.assertCountEqual([*names, "__doc__", "__version__"], dir(pa))


class BackendTest(helpers.TestCase):
    """Another backend of Keras is an error of one sentence, and does not matter to models in NumPy."""

    def test_one_that_is_not_known_or_not_installed(self):
        load = "import pixelcnn_aux as pa; x = pa.load('{0}'); print('loaded'); "
        load += "x.factors['image'].keras_model()"
        for name in ("openvino", "tensorflou"):
            expected = (
                f"^ImportError: Expected a Keras backend .* Received: .*{name}.* Set KERAS_BACKEND"
            )
            result = run("-c", load.format("cifar10-pixelcnn"), KERAS_BACKEND=name)
            self.assertEqual(result.stdout, "loaded\n")
            self.assertRegex(result.stderr.splitlines()[-1], expected)
            self.assertNotIn("keras/src", result.stderr)

    def test_one_that_is_imported_already(self):
        """When this package is first imported after Keras."""
        self.enter_context(helpers.nothing_stays_registered())
        self.enter_context(mock.patch.object(keras.backend, "backend", lambda: "torch"))
        self.enter_context(mock.patch.dict(sys.modules))
        for name in [x for x in sys.modules if x.partition(".")[0] == "pixelcnn_aux"]:
            del sys.modules[name]
        first = importlib.import_module("pixelcnn_aux")
        factor = first.load("cifar10-pixelcnn").factors["image"]
        with self.assertRaisesRegex(ImportError, "^Expected a Keras.*: torch. Set KERAS_BACK"):
            factor.keras_model()


class PluginTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        (self.folder / "first.py").write_text("print('first')")
        (self.folder / "mine").mkdir()
        (self.folder / "mine" / "second.py").write_text("print('second')")
        (self.folder / "broken.py").write_text("import first\n\nfirst.none")

    def test_all_are_imported_before_the_program_runs(self):
        """The program, which fails, prints only its own lines."""
        unset = dict.fromkeys(("TF_CPP_MIN_LOG_LEVEL", "GRPC_VERBOSITY"))
        arguments = ("evaluate.bpd", "--workdir=none", "--plugin=first", "--plugin=mine.second")
        result = run("-m", *arguments, cwd=self.folder, **unset)
        self.assertEqual(result.stdout.splitlines(), ["first", "second"])
        self.assertEqual(result.returncode, 1)
        [line] = result.stderr.splitlines()
        self.assertStartsWith(line, "FileNotFoundError: Expected the folder of a run")

    def test_the_current_folder_has_some(self):
        """Also for the installed script, whose path lacks that folder."""
        code = INSTALLED.replace("main()", "sys.path.remove(''); main()")
        arguments = ("bpd", "--workdir=none", "--plugin=first")
        result = run("-c", code, *arguments, cwd=self.folder)
        self.assertEqual(result.stdout.splitlines(), ["first"])
        self.assertIn("Expected the folder of a run", result.stderr)

    def test_one_that_cannot_be_imported_is_named(self):
        self.enter_context(mock.patch.object(sys, "path", [str(self.folder), *sys.path]))
        self.addCleanup(sys.modules.pop, "first")
        for name, error in (
            ("broken", "AttributeError: module 'first' has no attribute 'none'"),
            ("none.such", "ModuleNotFoundError: No module named 'none'"),
        ):
            expected = rf"--plugin as the name .*Received: {name}, whose import failed \({error}"
            with self.assertRaisesRegex(ImportError, expected):
                program.import_plugin(name)


class FlagsTest(helpers.TestCase):
    def test_errors_in_flags_are_a_line_that_says_what_is_expected(self):
        help = "python -m pixelcnn_aux {} --help explains the flags."
        for arguments, expected in (
            (
                "enlarge --time 2",
                "flags of python.* enlarge. Received: --time. Did you mean 'times'",
            ),
            ("enlarge --scale 2", "flags of python.* enlarge. Received: --scale. "),
            ("enlarge --num 0", "--num as a positive integer. Received: 0. "),
            ("sample --num x", "--num as a positive integer. Received: x. "),
            ("sample --mode mean", "--mode as one of sample, map. Received: mean. "),
            (
                "sample --exact=maybe",
                "--exact as one of true, false. Received: maybe. ",
            ),
            ("sample --noexact=1", "flags .*Received: --noexact=1 does not take an argument. "),
            ("sample --num", "flags of .* sample. Received: Missing value for flag --num. "),
            ("export", "flags of .* export. .*--out=None: Flag --out must have a value.*None. "),
            (
                "complete a.png",
                "flags of .* complete. .*: Exactly one of .mask, known. must .*None. ",
            ),
        ):
            result = run("-m", "pixelcnn_aux", *arguments.split())
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            [line] = result.stderr.splitlines()
            self.assertRegex(line, f"^Expected {expected}")
            self.assertEndsWith(line, help.format(arguments.split()[0]))


class RunTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        self.enterContext(mock.patch.object(program, "FLAGS", mock.Mock(plugin=[])))
        self.enterContext(mock.patch.object(process, "silence"))
        self.enterContext(mock.patch.dict(os.environ))

    def test_errors_are_one_message(self):
        """-v=1 shows tracebacks."""
        for error in (ImportError, OSError, RuntimeError, ValueError):
            with self.assertRaisesRegex(SystemExit, f"^{error.__name__}: Expected it"):
                program.run(mock.Mock(side_effect=error("Expected it")), [], [])
        with self.assertLogs("absl", "DEBUG") as logged:
            with self.assertRaisesRegex(SystemExit, "^NotFoundError: .*none; No such file or dir"):
                program.run(lambda: tf.io.read_file("none").numpy(), [], [])
        self.assertRegex(logged.output[0], "Traceback(?s:.*) in <lambda>\n")

    def test_short_memory_is_one_message(self):
        for error in (
            MemoryError("of 3 GiB"),
            MemoryError(),
            RuntimeError("can't start new thread"),
        ):
            message = (
                f"^Expected more memory. Received: {error or 'no more'}. Close other programs, "
            )
            with self.assertRaisesRegex(SystemExit, message):
                program.run(mock.Mock(side_effect=error), [], [])

    def test_without_docstrings(self):
        for arguments in (["models"], ["models", "--help"]):
            done = run("-OO", "-m", "pixelcnn_aux", *arguments)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
        (self.folder / "tf_keras.py").write_text("__doc__.strip()")  # which fails, as the real one
        path = f"{self.folder}{os.pathsep}{helpers.ROOT}"
        result = run("-OO", "-c", BEGUN.format("import tf_keras"), PYTHONPATH=path)
        message = "ImportError: Expected docstrings. Received: python -OO, by which tf_keras fails"
        self.assertEqual(result.returncode, 1)
        self.assertStartsWith(result.stderr, message)

    def test_numbers_of_arguments(self):
        for arguments, given, expected in (
            ([], ["x"], "only flags"),
            (["A"], ["x", "y"], "A and flags"),
            (["A", "B..."], [], "A B... and flags"),
        ):
            message = re.escape(f"Expected {expected}. Received: {given}")
            with self.assertRaisesRegex(app.UsageError, message):
                program.run(self.fail, arguments, given)
        for arguments, given in (([], ""), (["A"], "x"), (["A", "B..."], "xyz")):
            main = mock.Mock()
            program.run(main, arguments, list(given))
            main.assert_called_once_with(*given)

    def test_memory_of_accelerators_is_left_to_others(self):
        with mock.patch.dict(os.environ, clear=True):
            program.run(lambda: None, [], [])
            self.assertEqual(os.environ["TF_FORCE_GPU_ALLOW_GROWTH"], "true")
            self.assertEqual(os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"], "false")


# As the installed script; in the end it tells whether these are imported.
INSTALLED = """
import sys
from pixelcnn_aux.__main__ import main
sys.argv[0] = "/somewhere/bin/pixelcnn-aux"
try:
    main()
finally:
    print({"tensorflow", "keras"} & set(sys.modules), file=sys.stderr)
"""

LARGE = "keras|jax|matplotlib|scipy|tensorflow|tensorflow_probability"
# Defines the flags of each command in turn, as its help does.
DEFINED = f"""
import importlib, sys
from absl import flags
from pixelcnn_aux.__main__ import COMMANDS
for name in COMMANDS:
    importlib.import_module(f"pixelcnn_aux.commands.{{name}}").define_flags()
    for flag in [*flags.FLAGS]:
        delattr(flags.FLAGS, flag)
assert not {{*"{LARGE}".split("|")}} & {{*sys.modules}}
"""


class CommandTest(helpers.TestCase):
    def test_it_needs_nothing_of_the_checkout(self):
        others = r"^ *(from|import) (benchmarks|evaluate|examples|tests|train)\b"
        for file in (helpers.ROOT / "pixelcnn_aux").rglob("*.py"):
            self.assertIsNone(re.search(others, file.read_text(), re.MULTILINE), file)

    def test_the_installed_script(self):
        """`set()` shows that the process imported neither TensorFlow nor Keras."""
        wrong = r"one of train, bpd.*{}Give .*pixelcnn-aux --help"
        for arguments, status, printed, errors in (
            (["--help"], 0, [f"  {x:13}{text}" for x, text in command.COMMANDS.items()], ""),
            (["models"], 0, [], ""),
            (["--version"], 0, [f"pixelcnn-aux {pa.__version__}"], ""),
            ([], 1, [], wrong.format("none. ")),
            (["colour"], 1, [], wrong.format("'colour'. Did you mean 'color'. ")),
            (["upscale"], 1, [], wrong.format("'upscale'. Did you mean 'enlarge'. ")),
            (["-v=1"], 1, [], wrong.format("'-v=1'. ")),
        ):
            result = run("-c", INSTALLED, *arguments)
            self.assertContainsSubset(printed, result.stdout.splitlines())
            self.assertEqual(result.returncode, status)
            self.assertRegex(result.stderr, rf"^set\(\)\n(?s:.*){errors}")

    def test_programs_of_the_checkout_are_the_same(self):
        started = []
        with mock.patch.object(program, "start", lambda *given: started.append(given)):
            for module in ("evaluate.bpd", "evaluate.samples", "train.pyramid"):
                runpy.run_module(module, run_name="__main__")
            with (
                mock.patch.object(process, "begin"),
                mock.patch.object(program, "typed", lambda: "pixelcnn-aux"),
                mock.patch.object(sys, "argv", ["pixelcnn-aux", "bpd", "--exact"]),
            ):
                command.main()
                self.assertEqual(sys.argv, ["pixelcnn-aux", "--exact"])
        ours = [(bpd,), (sample,), (train, None, "pyramid"), (bpd, "pixelcnn-aux bpd")]
        self.assertEqual(started, ours)

    def test_help_and_wrong_arguments_import_nothing_large(self):
        result = run("-c", DEFINED)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for arguments, status, message in (
            (("pixelcnn_aux.interop", "--help"), 0, ""),
            (("evaluate.cost", "--help"), 0, ""),
            (("pixelcnn_aux", "train", "--helpfull"), 0, ""),
            (("train.pyramid", "--helpshort"), 0, ""),
            (("evaluate.bpd", "more"), 1, "Expected only flags. Received: ['more']"),
        ):
            result = run("-X", "importtime", "-m", *arguments)
            self.assertEqual(result.returncode, status, arguments)
            self.assertIn(message, result.stderr)
            found = re.findall(rf"[|] +({LARGE})$", result.stderr, re.MULTILINE)
            self.assertEmpty(found, arguments)

    def test_usage_is_what_was_typed_above_the_flags_of_all_modules(self):
        result = run("-m", "train.grayscale", "--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        lines = result.stdout.splitlines()
        usage = ["python -m train.grayscale [flags]", "", *train.__doc__.splitlines(), "", "flags:"]
        self.assertEqual(lines[: len(usage)], usage)
        for flag in ("preset", "dataset", "workdir", "plugin"):
            self.assertTrue(any(line.startswith(f"  --{flag}: ") for line in lines), flag)
