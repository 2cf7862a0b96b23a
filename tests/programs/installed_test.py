"""Tests of the installed commands: each is a program of the package."""

import pathlib
import pkgutil
import subprocess
import sys
import tomllib

import tensorflow as tf

from pixelcnn_aux.programs import commands

PROJECT = pathlib.Path(__file__).parents[2] / "pyproject.toml"


class CommandsTest(tf.test.TestCase):
    def test_each_command_is_there(self):
        scripts = tomllib.loads(PROJECT.read_text())["project"]["scripts"]
        self.assertNotEmpty(scripts)
        for name, target in scripts.items():
            program = name.removeprefix("pixelcnn-aux-")
            self.assertIs(pkgutil.resolve_name(target), getattr(commands, program))
            self.assertIsNotNone(pkgutil.resolve_name(f"pixelcnn_aux.{program}"))

    def test_a_command_runs_its_program(self):
        code = "from pixelcnn_aux.programs import commands; commands.zoo()"
        command = [sys.executable, "-c", code]
        listed = subprocess.check_output(command, cwd=PROJECT.parent, text=True)
        self.assertIn("cifar10-pyramid", listed)
