"""The format of compressed files. What is read is checked before anything of its size is allocated.

8 bytes         MAGIC, with the version of the format
4 bytes         the length of the header
header          JSON, deflated: the fields of `Contents` but the two below, and the length of each stream
streams         the words of each batch, one after another
checksums       CRC-32 of each image's pixels
32 bytes        SHA-256 of all before
"""

import hashlib
import json
import struct
import zlib
from typing import NamedTuple

import numpy as np

from pixelcnn_aux.codec.tiles import num_tiles

MAGIC = b"\x89PXAUX\x00\x01"
MAX_BATCH = 1024
_MOST = 2**24  # bytes of a header, inflated
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
    pictures: (
        list  # [name, H, W] of the pictures that the images are tiles of; empty where they are none
    )
    streams: list  # of uint32 [n], one for each batch
    checksums: np.ndarray  # uint32 [count]


_FIELDS = Contents._fields[:-2]


def write(contents):
    """The bytes of a file."""
    header = {name: getattr(contents, name) for name in _FIELDS}
    header["streams"] = [len(words) for words in contents.streams]
    packed = zlib.compress(json.dumps(header, separators=(",", ":")).encode(), 9)
    parts = [MAGIC, struct.pack("<I", len(packed)), packed]
    parts += [words.astype("<u4").tobytes() for words in contents.streams]
    parts.append(contents.checksums.astype("<u4").tobytes())
    whole = b"".join(parts)
    return whole + hashlib.sha256(whole).digest()


def read(data):
    """`Contents` of the bytes of a file.

    Raises ValueError, which says what is wrong, for anything that `write` did not give.
    """
    if not data.startswith(MAGIC[:-1]):
        raise ValueError(
            "Expected a compressed file of this codec. Received: another kind of file."
        )
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError(
            f"Expected a file of format {MAGIC[-1]}. Received: one of format {data[len(MAGIC) - 1]}. "
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
            f"Expected a file as the codec writes it. Received: one with an impossible header ({error})."
        ) from error


def _read(whole):
    start = len(MAGIC) + 4
    (length,) = struct.unpack("<I", whole[len(MAGIC) : start])
    inflating = zlib.decompressobj()
    text = inflating.decompress(whole[start : start + length], _MOST)
    if inflating.unconsumed_tail:
        raise ValueError(f"more than {_MOST} bytes")
    header = json.loads(text)
    lengths = header.pop("streams")
    if set(header) != set(_FIELDS):
        raise ValueError(f"the fields {sorted(header)}")
    numbers = [
        header["count"],
        header["batch"],
        *header["size"],
        *lengths,
        *header["bits"].values(),
    ]
    pictures = [side for _, *sides in header["pictures"] for side in sides]
    for name, *_ in header["pictures"]:
        if not isinstance(name, str) or name in ("", ".", "..") or set(name) & set("/\\\0"):
            raise ValueError(f"the name {name!r:.80} of a picture")
    if header["dtype"] not in ("float32", "float64"):
        raise ValueError(f"the dtype {header['dtype']!r:.80}")
    kinds = {"model": str, "name": str, "machine": dict}
    if wrong := [name for name, kind in kinds.items() if not isinstance(header[name], kind)]:
        raise ValueError(f"{header[wrong[0]]!r:.80} as {wrong[0]}")
    if not all(type(number) is int and number >= 0 for number in [*numbers, *pictures]):
        raise ValueError("sizes that are no whole numbers")
    count, batch, size = header["count"], header["batch"], header["size"]
    if (
        len(size) != 2
        or 0 in size
        or not 0 < batch <= MAX_BATCH
        or len(lengths) != -(-count // batch)
    ):
        raise ValueError(f"{count} images of {size}, {batch} at once, in {len(lengths)} streams")
    body = whole[start + length :]
    if len(body) != _WORD * (sum(lengths) + count):
        raise ValueError(f"{count} images and {sum(lengths)} words in {len(body)} bytes")
    if pictures and count != sum(num_tiles(sides, size) for _, *sides in header["pictures"]):
        raise ValueError(f"{count} images for pictures of other sizes")
    words = np.frombuffer(body, "<u4").astype(np.uint32)
    ends = np.cumsum(lengths, dtype=np.int64)
    streams = [words[end - length : end] for end, length in zip(ends, lengths)]
    return Contents(**header, streams=streams, checksums=words[sum(lengths) :])
