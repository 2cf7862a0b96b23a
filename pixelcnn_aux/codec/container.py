"""The format of compressed files, and pictures as tiles. Reading checks sizes before allocating memory.

8 bytes         MAGIC, with the version of the format
4 bytes         the length of the header
header          deflated JSON: all fields of `Contents` except the last three, the model's dtype, and the
                length of each stream and extra
streams         the words of each batch, concatenated
checksums       CRC-32 of each image's pixels
extras          the extras of each picture, concatenated
32 bytes        SHA-256 of everything before
"""

import hashlib
import itertools
import json
import math
import re
import struct
import zlib
from typing import NamedTuple

import numpy as np

from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.errors import expect, restated

MAGIC = b"\x89PXAUX\x00\x02"
MAX_BATCH = 1024
MAX_PIXELS = arguments.MAX_PIXELS  # of an image
EXTRAS = ("alpha", "dicom", "exif", "icc", "tiff")  # kinds of extras
# Bounds of an inflated header: a constant, plus some per byte of the file. A picture's name takes up to about
# 250 bytes, and its pixels take more than its other fields.
_HEADER_BYTES, _HEADER_BYTES_PER_BYTE = 2**18, 16
_HEADER_VALUES = 2**12  # values independent of the file's size; commas in names count as well
_MAX_INTEGER = 2**63 - 1
_MAX_NAME_BYTES = 255  # of a file name, on most disks
# Tables leave at least 2 ** -24 bits to other values, which bounds the pixels per word.
_PIXELS_PER_WORD = 32 * 2**24
# Names are printed, so they exclude control characters, line and direction changes, and surrogates.
UNPRINTABLE = re.compile(
    "[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


class Contents(NamedTuple):
    """The contents of a file: pictures of different sizes, or images of one size, such as tiles."""

    model: str  # fingerprint of the model that wrote the file
    name: str  # of that model
    size: list | None  # [h, w] of each image; None if images are pictures of different sizes
    count: int  # type: ignore[assignment]  # of images; overrides a tuple's method
    batch: int  # number of images coded together
    bits: dict  # factor name -> bits of its images
    machine: dict  # description of the machine that wrote the file
    pictures: list  # [name, H, W] of each; empty if the images are not pictures
    streams: list  # of uint32 [n], one per batch
    checksums: np.ndarray  # uint32 [count]
    extras: list  # of dict, one per picture: kind -> bytes; or empty

    @property
    def named_sizes(self):
        """(name, H, W) of each picture, or of each image if there are no pictures."""
        numbered = ((f"{number:05}.png", *self.size) for number in range(self.count))
        return self.pictures or list(numbered)

    @property
    def num_pixels(self):
        """The number of pixels of all images, including tiles' pixels beyond a picture's edge: int."""
        if self.size is not None:
            return self.count * math.prod(self.size)
        return sum(height * width for _, height, width in self.pictures)

    def joined(self, images):
        """Assembles pictures from an iterable of images: yields each name and pixels [H, W, C]."""
        images = iter(images)
        for name, height, width in self.named_sizes:
            if self.size is None:
                yield name, next(images)
                continue
            (h, w), (rows, columns) = self.size, _grid(height, width, self.size)
            tiles = np.stack([next(images) for _ in range(rows * columns)])
            tiles = tiles.reshape(rows, columns, h, w, -1).swapaxes(1, 2)
            yield name, tiles.reshape(rows * h, columns * w, -1)[:height, :width]


# Fields of the header, in order.
_FIELDS = "model name dtype size count batch bits machine pictures streams extras".split()


def cut(picture, size):
    """Cuts a picture [H, W, C] to tiles in raster order, [n, h, w, C], with edge pixels repeated."""
    height, width, channels = picture.shape
    (h, w), (rows, columns) = size, _grid(height, width, size)
    padding = ((0, rows * h - height), (0, columns * w - width), (0, 0))
    tiles = np.pad(picture, padding, mode="edge").reshape(rows, h, columns, w, channels)
    return tiles.swapaxes(1, 2).reshape(-1, h, w, channels)


def check(contents):
    """Raises ValueError if `read` would refuse a file of these `Contents`, whatever its streams."""
    expected = (
        "a model's name as a string, and pictures as (name, H, W): valid, unique file names of at most "
        f"{_MAX_NAME_BYTES} bytes, and as many tiles in total as there are images; and extras of "
        f"{', '.join(EXTRAS)} for each picture, or no extras"
    )
    errors = ValueError, TypeError, AttributeError
    with restated(expected, "invalid ones", "Correct them", *errors):
        _check(contents)
        _sizes_of_extras(_lengths(contents.extras), contents)


def write(contents):
    """Returns the bytes of a file of checked `Contents`. Raises ValueError for excessively long names."""
    lengths = [len(words) for words in contents.streams]
    _check_streams(lengths, contents)
    fields = contents._asdict() | {"dtype": "float32", "streams": lengths}
    fields["extras"] = _lengths(contents.extras)
    header = {name: fields[name] for name in _FIELDS}
    text = json.dumps(header, separators=(",", ":")).encode()
    packed = zlib.compress(text, 9)
    parts = [MAGIC, struct.pack("<I", len(packed)), packed]
    parts += [words.astype("<u4").tobytes() for words in contents.streams]
    parts.append(contents.checksums.astype("<u4").tobytes())
    parts += [x for each in contents.extras for x in each.values()]
    body = b"".join(parts)
    limit = _max_header(body)
    fits = len(text) <= limit and text.count(b",") <= _HEADER_VALUES + len(body)
    expected = f"at most {limit:,} bytes of pictures' names and sizes, in a file of {len(body):,}"
    expect(fits, expected, f"{len(text):,}", "Give shorter names")
    return body + hashlib.sha256(body).digest()


def read(data):
    """Parses the bytes of a file: `Contents`. Raises ValueError for bytes that `write` did not return."""
    arguments.instance("data", data, bytes)
    fits, remedy = data.startswith(MAGIC[:-1]), "Give a file that `compress` wrote"
    expect(fits, "a compressed file of this codec", "another kind of file", remedy)
    version = data[len(MAGIC) - 1 : len(MAGIC)] or MAGIC[-1:]  # empty if the file is cut short
    expected, received = f"a file of format {MAGIC[-1]}", f"one of format {version[0]}"
    remedy = "Use the version of pixelcnn_aux that wrote it"
    expect(version == MAGIC[-1:], expected, received, remedy)
    is_whole = hashlib.sha256(data[:-32]).digest() == data[-32:]
    received = "one that is damaged or cut short: its checksum differs"
    expect(is_whole, "a whole file, as it was written", received, "Get it again")
    expected, received = "a file as the codec writes it", "one with an impossible header"
    errors = KeyError, TypeError, ValueError, struct.error, zlib.error, RecursionError
    with restated(expected, received, "Get it again", *errors):
        return _read(data[:-32])


def _read(body):
    start = len(MAGIC) + 4
    (length,) = struct.unpack("<I", body[len(MAGIC) : start])
    decompressor, limit = zlib.decompressobj(), _max_header(body)
    text = decompressor.decompress(body[start : start + length], limit)
    _require(not decompressor.unconsumed_tail, "more than {:,} bytes", limit)
    # Commas bound the number of values, which take far more memory than their text: a picture has three, and
    # a stream, of four bytes or more, has one.
    _require(text.count(b",") <= _HEADER_VALUES + len(body), "more values than its images can have")
    header = json.loads(text)
    has_fields = isinstance(header, dict) and set(header) == {*_FIELDS}
    _require(has_fields, "fields other than {}", ", ".join(_FIELDS))
    lengths, extras, dtype = (header.pop(name) for name in ("streams", "extras", "dtype"))
    _require(dtype == "float32", "{!r:.80} as dtype, of a model that is not rounded", dtype)
    contents = Contents(**header, streams=[], checksums=np.zeros(0, np.uint32), extras=[])
    _check(contents)
    count = contents.count
    _require(isinstance(lengths, list) and _all_whole(lengths), "{!r:.80} as streams", lengths)
    _check_streams(lengths, contents)
    sizes = _sizes_of_extras(extras, contents)
    payload = body[start + length :]
    num_words = sum(lengths) + count
    fits = len(payload) == 4 * num_words + sum(sizes)
    _require(fits, "{} images, {} words and extras in {} bytes", count, sum(lengths), len(payload))
    words = np.frombuffer(payload, "<u4", num_words).astype(np.uint32)
    *streams, checksums = np.split(words, np.cumsum(lengths, dtype=np.int64))
    ends = itertools.accumulate(sizes, initial=4 * num_words)
    parts = (payload[first:last] for first, last in itertools.pairwise(ends))
    extras = [{kind: next(parts) for kind in each} for each in extras]
    return contents._replace(streams=streams, checksums=checksums, extras=extras)


def _check(contents):
    """Raises ValueError, with a reason, for impossible fields of a header."""
    for field, expected in [*Contents.__annotations__.items()][:-3]:
        value = getattr(contents, field)
        _require(isinstance(value, expected), "{!r:.80} as {}", value, field)
    count, size, pictures = contents.count, contents.size, contents.pictures
    for picture in pictures:
        fits = isinstance(picture, (list, tuple)) and len(picture) == 3
        _require(fits and isinstance(picture[0], str), "{!r:.80} as a picture", picture)
    files = [name for name, *_ in pictures]
    for name in (contents.model, contents.name, *contents.bits, *contents.machine, *files):
        is_printable = not UNPRINTABLE.search(name)
        _require(is_printable, "the name {!r:.80}, with a control character", name)
    for name in files:
        is_file_name = name not in ("", ".", "..") and not re.search(r"[/\\]", name)
        fits = is_file_name and len(name.encode()) <= _MAX_NAME_BYTES
        _require(fits, "the name {!r:.80} of a picture", name)
    _require(len(set(files)) == len(files), "two pictures with the same name")
    sizes = [(height, width) for _, height, width in pictures]
    lengths = itertools.chain(size or (), *sizes)
    fits = (size is None or len(size) == 2) and _all_whole(lengths, least=1)
    _require(fits, "heights and widths that are not integers above 0")
    _require(_all_whole([count, *contents.bits.values()]), "counts that are not integers")
    max_batch = 1 if size is None else min(MAX_BATCH, max(count, 1))
    fits = _all_whole([contents.batch], least=1) and contents.batch <= max_batch
    _require(fits, "{!r:.80} images at once, {} at most", contents.batch, max_batch)
    largest = max(map(math.prod, [size] if size else sizes), default=1)
    _require(largest <= MAX_PIXELS, "images of {:,} pixels, {:,} at most", largest, MAX_PIXELS)
    num_tiles = sum(1 if size is None else math.prod(_grid(*each, size)) for each in sizes)
    fits = count == num_tiles or (size is not None and not pictures)
    _require(fits, "{} images for pictures of {} tiles", count, num_tiles)


def _check_streams(lengths, contents):
    """Raises ValueError for a wrong number of streams, or too few words for the pixels."""
    count, size, batch = contents.count, contents.size, contents.batch
    num_streams = -(-count // batch)
    _require(len(lengths) == num_streams, "{} streams for {}", len(lengths), num_streams)
    for first, words in zip(range(0, count, batch), lengths):
        area = math.prod(size or contents.pictures[first][1:]) * min(batch, count - first)
        fits = area <= words * _PIXELS_PER_WORD
        _require(
            fits, "{:,} pixels in {} words, {:,} at most in one", area, words, _PIXELS_PER_WORD
        )


def _sizes_of_extras(extras, contents):
    """Checks the header's extras, and returns the number of bytes of each."""
    fits = isinstance(extras, list) and all(isinstance(each, dict) for each in extras)
    _require(fits, "{!r:.80} as extras", extras)
    fits = len(extras) in (0, len(contents.pictures))
    _require(fits, "extras of {} pictures, of {}", len(extras), len(contents.pictures))
    for kind in itertools.chain(*extras):
        _require(kind in EXTRAS, "an extra of the kind {!r:.80}", kind)
    sizes = [size for each in extras for size in each.values()]
    _require(_all_whole(sizes), "extras of sizes that are not integers")
    return sizes


def _lengths(extras):
    return [{kind: len(x) for kind, x in each.items()} for each in extras]


def _grid(height, width, size):
    """(rows, columns) of tiles of size (h, w) that cover a picture."""
    return -(-height // size[0]), -(-width // size[1])


def _max_header(body):
    """The maximum number of bytes of an inflated header."""
    return _HEADER_BYTES + _HEADER_BYTES_PER_BYTE * len(body)


def _all_whole(values, least=0):
    return all(type(x) is int and least <= x <= _MAX_INTEGER for x in values)


def _require(fits, reason, *values):
    if not fits:
        raise ValueError(reason.format(*values))
