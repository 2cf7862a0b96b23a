"""Tests of the processes of programs: their streams, Ctrl-C, what they keep to themselves; and of imports."""

import ast
import errno
import logging
import os
import pathlib
import signal
import subprocess
import sys
from unittest import mock

import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.commands import process
from tests import helpers

# A program that has begun, without the seconds of TensorFlow's import.
BEGUN = """
'A program.'
import sys
from unittest import mock
from pixelcnn_aux.commands import process, program
with mock.patch.object(process, "_silence"):
    process.begin()
def define_flags():
    pass
def main():
    {}
program.start()
"""
INTERRUPT = "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(helpers.ROOT)}


def shell(code, redirections):
    """What a program whose `main` is `code` does under redirections of a shell: (status, out, err)."""
    command = ["bash", "-c", f'"$0" -c "$1" {redirections}', sys.executable, BEGUN.format(code)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


class VerboseTest(tf.test.TestCase):
    def test_flags(self):
        verbose = ("-v=1", "--v=2", "-v 1", "--verbosity=1", "--verbosity 1")
        for argument in (*verbose, "-v=0", "--verbosity=-1", "--vertical=1", "--workdir=-v=1"):
            command = ["evaluate.bpd", "--num_images=3", *argument.split()]
            self.assertEqual(process.is_verbose(command), argument in verbose, argument)


class LogsTest(tf.test.TestCase):
    def test_others_are_heard_from_an_error_on(self):
        """But for why JAX uses no accelerator."""
        handler = logging.NullHandler()
        process.drop_others(handler)
        for name, module, level, kept in (
            ("absl", tf, logging.INFO, False),
            ("absl", tf, logging.WARNING, False),
            ("absl", tf, logging.ERROR, True),
            ("absl", pa, logging.WARNING, True),
            ("absl", sys.modules[__name__], logging.WARNING, True),
            ("jax._src.xla_bridge", tf, logging.INFO, False),
            ("jax._src.xla_bridge", tf, logging.WARNING, True),
        ):
            record = logging.LogRecord(name, level, module.__file__, 1, "said", (), None)
            self.assertEqual(bool(handler.filter(record)), kept, (name, module, level))


class StreamsTest(tf.test.TestCase):
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
        """No file that is opened becomes one of them."""
        file = helpers.temporary_folder(self) / "file"
        code = f"file = open('{file}', 'w'); print(file.fileno(), sys.stdin, file=file)"
        self.assertEqual(shell(code, "<&- >&- 2>&-"), (0, "", ""))
        self.assertGreater(int(file.read_text().split()[0]), 2)
        status, _, errors = shell("sys.stdin.buffer.read()", "<&-")
        self.assertEqual((status, errors), (1, "OSError: [Errno 9] Bad file descriptor\n"))

    def test_encodings_stay(self):
        with mock.patch.dict(ENVIRONMENT, PYTHONIOENCODING="latin-1:replace"):
            found = shell("print(sys.stdout.encoding, sys.stdout.errors)", "")
        self.assertEqual(found[1], "iso8859-1 replace\n")


class InterruptedTest(tf.test.TestCase):
    """Ctrl-C ends a program at once, without a traceback."""

    def setUp(self):
        super().setUp()
        # Shells have what they start in the background ignore Ctrl-C, and so would what is started here.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)

    def test_during_imports(self):
        code = BEGUN.partition("def define_flags")[0] + INTERRUPT
        result = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True)
        self.assertEqual((result.returncode, result.stderr), (-signal.SIGINT, b""))

    def test_at_work(self):
        """`finally` clauses run: temporary files are removed."""
        code = f"try: {INTERRUPT}\n    finally: print('cleaned up')"
        self.assertEqual(shell(code, ""), (130, "cleaned up\n", ""))


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


class ImportTest(tf.test.TestCase):
    def run_python(self, code):
        command = [sys.executable, "-c", STATE.format(code), "-v=0"]
        result = subprocess.run(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_it_changes_nothing(self):
        """TensorFlow is imported with the first name that somebody asks for."""
        self.run_python(
            "import pixelcnn_aux, train, evaluate, benchmarks, examples\n"
            "assert not {'tensorflow', 'keras', 'absl'} & set(sys.modules)"
        )

    def test_keras_loads_what_is_saved(self):
        """And importing a program makes no program of a process."""
        file = helpers.temporary_folder(self) / "factor.keras"
        helpers.shared_model().factors["image"].save(file)
        self.run_python(
            f"import keras, pixelcnn_aux; keras.saving.load_model({str(file)!r})\n"
            "assert not {f'pixelcnn_aux.{x}' for x in ('codec', 'interop')} & set(sys.modules)\n"
            "import evaluate.curves, pixelcnn_aux.commands.codec"
        )

    def test_all_names(self):
        """Type checkers see those that there are."""
        for module in (pa, pa.codec, pa.interop):
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
            if module is pa:
                self.assertCountEqual(names, pa._PUBLIC)
                self.assertContainsSubset(names, dir(pa))
