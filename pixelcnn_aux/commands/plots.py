"""Matplotlib figures, written atomically."""

import pathlib

from pixelcnn_aux.base import disk
from pixelcnn_aux.base.errors import needs

SUFFIXES = (".png", ".pdf", ".svg")


def check(flag, path):
    """Raises ValueError, as `disk.check_place`, if no figure can be written to the flag's path."""
    if path:
        disk.check_place(flag, path, SUFFIXES)
        figure()  # raises early without Matplotlib


def figure(**options):
    """Imports Matplotlib, and returns a new figure."""
    with needs("Matplotlib, which draws figures", "Run pip install matplotlib"):
        from matplotlib.figure import Figure
    return Figure(**options)


def write(path, figure, dpi=160, **options):
    """Writes a figure, as `disk.replacing`, in the format of the path's suffix."""
    path = pathlib.Path(path)
    with disk.replacing(path) as opened:
        figure.savefig(opened, format=path.suffix[1:], dpi=dpi, **options)
