"""The part of the package's description that depends on another file: the rest is in pyproject.toml."""

import pathlib
import re

from setuptools import setup

README = pathlib.Path(__file__).with_name("README.md").read_text(encoding="utf-8")
# Without pictures, and links, of files that are not where an index shows it.
PICTURE = r"!\[[^\]]*\]\((?!https?:)[^)]*\)\n\n(?:\*[^*]*\*\n\n)?"  # and its caption
LINK = r"\[([^\]]*)\]\((?!https?:)[^)]*\)"

setup(
    long_description=re.sub(LINK, r"\1", re.sub(PICTURE, "", README)),
    long_description_content_type="text/markdown",
)
