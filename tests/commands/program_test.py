"""Tests of how programs start and end: plugins, arguments, and errors that are one message."""

import os
import re
import sys
from unittest import mock

import tensorflow as tf
from absl import app

from pixelcnn_aux.commands import process, program
from tests import helpers


class PluginTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self)
        (self.folder / "first.py").write_text("print('first')")
        (self.folder / "mine").mkdir()
        (self.folder / "mine" / "second.py").write_text("print('second')")
        (self.folder / "broken.py").write_text("import first\n\nfirst.none")

    def test_all_are_imported_before_the_program_runs(self):
        """And the program, which ends in an error, prints its own lines alone."""
        unset = ("TF_CPP_MIN_LOG_LEVEL", "GRPC_VERBOSITY")
        environment = {name: value for name, value in os.environ.items() if name not in unset}
        arguments = ("--workdir=none", "--plugin=first", "--plugin=mine.second")
        result = helpers.start(self.folder, "evaluate.bpd", *arguments, environment=environment)
        self.assertEqual(result.stdout.splitlines(), ["first", "second"])
        self.assertEqual(result.returncode, 1)
        [line] = result.stderr.splitlines()
        self.assertStartsWith(line, "FileNotFoundError: Expected the folder of a run")

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


class RunTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.enterContext(mock.patch.object(program, "FLAGS", mock.Mock(plugin=[])))
        self.enterContext(mock.patch.object(program, "python_logging"))
        self.enterContext(mock.patch.object(process, "drop_others"))
        self.enterContext(mock.patch.dict(os.environ))

    def test_errors_are_one_message(self):
        """-v=1 shows where they were raised."""
        for error in (ImportError, OSError, RuntimeError, ValueError):
            with self.assertRaisesRegex(SystemExit, f"^{error.__name__}: Expected it"):
                program.run(mock.Mock(side_effect=error("Expected it")), [], [])
        with self.assertLogs("absl", "DEBUG") as logged:
            with self.assertRaisesRegex(SystemExit, "^NotFoundError: .*none; No such file or dir"):
                program.run(lambda: tf.io.read_file("none").numpy(), [], [])
        self.assertRegex(logged.output[0], "Traceback(?s:.*) in <lambda>\n")

    def test_numbers_of_arguments(self):
        for arguments, given, expected in (
            ([], ["x"], "flags alone"),
            (["A"], [], "A and flags"),
            (["A"], ["x", "y"], "A and flags"),
            (["A", "B..."], [], "A B... and flags"),
        ):
            message = re.escape(f"Expected {expected}. Received: {given}")
            with self.assertRaisesRegex(app.UsageError, message):
                program.run(self.fail, arguments, given)
        several = ["A", "B..."]
        for arguments, given in (([], ""), (["A"], "x"), (several, "x"), (several, "xyz")):
            main = mock.Mock()
            program.run(main, arguments, list(given))
            main.assert_called_once_with(*given)

    def test_memory_of_accelerators_is_left_to_others(self):
        with mock.patch.dict(os.environ, clear=True):
            program.run(lambda: None, [], [])
            self.assertEqual(os.environ["TF_FORCE_GPU_ALLOW_GROWTH"], "true")
            self.assertEqual(os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"], "false")
