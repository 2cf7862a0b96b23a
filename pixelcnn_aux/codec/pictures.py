"""Reading pictures, whose pixels are to come back as they are."""

import itertools
import pathlib

import numpy as np

from pixelcnn_aux.data import decoding

# Those whose pixels three channels of 8 bits hold, where all are opaque.
_MODES = ("1", "L", "P", "RGB", "LA", "RGBA")


def read(path):
    """The pixels of a PNG, JPEG, TIFF or WebP file, upright: uint8 [H, W, 3].

    Raises:
      OSError: for a file that cannot be read.
      ValueError: for one that is broken or another kind of file, or has what would be lost: transparency,
        more than 8 bits a channel, or more than one picture.
    """
    try:
        contents = decoding.contents(path)
        with decoding.opened(contents) as picture:
            _check(picture)
            decoding.turn_upright(picture)
            return np.asarray(picture.convert("RGB"))
    except ValueError as error:
        raise ValueError(
            f"Expected a whole {decoding.KINDS} file of one picture, of opaque pixels of 8 bits a channel. "
            f"Received: {path} ({error}). Convert it, or leave it out."
        ) from error


def _check(picture):
    """Raises ValueError for what would lose something."""
    if picture.mode not in _MODES:
        raise ValueError(f"pixels of the kind {picture.mode}, which would lose something")
    clear = "transparency" in picture.info
    # A color that is clear is not compared with those of the pixels, which Pillow may have scaled.
    if picture.mode in ("LA", "RGBA") or (clear and picture.mode == "P"):
        clear = picture.convert("RGBA").getextrema()[-1] != (255, 255)
    if clear:
        raise ValueError("pixels that are not opaque, which would lose something")
    if getattr(picture, "is_animated", False):  # JPEG files of stereo cameras and telephones
        raise ValueError("several pictures, of which all but the first would be lost")


def names(files):
    """What to call pictures as PNG files: as their files, with numbers where two are alike but for case."""
    found = {}  # by the names that a disk knows which ignores case
    for file in files:
        stem = pathlib.Path(file).stem
        choices = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
        numbered = (f"{stem}{end}.png" for end in choices)
        name = next(name for name in numbered if name.casefold() not in found)
        found[name.casefold()] = name
    return list(found.values())
