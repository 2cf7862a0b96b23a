"""Decodes image files: by Pillow, 16-bit colors by TensorFlow and tifffile, DICOM files by pydicom.

Files are untrusted. Rejected ones raise ValueError with a reason, to which callers add the file's name.
"""

import contextlib
import io
import math
import os

import numpy as np
from absl import logging
from PIL import Image, ImageOps
from PIL.ExifTags import Base as Tags

from pixelcnn_aux.base import arguments, disk
from pixelcnn_aux.base.errors import needs

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
DICOM_SUFFIX = ".dcm"
MAX_PIXELS = arguments.MAX_PIXELS  # 200 MB decoded, per thread
_MAX_BYTES = 10 * MAX_PIXELS  # of a file: more than `MAX_PIXELS` uncompressed 64-bit pixels
# Pillow's modes for one channel, by bits. Some versions read 16-bit PNG files as "I".
_GRAY_MODES = {8: ("1", "L"), 16: ("I;16", "I;16L", "I;16B", "I")}
_DEEP_COLOR_MODES = ("RGB", "RGBA", "RGBX", "LA", *_GRAY_MODES[16])  # for 16-bit colors
_PNG_DEPTH = 24  # offset in a PNG file of its bits per channel, in the first chunk


def kinds(channels=3):
    """The kinds of files that images of so many channels are read from, for messages."""
    return "PNG, JPEG, TIFF, WebP or DICOM" if channels == 1 else "PNG, JPEG, TIFF or WebP"


def contents(path, most=_MAX_BYTES):
    """Reads a file's bytes. Raises OSError, and ValueError for a folder, a pipe, or over `most` bytes."""
    try:
        with disk.opened(path) as file, disk.explained(f"to read {path}"):
            size = os.stat(file.fileno()).st_size
            _require(size <= most, f"{size:,} bytes, {most:,} at most")
            return file.read(size)
    except disk.NoFileError as error:
        raise ValueError("no file") from error


@contextlib.contextmanager
def opened(contents, channels=3, bits=8, most=MAX_PIXELS, pages=False):
    """Context that opens an image file's bytes as a Pillow image, to be decoded within.

    Raises ValueError for a file that is not one of `kinds()`, does not fit (`check`), has more than `most`
    pixels, or is damaged, also where decoding within the context detects it. With `pages`, a file may have
    several pictures.
    """
    try:
        with _open(contents) as picture:
            check(contents, picture, channels, bits, most, pages)
            picture.verify()  # PNG checksums, which decoding ignores
        with _open(contents) as picture:  # again, since `verify` reads to the end
            yield picture
    except (ImportError, MemoryError, ValueError):  # ImportError, MemoryError: not the file's fault
        raise
    except Image.DecompressionBombError as error:  # beyond Pillow's own limit
        raise ValueError(f"far more pixels than the limit of {most:,}") from error
    except Exception as error:  # damaged bytes may raise any exception
        raise ValueError(f"damaged, or no {kinds()} file") from error


def decode(contents, channels=3, num_values=256):
    """Decodes an image file's bytes, upright: [h, w, C], uint8 up to 256 values and uint16 above.

    C is 3, with gray repeated and alpha dropped, or 1. DICOM files give the stored values as they are. Raises
    ValueError as `opened` and for values out of range, and ImportError for a missing package.
    """
    if channels == 1 and is_dicom(contents):
        return _checked(_decode_dicom(contents)[..., np.newaxis], num_values)
    with opened(contents, channels, 8 if num_values <= 256 else 16) as picture:
        return upright(contents, picture, channels, num_values)


def is_dicom(contents):
    """Whether a file's bytes begin as those of a DICOM file."""
    return contents[128:132] == b"DICM"


def upright(contents, picture, channels, num_values):
    """`decode` of the present page of an `opened` Pillow image, which this turns in place."""
    if channels == 3 and num_values > 256:
        return _checked(_decode_deep_colors(contents, picture), num_values)
    turn_upright(picture)
    if channels == 3:
        return _checked(rgb(picture), num_values)
    gray = picture if num_values > 256 else picture.convert("L")
    return _checked(np.asarray(gray)[..., np.newaxis], num_values)


def _checked(pixels, num_values):
    least, largest = pixels.min(), pixels.max()
    _require(least >= 0, f"a value of {least:,}, 0 at least")
    _require(largest < num_values, f"a value of {largest:,}, {num_values - 1:,} at most")
    return pixels.astype(arguments.pixel_dtype(num_values), copy=False)


def rgb(picture):
    """Pixels of an 8-bit Pillow image, uint8 [h, w, 3]: gray repeated, alpha dropped."""
    picture.info.pop("transparency", None)
    return np.asarray(picture.convert("RGB"))


def is_gray(pixels):
    """Whether the channels of pixels [h, w, C] are equal."""
    return bool((pixels == pixels[..., :1]).all())


def log_gray(count, total, where):
    """Logs how many images of a source are gray, if any."""
    if count:
        message = "%d of %d images of %s are gray: their three channels are the same"
        logging.warning(message, count, total, where)


