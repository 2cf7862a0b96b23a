"""Folders of image files: found, split, and decoded once, into the cache of `cache`."""

import concurrent.futures
import itertools
import os
import pathlib

from absl import logging

from pixelcnn_aux.data import cache, decoding
from pixelcnn_aux.data.images import Images
from pixelcnn_aux.data.registry import SPLITS
from pixelcnn_aux.runs import disk

_SUFFIXES = (".png", ".jpg", ".jpeg")
_THREADS = min(8, os.cpu_count() or 1)  # of the machine's cores, a process may have few
_AT_ONCE = 128  # images that threads decode ahead of the file that they are written to


def load(dataset, split, image_size, image_dir, cache_dir, fit, split_of, kind):
    """`Images` of one split of the PNG and JPEG files under a folder, as a loader returns them.

    Their `skipped` has the files of no split, and those of this one that are no such images.

    Args:
      dataset: str, the name of the data set.
      split, image_size, image_dir, cache_dir: as a loader receives them.
      fit: function, uint8 [h, w, 3] -> uint8 [H, W, 3]; raises ValueError for another kind of image.
      split_of: function of a file's name -> its split, or None: it is left out of all splits.
      kind: str, what messages say of the files that are used, and how they are split.
    """
    if not image_dir.is_dir():
        raise FileNotFoundError(
            f"Expected a folder of images. Received: {image_dir}, which is none. "
            "Give an image_dir that exists."
        )
    by_split = {name: [] for name in (*SPLITS, None)}
    for name in _names(image_dir):
        by_split[split_of(os.path.basename(name))].append(name)
    names = by_split[split]

    def read(name):
        try:
            return fit(decoding.decode(decoding.contents(image_dir / name)))
        except (FileNotFoundError, ValueError):  # a link to nowhere; of another kind, or damaged
            return None

    def decoded():
        return zip(names, in_threads(read, names, len(names)))

    described = described_files(image_dir, names)
    pixels, broken = cache.load(
        cache_dir, dataset, image_dir, split, image_size, described, decoded
    )
    skipped = sorted([*broken, *by_split[None]], key=pathlib.PurePath)
    if skipped:
        count, listed = len(names) + len(by_split[None]), ", ".join(map(repr, skipped))
        message = "Left out %d of %d %s files of %s, which are no whole PNG or JPEG files %s: %s"
        logging.warning(message, len(skipped), count, split, image_dir, kind, listed)
    if not len(pixels):
        counts = ", ".join(f"{len(by_split[name])} {name}" for name in SPLITS)
        raise ValueError(
            f"Expected PNG or JPEG files {kind} in {image_dir} for the split {split!r}. Received: "
            f"{counts} files, {len(skipped)} left out. Add images, or give another image_dir."
        )
    return Images(pixels, skipped)


def described_files(folder, names):
    """List of [name, size in bytes, time of the last change in ns], both None for a link to nowhere."""

    def describe(name):
        try:
            found = os.stat(folder / name)
        except OSError:
            return [name, None, None]
        return [name, found.st_size, found.st_mtime_ns]

    return list(map(describe, names))


def in_threads(read, items, count):
    """Yields `read` of each of an iterable's items, `count` of them, in order, by threads that read ahead."""
    items, done = iter(items), itertools.count(1)
    # Pillow decodes without Python's lock.
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        while some := list(itertools.islice(items, _AT_ONCE)):
            for image in pool.map(read, some):
                yield image
                logging.log_every_n_seconds(
                    logging.INFO, "Decoded %d of %d image files", 5, next(done), count
                )


def _names(folder):
    """The names of the files below a folder that are called PNG or JPEG, in the order of their paths.

    Links to files are followed, those to folders are not: they may lead around in a circle.
    """

    def stop(error):
        raise error

    with disk.explained(f"to read all folders of images in {folder}"):
        found = [
            pathlib.Path(parent, name).relative_to(folder)
            for parent, _, files in os.walk(folder, onerror=stop)
            for name in files
        ]
    return [str(path) for path in sorted(found) if path.suffix.lower() in _SUFFIXES]
