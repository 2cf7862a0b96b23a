"""Tests of what all programs share: plugins, and errors that are one message."""

import os
import pathlib
import subprocess
import sys

import tensorflow as tf

from pixelcnn_aux import program
from tests import helpers

ROOT = pathlib.Path(__file__).parents[1]


class PluginTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self)
        (self.folder / "first.py").write_text("print('first')")
        (self.folder / "mine").mkdir()
        (self.folder / "mine" / "second.py").write_text("print('second')")
        (self.folder / "broken.py").write_text("import first\n\nfirst.none")

    def run_program(self, *arguments):
        return subprocess.run(
            [sys.executable, "-m", "evaluate.bpd", "--workdir=none", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )

    def test_all_are_imported_before_the_program_runs(self):
        result = self.run_program("--plugin=first", "--plugin=mine.second")
        self.assertEqual(result.stdout.splitlines(), ["first", "second", "Evaluating none"])
        self.assertEqual(result.returncode, 1)
        [line] = result.stderr.splitlines()
        self.assertStartsWith(line, "FileNotFoundError: Expected a workdir")

    def test_one_that_cannot_be_imported_is_named(self):
        result = self.run_program("--plugin=broken")
        self.assertEqual(result.returncode, 1)
        message = "(AttributeError: module 'first' has no attribute 'none')"
        self.assertIn(f"Received: broken, whose import failed {message}", result.stderr)
        [line] = result.stderr.splitlines()
        self.assertStartsWith(line, "ImportError: Expected --plugin as the name")
        message = r"Received: none.such, whose import failed \(ModuleNotFoundError: No module named 'none'"
        with self.assertRaisesRegex(ImportError, message):
            program.import_plugin("none.such")


class HelpTest(tf.test.TestCase):
    def test_the_flags_of_all_modules_are_shown(self):
        command = [sys.executable, "-m", "train.grayscale", "--help"]
        help_text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
        for flag in ("preset", "dataset", "workdir", "plugin"):
            self.assertIn(f"--{flag}: ", help_text)


if __name__ == "__main__":
    tf.test.main()