def check(contents, picture, channels, bits, most, pages=False):
    """Raises ValueError for images that take too much memory, or that Pillow would convert with loss."""
    sizes = [picture.size]
    if picture.format == "TIFF":  # tiles are decoded whole, however small the image
        sizes.append([picture.tag_v2.get(tag, 0) for tag in (Tags.TileWidth, Tags.TileLength)])
    for width, height in sizes:
        _require(width * height <= most, f"{width} x {height} pixels, {most:,} at most")
    file_bits, mode = depth(contents, picture), picture.mode
    _require(
        file_bits == 16 if bits == 16 else file_bits <= 8,
        f"{file_bits} bits a channel, {bits} are expected: convert it, as by magick FILE -depth {bits} "
        "NEW.png",
    )
    fits = channels == 3 or mode in _GRAY_MODES[bits]
    _require(fits, f"{mode}, one channel of {bits} bits is expected")
    fits = channels == 1 or bits == 8 or mode in _DEEP_COLOR_MODES
    _require(fits, f"{mode}, RGB of 16 bits is expected")
    if not (pages and picture.format == "TIFF"):
        check_kept(picture, bits)


def check_kept(picture, bits=8):
    """Raises ValueError for a Pillow image of more bits per channel, or one of several in a file."""
    is_deep = bits == 8 and picture.mode[0] in "IF"
    _require(not is_deep, f"more than 8 bits a channel, {picture.mode}")
    # Some cameras write several images into a JPEG file (MPO); the first is the photograph.
    several = getattr(picture, "is_animated", False) and picture.format != "MPO"
    _require(not several, "several pictures, one is expected: save it alone")


def turn_upright(picture):
    """Rotates a Pillow image in place by its EXIF or XMP orientation."""
    picture.load()
    # If another entry is damaged, this raises after the rotation.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(picture, in_place=True)


def depth(contents, picture):
    """Bits per channel in the file of a Pillow image: int."""
    if picture.format == "PNG":
        _require(contents[12:16] == b"IHDR", "another chunk than the header comes first")
        return contents[_PNG_DEPTH]
    if picture.format == "TIFF":
        return max(picture.tag_v2.get(Tags.BitsPerSample, (1,)))
    return 8


def leave_gpus(tf):
    """Hides GPUs and their memory from the module `tf` if Keras has another backend."""
    if tf.keras.backend.backend() != "tensorflow":
        with contextlib.suppress(RuntimeError):  # too late if TensorFlow has used them already
            tf.config.set_visible_devices([], "GPU")


def _require(fits, reason):
    if not fits:
        raise ValueError(reason)


def _open(contents):
    return Image.open(io.BytesIO(contents), formats=("PNG", "JPEG", "TIFF", "WEBP"))


def _decode_deep_colors(contents, picture):
    """uint16 [h, w, 3], upright, of a file that Pillow opens but reduces to 8 bits."""
    package = "tensorflow" if picture.format == "PNG" else "tifffile"
    with needs(f"{package}, which reads colors of 16 bits", f"Run pip install {package}"):
        if picture.format == "PNG":
            import tensorflow as tf  # takes seconds, and few files need it

            leave_gpus(tf)
            pixels = tf.io.decode_png(contents, 3, tf.uint16).numpy()
        else:
            pixels = _decode_deep_tiff(contents, picture.tell())
    orientation = picture.getexif().get(Tags.Orientation)
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::rows, ::columns])


def _decode_deep_tiff(contents, number):
    import tifffile

    with tifffile.TiffFile(io.BytesIO(contents)) as file:
        page = file.pages[number]
        # tifffile leaves missing parts black.
        whole = len(page.dataoffsets) == math.prod(page.chunked)
        _require(whole, "parts of the picture are missing")
        try:
            pixels = page.asarray()
        except KeyError as error:  # a compression that needs another package
            raise ValueError(error.args[0]) from error
    if page.axes == "SYX":
        pixels = np.moveaxis(pixels, 0, -1)
    return pixels[..., :3] if pixels.ndim == 3 else np.repeat(pixels[..., np.newaxis], 3, axis=-1)


def _decode_dicom(contents):
    """Stored values of a DICOM file with one single-channel image, without windowing: int [h, w]."""
    with needs("pydicom, which reads DICOM files", "Run pip install pydicom"):
        import pydicom
    try:
        file = pydicom.dcmread(io.BytesIO(contents))
        height, width, frames = file.Rows, file.Columns, int(file.get("NumberOfFrames", 1))
        fits = frames == file.SamplesPerPixel == 1 and height * width <= MAX_PIXELS
        pixels = file.pixel_array if fits else None
    except MemoryError:  # not the file's fault
        raise
    except Exception as error:  # damaged bytes may raise any exception
        raise ValueError(
            "a damaged DICOM file, or a compression that pydicom cannot read"
        ) from error
    _require(
        fits,
        f"{frames} images of {width} x {height} pixels and {file.SamplesPerPixel} channels, one of one "
        f"channel and {MAX_PIXELS:,} pixels at most is expected",
    )
    least = pixels.min()
    fits = least >= 0 and pixels.dtype.kind in "iu"
    _require(fits, f"{pixels.dtype} values from {least}, whole numbers from 0 are expected")
    return pixels
