"""The parts of the package's description that depend on other files: the rest is in pyproject.toml."""

import pathlib
import re

from setuptools import setup
from setuptools.command import build_py

ROOT = pathlib.Path(__file__).parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
# Without pictures, and links, of files that are not where an index shows it.
PICTURE = r"!\[[^\]]*\]\((?!https?:)[^)]*\)\n\n(?:\*[^*]*\*\n\n)?"  # and its caption
LINK = r"\[([^\]]*)\]\((?!https?:)[^)]*\)"


class BuildWithPages(build_py.build_py):
    """Copies the pages of docs/ into the package, for `pixelcnn-aux docs`."""

    def run(self):
        super().run()
        folder = pathlib.Path(self.build_lib, "pixelcnn_aux", "docs")
        for page in () if self.editable_mode else (ROOT / "docs").glob("*.md"):
            self.mkpath(str(folder))
            self.copy_file(str(page), str(folder / page.name))


setup(
    cmdclass={"build_py": BuildWithPages},
    long_description=re.sub(LINK, r"\1", re.sub(PICTURE, "", README)),
    long_description_content_type="text/markdown",
)
