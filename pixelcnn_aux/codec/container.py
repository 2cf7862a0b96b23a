"""The format of compressed files. What is read is checked before anything of its size is allocated.

8 bytes         MAGIC, with the version of the format
4 bytes         the length of the header
header          JSON, deflated: the fields of `Contents` but the three below, and the length of each stream
                and extra
streams         the words of each batch, one after another
checksums       CRC-32 of each image's pixels
extras          what else is kept of each picture, one after another
32 bytes        SHA-256 of all before

Files of version 1 have no extras, and images of one size only. They are read; version 2 is written.
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

from pixelcnn_aux import arguments
from pixelcnn_aux.codec.tiles import grid
from pixelcnn_aux.data import decoding

MAGIC = b"\x89PXAUX\x00\x02"
_EARLIER = MAGIC[:-1] + b"\x01"
MAX_BATCH = 1024
MAX_PIXELS = decoding.MAX_PIXELS  # of an image
EXTRAS = ("alpha", "exif", "icc")  # kinds of what else is kept of a picture
# Bytes of a header, inflated: a constant, and some for each byte of the file. A picture's name takes about
# 250 of them, and its pixels take more than the rest.
_MOST, _MOST_PER_BYTE = 2**18, 16
_FEW = 64  # values that each header has
_LARGEST = 2**63 - 1  # of whole numbers
_LONGEST = 255  # bytes of the name of a file, on most disks
# What a terminal takes for commands, what turns the direction of text around it or ends its line, and what
# has no bytes in UTF-8: names are printed.
_UNPRINTABLE = re.compile(
    "[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_STRING = re.compile(rb'"[^"]*"')  # of JSON without escapes


class Contents(NamedTuple):
    """What a file holds."""

    model: str  # the fingerprint of the model that it was written with
    name: str  # what that model is called
    dtype: str  # of its floats
    size: list | None  # [h, w] of each image; None where each is a picture, as large as that
    count: int  # type: ignore[assignment]  # images; a tuple's method otherwise
    batch: int  # how many of them were coded together
    bits: dict  # factor name -> how many its images took
    machine: dict  # what wrote it
    pictures: list  # [name, H, W] of those that the images are tiles of; empty where they are none
    streams: list  # of uint32 [n], one for each batch
    checksums: np.ndarray  # uint32 [count]
    extras: list  # of dict, one for each picture: kind -> bytes; empty where there are none


_FIELDS = Contents._fields[:-3]


def check(contents):
    """Raises ValueError where `read` would refuse a file of `Contents`, whatever its streams."""
    try:
        _check(contents)
        _extra_sizes(_lengths(contents.extras), contents)
    except ValueError as error:
        raise ValueError(
            "Expected a model's name as a string, and pictures as (name, H, W): names of new files in one "
            f"folder, of at most {_LONGEST} bytes, and as many tiles in all as there are images; and extras "
            f"of {', '.join(EXTRAS)} for each picture, or none. "
            f"Received: {error}. Give such ones."
        ) from error


def write(contents):
    """The bytes of a file of checked `Contents`. Raises ValueError for names far longer than the rest."""
    header = {name: getattr(contents, name) for name in _FIELDS}
    header["streams"] = [len(words) for words in contents.streams]
    header["extras"] = _lengths(contents.extras)
    text = json.dumps(header, separators=(",", ":")).encode()
    packed = zlib.compress(text, 9)
    parts = [MAGIC, struct.pack("<I", len(packed)), packed]
    parts += [words.astype("<u4").tobytes() for words in contents.streams]
    parts.append(contents.checksums.astype("<u4").tobytes())
    parts += [x for each in contents.extras for x in each.values()]
    whole = b"".join(parts)
    if len(text) > (most := _MOST + _MOST_PER_BYTE * len(whole)):
        raise ValueError(
            f"Expected names and sizes of pictures of {most:,} bytes together, in a file of {len(whole):,}. "
            f"Received: {len(text):,}. Give shorter names."
        )
    return whole + hashlib.sha256(whole).digest()


def read(data):
    """`Contents` of the bytes of a file. Raises ValueError for anything that `write` did not give."""
    arguments.instance("data", data, bytes)
    if not data.startswith(MAGIC[:-1]):
        raise ValueError(
            "Expected a compressed file of this codec. Received: another kind of file. "
            "Give a file that `compress` wrote."
        )
    if data[: len(MAGIC)] not in (MAGIC, _EARLIER, MAGIC[:-1]):
        raise ValueError(
            f"Expected a file of format 1 or {MAGIC[-1]}. Received: one of format {data[len(MAGIC) - 1]}. "
            "Use the version of pixelcnn_aux that wrote it."
        )
    if hashlib.sha256(data[:-32]).digest() != data[-32:]:
        raise ValueError(
            "Expected a whole file, as it was written. Received: one that is damaged or cut short: its "
            "checksum differs. Get it again."
        )
    try:
        return _read(data[:-32])
    except (KeyError, TypeError, ValueError, struct.error, zlib.error, RecursionError) as error:
        raise ValueError(
            f"Expected a file as the codec writes it. Received: one with an impossible header ({error}). "
            "Take it from where it came from again."
        ) from error


def _read(whole):
    start = len(MAGIC) + 4
    (length,) = struct.unpack("<I", whole[len(MAGIC) : start])
    inflating, most = zlib.decompressobj(), _MOST + _MOST_PER_BYTE * len(whole)
    text = inflating.decompress(whole[start : start + length], most)
    if inflating.unconsumed_tail:
        raise ValueError(f"more than {most:,} bytes")
    # JSON has one between any two values, and they take far more memory than their text. There are three to
    # a picture and one to a stream, which take four bytes or more.
    if _count_commas(text) > _FEW + len(whole):
        raise ValueError("more values than its images can have")
    header = json.loads(text.decode())  # as text: bytes may also be UTF-16, whose commas are others
    if whole.startswith(_EARLIER) and isinstance(header, dict):
        header.setdefault("extras", [])
    if not isinstance(header, dict) or set(header) != {*_FIELDS, "streams", "extras"}:
        raise ValueError(f"other fields than {', '.join(_FIELDS)}, streams and extras")
    lengths, extras = header.pop("streams"), header.pop("extras")
    contents = Contents(**header, streams=[], checksums=np.zeros(0, np.uint32), extras=[])
    _check(contents)
    count = contents.count
    if not isinstance(lengths, list) or not all(map(_is_whole, lengths)):
        raise ValueError(f"{lengths!r:.80} as streams")
    if len(lengths) != -(-count // contents.batch):
        raise ValueError(f"{count} images, {contents.batch} at once, in {len(lengths)} streams")
    sizes = _extra_sizes(extras, contents)
    body, num_words = whole[start + length :], sum(lengths) + count
    if len(body) != 4 * num_words + sum(sizes):
        raise ValueError(f"{count} images, {sum(lengths)} words and extras in {len(body)} bytes")
    words = np.frombuffer(body, "<u4", num_words).astype(np.uint32)
    ends = np.cumsum(lengths, dtype=np.int64)
    streams = [words[end - length : end] for end, length in zip(ends, lengths)]
    ends = itertools.accumulate(sizes, initial=4 * num_words)
    parts = (body[first:last] for first, last in itertools.pairwise(ends))
    found = [{kind: next(parts) for kind in each} for each in extras]
    return contents._replace(streams=streams, checksums=words[sum(lengths) :], extras=found)


def _lengths(extras):
    return [{kind: len(x) for kind, x in each.items()} for each in extras]


def _extra_sizes(extras, contents):
    """How many bytes each extra has, by the header."""
    if not isinstance(extras, list) or not all(isinstance(each, dict) for each in extras):
        raise ValueError(f"{extras!r:.80} as extras")
    if extras and len(extras) != len(contents.pictures):
        raise ValueError(f"extras of {len(extras)} pictures, of {len(contents.pictures)}")
    for kind in itertools.chain(*extras):
        if kind not in EXTRAS:
            raise ValueError(f"an extra of the kind {kind!r:.80}")
    sizes = [size for each in extras for size in each.values()]
    if not all(map(_is_whole, sizes)):
        raise ValueError("extras of sizes that are no whole numbers")
    return sizes


def _count_commas(text):
    """How many commas JSON, bytes of UTF-8, has outside of its strings; in time linear in its length."""
    plain = text.replace(rb"\\", b"").replace(rb"\"", b"")
    return plain.count(b",") - sum(found[0].count(b",") for found in _STRING.finditer(plain))


def _check(contents):
    """Raises ValueError, which says what is wrong, where the fields of a header cannot be."""
    for field in _FIELDS:
        kind, value = Contents.__annotations__[field], getattr(contents, field)
        if not isinstance(value, kind):
            raise ValueError(f"{value!r:.80} as {field}")
    count, size, pictures = contents.count, contents.size, contents.pictures
    for picture in pictures:
        listed = isinstance(picture, (list, tuple)) and len(picture) == 3
        if not listed or not isinstance(picture[0], str):
            raise ValueError(f"{picture!r:.80} as a picture")
    files = [name for name, *_ in pictures]
    for name in (contents.model, contents.name, *contents.bits, *contents.machine, *files):
        if _UNPRINTABLE.search(name):
            raise ValueError(f"the name {name!r:.80}, with a control character")
    for name in files:
        if name in ("", ".", "..") or re.search(r"[/\\]", name) or len(name.encode()) > _LONGEST:
            raise ValueError(f"the name {name!r:.80} of a picture")
    if len(set(files)) < len(files):
        raise ValueError("two pictures of one name")
    if contents.dtype not in ("float32", "float64"):
        raise ValueError(f"the dtype {contents.dtype!r:.80}")
    sizes = [(height, width) for _, height, width in pictures]
    lengths = itertools.chain(size or (1, 1), *sizes)
    if (size is not None and len(size) != 2) or not all(_is_whole(length, 1) for length in lengths):
        raise ValueError("heights and widths that are no whole numbers above 0")
    if not all(_is_whole(number) for number in (count, *contents.bits.values())):
        raise ValueError("counts that are no whole numbers")
    if not _is_whole(contents.batch, 1) or contents.batch > min(MAX_BATCH, max(count, 1)):
        raise ValueError(f"{contents.batch!r:.80} of {count} images at once")
    if size is None and contents.batch != 1:
        raise ValueError(f"{contents.batch} pictures of different sizes at once")
    if (largest := max(map(math.prod, [size] if size else sizes), default=1)) > MAX_PIXELS:
        raise ValueError(f"images of {largest:,} pixels, {MAX_PIXELS:,} at most")
    num_tiles = sum(1 if size is None else math.prod(grid(*each, size)) for each in sizes)
    if (pictures or size is None) and count != num_tiles:
        raise ValueError(f"{count} images for pictures of {num_tiles} tiles")


def _is_whole(value, least=0):
    return type(value) is int and least <= value <= _LARGEST
