"""Tests of the line through the package: which files import Keras, and that all others work without it."""

import ast
import functools
import os
import subprocess
import sys

from tests import helpers
from tests.light_installation import ABSENT

FRAMEWORKS = {"keras", "tensorflow", "tensorflow_probability", "jax"}
FOLDERS = ("pixelcnn_aux", "train", "evaluate")
KERAS = """
    base.backend factors.keras_factor image_distribution
    layers layers.gated_residual_block layers.module_layer layers.weight_norm
    likelihoods.distributions
    training.devices training.loop training.metrics training.optimizer
    training.sample_pictures training.state training.steps
    serving.exporting serving.grpc_client serving.interface serving.signatures serving.verify
"""  # modules that need a framework to be imported
LATER = "base.arrays base.serialization data.decoding data.tfds"  # whose functions import one
BY_NAME = ("import_module", "__import__", "resolve_name")  # functions that import
# scikit-image is found: its files have the photographs.
CODE = f"""
import sys

class Absent:
    def find_spec(name, path=None, target=None):
        if name in {ABSENT} and name != "skimage":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent)
from tests.factors import without_keras
without_keras.check(sys.argv[1:])
assert not sys.modules.keys() & {ABSENT}, sys.modules.keys() & {ABSENT}
"""


@functools.cache
def trees():
    """dict, module -> syntax tree."""
    found = {}
    for file in (x for folder in FOLDERS for x in (helpers.ROOT / folder).rglob("*.py")):
        name = ".".join(file.relative_to(helpers.ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = ast.parse(file.read_text())
    return found


def imported(node, by_functions):
    """The names that a syntax tree imports, MODULE.NAME of a module's; or also its functions, later."""
    if isinstance(node, ast.Import):
        yield from (x.name for x in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (f"{node.module}.{x.name}" for x in node.names)
    elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        pass
    elif by_functions or not isinstance(node, (ast.FunctionDef, ast.Lambda)):
        is_call = by_functions and isinstance(node, ast.Call)
        if is_call and ast.unparse(node.func).rpartition(".")[2] in BY_NAME:
            yield from (x.value for x in node.args if isinstance(x, ast.Constant))
        for child in ast.iter_child_nodes(node):
            yield from imported(child, by_functions)


def modules(name):
    """All that importing a name may load: the packages that it is in, and itself."""
    parts = name.split(".")
    return {".".join(parts[:count]) for count in range(1, len(parts) + 1)}


def which_import(wanted, by_functions=False):
    """The modules that import any of these: set."""
    return {
        module
        for module, tree in trees().items()
        if any(modules(x) & wanted for x in [*imported(tree, by_functions), module])
    }


@functools.cache
def heavy():
    """The modules that need a framework to be imported, themselves or through others."""
    found, wanted = which_import(FRAMEWORKS), set()
    while found != wanted:
        wanted = found
        found = wanted | which_import(wanted)
    return found


def listed(names):
    return {f"pixelcnn_aux.{name}" for name in names.split()}


class ImportsTest(helpers.TestCase):
    def test_the_files_that_import_keras(self):
        self.assertCountEqual(heavy(), listed(KERAS))
        later = which_import(FRAMEWORKS, by_functions=True) - heavy()
        self.assertCountEqual(later, listed(LATER))

    def test_all_others_work_without(self):
        page = {x for x in trees() if x.startswith("pixelcnn_aux.demo.")}  # which needs Gradio
        plain = trees().keys() - heavy() - page
        self.assertGreater(len(plain), 100)
        result = subprocess.run(
            [sys.executable, "-c", CODE, *sorted(plain)],
            cwd=helpers.ROOT,
            env={**os.environ, "TMPDIR": str(helpers.temporary_folder(self))},
            capture_output=True,
            text=True,
        )
        self.assertEqual(result.returncode, 0, result.stderr)
