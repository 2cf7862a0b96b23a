"""The format of compressed files, and pictures as tiles. Reading checks sizes before it allocates anything.

8 bytes         MAGIC, with the version of the format
4 bytes         the length of the header
header          JSON, deflated: the fields of `Contents` but the last three, the dtype of the model, and the
                length of each stream and extra
streams         the words of each batch, one after another
checksums       CRC-32 of each image's pixels
extras          what else is kept of each picture, one after another
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
EXTRAS = ("alpha", "exif", "icc")  # kinds of extras of a picture
# Bytes of a header, inflated: a constant, and some for each byte of the file. A picture's name takes about
# 250 of them, and its pixels take more than the rest.
_MOST, _MOST_PER_BYTE = 2**18, 16
_FEW = 2**12  # values of a header, whatever it describes; commas in names count as well
_LARGEST = 2**63 - 1  # of whole numbers
_LONGEST = 255  # bytes of the name of a file, on most disks
# A value takes 2 ** -24 bits at least, as tables leave that to others: a word is of at most so many pixels.
_MOST_PER_WORD = 32 * 2**24
# Names are printed: no commands to a terminal, nothing that turns the direction of text or ends its line, and
# nothing without bytes in UTF-8.
_UNPRINTABLE = re.compile(
    "[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


class Contents(NamedTuple):
    """The contents of a file: pictures, each of its own size, or images of one size, such as tiles."""

    model: str  # the fingerprint of the model that wrote it
    name: str  # what that model is called
    size: list | None  # [h, w] of each image; None where each is a picture of its own size
    count: int  # type: ignore[assignment]  # images; a tuple's method otherwise
    batch: int  # how many of them were coded together
    bits: dict  # factor name -> how many its images took
    machine: dict  # a description of the machine that wrote it
    pictures: list  # [name, H, W] of each; empty where the images are no pictures
    streams: list  # of uint32 [n], one for each batch
    checksums: np.ndarray  # uint32 [count]
    extras: list  # of dict, one for each picture: kind -> bytes; or empty

    @property
    def named_sizes(self):
        """(name, H, W) of each picture; of each image, where there are no pictures."""
        numbered = ((f"{number:05}.png", *self.size) for number in range(self.count))
        return self.pictures or list(numbered)

    @property
    def num_pixels(self):
        """int, the pixels of all images, those of tiles beyond the edges of pictures included."""
        if self.size is not None:
            return self.count * math.prod(self.size)
        return sum(height * width for _, height, width in self.pictures)

    def joined(self, images):
        """Yields the name and the pixels [H, W, C] of each picture, once an iterable has given its images."""
        images = iter(images)
        for name, height, width in self.named_sizes:
            if self.size is None:
                yield name, next(images)
                continue
            (h, w), (rows, columns) = self.size, _grid(height, width, self.size)
            tiles = np.stack([next(images) for _ in range(rows * columns)])
            tiles = tiles.reshape(rows, columns, h, w, -1).swapaxes(1, 2)
            yield name, tiles.reshape(rows * h, columns * w, -1)[:height, :width]


# Of the header, in its order.
_FIELDS = "model name dtype size count batch bits machine pictures streams extras".split()


def cut(picture, size):
    """The tiles of a picture [H, W, C] in raster order, [n, h, w, C], with edges repeated where it ends."""
    height, width, channels = picture.shape
    (h, w), (rows, columns) = size, _grid(height, width, size)
    missing = ((0, rows * h - height), (0, columns * w - width), (0, 0))
    tiles = np.pad(picture, missing, mode="edge").reshape(rows, h, columns, w, channels)
    return tiles.swapaxes(1, 2).reshape(-1, h, w, channels)


def check(contents):
    """Raises ValueError where `read` would refuse a file of `Contents`, whatever its streams."""
    expected = (
        "a model's name as a string, and pictures as (name, H, W): names of new files in one folder, of at "
        f"most {_LONGEST} bytes, and as many tiles in all as there are images; and extras of "
        f"{', '.join(EXTRAS)} for each picture, or none"
    )
    with restated(expected, "others", "Give such ones"):
        _check(contents)
        _sizes_of_extras(_lengths(contents.extras), contents)


def write(contents):
    """The bytes of a file of checked `Contents`. Raises ValueError for names far longer than the rest."""
    header = {**contents._asdict(), "dtype": "float32", "extras": _lengths(contents.extras)}
    header["streams"] = [len(words) for words in contents.streams]
    _check_streams(header["streams"], contents)
    header = {name: header[name] for name in _FIELDS}
    text = json.dumps(header, separators=(",", ":")).encode()
    packed = zlib.compress(text, 9)
    parts = [MAGIC, struct.pack("<I", len(packed)), packed]
    parts += [words.astype("<u4").tobytes() for words in contents.streams]
    parts.append(contents.checksums.astype("<u4").tobytes())
    parts += [x for each in contents.extras for x in each.values()]
    whole = b"".join(parts)
    expect(
        len(text) <= _most(whole) and text.count(b",") <= _FEW + len(whole),
        f"names and sizes of pictures of {_most(whole):,} bytes together, in a file of {len(whole):,}",
        f"{len(text):,}",
        "Give shorter names",
    )
    return whole + hashlib.sha256(whole).digest()


def read(data):
    """`Contents` of the bytes of a file. Raises ValueError for anything that `write` did not give."""
    arguments.instance("data", data, bytes)
    fits, remedy = data.startswith(MAGIC[:-1]), "Give a file that `compress` wrote"
    expect(fits, "a compressed file of this codec", "another kind of file", remedy)
    version = data[len(MAGIC) - 1 : len(MAGIC)]  # nothing, of a file that is cut short
    expect(
        version in (b"", MAGIC[-1:]),
        f"a file of format {MAGIC[-1]}",
        f"one of format {int.from_bytes(version)}",
        "Use the version of pixelcnn_aux that wrote it",
    )
    expect(
        hashlib.sha256(data[:-32]).digest() == data[-32:],
        "a whole file, as it was written",
        "one that is damaged or cut short: its checksum differs",
        "Get it again",
    )
    expected, received = "a file as the codec writes it", "one with an impossible header"
    kinds = KeyError, TypeError, ValueError, struct.error, zlib.error, RecursionError
    with restated(expected, received, "Take it from where it came from again", *kinds):
        return _read(data[:-32])


def _read(whole):
    start = len(MAGIC) + 4
    (length,) = struct.unpack("<I", whole[len(MAGIC) : start])
    inflating, most = zlib.decompressobj(), _most(whole)
    text = inflating.decompress(whole[start : start + length], most)
    _require(not inflating.unconsumed_tail, "more than {:,} bytes", most)
    # There is a comma between any two values, which take far more memory than their text: three a picture and
    # one a stream, which takes four bytes or more.
    _require(text.count(b",") <= _FEW + len(whole), "more values than its images can have")
    header = json.loads(text)
    fits = isinstance(header, dict) and set(header) == {*_FIELDS}
    _require(fits, "other fields than {}", ", ".join(_FIELDS))
    lengths, extras = header.pop("streams"), header.pop("extras")
    dtype = header.pop("dtype")
    _require(dtype == "float32", "{!r:.80} as dtype, of a model that is not rounded", dtype)
    contents = Contents(**header, streams=[], checksums=np.zeros(0, np.uint32), extras=[])
    _check(contents)
    count = contents.count
    fits = isinstance(lengths, list) and all(map(_is_whole, lengths))
    _require(fits, "{!r:.80} as streams", lengths)
    _check_streams(lengths, contents)
    sizes = _sizes_of_extras(extras, contents)
    body, num_words = whole[start + length :], sum(lengths) + count
    fits = len(body) == 4 * num_words + sum(sizes)
    _require(fits, "{} images, {} words and extras in {} bytes", count, sum(lengths), len(body))
    words = np.frombuffer(body, "<u4", num_words).astype(np.uint32)
    ends = np.cumsum(lengths, dtype=np.int64)
    streams = [words[end - length : end] for end, length in zip(ends, lengths)]
    ends = itertools.accumulate(sizes, initial=4 * num_words)
    parts = (body[first:last] for first, last in itertools.pairwise(ends))
    found = [{kind: next(parts) for kind in each} for each in extras]
    return contents._replace(streams=streams, checksums=words[sum(lengths) :], extras=found)


def _check(contents):
    """Raises ValueError, with a reason, where the fields of a header cannot be."""
    for field, kind in [*Contents.__annotations__.items()][:-3]:
        value = getattr(contents, field)
        _require(isinstance(value, kind), "{!r:.80} as {}", value, field)
    count, size, pictures = contents.count, contents.size, contents.pictures
    for picture in pictures:
        fits = isinstance(picture, (list, tuple)) and len(picture) == 3
        _require(fits and isinstance(picture[0], str), "{!r:.80} as a picture", picture)
    files = [name for name, *_ in pictures]
    for name in (contents.model, contents.name, *contents.bits, *contents.machine, *files):
        fits = not _UNPRINTABLE.search(name)
        _require(fits, "the name {!r:.80}, with a control character", name)
    for name in files:
        fits = name not in ("", ".", "..") and not re.search(r"[/\\]", name)
        _require(fits and len(name.encode()) <= _LONGEST, "the name {!r:.80} of a picture", name)
    _require(len(set(files)) == len(files), "two pictures of one name")
    sizes = [(height, width) for _, height, width in pictures]
    lengths = itertools.chain(size or (1, 1), *sizes)
    fits = (size is None or len(size) == 2) and all(_is_whole(length, 1) for length in lengths)
    _require(fits, "heights and widths that are no whole numbers above 0")
    fits = all(_is_whole(number) for number in (count, *contents.bits.values()))
    _require(fits, "counts that are no whole numbers")
    batch, most = contents.batch, 1 if size is None else min(MAX_BATCH, max(count, 1))
    fits = _is_whole(batch, 1) and batch <= most
    _require(fits, "{!r:.80} images at once, {} at most", batch, most)
    largest = max(map(math.prod, [size] if size else sizes), default=1)
    _require(largest <= MAX_PIXELS, "images of {:,} pixels, {:,} at most", largest, MAX_PIXELS)
    num_tiles = sum(1 if size is None else math.prod(_grid(*each, size)) for each in sizes)
    fits = count == num_tiles or (size is not None and not pictures)
    _require(fits, "{} images for pictures of {} tiles", count, num_tiles)


def _check_streams(lengths, contents):
    """Raises ValueError for another number of streams, or fewer words than pixels take at the very least."""
    count, size, batch = contents.count, contents.size, contents.batch
    fits = len(lengths) == -(-count // batch)
    _require(fits, "{} images, {} at once, in {} streams", count, batch, len(lengths))
    for first, words in zip(range(0, count, batch), lengths):
        area = math.prod(size or contents.pictures[first][1:]) * min(batch, count - first)
        fits = area <= words * _MOST_PER_WORD
        _require(fits, "{:,} pixels in {} words, {:,} at most in one", area, words, _MOST_PER_WORD)


def _sizes_of_extras(extras, contents):
    """The number of bytes of each extra, by the header."""
    fits = isinstance(extras, list) and all(isinstance(each, dict) for each in extras)
    _require(fits, "{!r:.80} as extras", extras)
    fits = len(extras) in (0, len(contents.pictures))
    _require(fits, "extras of {} pictures, of {}", len(extras), len(contents.pictures))
    for kind in itertools.chain(*extras):
        _require(kind in EXTRAS, "an extra of the kind {!r:.80}", kind)
    sizes = [size for each in extras for size in each.values()]
    _require(all(map(_is_whole, sizes)), "extras of sizes that are no whole numbers")
    return sizes


def _lengths(extras):
    return [{kind: len(x) for kind, x in each.items()} for each in extras]


def _grid(height, width, size):
    """(rows, columns) of the tiles of a size (h, w) that cover a picture."""
    return -(-height // size[0]), -(-width // size[1])


def _most(whole):
    """The most bytes of the header of a file, inflated."""
    return _MOST + _MOST_PER_BYTE * len(whole)


def _is_whole(value, least=0):
    return type(value) is int and least <= value <= _LARGEST


def _require(fits, reason, *values):
    if not fits:
        raise ValueError(reason.format(*values))
