"""The Python in the documentation runs, and its links, programs, files and version exist."""

import contextlib
import importlib.util
import os
import re
import runpy
import shlex
from unittest import mock

import numpy as np
from absl import flags
from PIL import Image

import pixelcnn_aux as pa
from pixelcnn_aux.__main__ import COMMANDS
from pixelcnn_aux.commands import process, program, train
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.training import presets
from tests import helpers
from tests.data.helpers import noise

ROOT = helpers.ROOT
README = ROOT / "README.md"
EXTENDING, EXACT = ROOT / "docs" / "extending.md", ROOT / "docs" / "exact.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLE = ROOT / "examples" / "opponent.py"

# Replacements that save time: small images, fewer steps.
SMALLER = {
    README: {
        '"photos", "test"': '"photos", "test", (4, 4)',
        "enlarge(images)": "enlarge(images[:, :2, :2])",
        "32": "4",
        "16": "2",
    },
    EXTENDING: {
        "steps_per_epoch=4": "steps_per_epoch=1",
        "steps=30": "steps=1",
        '"photos", "test", (32, 32)': '"photos", "test", (4, 4)',
    },
    EXACT: {},
}


def python_lines(page):
    """The lines of a page; those outside of Python blocks are empty."""
    lines, inside = [], False
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            inside = line == "```python"
            line = ""
        lines.append(line if inside else "")
    return lines


class PythonTest(helpers.TestCase):
    def test_python_runs(self):
        small = {"filters": 4, "blocks": 1, "embedding_blocks": 1, "depth": 1, "num_components": 2}
        model = pa.pyramid((4, 4), (2, 2), **small, condition=pa.conditions.Classes(10))
        RunFolder(self.folder / "cifar10-pyramid").save_model(model)  # `pa.load` prefers a folder
        for page, replaced in SMALLER.items():
            text = "\n".join(python_lines(page))
            for code, smaller in replaced.items():
                self.assertIn(code, text)
                text = text.replace(code, smaller)
            with (
                helpers.nothing_stays_registered(),
                helpers.eagerly(),
                contextlib.chdir(self.folder),
            ):
                exec(compile(text, page, "exec"), {"__name__": "page"})  # tracebacks name the page

    def test_the_example_is_complete(self):
        page = [line for line in python_lines(EXTENDING) if line.strip()]
        _, code = EXAMPLE.read_text().split('"""\n\n', maxsplit=1)  # after its docstring
        code = [line for line in code.splitlines() if line.strip()]
        self.assertEqual(page[: len(code)], code)


def commands():
    """Triples (page, whether it stands in a block, words) of the programs' command lines in pages."""
    start = (
        r"(?:\.venv/bin/)?((?:pixelcnn-aux|python -m (?:train|evaluate|benchmarks|pixelcnn_aux)[.])"
    )
    for page in (README, *sorted((ROOT / "docs").glob("*.md"))):
        text = page.read_text()
        blocks = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
        lines = re.findall(rf"^ *(?:\w+=\w+ )?{start}.*)$", blocks, re.MULTILINE)
        yield from ((page, True, shlex.split(line, comments=True)) for line in lines)
        inline = re.findall(rf"`{start}[^`]*)`", text)
        if page.name == "programs.md":  # whose first table has what follows the command
            _, _, table = text.partition("|---|---|\n")
            rows = table.partition("\n\n")[0]
            inline += [f"pixelcnn-aux {x}" for x in re.findall(r"(?:^[|]|,) `([^`]+)`", rows, re.M)]
        words = map(shlex.split, inline)
        yield from ((page, False, x) for x in words if len(x) > 1)


