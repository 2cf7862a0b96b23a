"""Decoded images, kept in a folder: the files of a split are decoded once, and mapped to memory from then on.

    DATASET-SPLIT-HxW-HASH.npy      uint8 or uint16 [N, H, W, C]
    DATASET-SPLIT-HxW-HASH.json     the manifest: the files that were decoded, and checksums of the pixels
    DATASET-SPLIT-HxW-HASH.lock     held by the process that reads or makes them

Each file is written aside and renamed, the array first and the manifest last: a process that is killed
leaves nothing that looks whole. Of several processes that need the same images one decodes them, and the
others wait.
"""

import contextlib
import functools
import hashlib
import json
import math
import os
import pathlib
import random
import zlib

import numpy as np
from absl import logging

from pixelcnn_aux.base import arguments, disk
from pixelcnn_aux.base.errors import expect

FORMAT = 4  # of the files, and of how images are decoded: another number, and all are decoded again
_BLOCK = 2**20  # bytes of pixels that have a checksum
# The number of checksums that are compared when images are opened: all of up to 1 GB, in a second or so, and
# a sample of more, another one each time, since programs that show a few images open the same files.
_CHECKED = 1024
_ELSEWHERE = ", or give another cache_dir (--cache_dir)"


def default_folder():
    """The default folder, an absolute `pathlib.Path`. Raises ValueError for a user without a home."""
    folder = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    expected = "a home folder, below which decoded images are kept"
    expect(folder[0] != "~", expected, "none", "Give a cache_dir (--cache_dir), or set HOME")
    return pathlib.Path(folder, "pixelcnn_aux").absolute()


def load(
    cache_dir, *, dataset, folder, split, image_size, files, decoded, channels=3, num_values=256
):
    """The images of a split, [N, H, W, C], and a dict of the files left out: name -> reason.

    The images are memory-mapped. They are decoded unless the folder `cache_dir` has those of the same `files`
    (`files.described_files`): `decoded` returns an iterator over pairs of a name and an image, or the reason
    why the file is left out. Raises OSError for a folder that cannot be written, or is full.
    """
    place = [dataset, str(folder), split, list(image_size)]
    if (channels, num_values) != (3, 256):
        place.append([channels, num_values])
    dtype, shape = np.dtype(arguments.pixel_dtype(num_values)), (*image_size, channels)
    digest = hashlib.sha256(json.dumps(place).encode()).hexdigest()[:16]
    array = cache_dir / f"{dataset}-{split}-{'x'.join(map(str, image_size))}-{digest}.npy"
    key = {"format": FORMAT, "place": place, "files": files}
    waits = "Waiting for another process, which decodes the same images"
    busy = functools.partial(logging.info, waits)
    expected = f"a folder to write decoded images to, with room for them: {cache_dir}"
    with disk.explained(expected, _ELSEWHERE):
        cache_dir.mkdir(parents=True, exist_ok=True)
        with disk.locked(array.with_suffix(".lock"), busy, _ELSEWHERE):
            return _read(array, key, dtype) or _write(array, key, shape, dtype, decoded)


def _read(array, key, dtype):
    """The result of `load`, or None where the files are not there, of another key, or damaged."""
    manifest = array.with_suffix(".json")
    if not manifest.exists():
        return None
    try:
        kept = json.loads(disk.contents(manifest))
        if kept.get("key") != key:
            logging.info("Decoding again what has changed in %s", array)
            return None
        with disk.opened(array):  # a regular file
            pixels = np.lib.format.open_memmap(array, mode="r")
        parts, size = _parts(pixels), pixels.offset + pixels.nbytes
        found = [*pixels.shape], pixels.dtype, os.path.getsize(array), len(parts)
        if found != (kept["shape"], dtype, size, len(kept["crc32"])):
            raise ValueError("another shape or size")
        # Another sample each time, without the draws of anybody's seed.
        some = sorted(random.SystemRandom().sample(parts, min(len(parts), _CHECKED)))
        if _checksums(pixels, some) != [kept["crc32"][part] for part in some]:
            raise ValueError("other checksums")
        return pixels, kept["skipped"]
    except Exception as error:  # damaged files raise whatever they happen to spell
        message = "Expected decoded images in %s. Received: a damaged file (%s). Decoding again"
        logging.warning(message, array, error)
        return None


def _write(array, key, shape, dtype, decoded):
    """The result of `load`, once the files are written."""
    aside = array.with_suffix(".npy.writing")  # one process at a time: the lock is held
    manifest, skipped, count = array.with_suffix(".json"), {}, 0

    def write_header(file):  # which NumPy pads: as long for any number of images
        header = {"descr": dtype.str, "fortran_order": False, "shape": (count, *shape)}
        np.lib.format.write_array_header_1_0(file, header)

    try:
        with open(aside, "wb") as file, contextlib.closing(decoded()) as images:
            write_header(file)
            for name, image in images:
                if isinstance(image, str):
                    skipped[name] = image
                else:
                    file.write(image.tobytes())
                    count += 1
            file.seek(0)
            write_header(file)
            file.flush()
            os.fsync(file.fileno())  # otherwise the name may get to the disk before the bytes
        manifest.unlink(missing_ok=True)  # it is of the array before
        os.replace(aside, array)
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()
    pixels = np.lib.format.open_memmap(array, mode="r")
    checksums = _checksums(pixels, _parts(pixels))
    kept = {"key": key, "shape": pixels.shape, "skipped": skipped, "crc32": checksums}
    with disk.replacing(manifest, _ELSEWHERE) as file:
        file.write(json.dumps(kept).encode())
    logging.info("Decoded %d images into %s, %.1f MB", count, array, pixels.nbytes / 1e6)
    return pixels, skipped


def _parts(pixels):
    """The numbers of all parts of the pixels that have a checksum: a range."""
    return range(math.ceil(pixels.nbytes / _BLOCK))


def _checksums(pixels, parts):
    flat = pixels.reshape(-1)
    return [zlib.crc32(flat[part * _BLOCK : (part + 1) * _BLOCK]) for part in parts]
