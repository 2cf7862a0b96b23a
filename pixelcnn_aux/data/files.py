"""Folders of image files: lists, splits and labels them, and decodes them once into the cache."""

import collections
import concurrent.futures
import contextlib
import csv
import io
import itertools
import os
import pathlib

from absl import logging

from pixelcnn_aux.base import disk
from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.data import cache, decoding
from pixelcnn_aux.data.images import Images
from pixelcnn_aux.data.registry import FOLDERS, SPLITS

_LABEL_ROWS = "Give a file of lines such as 17/cat.png,3 below the line file,label; -1 is no class"
_THREADS = min(8, os.cpu_count() or 1)  # a process may not have all of the machine's cores
_SURVEYED = 16  # files whose bits decide for all
_AT_ONCE = 128  # images that threads decode ahead


def load(
    dataset,
    split,
    image_size,
    fit,
    splits_of,
    kind,
    *,
    image_dir,
    cache_dir,
    channels=3,
    num_values=256,
    labels=None,
):
    """Loads one split of the image files below a folder as `Images`; pages of a file are several images.

    Args:
      fit: function, [h, w, C] -> [H, W, C] of `image_size` unless that is None; raises ValueError for
        unsuitable images.
      splits_of: function from a list of file names to the split of each, or None to skip the file.
      kind: str, the description in messages of suitable files and of how they are split.
      Others: as for a registered loader (`registry.register`).
    """
    received, remedy = f"{image_dir}, which is no folder", "Give an image_dir that exists"
    expect(image_dir.is_dir(), "a folder of images", received, remedy, kind=FileNotFoundError)
    paths, by_split, num_gray = below(image_dir), {name: [] for name in (*SPLITS, None)}, 0
    image_paths = [path for path in paths if path.suffix.lower() in readable(channels)]
    for path, its_split in zip(image_paths, splits_of([path.name for path in image_paths])):
        by_split[its_split].append(str(path))
    names = by_split[split]
    label_of = labels and _labels_of(labels, image_paths)  # raises before the slow decoding

    def read(name, num_values):
        try:
            pages = decoding.images(decoding.contents(image_dir / name), channels, num_values)
            return [fit(page) for page, _ in pages]
        except FileNotFoundError:
            return "a broken link"
        except ValueError as error:  # unsuitable or damaged
            return str(error).rstrip(".")

    if num_values is None:  # by the majority of some files
        some = image_paths[:: max(1, len(image_paths) // _SURVEYED)]
        fitting = {x: sum(isinstance(read(y, x), list) for y in some) for x in (2**8, 2**16)}
        num_values = max(fitting, key=fitting.__getitem__)

    def decoded():
        nonlocal num_gray
        with in_threads(lambda x: read(x, num_values), names, len(names)) as images:
            for name, pages in zip(names, images):
                if isinstance(pages, str):
                    yield name, pages
                    continue
                for image in pages:
                    num_gray += channels == 3 and decoding.is_gray(image)
                    yield name, image

    if image_size is None:  # in memory: the cache has images of one size
        results = [*decoded()]
        reasons = {name: reason for name, reason in results if isinstance(reason, str)}
        kept = [name for name, _ in results if name not in reasons]
        pixels = [image for _, image in results if not isinstance(image, str)]
    else:
        place = cache_dir, dataset, image_dir, split, image_size
        described = described_files(image_dir, names)
        pixels, kept, reasons = cache.load(*place, described, decoded, channels, num_values)
    decoding.log_gray(num_gray, len(pixels), image_dir)
    reasons |= dict.fromkeys(by_split[None], "of no split")
    skipped = sorted(reasons, key=pathlib.PurePath)
    by_reason = collections.defaultdict(list)
    for name in skipped:
        by_reason[reasons[name]].append(name)
    kinds = decoding.kinds(channels)
    if skipped:
        message = "Left out %d of %d %s files of %s, which are no whole %s files %s: %s"
        counts = len(skipped), len(names) + len(by_split[None])
        listed = "; ".join(f"{why}: {str(names)[1:-1]}" for why, names in by_reason.items())
        logging.warning(message, *counts, split, image_dir, kinds, kind, listed)
    if not len(pixels):
        counts = ", ".join(f"{len(by_split[name])} {name}" for name in SPLITS)
        listed = "; ".join(f"{len(names)}: {why}" for why, names in by_reason.items())
        raise ValueError(
            f"Expected {kinds} files {kind} in {image_dir} for the split {split!r}. Received: "
            f"{counts} files, {len(skipped)} left out ({listed or 'none'}); in all {suffixes(paths)}. Add "
            "images, or give another image_dir."
        )
    if labels:
        missing = next((name for name in kept if name not in label_of), None)
        expected = f"a label for each image file in {labels}"
        expect(missing is None, expected, f"none for {missing}", _LABEL_ROWS)
        labels = [label_of[name] for name in kept]
    return Images(pixels, skipped, labels)


def readable(channels):
    """The suffixes of files that images of so many channels are read from."""
    suffixes = decoding.SUFFIXES if channels in (1, 3) else (".tif", ".tiff")
    return (*suffixes, *[decoding.DICOM_SUFFIX] * (channels == 1))


def described_files(folder, names):
    """List of [name, size in bytes, modification time in ns], the latter two None for broken links."""
    rows = []
    for name in names:
        try:
            status = os.stat(folder / name)
            rows.append([name, status.st_size, status.st_mtime_ns])
        except OSError:
            rows.append([name, None, None])
    return rows


@contextlib.contextmanager
def in_threads(read, items, count=None):
    """Context with an iterator over `read` of each item, in order; logs progress of `count`, if given.

    Threads read ahead until the context ends. Were they to end with an abandoned iterator, its garbage
    collection would drop a Ctrl-C.
    """

    def images():
        ahead, done = iter(items), itertools.count(1)
        while chunk := list(itertools.islice(ahead, _AT_ONCE)):
            for image in pool.map(read, chunk):
                yield image
                if count is not None:
                    message = "Decoded %d of %d image files"
                    logging.log_every_n_seconds(logging.INFO, message, 5, next(done), count)

    # Pillow releases Python's lock while decoding.
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        yield images()


def below(folder):
    """Sorted relative `pathlib.Path`s of all files below a folder, without following links to folders."""

    def stop(error):
        raise error

    with disk.explained(f"to read all folders of images in {folder}"):
        return sorted(
            pathlib.Path(parent, name).relative_to(folder)
            for parent, _, files in os.walk(folder, onerror=stop)
            for name in files
        )


def suffixes(paths, most=9):
    """Counts of suffixes among paths, most frequent first: "12 .bmp, 3 .txt"."""
    counts = collections.Counter(path.suffix.lower() or "without a suffix" for path in paths)
    listed = [f"{count} {suffix}" for suffix, count in counts.most_common(most)]
    return ", ".join(listed + ["..."] * (len(counts) > most)) or "no files"


def _labels_of(labels, paths):
    """dict, path of an image file as str -> class number from 0, or -1.

    `labels` are as in `registry.load`; `paths` are relative paths of the image files of all splits. Raises
    ValueError for a table that is damaged or has other files.
    """
    if labels == FOLDERS:
        classes = sorted({path.parts[0] for path in paths if len(path.parts) > 1})
        numbers = {name: number for number, name in enumerate(classes)}
        return {str(path): numbers.get(path.parts[0], -1) for path in paths}
    table = {}
    expected = f"a table of files and whole numbers in {labels}"
    with restated(expected, "another one", _LABEL_ROWS, TypeError, ValueError, csv.Error):
        text = disk.contents(labels).decode("utf-8-sig")  # as spreadsheets write it
        rows = csv.DictReader(io.StringIO(text, newline=""))
        if not {"file", "label"} <= {*(rows.fieldnames or ())}:
            raise ValueError(f"the columns {rows.fieldnames}")
        for row in rows:
            if row["file"] in table:
                raise ValueError(f"{row['file']} twice")
            table[row["file"]] = int(row["label"])
    unknown = sorted(table.keys() - set(map(str, paths)))
    received = f"{''.join(unknown[:1])}, which is not there"
    expect(not unknown, f"image files of the folder in {labels}", received, _LABEL_ROWS)
    return table


def image_files(path, channels=3):
    """The file at a path, or the image files below a folder, at least one: list of `pathlib.Path`."""
    path = pathlib.Path(path)
    expected, received = "an image file or a folder of them", f"{path}, which is not there"
    expect(disk.exists(path), expected, received, "Give another path", kind=FileNotFoundError)
    if not path.is_dir():
        return [path]
    images, skipped, allowed = [], [], readable(channels)
    for name in below(path):
        (images if name.suffix.lower() in allowed else skipped).append(name)
    kinds, names = f"{decoding.kinds(channels)} files", suffixes(skipped)
    expect(images, f"{kinds} in {path}", names, "Name another folder, or files")
    note = f"; skipped: {names}" if skipped else ""
    print(f"{path}: {len(images):,} {kinds}{note}")
    return [path / name for name in images]
