"""Prints pages of the documentation, for example

    pixelcnn-aux docs codec | less

Without names it lists all pages.
"""

import pathlib

from pixelcnn_aux.base.errors import expect

ARGUMENTS = ["PAGE..."]


def main(*names):
    package = pathlib.Path(__file__).parents[1]
    folders = package / "docs", package.parent / "docs"  # of a wheel (setup.py), and of a checkout
    folder = next(x for x in folders if x.is_dir())
    pages = {file.stem: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.md"))}
    for name in names:
        expect(name in pages, f"a page of {', '.join(pages)}", name, "Choose one of them")
    print("\n".join(map(pages.get, names) if names else pages))


def define_flags():
    """There are none."""
