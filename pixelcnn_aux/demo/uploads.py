"""What is handed to the page, which may be anything, is checked here, where it enters.

All functions raise ValueError, in a sentence for the page, for what they do not take.
"""

import math
import pathlib

import numpy as np

from pixelcnn_aux import arguments
from pixelcnn_aux.codec import container, pictures
from pixelcnn_aux.data import decoding
from pixelcnn_aux.data.resizing import resize

MAX_BYTES = 2**24  # of a file
MAX_PIXELS = 2**24  # of a picture file, decoded: telephones make 12 million
MAX_ASPECT = 16
KEPT_PIXELS = 2**18  # what is kept of a picture, as 512 x 512
_MAX_DECOMPRESSED = (
    2 * KEPT_PIXELS
)  # in a compressed file, whose tiles may be larger than its pictures


def picture(path):
    """The pixels of a picture file, upright: uint8 [H, W, 3], without transparency.

    One of more than `KEPT_PIXELS` is reduced. Raises OSError for a file that cannot be read.
    """
    try:
        contents = decoding.contents(path, MAX_BYTES)
        with decoding.opened(contents) as opened:
            _check_picture(opened)
            decoding.turn_upright(opened)
            pixels = decoding.rgb(opened)
    except ValueError as error:
        raise ValueError(
            f"Expected a whole {decoding.KINDS} file of one picture, of 8 bits a channel, of at most "
            f"{MAX_BYTES:,} bytes and {MAX_PIXELS:,} pixels. Received: {_name(path)} ({error}). Save it as "
            "such a file, or take another picture."
        ) from error
    return reduced(pixels, KEPT_PIXELS)


def chosen(picture):
    """The picture of a page, where there is one; it may be None."""
    if picture is None:
        raise ValueError(
            "Expected a picture. Received: none. Choose or drop a file, or take a photograph, at the top."
        )
    return picture


def reduced(pixels, most):
    """uint8 [H, W, 3] as it is, if it has at most so many pixels; if not, resized to about as many."""
    height, width, _ = pixels.shape
    scale = math.sqrt(most / (height * width))
    if scale >= 1:
        return pixels
    return resize(pixels, [max(1, math.floor(side * scale)) for side in (height, width)])


def compressed(path):
    """What is in a compressed file: its bytes, and `container.Contents`.

    Raises OSError for a file that cannot be read.
    """
    try:
        data = decoding.contents(path, MAX_BYTES)
    except ValueError as error:
        raise ValueError(
            f"Expected a compressed file of at most {MAX_BYTES:,} bytes. Received: {_name(path)} ({error}). "
            "Decompress it by pixelcnn-aux codec."
        ) from error
    contents = container.read(data)
    sizes = [(height, width) for _, height, width in contents.pictures]
    if contents.size is not None:
        sizes = [contents.size] * contents.count
    if not 0 < (pixels := sum(map(math.prod, sizes))) <= _MAX_DECOMPRESSED:
        raise ValueError(
            f"Expected a compressed file of some pixels, and of at most {_MAX_DECOMPRESSED:,}. Received: "
            f"{_name(path)}, of {pixels:,}. Decompress it by pixelcnn-aux codec."
        )
    return data, contents


def mask(text, size):
    """The mask of a completion, of what is painted: uint8 [1, H, W, 1], 0 there and 1 elsewhere.

    Args:
      text: str of H * W characters, row by row, 1 where something is painted and 0 elsewhere.
      size: (H, W).
    """
    if not isinstance(text, str) or len(text) != math.prod(size) or set(text) - {"0", "1"}:
        raise ValueError(
            f"Expected a region painted on the picture, 0 or 1 for each of {size[0]} x {size[1]} pixels. "
            f"Received: {arguments.short_repr(text)}. Reload the page, and paint it again."
        )
    painted = np.frombuffer(text.encode(), np.uint8) - ord("0")
    if not painted.any():
        raise ValueError(
            "Expected a region to draw. Received: none. Paint over the picture, with the mouse or a finger, "
            "or with arrow keys and space."
        )
    return 1 - painted.reshape(1, *size, 1)


def _check_picture(opened):
    """Raises ValueError for what is too large to decode here, or whose colors would be others."""
    width, height = opened.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels, {MAX_PIXELS:,} at most")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ValueError(
            f"{width} x {height} pixels, a side of at most {MAX_ASPECT} times the other"
        )
    if opened.mode not in pictures.MODES:
        raise ValueError(f"pixels of the kind {opened.mode}, whose colors would be others")


def _name(path):
    return f"{pathlib.Path(path).name!r:.80}"
