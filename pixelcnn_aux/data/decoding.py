"""The pixels of image files, by Pillow."""

import contextlib
import io
import pathlib

import numpy as np
from absl import logging
from PIL import Image, ImageOps
from PIL.ExifTags import Base as Tags

from pixelcnn_aux import arguments
from pixelcnn_aux.data import deep_colors, dicom
from pixelcnn_aux.runs import disk

KINDS = "PNG, JPEG, TIFF or WebP"
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
MAX_PIXELS = arguments.MAX_PIXELS  # 200 MB decoded, one a thread
_MAX_BYTES = 10 * MAX_PIXELS  # of a file: `MAX_PIXELS` of 64 bits take less, uncompressed
# Modes of Pillow: "I" is of PNG files in some versions.
_GRAY = {8: ("1", "L"), 16: ("I;16", "I;16L", "I;16B", "I")}
_PNG_DEPTH = 24  # where a PNG file says how many bits a channel has, in its first chunk


def contents(path, most=_MAX_BYTES):
    """The bytes of a file, of at most so many.

    Raises OSError as `disk.explained`, and ValueError for a folder, a pipe, which may have no end, or a file
    that is too large for an image.
    """
    path = pathlib.Path(path)
    with disk.explained(f"to read {path}"):
        size = path.stat().st_size
        if not path.is_file():
            raise ValueError("no file")
        if size > most:
            raise ValueError(f"{size:,} bytes, {most:,} at most")
        return path.read_bytes()


@contextlib.contextmanager
def opened(contents, channels=3, bits=8):
    """An image file, bytes, as a Pillow image whose pixels can be decoded.

    Raises ValueError for a file of none of `KINDS`, with more than `MAX_PIXELS`, more than 8 bits a channel
    (of `bits` 16, other than 16), colors where one channel is expected or, but for JPEG files, more than one
    picture; or damaged, also where that shows as the image is decoded.
    """
    try:
        with _open(contents) as picture:
            _check(contents, picture, channels, bits)
            picture.verify()  # the checksums of a PNG file, which decoding ignores
        with _open(contents) as picture:  # `verify` has read it to the end
            yield picture
    except (ImportError, MemoryError, ValueError):  # of what is missing the file is not to blame
        raise
    except Image.DecompressionBombError as error:  # more than Pillow opens
        raise ValueError(
            f"far more pixels than {MAX_PIXELS:,}, the most that there may be"
        ) from error
    except Exception as error:  # damaged bytes raise whatever they happen to spell
        raise ValueError(f"damaged, or no {KINDS} file") from error


def decode(contents, channels=3, num_values=256):
    """The pixels of an image file, bytes, upright: [h, w, C].

    They are uint8 of up to 256 values, or uint16, of one channel or three. Raises ValueError as `opened`, and
    for other values. One channel may also come from a DICOM file (`dicom.decode`), and colors of uint16 take
    other packages than Pillow (`deep_colors.decode`).
    """
    if channels == 1 and dicom.is_dicom(contents):
        pixels = dicom.decode(contents, MAX_PIXELS)[..., np.newaxis]
    else:
        pixels = _decoded(contents, channels, num_values)
    if pixels.max() >= num_values:
        raise ValueError(f"a value of {pixels.max():,}, {num_values - 1:,} at most")
    return pixels.astype(arguments.pixel_dtype(num_values), copy=False)


def _decoded(contents, channels, num_values):
    """The pixels of a file that Pillow opens."""
    bits = 8 if num_values <= 256 else 16
    with opened(contents, channels, bits) as picture:
        if channels == 3 and bits == 16:
            return deep_colors.decode(contents, picture)
        turn_upright(picture)
        if channels == 3:
            return rgb(picture)
        return np.asarray(picture if num_values > 256 else picture.convert("L"))[..., np.newaxis]


def rgb(picture):
    """The pixels of a Pillow image of 8 bits a channel, uint8 [h, w, 3]: gray thrice, and no alpha."""
    picture.info.pop("transparency", None)
    return np.asarray(picture.convert("RGB"))


def is_gray(pixels):
    """Whether the channels of uint8 [h, w, 3] are the same."""
    return bool((pixels == pixels[..., :1]).all())


def tell_gray(count, total, where):
    """Logs how many of the images of a place are gray, if any."""
    if count:
        message = "%d of %d images of %s are gray: their three channels are the same"
        logging.warning(message, count, total, where)


def check_kept(picture):
    """Raises ValueError for a Pillow image of more than 8 bits a channel, or one of several in a file."""
    if picture.mode[0] in "IF":
        raise ValueError(f"more than 8 bits a channel, {picture.mode}")
    _check_single(picture)


def _check_single(picture):
    """Raises ValueError for a Pillow image that is one of several in a file.

    Some cameras write JPEG files of several, the first of which is the photograph: this is taken.
    """
    if getattr(picture, "is_animated", False) and picture.format != "MPO":
        raise ValueError("several pictures, one is expected: save it alone")


def turn_upright(picture):
    """Turns a Pillow image, in place, as the EXIF or XMP orientation of its file says.

    Raises what Pillow does for pixels that it cannot decode.
    """
    picture.load()
    # Where another entry is damaged, this raises once the image is turned.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(picture, in_place=True)


def _check(contents, picture, channels, bits):
    """Raises ValueError for what takes too much memory, or of which Pillow would drop something."""
    for width, height in (picture.size, _tile(picture)):
        if width * height > MAX_PIXELS:
            raise ValueError(f"{width} x {height} pixels, {MAX_PIXELS:,} at most")
    found = depth(contents, picture)
    if found > bits or (bits == 16 and found < 16):
        raise ValueError(
            f"{found} bits a channel, {bits} are expected: convert it, as by magick FILE -depth {bits} "
            "NEW.png"
        )
    if channels == 1 and picture.mode not in _GRAY[bits]:
        raise ValueError(f"{picture.mode}, one channel of {bits} bits is expected")
    if channels == 3 and bits == 16 and picture.mode not in deep_colors.MODES:
        raise ValueError(f"{picture.mode}, RGB of 16 bits is expected")
    (check_kept if bits == 8 else _check_single)(picture)


def _tile(picture):
    """(W, H) of the tiles in a TIFF file, which are decoded whole, however small the image is."""
    if picture.format != "TIFF":
        return 0, 0
    return [picture.tag_v2.get(tag, 0) for tag in (Tags.TileWidth, Tags.TileLength)]


def depth(contents, picture):
    """int, how many bits a channel has in the file of a Pillow image."""
    if picture.format == "PNG":
        if contents[12:16] != b"IHDR":
            raise ValueError("another chunk than the header comes first")
        return contents[_PNG_DEPTH]
    if picture.format == "TIFF":
        return max(picture.tag_v2.get(Tags.BitsPerSample, (1,)))
    return 8


def _open(contents):
    return Image.open(io.BytesIO(contents), formats=("PNG", "JPEG", "TIFF", "WEBP"))
