"""Reading pictures, whose pixels are to come back as they are."""

import itertools
import pathlib

import numpy as np
from PIL import Image

from pixelcnn_aux.data import exif
from pixelcnn_aux.data.files import MAX_PIXELS, PNG
from pixelcnn_aux.runs import disk

# Those whose pixels three channels of 8 bits hold, where all are opaque.
_MODES = ("1", "L", "P", "RGB", "LA", "RGBA")
_DEPTH = 25  # where a PNG file has said how many bits a channel has, in its first chunk


def read(path):
    """The pixels of a PNG or JPEG file, upright: uint8 [H, W, 3].

    Raises:
      OSError: for a file that cannot be read.
      ValueError: for one that is broken or another kind of file, or has what would be lost: transparency,
        more than 8 bits a channel, or more than one picture.
    """
    with disk.explained(f"to read {path}"), open(path, "rb") as file:
        try:
            return _read(file)
        except Exception as error:  # Damaged bytes raise whatever they happen to spell.
            if getattr(error, "errno", None) is not None:
                raise  # the system's
            raise ValueError(
                f"Expected a whole PNG or JPEG file of one picture, of opaque pixels of 8 bits a channel. "
                f"Received: {path} ({error}). Convert it, or leave it out."
            ) from error


def _read(file):
    start = file.read(_DEPTH)
    is_png, depth = start.startswith(PNG), start[_DEPTH - 1 :]
    file.seek(0)
    with Image.open(file, formats=("PNG", "JPEG")) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise ValueError(f"{picture.width} x {picture.height} pixels, {MAX_PIXELS:,} at most")
        if is_png and start[12:16] != b"IHDR":
            raise ValueError("another chunk than the header comes first")
        if is_png and depth > b"\x08":
            raise ValueError(f"{depth[0]} bits a channel")  # of RGB, Pillow leaves out the lower 8
        if picture.mode not in _MODES:
            raise ValueError(f"pixels of the kind {picture.mode}, which would lose something")
        clear = "transparency" in picture.info
        # A color that is clear is not compared with those of the pixels, which Pillow may have scaled.
        if picture.mode in ("LA", "RGBA") or (clear and picture.mode == "P"):
            clear = picture.convert("RGBA").getextrema()[-1] != (255, 255)
        if clear:
            raise ValueError("pixels that are not opaque, which would lose something")
        if getattr(picture, "n_frames", 1) > 1:  # PNG files that move, JPEG files of stereo cameras
            raise ValueError(f"{picture.n_frames} pictures")
        return exif.upright(np.asarray(picture.convert("RGB")), _orientation(picture))


def _orientation(picture):
    try:
        # Also of what ImageMagick writes, and of XMP.
        found = picture.getexif().get(exif.ORIENTATION)
    except Exception:  # of a damaged entry, whichever it is
        found = exif.of_segment(picture.info.get("exif", b""))
    return found if found in range(1, 9) else 1


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
