"""Checks everything sent to the page.

All functions raise ValueError for invalid input, with a message for the page.
"""

import math
import os
import pathlib
from typing import Any, NamedTuple

import numpy as np

from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.base.resizing import resize
from pixelcnn_aux.codec import container, picture_files
from pixelcnn_aux.data import decoding, photos

MAX_BYTES = 2**24  # per file
MAX_FILES = 4  # per request: a painted picture comes with its layer and their composite
MAX_PIXELS = 2**24  # of a decoded picture file; phones take 12 million
MAX_ASPECT = 16
KEPT_PIXELS = 2**18  # of a picture, such as 512 x 512
_MAX_DECOMPRESSED = 2 * KEPT_PIXELS  # tiles of a file may exceed its pictures
_UPLOADED = (  # reveals nothing about other files
    "a file that was uploaded to this page",
    "another one, or one that is gone",
    "Choose or drop it again",
)
_PAINTED = 512  # approximate side of a picture to paint on, in pixels


class Picture(NamedTuple):
    """A picture of the page; `format`, such as "JPEG", and `num_bytes` describe an uploaded file."""

    pixels: Any  # uint8 [H, W, 3], at most about `KEPT_PIXELS`
    size: tuple[int, int]  # height and width of its file
    format: str = ""
    num_bytes: int = 0

    def described(self, pixels):
        """Describes the pixels [h, w, C] used of the picture, which may be resized."""
        resized = "reduced" if pixels.shape[:2] < self.size else "enlarged"
        resized = f", {resized} from {in_words(self.size)}"
        return in_words(pixels.shape) + resized * (pixels.shape[:2] != self.size)


def in_words(size):
    height, width, *_ = size
    return f"{width} x {height} pixels"


def require_own(data, folder):
    """Raises ValueError if JSON names anything but regular files below a folder, a resolved path."""
    stack, paths = [data], []
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            paths += [value["path"]] if "path" in value else []
            stack += value.values()
        elif isinstance(value, (list, tuple)):
            stack += value
    fits = len(paths) <= MAX_FILES and all(_is_own(path, folder) for path in paths)
    expect(fits, *_UPLOADED)


def _is_own(path, folder):
    """Whether a path is a regular file, not a link; looks at nothing outside the folder."""
    fits = isinstance(path, str) and path.startswith(f"{folder}{os.sep}") and "\0" not in path
    fits = fits and path == os.path.normpath(path) == os.path.realpath(path)
    return fits and os.path.isfile(path)


def picture(path):
    """Reads the `Picture` of a file, upright, without transparency, reduced to `KEPT_PIXELS`."""
    expect(path, *_UPLOADED)
    expected = (
        f"a whole {decoding.kinds()} file of one picture, of 8 bits a channel, of at most "
        f"{MAX_BYTES:,} bytes and {MAX_PIXELS:,} pixels"
    )
    with restated(expected, _name(path), "Save it as such a file, or use another picture"):
        contents = decoding.contents(path, MAX_BYTES)
        with decoding.opened(contents, most=MAX_PIXELS) as opened:
            width, height = opened.size
            if max(width, height) > MAX_ASPECT * min(width, height):
                limit = f"aspect ratio at most {MAX_ASPECT}"
                raise ValueError(f"{width} x {height} pixels, {limit}")
            if opened.mode not in picture_files.MODES:
                raise ValueError(f"pixels of the mode {opened.mode}, whose colors would change")
            decoding.turn_upright(opened)
            pixels = decoding.rgb(opened)
    return Picture(reduced(pixels, KEPT_PIXELS), pixels.shape[:2], opened.format, len(contents))


def photograph(name):
    """Reads the `Picture` of one of scikit-image's photographs."""
    pixels = photos.read(name)
    return Picture(reduced(pixels, KEPT_PIXELS), pixels.shape[:2])


def chosen(picture):
    """Returns the page's picture; raises ValueError if none is chosen."""
    remedy = "Choose or drop a file, or click an example"
    expect(picture is not None, "a picture", "none", remedy)
    return picture


def reduced(pixels, max_pixels):
    """Resizes uint8 [H, W, 3] to about `max_pixels` if it has more."""
    height, width, _ = pixels.shape
    scale = math.sqrt(max_pixels / (height * width))
    if scale >= 1:
        return pixels
    return resize(pixels, [max(1, math.floor(side * scale)) for side in (height, width)])


def enlarged(pixels):
    """Enlarges a picture by an integer factor, to paint on: uint8 [k * H, k * W, 3]."""
    times = _times(pixels.shape[:2])
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def _times(size):
    return max(1, _PAINTED // max(size))


def mask(painted, rectangle, size):
    """The mask, uint8 [1, H, W, 1]: 0 where a layer file is painted, and in a rectangle, in percent."""
    (height, width), times = size, _times(size)
    region = np.zeros(size, bool)
    expected = f"a region painted on {width} x {height} pixels, each enlarged {times} times"
    for path in painted:
        with restated(expected, _name(path), "Reload the page, and paint it again"):
            with decoding.opened(decoding.contents(path, MAX_BYTES)) as layer:
                if layer.size != (times * width, times * height) or layer.mode != "RGBA":
                    raise ValueError(f"{layer.mode}, {in_words(layer.size[::-1])}")
                opaque = np.asarray(layer.getchannel("A")) > 0
        region |= opaque.reshape(height, times, width, times).any(axis=(1, 3))
    if rectangle.strip():
        shares = rectangle.split()
        fits = len(shares) == 4 and all(x.isdecimal() and int(x) <= 100 for x in shares)
        expected = "a rectangle as its left, top, right and bottom, from 0 to 100"
        expect(fits, expected, f"{rectangle!r:.80}", "Correct it, or leave it empty")
        left, top, right, bottom = map(int, shares)
        rows = slice(height * top // 100, math.ceil(height * bottom / 100))
        region[rows, width * left // 100 : math.ceil(width * right / 100)] = True
    remedy = "Paint over the picture, or give a rectangle within it"
    expect(region.any(), "a region to draw", "none", remedy)
    return (~region[np.newaxis, ..., np.newaxis]).astype(np.uint8)


def compressed(path):
    """Reads a compressed file: (bytes, `container.Contents`)."""
    expect(path, *_UPLOADED)
    remedy = "Decompress it with pixelcnn-aux codec"
    with restated(f"a compressed file of at most {MAX_BYTES:,} bytes", _name(path), remedy):
        data = decoding.contents(path, MAX_BYTES)
    contents = container.read(data)
    pixels = contents.num_pixels
    expected = f"a compressed file of 1 to {_MAX_DECOMPRESSED:,} pixels"
    expect(0 < pixels <= _MAX_DECOMPRESSED, expected, f"{_name(path)}, of {pixels:,}", remedy)
    return data, contents


def _name(path):
    return f"{pathlib.Path(path).name!r:.80}"
