"""Figures of matplotlib, as files that are there whole or not at all."""

import pathlib

from pixelcnn_aux.base import disk
from pixelcnn_aux.base.errors import needs

SUFFIXES = (".png", ".pdf", ".svg")


def check(flag, path):
    """Raises ValueError, as `disk.check_place`, where a figure could not be written, if a flag names one."""
    if path:
        disk.check_place(flag, path, SUFFIXES)
        figure()  # which may need a package


def figure(**options):
    """A figure of matplotlib, which is imported for it."""
    with needs("Matplotlib, which draws figures", "Run pip install matplotlib"):
        from matplotlib.figure import Figure
    return Figure(**options)


def write(path, figure, dpi=160, **options):
    """Writes a figure, as `disk.replacing`, in the format that the path's suffix names."""
    path = pathlib.Path(path)
    with disk.replacing(path) as opened:
        figure.savefig(opened, format=path.suffix[1:], dpi=dpi, **options)
