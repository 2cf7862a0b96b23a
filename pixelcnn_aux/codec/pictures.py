"""Reads picture files without loss, and writes them as PNG files."""

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

# Pillow modes whose pixels fit three channels of 8 bits, and alpha.
MODES = ("1", "L", "P", "RGB", "LA", "RGBA")
_MAX_METADATA = 2**24  # bytes of a color profile or of EXIF
_REMEDY = "Get the file again"


class Picture(NamedTuple):
    """A picture and its extras, as a codec stores them."""

    pixels: np.ndarray  # uint8 [H, W, C], upright
    # kind -> bytes: "alpha", a PNG file, if some pixel is not opaque; "icc" and "exif", deflated, on request.
    extras: dict


def read(path, channels=3, metadata=False):
    """Reads the `Picture` of an image file, with 3 channels or 1, and `metadata` (color profile and EXIF).

    Raises OSError for a file that cannot be read, and ValueError for one that would lose information.
    """
    gray = "of one channel, " * (channels == 1)
    expected = f"a whole {decoding.KINDS} file of one picture, {gray}of 8 bits a channel"
    with restated(expected, f"{path}", "Convert or omit it"):
        contents = decoding.contents(path)
        with decoding.opened(contents, channels) as picture:
            if picture.mode not in MODES:
                raise ValueError(f"pixels of the mode {picture.mode}, which would lose information")
            # Also JPEG files from stereo cameras and phones.
            if getattr(picture, "is_animated", False):
                raise ValueError("several pictures, all but the first of which would be lost")
            decoding.turn_upright(picture)
            extras = _alpha(picture, contents)
            if metadata:
                extras |= _metadata(picture)
            return Picture(decoding.rgb(picture)[..., :channels], extras)


def write(file, picture):
    """Writes a `Picture` to a binary file as PNG, in grays if its channels and color profile allow it."""
    pixels, extras = picture
    keywords = {"icc": "icc_profile", "exif": "exif"}
    options = {keywords[x]: _inflated(x, extras[x]) for x in keywords if x in extras}
    color_space = options.get("icc_profile", b"")[16:20]
    gray = pixels.shape[2] == 1 or (decoding.is_gray(pixels) and color_space in (b"", b"GRAY"))
    image = Image.fromarray(pixels[..., 0] if gray else pixels)
    if "alpha" in extras:
        image.putalpha(Image.fromarray(_opened_alpha(extras["alpha"], pixels.shape[:2])))
    image.save(file, "PNG", **options)


def names(files):
    """PNG file names for picture files, numbered where names are equal up to case."""
    unique = {}  # keyed by case-folded name, as on case-insensitive disks
    for file in files:
        stem = pathlib.Path(file).stem
        endings = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
        candidates = (f"{stem}{ending}.png" for ending in endings)
        name = next(name for name in candidates if name.casefold() not in unique)
        unique[name.casefold()] = name
    return list(unique.values())


def _alpha(picture, contents):
    """{"alpha": a PNG file} of a Pillow image; {} if it is opaque."""
    if picture.mode not in ("LA", "RGBA") and "transparency" not in picture.info:
        return {}
    # Pillow scales grays of fewer bits to 8, but not the transparent gray level.
    if picture.mode in ("1", "L") and decoding.depth(contents, picture) < 8:
        raise ValueError("a transparent gray level of fewer than 8 bits, which would be lost")
    alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    if alpha.min() == 255:
        return {}
    Image.fromarray(alpha).save(file := io.BytesIO(), "PNG", optimize=True)
    return {"alpha": file.getvalue()}


def _metadata(picture):
    """Deflated "icc" and "exif" of an upright Pillow image, if present: dict, kind -> bytes."""
    exif = picture.getexif()
    exif.pop(Tags.Orientation, None)  # already applied
    blocks = {"icc": picture.info.get("icc_profile"), "exif": exif.tobytes() if exif else None}
    for kind, data in blocks.items():
        if data and len(data) > _MAX_METADATA:
            raise ValueError(f"{len(data):,} bytes of {kind}, {_MAX_METADATA:,} at most")
    return {kind: zlib.compress(data, 9) for kind, data in blocks.items() if data}


def _inflated(kind, data):
    decompressor = zlib.decompressobj()
    try:
        inflated = decompressor.decompress(data, _MAX_METADATA)
    except zlib.error:
        inflated = b""
    expected = f"{kind} of a picture, deflated, of at most {_MAX_METADATA:,} bytes"
    expect(inflated and decompressor.eof, expected, "invalid data", _REMEDY)
    return inflated


def _opened_alpha(data, size):
    """Reads a picture's alpha from a PNG file: uint8 [H, W]. Raises ValueError for other files."""
    with restated(f"alpha of {size}, 8 bits, as a PNG file", "another file", _REMEDY):
        with decoding.opened(data, channels=1) as picture:
            alpha = np.asarray(picture)
        if (alpha.shape, picture.mode) != (size, "L"):
            raise ValueError(f"{picture.mode} of {alpha.shape}")
    return alpha
