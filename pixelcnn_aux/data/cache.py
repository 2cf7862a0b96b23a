"""Cache of decoded images: a split's files are decoded once, and memory-mapped from then on.

    DATASET-SPLIT-HxW-HASH.npy      uint8 or uint16 [N, H, W, C]
    DATASET-SPLIT-HxW-HASH.json     manifest: the decoded files, and checksums of the pixels
    DATASET-SPLIT-HxW-HASH.lock     held by the process that reads or writes them

Each file is written under a temporary name and renamed, the array first and the manifest last, so that a
killed process leaves nothing that looks complete. If several processes need the same images, one decodes them
and the others wait.
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

FORMAT = 5  # version of the files and of image decoding: a new number invalidates the cache
_BLOCK = 2**20  # bytes of pixels per checksum
# Checksums compared on opening: all up to 1 GB, about a second; beyond that a new random sample each time.
_CHECKED = 1024
_ELSEWHERE = ", or give another cache_dir (--cache_dir)"


def default_folder():
    """Default cache folder, an absolute `pathlib.Path`. Raises ValueError for a user without a home."""
    folder = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    expected = "a home folder, to keep decoded images in"
    expect(folder[0] != "~", expected, "none", "Give a cache_dir (--cache_dir), or set HOME")
    return pathlib.Path(folder, "pixelcnn_aux").absolute()


def load(cache_dir, dataset, folder, split, image_size, files, decoded, channels=3, num_values=256):
    """Returns a split's memory-mapped images [N, H, W, C], the file of each, and a dict of skipped files.

    Decodes them unless `cache_dir` has those of the same `files` (`files.described_files`). `decoded` returns
    an iterator over pairs (name, an image, or the reason to skip the file). Raises OSError for a folder that
    is not writable or full.
    """
    place = [dataset, str(folder), split, list(image_size)]
    if (channels, num_values) != (3, 256):
        place.append([channels, num_values])
    dtype = np.dtype(arguments.pixel_dtype(num_values))
    shape = (*image_size, channels)
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
    """The result of `load`, or None where the files are missing, have another key, or are damaged."""
    manifest = array.with_suffix(".json")
    if not manifest.exists():
        return None
    try:
        record = json.loads(disk.contents(manifest))
        if record.get("key") != key:
            logging.info("Decoding changed files again for %s", array)
            return None
        with disk.opened(array):  # checks that it is a regular file
            pixels = np.lib.format.open_memmap(array, mode="r")
        blocks = range(math.ceil(pixels.nbytes / _BLOCK))
        size = pixels.offset + pixels.nbytes
        header = [*pixels.shape], pixels.dtype, os.path.getsize(array), len(blocks)
        if header != (record["shape"], dtype, size, len(record["crc32"])):
            raise ValueError("another shape or size")
        # A new sample each time, independent of seeds.
        sample = sorted(random.SystemRandom().sample(blocks, min(len(blocks), _CHECKED)))
        if _checksums(pixels, sample) != [record["crc32"][block] for block in sample]:
            raise ValueError("other checksums")
        return pixels, record["names"], record["skipped"]
    except Exception as error:  # damaged files may raise any exception
        message = "Expected decoded images in %s. Received: a damaged file (%s). Decoding again"
        logging.warning(message, array, error)
        return None


def _write(array, key, shape, dtype, decoded):
    """Decodes the images and writes the files; returns the result of `load`."""
    aside = array.with_suffix(".npy.writing")  # not unique, as the lock is held
    manifest, skipped, names = array.with_suffix(".json"), {}, []

    def write_header(file):  # NumPy pads it to the same length for any number of images
        header = {"descr": dtype.str, "fortran_order": False, "shape": (len(names), *shape)}
        np.lib.format.write_array_header_1_0(file, header)

    try:
        with open(aside, "wb") as file, contextlib.closing(decoded()) as images:
            write_header(file)
            for name, image in images:
                if isinstance(image, str):
                    skipped[name] = image
                else:
                    file.write(image.tobytes())
                    names.append(name)
            file.seek(0)
            write_header(file)
            file.flush()
            os.fsync(file.fileno())  # otherwise the name may reach the disk before the bytes
        manifest.unlink(missing_ok=True)  # it describes the previous array
        os.replace(aside, array)
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()
    pixels = np.lib.format.open_memmap(array, mode="r")
    checksums = _checksums(pixels, range(math.ceil(pixels.nbytes / _BLOCK)))
    record = {"key": key, "shape": pixels.shape, "names": names, "skipped": skipped}
    record["crc32"] = checksums
    with disk.replacing(manifest, _ELSEWHERE) as file:
        file.write(json.dumps(record).encode())
    logging.info("Decoded %d images into %s, %.1f MB", len(pixels), array, pixels.nbytes / 1e6)
    return pixels, names, skipped


def _checksums(pixels, blocks):
    flat = pixels.reshape(-1)
    return [zlib.crc32(flat[block * _BLOCK : (block + 1) * _BLOCK]) for block in blocks]
