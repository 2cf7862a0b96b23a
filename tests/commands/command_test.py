"""Tests of the command `pixelcnn-aux`: its sub-commands, by each of their names."""

import inspect
import os
import pathlib
import pkgutil
import re
import runpy
import subprocess
import sys
import tomllib
from unittest import mock

import tensorflow as tf

from pixelcnn_aux import __main__ as command
from pixelcnn_aux.commands import bpd, process, program, sample, train
from tests import helpers

PROJECT = pathlib.Path(__file__).parents[2] / "pyproject.toml"
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


def run(*arguments):
    """Runs the installed command: `subprocess.CompletedProcess`."""
    started = [sys.executable, "-c", INSTALLED, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(helpers.ROOT)}
    return subprocess.run(started, env=environment, capture_output=True, text=True)


class CommandTest(tf.test.TestCase):
    def test_it_is_installed(self):
        scripts = tomllib.loads(PROJECT.read_text())["project"]["scripts"]
        self.assertEqual(scripts, {"pixelcnn-aux": "pixelcnn_aux.__main__:main"})

    def test_it_needs_nothing_of_the_checkout(self):
        others = r"^ *(from|import) (benchmarks|evaluate|examples|tests|train)\b"
        for file in (helpers.ROOT / "pixelcnn_aux").rglob("*.py"):
            self.assertIsNone(re.search(others, file.read_text(), re.MULTILINE), file)

    def test_commands_without_tensorflow(self):
        """`set()` is what the process imported of TensorFlow and Keras."""
        for arguments, status, lines in (
            (["--help"], 0, [f"  {x:10}{text}" for x, text in command.COMMANDS.items()]),
            (["models"], 0, ["cifar10-pyramid", "    split         test"]),
            ([], 1, []),
            (["colour"], 1, []),
            (["-v=1"], 1, []),
        ):
            result = run(*arguments)
            self.assertContainsSubset(lines, result.stdout.splitlines())
            self.assertEqual(result.returncode, status)
            self.assertStartsWith(result.stderr, "set()\n")
            if status:
                received = repr(arguments[0]) if arguments else "none"
                expected = f"one of train, bpd.*{received}. Give .*pixelcnn-aux --help"
                self.assertRegex(result.stderr, expected)

    def test_each_module_is_a_program(self):
        for name in command.COMMANDS:
            module = pkgutil.resolve_name(f"pixelcnn_aux.commands.{name}:")
            self.assertNotEmpty(module.__doc__)
            self.assertEmpty(inspect.signature(module.define_flags).parameters, name)
            takes = inspect.signature(module.main).parameters.values()
            repeated = any(x.kind is x.VAR_POSITIONAL for x in takes)
            arguments = getattr(module, "ARGUMENTS", [])
            self.assertLen(arguments, len(takes), name)
            self.assertEqual(any(x.endswith("...") for x in arguments), repeated, name)

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


class HelpTest(tf.test.TestCase):
    def test_usage_is_what_was_typed_above_the_flags_of_all_modules(self):
        lines = helpers.start(helpers.ROOT, "train.grayscale", "--help").stdout.splitlines()
        usage = ["python -m train.grayscale [flags]", "", *train.__doc__.splitlines(), "", "flags:"]
        self.assertEqual(lines[: len(usage)], usage)
        for flag in ("preset", "dataset", "workdir", "plugin"):
            self.assertTrue(any(line.startswith(f"  --{flag}: ") for line in lines), flag)
