"""Decodes image files: by Pillow, 16-bit colors by TensorFlow and `tiff`, DICOM files by pydicom.

Files are untrusted. Rejected ones raise ValueError with a reason, to which callers add the file's name.
"""

import contextlib
import io
import os
import re
import zlib

import numpy as np
from absl import logging
from PIL import Image, ImageOps
from PIL.ExifTags import Base as Tags

from pixelcnn_aux.base import arguments, disk
from pixelcnn_aux.base.errors import needs, require
from pixelcnn_aux.data import tiff

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
DICOM_SUFFIX = ".dcm"
MAX_PIXELS = arguments.MAX_PIXELS  # 200 MB decoded, per thread
_MAX_BYTES = 10 * MAX_PIXELS  # of a file: more than `MAX_PIXELS` uncompressed 64-bit pixels
# Pillow's modes for one channel, by bits. Some versions read 16-bit PNG files as "I".
_GRAY_MODES = {8: ("1", "L"), 16: ("I;16", "I;16L", "I;16B", "I")}
_DEEP_COLOR_MODES = ("RGB", "RGBA", "RGBX", "LA", *_GRAY_MODES[16])  # for 16-bit colors
_IMAGE_DEPTH = 32997  # a TIFF tag
_MAX_INFLATED = 4 * MAX_PIXELS  # bytes of a deflated DICOM file
_PNG_DEPTH = 24  # offset in a PNG file of its bits per channel, in the first chunk


def kinds(channels=3):
    """The kinds of files that images of so many channels are read from, for messages."""
    by_channels = {1: "PNG, JPEG, TIFF, WebP or DICOM", 3: "PNG, JPEG, TIFF or WebP"}
    return by_channels.get(channels, "TIFF")


def contents(path, most=_MAX_BYTES):
    """Reads a file's bytes. Raises OSError, and ValueError for a folder, a pipe, or over `most` bytes."""
    try:
        with disk.opened(path) as file, disk.explained(f"to read {path}"):
            size = os.stat(file.fileno()).st_size
            require(size <= most, f"{size:,} bytes, {most:,} at most")
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
    require(not is_dicom(contents), "a DICOM file, whose one channel this model does not take")
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
        with contextlib.suppress(ImportError):
            if is_tiff(contents):
                with tiff.opened(contents) as file:
                    if (page := file.pages[0]).samplesperpixel not in (1, 3, 4):
                        tiff.check(page, channels, bits)
        raise ValueError(f"damaged, or no {kinds(channels)} file") from error


def decode(contents, channels=3, num_values=256):
    """Decodes an image file's bytes, upright: [h, w, C], uint8 up to 256 values and uint16 above.

    C is `channels`; of 3, gray is repeated and alpha dropped. Grays are 0 for black; DICOM files give the
    stored values, from the least one if that is negative. Raises ValueError as `opened` and for values out of
    range, and ImportError for a missing package.
    """
    first, *others = images(contents, channels, num_values, pages=False)
    require(not others, "several pictures, one is expected")
    return first[0]


def images(contents, channels, num_values, look=lambda picture: {}, pages=True):
    """Decodes all pages of an image file: yields (pixels as from `decode`, look(the page as Pillow's image)).

    Pages have at most `MAX_PIXELS` pixels in all, since they may share their bytes.
    """
    bits, before = 8 if num_values <= 256 else 16, 0
    if channels == 1 and is_dicom(contents):
        yield stored_values(contents, num_values)[0], {}
    elif channels not in (1, 3):
        with tiff.opened(contents) as file:
            for page in file.pages:
                tiff.check(page, channels, bits)
                pixels = tiff.read(contents, page, 3 * MAX_PIXELS - before)
                before += pixels.size
                yield _checked(pixels, num_values), {}
    else:
        with opened(contents, channels, bits, pages=pages) as picture:
            for number in range(picture.n_frames if picture.format == "TIFF" else 1):
                if number:
                    picture.seek(number)
                    check(contents, picture, channels, bits, MAX_PIXELS, pages, before)
                seen = look(picture)
                pixels = upright(contents, picture, channels, num_values)
                before += pixels[..., 0].size
                yield pixels, seen


def is_dicom(contents):
    """Whether a file's bytes begin as those of a DICOM file."""
    return contents[128:132] == b"DICM"


