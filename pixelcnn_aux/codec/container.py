"""The format of compressed files. What is read is checked before anything of its size is allocated.

8 bytes         MAGIC, with the version of the format
4 bytes         the length of the header
header          JSON, deflated: the fields of `Contents` but the two below, and the length of each stream
streams         the words of each batch, one after another
checksums       CRC-32 of each image's pixels
32 bytes        SHA-256 of all before
"""

import hashlib
import itertools
import json
import re
import struct
import zlib
from typing import NamedTuple

import numpy as np

from pixelcnn_aux.codec.tiles import num_tiles

MAGIC = b"\x89PXAUX\x00\x01"
MAX_BATCH = 1024
# Bytes of a header, inflated: so many and so many for each byte of the file. A picture's name takes 250 of
# them or so, and its pixels more than the rest.
_MOST, _MOST_PER_BYTE = 2**18, 16
_FEW = 64  # values that each header has
_LARGEST = 2**63 - 1  # of whole numbers
_LONGEST = 255  # bytes of the name of a file, on most disks
# What a terminal takes for commands, and what has no bytes in UTF-8: names are printed.
_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")
_STRING = re.compile(rb'"[^"]*"')  # of JSON without escapes
_WORD = 4


class Contents(NamedTuple):
    """What a file holds."""

    model: str  # the fingerprint of the model that it was written with
    name: str  # what that model is called
    dtype: str  # of its floats
    size: list  # [h, w] of each image
    count: int  # images
    batch: int  # how many of them were coded together
    bits: dict  # factor name -> how many its images took
    machine: dict  # what wrote it
    pictures: list  # [name, H, W] of those that the images are tiles of; empty where they are none
    streams: list  # of uint32 [n], one for each batch
    checksums: np.ndarray  # uint32 [count]


_FIELDS = Contents._fields[:-2]


def check(contents):
    """Raises ValueError, which says what is wrong, where `read` would refuse a file of `Contents`.

    Streams and checksums are not looked at, and may be missing.
    """
    try:
        _check(contents)
    except ValueError as error:
        raise ValueError(
            "Expected a model's name as a string, and pictures as (name, H, W): by names for files in one "
            f"folder, each once, and of as many tiles as there are images. Received: {error}. Give such ones."
        ) from error


def write(contents):
    """The bytes of a file. Raises ValueError as `check`."""
    check(contents)
    header = {name: getattr(contents, name) for name in _FIELDS}
    header["streams"] = [len(words) for words in contents.streams]
    text = json.dumps(header, separators=(",", ":")).encode()
    packed = zlib.compress(text, 9)
    parts = [MAGIC, struct.pack("<I", len(packed)), packed]
    parts += [words.astype("<u4").tobytes() for words in contents.streams]
    parts.append(contents.checksums.astype("<u4").tobytes())
    whole = b"".join(parts)
    if len(text) > (most := _most(whole)):
        raise ValueError(
            f"Expected names and sizes of pictures of {most:,} bytes together, in a file of {len(whole):,}. "
            f"Received: {len(text):,}. Give shorter names."
        )
    return whole + hashlib.sha256(whole).digest()


def read(data):
    """`Contents` of the bytes of a file.

    Raises ValueError, which says what is wrong, for anything that `write` did not give.
    """
    if not data.startswith(MAGIC[:-1]):
        raise ValueError(
            "Expected a compressed file of this codec. Received: another kind of file. "
            "Give a file that `compress` wrote."
        )
    version = data[len(MAGIC) - 1 : len(MAGIC)]
    if version and version != MAGIC[-1:]:
        raise ValueError(
            f"Expected a file of format {MAGIC[-1]}. Received: one of format {version[0]}. "
            "Use the version of pixelcnn_aux that wrote it."
        )
    whole, digest = data[:-32], data[-32:]
    if hashlib.sha256(whole).digest() != digest:
        raise ValueError(
            "Expected a whole file, as it was written. Received: one that is damaged or cut short: its "
            "checksum differs. Get it again."
        )
    try:
        return _read(whole)
    except (KeyError, TypeError, ValueError, struct.error, zlib.error, RecursionError) as error:
        raise ValueError(
            f"Expected a file as the codec writes it. Received: one with an impossible header ({error}). "
            "Take it from where it came from again."
        ) from error


