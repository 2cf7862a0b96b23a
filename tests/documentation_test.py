"""The Python in the documentation runs, and its links, programs, files and version exist."""

import contextlib
import importlib.util
import re
import runpy
from unittest import mock

import pixelcnn_aux as pa
from pixelcnn_aux.__main__ import COMMANDS
from pixelcnn_aux.runs.folder import RunFolder
from tests import helpers

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
        script = (ROOT / ".ci" / "run").read_text().splitlines()
        for command in commands.splitlines():
            self.assertIn(command.partition("  #")[0], script)

    def test_the_version_is_cited(self):
        self.assertIn(f"\nversion: {pa.__version__}\n", (ROOT / "CITATION.cff").read_text())
