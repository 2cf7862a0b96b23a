"""The pixels of PNG and JPEG files, by Pillow."""

import contextlib
import io
import pathlib

import numpy as np
from PIL import Image, ImageOps

from pixelcnn_aux.runs import disk

MAX_PIXELS = 2**26  # 200 MB decoded, one a thread: a small file can claim far more than that
_MAX_BYTES = 10 * MAX_PIXELS  # of a file: `MAX_PIXELS` of 64 bits take less, uncompressed


def contents(path):
    """The bytes of a file.

    Raises OSError as `disk.explained`, and ValueError for a folder, a pipe, which may have no end, or a file
    that is too large for an image.
    """
    path = pathlib.Path(path)
    with disk.explained(f"to read {path}"):
        size = path.stat().st_size
        if not path.is_file():
            raise ValueError("no file")
        if size > _MAX_BYTES:
            raise ValueError(f"{size:,} bytes, {_MAX_BYTES:,} at most")
        return path.read_bytes()


@contextlib.contextmanager
def opened(contents):
    """A PNG or JPEG file, bytes, as a Pillow image whose pixels can be decoded.

    Raises ValueError for a file of another kind, with more than `MAX_PIXELS`, or damaged, also where that
    shows as the image is decoded.
    """
    try:
        with _open(contents) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(
                    f"{picture.width} x {picture.height} pixels, {MAX_PIXELS:,} at most"
                )
            picture.verify()  # the checksums of a PNG file, which decoding ignores
        with _open(contents) as picture:  # `verify` has read it to the end
            yield picture
    except (MemoryError, ValueError):  # of a lack of memory the file is not to blame
        raise
    except Exception as error:  # damaged bytes raise whatever they happen to spell
        raise ValueError(str(error)) from error


def decode(contents):
    """The pixels of a PNG or JPEG file, bytes, of any kind: uint8 [h, w, 3], upright.

    Alpha is dropped, and of 16 bits the upper 8 are taken. Raises ValueError as `opened`.
    """
    with opened(contents) as picture:
        turn_upright(picture)
        if picture.mode.startswith("I"):  # gray of 16 bits, which Pillow would clip to 255
            gray = (np.asarray(picture) >> 8).astype(np.uint8)
            return np.repeat(gray[..., np.newaxis], 3, axis=-1)
        picture.info.pop("transparency", None)
        return np.asarray(picture.convert("RGB"))


def turn_upright(picture):
    """Turns a Pillow image, in place, as the EXIF or XMP orientation of its file says.

    Raises what Pillow does for pixels that it cannot decode.
    """
    picture.load()
    # Where another entry is damaged, this raises once the image is turned.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(picture, in_place=True)


def _open(contents):
    return Image.open(io.BytesIO(contents), formats=("PNG", "JPEG"))
