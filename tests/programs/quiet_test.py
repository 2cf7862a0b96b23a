"""Tests of what programs keep to themselves, and of other processes, in which nothing changes."""

import logging
import os
import pathlib
import subprocess
import sys
from unittest import mock

import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.programs import quiet

ROOT = pathlib.Path(__file__).parents[2]


class CommandTest(tf.test.TestCase):
    def test_programs_are_modules_of_this_project(self):
        for module, expected in (
            ("pixelcnn_aux.export", True),
            ("train.grayscale", True),
            ("evaluate.bpd", True),
            ("evaluate_mine.bpd", False),
            ("pytest", False),
            ("tests.quiet_test", False),
        ):
            self.assertEqual(quiet.is_program(["python", "-m", module, "-v=1"]), expected, module)
        self.assertFalse(quiet.is_program(["python", "train.grayscale"]))
        self.assertFalse(quiet.is_program(["python", "-m"]))

    def test_verbose_flags(self):
        for argument, expected in (
            ("-v=1", True),
            ("--v=2", True),
            ("-v 1", True),
            ("--verbosity=1", True),
            ("--verbosity 1", True),
            ("-v=0", False),
            ("--verbosity=-1", False),
            ("--vertical=1", False),
            ("--workdir=-v=1", False),
        ):
            command = ["python", "-m", "evaluate.bpd", "--num_images=3", *argument.split()]
            self.assertEqual(quiet.is_verbose(command), expected, argument)


class LogsTest(tf.test.TestCase):
    def test_others_are_heard_from_an_error_on(self):
        handler = logging.NullHandler()
        quiet.drop_others(handler)
        for module, level, kept in (
            (tf, logging.INFO, False),
            (tf, logging.WARNING, False),
            (tf, logging.ERROR, True),
            (pa, logging.WARNING, True),
            (sys.modules[__name__], logging.WARNING, True),
        ):
            record = logging.LogRecord("absl", level, module.__file__, 1, "said", (), None)
            self.assertEqual(bool(handler.filter(record)), kept, (module, level))

    def test_why_jax_uses_no_accelerator_is_heard(self):
        handler = logging.NullHandler()
        quiet.drop_others(handler)
        for level, kept in ((logging.INFO, False), (logging.WARNING, True)):
            name = "jax._src.xla_bridge"
            record = logging.LogRecord(
                name, level, tf.__file__, 1, "Falling back to cpu.", (), None
            )
            self.assertEqual(bool(handler.filter(record)), kept)


class ProcessTest(tf.test.TestCase):
    def test_programs_begin_without_a_place_for_temporary_files(self):
        with mock.patch("tempfile.TemporaryFile", side_effect=FileNotFoundError) as sought:
            quiet._import_tensorflow()
        sought.assert_called_once()

    def test_an_import_changes_nothing(self):
        code = """
import logging, os, warnings
def state(): return dict(os.environ), logging.lastResort.filters[:]
before = state()
import pixelcnn_aux
assert state() == before, state()
assert ("ignore", None, Warning, None, 0) not in warnings.filters
"""
        result = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == "__main__":
    tf.test.main()