class CommandsTest(helpers.TestCase):
    """The command lines in the documentation are those of the programs."""

    def program(self, words):
        """(module, the words that are its own) of a command line."""
        if words[0] == "pixelcnn-aux":
            self.assertIn(words[1], COMMANDS)
            return importlib.import_module(f"pixelcnn_aux.commands.{words[1]}"), words[2:]
        name = words[2]
        if name == "pixelcnn_aux.interop":
            name = "pixelcnn_aux.interop.__main__"
        with mock.patch.object(program, "start") as start:
            runpy.run_module(name, run_name="__main__")
        [(module, _, *first)] = [
            (*call.args, None, None)[:2] + call.args[2:] for call in start.mock_calls
        ]
        return module or importlib.import_module(name), [*first, *words[3:]]

    def test_flags_arguments_and_names(self):
        runs = []

        def check(page, is_whole, words):
            if "benchmarks.converted" in words and not importlib.util.find_spec("openvino"):
                return
            module, own = self.program(words)
            if not (own or is_whole):
                return  # the name of a program
            with helpers.own_flags() as values, mock.patch.object(program, "import_plugin"):
                module.define_flags()
                flags.DEFINE_multi_string("plugin", [], "", flag_values=values)
                _, *others = values(["program", *own])
                program.run(mock.Mock(), getattr(module, "ARGUMENTS", []), others)
                if module is train:
                    self.assertIn(others[0], [*presets.BY_MODEL, "opponent"])
                    if values.preset != "demo":
                        self.assertIn(values.preset, presets.BY_MODEL[others[0]])
                if isinstance(run := getattr(values, "workdir", None), str):
                    self.assertTrue(run in pa.pretrained() or run.startswith(("runs/", "$model")))
                if (dataset := getattr(values, "dataset", None)) not in (None, "A", "ramps"):
                    self.assertIn(dataset, pa.data.DATASETS)
            runs.append(words)

        self.enterContext(mock.patch.object(process, "silence"))
        self.enterContext(mock.patch.dict(os.environ))
        for page, is_whole, words in commands():
            with self.subTest(page.name, command=" ".join(words)):
                check(page, is_whole, words)
        self.assertGreater(len(runs), 60)

    def test_pictures(self):
        """Commands that take seconds with small pictures run, page by page."""
        names, done = ("color", "enlarge", "complete", "codec", "models"), []
        for page, is_whole, words in commands():
            if not is_whole or words[1] not in names or "runs/scans" in words:  # not trained here
                continue
            folder = self.folder / page.stem
            (folder / "PHOTOGRAPHS").mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise(9, 8, 3)).save(folder / "PHOTOGRAPHS" / "a.png")
            with contextlib.chdir(folder):
                for name in words:
                    if re.search(r"\.(png|jpg)$", name) and not (folder / name).exists():
                        outputs = [
                            words[k + 1] for k, x in enumerate(words) if x in ("--out", "--map")
                        ]
                        if name not in outputs:
                            mask = 255 * (np.indices((9, 8))[0] < 5)
                            pixels = mask if name == "mask.png" else noise(9, 8, 3)
                            Image.fromarray(pixels.astype(np.uint8)).save(name)
                module, own = self.program(words)
                self.assertIn("Wrote" if "--out" in own else "", helpers.run_program(module, *own))
            done.append(words[1])
        self.assertContainsSubset(names[:4], done)


class DescriptionTest(helpers.TestCase):
    def test_the_package_index_gets_no_relative_links(self):
        with mock.patch("setuptools.setup") as setup:
            runpy.run_path(str(ROOT / "setup.py"))
        description = setup.call_args.kwargs["long_description"]
        self.assertIn(README.read_text().splitlines()[0], description)
        targets = re.findall(r"\]\(([^)]*)\)", description)
        self.assertEmpty([target for target in targets if not target.startswith("http")])


class ReferencesTest(helpers.TestCase):
    def found(self, pattern):
        """Pairs (page, match of a pattern), at least one."""
        found = [(page, match) for page in PAGES for match in re.findall(pattern, page.read_text())]
        self.assertNotEmpty(found)
        return found

    def test_links_lead_to_files(self):
        for page, target in self.found(r"\]\(([^)#:]+)(?:#[^)]*)?\)"):
            self.assertTrue((page.parent / target).exists(), f"{page.name}: {target}")

    def test_links_lead_to_headings(self):
        for page, (target, heading) in self.found(r"\]\(([^)#:]*)#([^)]+)\)"):
            text = (page.parent / target if target else page).read_text()
            headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings]
            self.assertIn(heading, anchors, page.name)

    def test_programs_exist(self):
        modules = self.found(r"python -m\s+([\w.]+)")
        modules += self.found(r"`((?:train|evaluate|benchmarks)\.(?!npy)\w+)")
        for page, module in modules:
            self.assertIsNotNone(importlib.util.find_spec(module), f"{page.name}: {module}")
        for page, command in self.found(r"pixelcnn-aux\s+([a-z]+)"):
            self.assertIn(command, COMMANDS, page.name)

    def test_files_exist(self):
        folders = "pixelcnn_aux|train|evaluate|examples|benchmarks|tests"
        for page, path in self.found(rf"`((?:{folders})/[\w/.]*)`"):
            self.assertTrue((ROOT / path).exists(), f"{page.name}: {path}")

    def test_the_architecture_names_the_whole_package(self):
        text = (ROOT / "docs" / "architecture.md").read_text()
        for path in (ROOT / "pixelcnn_aux").iterdir():
            if not path.name.startswith("_"):
                self.assertIn(f"`pixelcnn_aux/{path.name}{'/' * path.is_dir()}`", text)

    def test_ci_runs_the_readmes_tests(self):
        [commands] = re.findall(
            r"Run the tests:\n\n```bash\n(.*?)```", README.read_text(), re.DOTALL
        )
        lines = (ROOT / ".ci" / "run").read_text().splitlines()
        script = [line.removesuffix(" &") for line in lines]
        for command in commands.splitlines():
            self.assertIn(command.partition("  #")[0], script)

    def test_the_version_is_cited(self):
        self.assertIn(f"\nversion: {pa.__version__}\n", (ROOT / "CITATION.cff").read_text())