def is_tiff(contents):
    """Whether a file's bytes begin as those of a TIFF file."""
    return contents[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def upright(contents, picture, channels, num_values):
    """`decode` of the present page of an `opened` Pillow image, which this turns in place."""
    if channels == 3 and num_values > 256:
        return _checked(_decode_deep_colors(contents, picture), num_values)
    turn_upright(picture)
    if channels == 3:
        return _checked(rgb(picture), num_values)
    gray = np.asarray(picture if num_values > 256 else picture.convert("L"))[..., np.newaxis]
    is_deep_tiff = num_values > 256 and picture.format == "TIFF"
    if is_deep_tiff and picture.tag_v2.get(Tags.PhotometricInterpretation, 0) == 0:
        gray = 2**16 - 1 - gray  # 0 is white, as Pillow knows of 8 bits alone
    return _checked(gray, num_values)


def _checked(pixels, num_values, shift=0):
    least, largest = pixels.min(), pixels.max()
    require(least >= 0, f"a value of {least:,}, 0 at least")
    above = f" above the least, {shift:,}" * bool(shift)
    require(largest < num_values, f"a value of {largest:,}{above}, {num_values - 1:,} at most")
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


def check(contents, picture, channels, bits, most, pages=False, before=0):
    """Raises ValueError for images that take too much memory, or that Pillow would convert with loss.

    `before` are the pixels of pages before this one.
    """
    sizes = [picture.size]
    if picture.format == "TIFF":  # tiles are decoded whole, however small the image
        tags = picture.tag_v2
        sizes.append([tags.get(tag, 0) for tag in (Tags.TileWidth, Tags.TileLength)])
        require(tags.get(_IMAGE_DEPTH, 1) == 1, "a volume in one page, several pages are expected")
        count = re.match(r"ImageJ=(?:.*\n)*?images=(\d+)", str(tags.get(Tags.ImageDescription)))
        whole = not count or int(count[1]) <= picture.n_frames
        require(whole, "more images than pages, which would be lost")
    after = f" after {before:,} of other pages" * (before > 0)
    for width, height in sizes:
        fits = before + width * height <= most
        require(fits, f"{width} x {height} pixels{after}, {most:,} at most")
    file_bits, mode = depth(contents, picture), picture.mode
    require(
        file_bits == 16 if bits == 16 else file_bits <= 8,
        f"{file_bits} bits a channel, {bits} are expected, as of a model of other --bits",
    )
    fits = channels == 3 or mode in _GRAY_MODES[bits]
    require(fits, f"{mode}, one channel of {bits} bits is expected")
    fits = channels == 1 or bits == 8 or mode in _DEEP_COLOR_MODES
    require(fits, f"{mode}, RGB of 16 bits is expected")
    if not (pages and picture.format == "TIFF"):
        check_kept(picture, bits)


def check_kept(picture, bits=8):
    """Raises ValueError for a Pillow image of more bits per channel, or one of several in a file."""
    is_deep = bits == 8 and picture.mode[0] in "IF"
    require(not is_deep, f"more than 8 bits a channel, {picture.mode}")
    # Some cameras write several images into a JPEG file (MPO); the first is the photograph.
    several = getattr(picture, "is_animated", False) and picture.format != "MPO"
    require(not several, "several pictures, one is expected: save it alone")


def turn_upright(picture):
    """Rotates a Pillow image in place by its EXIF or XMP orientation."""
    picture.load()
    # If another entry is damaged, this raises after the rotation.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(picture, in_place=True)


def depth(contents, picture):
    """Bits per channel in the file of a Pillow image: int."""
    if picture.format == "PNG":
        require(contents[12:16] == b"IHDR", "another chunk than the header comes first")
        return contents[_PNG_DEPTH]
    if picture.format == "TIFF":
        return max(picture.tag_v2.get(Tags.BitsPerSample, (1,)))
    return 8


def leave_gpus(tf):
    """Hides GPUs and their memory from the module `tf` if Keras has another backend."""
    if tf.keras.backend.backend() != "tensorflow":
        with contextlib.suppress(RuntimeError):  # too late if TensorFlow has used them already
            tf.config.set_visible_devices([], "GPU")


def _open(contents):
    return Image.open(io.BytesIO(contents), formats=("PNG", "JPEG", "TIFF", "WEBP"))


def _decode_deep_colors(contents, picture):
    """uint16 [h, w, 3], upright, of a file that Pillow opens but reduces to 8 bits."""
    if picture.format == "PNG":
        with needs("tensorflow, which reads colors of 16 bits", "Run pip install tensorflow"):
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
    with tiff.opened(contents) as file:
        pixels = tiff.read(contents, file.pages[number], 4 * MAX_PIXELS)
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] < 3 else pixels[..., :3]


def stored_values(contents, num_values):
    """The single-channel image of a DICOM file, without windowing: pixels [h, w, 1], and the least value.

    The latter, an int up to 0, is subtracted from the stored values.
    """
    with needs("pydicom, which reads DICOM files", "Run pip install pydicom"):
        import pydicom
    try:
        _check_inflated(contents, pydicom)
        file = pydicom.dcmread(io.BytesIO(contents))
        area, frames = file.Rows * file.Columns, int(file.get("NumberOfFrames", 1))
        found = f"of {file.Columns} x {file.Rows} pixels and {file.SamplesPerPixel} channels"
        fits = frames == file.SamplesPerPixel == 1 and area <= MAX_PIXELS
        require(fits, f"{frames} images {found}, one of {MAX_PIXELS:,} and 1 at most is expected")
        pixels = file.pixel_array  # may have further frames
        require(pixels.size == area, f"{pixels.size:,} values for one image {found}")
        require(pixels.dtype.kind in "iu", f"{pixels.dtype} values, whole numbers are expected")
    except MemoryError:  # not the file's fault
        raise
    except Exception as error:  # damaged bytes may raise any exception
        raise ValueError(f"a damaged DICOM file, or one of another kind: {error}") from error
    least = min(int(pixels.min()), 0)
    if least:
        pixels = np.subtract(pixels, least, dtype=np.int64)
    return _checked(pixels[..., np.newaxis], num_values, least), least


def _check_inflated(contents, pydicom):
    """Raises ValueError for a deflated DICOM file of more than `_MAX_INFLATED` bytes."""
    file = io.BytesIO(contents)
    file.seek(132)  # after the preamble
    meta = pydicom.filereader.read_dataset(file, False, True, stop_when=lambda x, *_: x >> 16 != 2)
    if meta.get("TransferSyntaxUID") == pydicom.uid.DeflatedExplicitVRLittleEndian:
        size, decompressor = 0, zlib.decompressobj(-zlib.MAX_WBITS)
        while part := file.read(2**16):
            size += len(decompressor.decompress(part))
            require(size <= _MAX_INFLATED, f"more than {_MAX_INFLATED:,} bytes, inflated")
