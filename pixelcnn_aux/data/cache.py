"""Decoded images, kept in a folder: the files of a split are decoded once, and mapped to memory from then on.

    DATASET-SPLIT-HxW-HASH.npy      uint8 [N, H, W, 3]
    DATASET-SPLIT-HxW-HASH.json     the manifest: what the pixels were decoded from, and their checksums
    DATASET-SPLIT-HxW-HASH.lock     held by the process that reads or makes them

Each file is written aside and renamed, the array first and the manifest last: a process that is killed
leaves nothing that looks whole. Of several processes that need the same images one decodes them, and the
others wait.
"""

import contextlib
import hashlib
import json
import math
import os
import pathlib
import random
import struct
import zlib

import numpy as np
from absl import logging

from pixelcnn_aux.runs import disk

FORMAT = 2  # of the files, and of how images are decoded: another number, and all are decoded anew
_HEADER = 128  # bytes before the pixels
_BLOCK = 2**20  # bytes of pixels, about, that have a checksum
# How many checksums are compared when images are opened. Up to 1 GB that is all of them, in a second or so.
# Of more it is a sample, another one each time: programs that show a few images open the same files.
_CHECKED = 1024
_ELSEWHERE = ", or give another cache_dir (--cache_dir)"


def default_folder():
    """Where decoded images are kept unless a folder is given: an absolute `pathlib.Path`.

    Raises ValueError for a user without a home folder.
    """
    folder = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return pathlib.Path(folder, "pixelcnn_aux").expanduser().absolute()
    except RuntimeError:
        raise ValueError(
            "Expected a home folder, below which decoded images are kept. Received: none. Give a cache_dir "
            "(--cache_dir), or set HOME."
        ) from None


def load(folder, source, decode):
    """The images of a source, decoded unless the folder has them already.

    Args:
      folder: `pathlib.Path` of the cache, which is made where there is none.
      source: dict of what JSON can hold, all that the pixels depend on: "dataset", "folder", "split",
        "image_size", a list, and "files", those of `files.described`.
      decode: function of `write`, which it calls with each image, uint8 [H, W, 3]. Returns a list of the
        names of files left out, and whether it would find the same another time: if not, nothing is kept.

    Returns:
      (uint8 [N, H, W, 3], memory-mapped where N > 0, the list of names).

    Raises:
      OSError: a folder that cannot be written, or is full.
    """
    place = (source[key] for key in ("dataset", "folder", "split", "image_size"))
    digest = hashlib.sha256(json.dumps([*place]).encode()).hexdigest()[:16]
    size = "x".join(map(str, source["image_size"]))
    array = folder / f"{source['dataset']}-{source['split']}-{size}-{digest}.npy"
    with _locked(array):
        found = _read(array, source)
        return _decode(array, source, decode) if found is None else found


def _read(array, source):
    """What `load` returns, or None where the files are not there, of another source, or damaged."""
    manifest = array.with_suffix(".json")
    try:
        if not manifest.exists():
            return None
        kept = json.loads(manifest.read_bytes())
        if kept["format"] != FORMAT or kept["source"] != source:
            logging.info("Decoding anew what has changed in %s", source["folder"])
            return None
        if kept["shape"][1:] != [*source["image_size"], 3]:
            raise ValueError(f"pixels of {kept['shape']}")
        _check(array, kept["shape"], kept["crc32"])
        return np.load(array, mmap_mode="r"), kept["skipped"]
    except (OSError, LookupError, RecursionError, TypeError, ValueError) as error:
        logging.warning(
            "Expected decoded images in %s. Received: a damaged file (%s). Decoding them anew",
            *(array, error),
        )
        return None


def _check(array, shape, checksums):
    """Raises ValueError where a file does not hold the pixels of this shape and these checksums."""
    per_block = _images_per_block(shape[1:])
    with open(array, "rb") as file:
        expected, received = _HEADER + math.prod(shape), os.fstat(file.fileno()).st_size
        if received != expected or len(checksums) != math.ceil(shape[0] / per_block):
            raise ValueError(f"{received:,} bytes instead of {expected:,}")
        if file.read(_HEADER) != _header(shape):
            raise ValueError("another header")
        blocks = range(len(checksums))
        # Others each time, and nobody's seed is used up.
        some = random.SystemRandom().sample(blocks, min(len(blocks), _CHECKED))
        for block in sorted(some):
            length = per_block * math.prod(shape[1:])
            file.seek(_HEADER + block * length)
            if zlib.crc32(file.read(length)) != checksums[block]:
                raise ValueError(f"another checksum of block {block}")


def _decode(array, source, decode):
    """What `load` returns, once the files are written."""
    height, width = source["image_size"]
    per_block = _images_per_block([height, width, 3])
    manifest = array.with_suffix(".json")
    aside = array.with_suffix(".npy.writing")  # one process at a time: the lock is held
    count, checksums = 0, []
    with _explained(array.parent):
        file = open(aside, "wb")
    try:

        def write(image):
            nonlocal count
            contents = image.tobytes()
            with _explained(array.parent):
                file.write(contents)
            if count % per_block == 0:
                checksums.append(0)
            checksums[-1] = zlib.crc32(contents, checksums[-1])
            count += 1

        with _explained(array.parent):
            file.write(bytes(_HEADER))
        skipped, repeatable = decode(write)
        shape = [count, height, width, 3]
        if not count:
            return np.empty(shape, np.uint8), skipped
        kept = {"format": FORMAT, "source": source, "shape": shape, "crc32": checksums}
        with _explained(array.parent):
            file.seek(0)
            file.write(_header(shape))
            file.flush()
            os.fsync(file.fileno())  # a rename may get there before what was written otherwise
            manifest.unlink(missing_ok=True)  # it is of the array before
            os.replace(aside, array)
            if repeatable:
                with disk.replacing(manifest, _ELSEWHERE) as opened:
                    opened.write(json.dumps({**kept, "skipped": skipped}).encode())
            pixels = np.load(array, mmap_mode="r")
    finally:
        # The first error counts: of a full disk this is another one.
        with contextlib.suppress(OSError):
            file.close()
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
    logging.info("Decoded %d images into %s, %.1f MB", count, array, pixels.nbytes / 1e6)
    return pixels, skipped


def _images_per_block(image_shape):
    return max(1, _BLOCK // math.prod(image_shape))


def _header(shape):
    """The start of a .npy file of uint8, always as long: what it holds is known when all is written."""
    text = repr({"descr": "|u1", "fortran_order": False, "shape": tuple(shape)})
    length = _HEADER - 10  # after the magic number, the version, and this length itself
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", length) + f"{text:<{length - 1}}\n".encode()


def _locked(array):
    """Holds a file beside an array for one process; others wait."""

    def busy():
        logging.info("Waiting for another process, which decodes the same images")

    with _explained(array.parent):
        array.parent.mkdir(parents=True, exist_ok=True)
    return disk.locked(array.with_suffix(".lock"), busy, _ELSEWHERE)


def _explained(folder):
    """Says what to do where a file of the cache cannot be written."""
    return disk.explained(
        f"a folder to write decoded images to, with room for them: {folder}", _ELSEWHERE
    )