def _read(whole):
    start = len(MAGIC) + 4
    (length,) = struct.unpack("<I", whole[len(MAGIC) : start])
    inflating, most = zlib.decompressobj(), _most(whole)
    text = inflating.decompress(whole[start : start + length], most)
    if inflating.unconsumed_tail:
        raise ValueError(f"more than {most:,} bytes")
    # JSON has one between any two values, and they take far more memory than their text. There are three to
    # a picture and one to a stream, which take four bytes or more.
    if _count_commas(text) > _FEW + len(whole):
        raise ValueError("more values than its images can have")
    header = json.loads(text.decode())  # as text: bytes may also be UTF-16, whose commas are others
    if not isinstance(header, dict) or set(header) != {*_FIELDS, "streams"}:
        raise ValueError(f"other fields than {', '.join(_FIELDS)} and streams")
    lengths = header.pop("streams")
    contents = Contents(**header, streams=[], checksums=np.zeros(0, np.uint32))
    _check(contents)
    count, batch = contents.count, contents.batch
    if not isinstance(lengths, list) or not all(_is_whole(length) for length in lengths):
        raise ValueError(f"{lengths!r:.80} as streams")
    if len(lengths) != -(-count // batch):
        raise ValueError(f"{count} images, {batch} at once, in {len(lengths)} streams")
    body = whole[start + length :]
    if len(body) != _WORD * (sum(lengths) + count):
        raise ValueError(f"{count} images and {sum(lengths)} words in {len(body)} bytes")
    words = np.frombuffer(body, "<u4").astype(np.uint32)
    ends = np.cumsum(lengths, dtype=np.int64)
    streams = [words[end - length : end] for end, length in zip(ends, lengths)]
    return contents._replace(streams=streams, checksums=words[sum(lengths) :])


def _count_commas(text):
    """How many commas JSON, bytes of UTF-8, has outside of its strings; in time linear in its length."""
    plain = text.replace(rb"\\", b"").replace(rb"\"", b"")
    return plain.count(b",") - sum(found[0].count(b",") for found in _STRING.finditer(plain))


def _most(whole):
    """How many bytes the header of a file may take, inflated."""
    return _MOST + _MOST_PER_BYTE * len(whole)


def _check(contents):
    """Raises ValueError, which says what is wrong, where the fields of a header cannot be."""
    for name in _FIELDS:
        kind, value = Contents.__annotations__[name], getattr(contents, name)
        if not isinstance(value, kind):
            raise ValueError(f"{value!r:.80} as {name}")
    if contents.dtype not in ("float32", "float64"):
        raise ValueError(f"the dtype {contents.dtype!r:.80}")
    for name in (contents.model, contents.name, *contents.bits, *contents.machine):
        if _UNPRINTABLE.search(name):
            raise ValueError(f"the name {name!r:.80}")
    size, sides = contents.size, []
    for picture in contents.pictures:
        if not isinstance(picture, (list, tuple)) or len(picture) != 3:
            raise ValueError(f"{picture!r:.80} as a picture")
        name, *of_picture = picture
        if not isinstance(name, str) or name in ("", ".", "..") or re.search(r"[/\\]", name):
            raise ValueError(f"the name {name!r:.80} of a picture")
        if _UNPRINTABLE.search(name):
            raise ValueError(f"the name {name!r:.80} of a picture, with a control character")
        if len(name.encode()) > _LONGEST:
            raise ValueError(f"the name {name!r:.80} of a picture, longer than {_LONGEST} bytes")
        sides.append(of_picture)
    if len({name for name, *_ in contents.pictures}) < len(sides):
        raise ValueError("two pictures of one name")
    if len(size) != 2 or not all(_is_whole(x, 1) for x in itertools.chain(size, *sides)):
        raise ValueError("sides that are no whole numbers above 0")
    if not all(_is_whole(x) for x in (contents.count, *contents.bits.values())):
        raise ValueError("counts that are no whole numbers")
    if not _is_whole(contents.batch, 1) or contents.batch > min(MAX_BATCH, max(contents.count, 1)):
        raise ValueError(f"{contents.batch!r:.80} of {contents.count} images at once")
    if sides and contents.count != (tiles := sum(num_tiles(x, size) for x in sides)):
        raise ValueError(f"{contents.count} images for pictures of {tiles} tiles")


def _is_whole(value, least=0):
    return type(value) is int and least <= value <= _LARGEST
