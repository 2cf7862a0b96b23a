"""Picture files that a codec gives back pixel by pixel: reading them, and writing them as PNG files."""

import io
import itertools
import pathlib
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL.ExifTags import Base as Tags

from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.data import decoding

# Modes of Pillow whose pixels fit three channels of 8 bits, and alpha.
MODES = ("1", "L", "P", "RGB", "LA", "RGBA")
_MOST_METADATA = 2**24  # bytes, of a color profile or of EXIF
_REMEDY = "Take the file from where it came from again"


class Picture(NamedTuple):
    """A picture as a codec keeps it."""

    pixels: np.ndarray  # uint8 [H, W, C], upright
    # kind -> bytes: "alpha", a PNG file, where pixels are not all opaque; "icc" and "exif", deflated, where
    # they are asked for.
    extras: dict


def read(path, channels=3, metadata=False):
    """The `Picture` of an image file of 3 channels, or 1, with its color profile and EXIF if `metadata`.

    Raises OSError for a file that cannot be read, and ValueError for one that would lose something.
    """
    one = "of one channel, " * (channels == 1)
    expected = f"a whole {decoding.KINDS} file of one picture, {one}of 8 bits a channel"
    with restated(expected, f"{path}", "Convert it, or leave it out"):
        contents = decoding.contents(path)
        with decoding.opened(contents, channels) as picture:
            if picture.mode not in MODES:
                raise ValueError(f"pixels of the kind {picture.mode}, which would lose something")
            # Also of JPEG files, which stereo cameras and telephones write.
            if getattr(picture, "is_animated", False):
                raise ValueError("several pictures, of which all but the first would be lost")
            decoding.turn_upright(picture)
            extras = _alpha(picture, contents)
            if metadata:
                extras |= _metadata(picture)
            return Picture(decoding.rgb(picture)[..., :channels], extras)


def write(file, picture):
    """Writes a `Picture` to a binary file as PNG: gray where its channels agree and its profile lets it."""
    pixels, extras = picture
    keywords = {"icc": "icc_profile", "exif": "exif"}
    options = {keywords[x]: _inflated(x, extras[x]) for x in keywords if x in extras}
    color_space = options.get("icc_profile", b"")[16:20]
    gray = pixels.shape[2] == 1 or (decoding.is_gray(pixels) and color_space in (b"", b"GRAY"))
    made = Image.fromarray(pixels[..., 0] if gray else pixels)
    if "alpha" in extras:
        made.putalpha(Image.fromarray(_opened_alpha(extras["alpha"], pixels.shape[:2])))
    made.save(file, "PNG", **options)


def names(files):
    """Names of PNG files for pictures: those of their files, numbered where two differ at most in case."""
    found = {}  # by the names that a disk knows which ignores case
    for file in files:
        stem = pathlib.Path(file).stem
        choices = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
        numbered = (f"{stem}{end}.png" for end in choices)
        name = next(name for name in numbered if name.casefold() not in found)
        found[name.casefold()] = name
    return list(found.values())


def _alpha(picture, contents):
    """dict, "alpha" -> a PNG file, of a Pillow image that is not opaque all over."""
    if picture.mode not in ("LA", "RGBA") and "transparency" not in picture.info:
        return {}
    # Pillow scales grays of fewer bits, but not the one that is clear.
    if picture.mode in ("1", "L") and decoding.depth(contents, picture) < 8:
        raise ValueError("a clear gray of fewer than 8 bits, which would be lost")
    alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    if alpha.min() == 255:
        return {}
    Image.fromarray(alpha).save(file := io.BytesIO(), "PNG", optimize=True)
    return {"alpha": file.getvalue()}


def _metadata(picture):
    """dict, "icc" and "exif" -> bytes, deflated, of a Pillow image that has been turned upright."""
    exif = picture.getexif()
    exif.pop(Tags.Orientation, None)  # it is done
    found = {"icc": picture.info.get("icc_profile"), "exif": exif.tobytes() if exif else None}
    for kind, data in found.items():
        if data and len(data) > _MOST_METADATA:
            raise ValueError(f"{len(data):,} bytes of {kind}, {_MOST_METADATA:,} at most")
    return {kind: zlib.compress(data, 9) for kind, data in found.items() if data}


def _inflated(kind, data):
    inflating = zlib.decompressobj()
    try:
        found = inflating.decompress(data, _MOST_METADATA)
    except zlib.error:
        found = b""
    expected = f"{kind} of a picture, deflated, of at most {_MOST_METADATA:,} bytes"
    expect(found and inflating.eof, expected, "others", _REMEDY)
    return found


def _opened_alpha(data, size):
    """uint8 [H, W] of the PNG file of a picture's alpha. Raises ValueError for another one."""
    with restated(f"alpha of {size}, 8 bits, as a PNG file", "another file", _REMEDY):
        with decoding.opened(data, channels=1) as picture:
            found = np.asarray(picture)
        if (found.shape, picture.mode) != (size, "L"):
            raise ValueError(f"{picture.mode} of {found.shape}")
    return found
