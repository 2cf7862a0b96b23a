"""Reading pictures, whose pixels are to come back as they are."""

import itertools
import pathlib

import numpy as np
from PIL import Image, ImageOps

from pixelcnn_aux.data.files import MAX_PIXELS

# Those whose pixels three channels of 8 bits hold.
_MODES = ("1", "L", "P", "RGB")


def read(path):
    """The pixels of a PNG or JPEG file, upright: uint8 [H, W, 3].

    Raises:
      OSError: for a file that cannot be read.
      ValueError: for one that is broken or another kind of file, or has what would be lost: transparency, or
        more than 8 bits a channel.
    """
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(
                    f"{picture.width} x {picture.height} pixels, {MAX_PIXELS:,} at most"
                )
            if picture.mode not in _MODES or "transparency" in picture.info:
                raise ValueError(f"pixels of the kind {picture.mode}, which would lose something")
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"Expected a whole PNG or JPEG file of opaque pixels of 8 bits a channel. Received: {path} "
            f"({error}). Convert it, or leave it out."
        ) from error


def names(files):
    """What to call pictures as PNG files: as their files, with numbers where two are alike."""
    found = []
    for file in files:
        stem = pathlib.Path(file).stem
        choices = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
        found.append(next(x for x in (f"{stem}{end}.png" for end in choices) if x not in found))
    return found
