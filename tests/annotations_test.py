"""Tests of the annotations: type checkers know the public API, and all of it has them."""

import inspect
import subprocess
import sys

import keras

import pixelcnn_aux as pa
from tests import documentation_test, helpers

KERAS = {*dir(keras.Model), *dir(keras.Optimizer)} - {"__init__"}  # what Keras calls


def members(public):
    """The functions and classes of a module or package; the methods and properties of a class."""
    place = public.__name__ if inspect.ismodule(public) else public.__module__
    for name, value in vars(public).items():
        value = getattr(value, "fget", None) or getattr(value, "__func__", value)
        is_own = (getattr(value, "__module__", None) or "").startswith(place)
        if is_own and name not in KERAS and (name[0] != "_" or name == "__init__"):
            yield f"{public.__name__}.{name}", value


class AnnotationsTest(helpers.TestCase):
    def test_mypy_accepts_the_package_and_a_users_script_and_finds_mistakes(self):
        readme = self.folder / "readme.py"
        readme.write_text("\n".join(documentation_test.python_lines(documentation_test.README)))
        files = ["pixelcnn_aux", "tests/typed", readme]
        command = [sys.executable, "-m", "mypy", *files]
        result = subprocess.run(command, cwd=helpers.ROOT, capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_all_of_the_public_api_is_annotated(self):
        found = {name: getattr(pa, name) for name in pa._PUBLIC}
        for package in (pa.codec, pa.interop, pa.likelihoods, pa.training):
            found |= {name: getattr(package, name) for name in package._PUBLIC}
        for kind in (inspect.ismodule, inspect.isclass):
            for public in filter(kind, list(found.values())):
                found.update(members(public))
        for name, function in found.items():
            if inspect.isfunction(function):
                signature = inspect.signature(function)
                needed = {*signature.parameters, "return"} - {"self", "cls"}
                if "__init__" in name:
                    needed.discard("return")
                self.assertEmpty(needed - set(inspect.get_annotations(function)), name)
