"""Folders of image files: found, split, labeled, and decoded once, into the cache of `cache`."""

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
_THREADS = min(8, os.cpu_count() or 1)  # of the machine's cores, a process may have few
_AT_ONCE = 128  # images that threads decode ahead of the file that they are written to


def load(
    dataset,
    split,
    image_size,
    *,
    image_dir,
    cache_dir,
    fit,
    splits_of,
    kind,
    channels=3,
    num_values=256,
    labels=None,
):
    """`Images` of one split of the image files under a folder, with arguments of a loader and these.

    Args:
      fit: function, [h, w, C] -> [H, W, C], of `image_size` unless that is None; raises ValueError for
        another kind of image.
      splits_of: function of a list of files' names -> the split of each, or None: it is left out of all.
      kind: str, how messages describe the files that are used, and how they are split.
    """
    received, remedy = f"{image_dir}, which is no folder", "Give an image_dir that exists"
    expect(image_dir.is_dir(), "a folder of images", received, remedy, kind=FileNotFoundError)
    paths, by_split, num_gray = below(image_dir), {name: [] for name in (*SPLITS, None)}, 0
    suffixes_read = (*decoding.SUFFIXES, *[decoding.DICOM_SUFFIX] * (channels == 1))
    named = [path for path in paths if path.suffix.lower() in suffixes_read]
    for path, its_split in zip(named, splits_of([path.name for path in named])):
        by_split[its_split].append(str(path))
    names = by_split[split]
    label_of = labels and _labels_of(labels, named)  # before anything is decoded

    def read(name):
        try:
            return fit(decoding.decode(decoding.contents(image_dir / name), channels, num_values))
        except FileNotFoundError:
            return "a link to nowhere"
        except ValueError as error:  # of another kind, or damaged
            return str(error).rstrip(".")

    def decoded():
        nonlocal num_gray
        with in_threads(read, names, len(names)) as images:
            for name, image in zip(names, images):
                is_image = not isinstance(image, str)
                num_gray += channels == 3 and is_image and decoding.is_gray(image)
                yield name, image

    if image_size is None:  # in memory: the cache has images of one size
        found = dict(decoded())
        broken = {name: reason for name, reason in found.items() if isinstance(reason, str)}
        pixels = [image for name, image in found.items() if name not in broken]
    else:
        which = {"dataset": dataset, "split": split, "image_size": image_size}
        how = {"folder": image_dir, "channels": channels, "num_values": num_values}
        how |= {"files": described_files(image_dir, names), "decoded": decoded}
        pixels, broken = cache.load(cache_dir, **which, **how)
    decoding.log_gray(num_gray, len(pixels), image_dir)
    broken |= dict.fromkeys(by_split[None], "of no split")
    skipped, by_reason = sorted(broken, key=pathlib.PurePath), collections.defaultdict(list)
    for name in skipped:
        by_reason[broken[name]].append(name)
    if skipped:
        message = "Left out %d of %d %s files of %s, which are no whole %s files %s: %s"
        counts = len(skipped), len(names) + len(by_split[None])
        listed = "; ".join(f"{why}: {str(names)[1:-1]}" for why, names in by_reason.items())
        logging.warning(message, *counts, split, image_dir, decoding.KINDS, kind, listed)
    if not len(pixels):
        counts = ", ".join(f"{len(by_split[name])} {name}" for name in SPLITS)
        reasons = "; ".join(f"{len(names)}: {why}" for why, names in by_reason.items())
        raise ValueError(
            f"Expected {decoding.KINDS} files {kind} in {image_dir} for the split {split!r}. Received: "
            f"{counts} files, {len(skipped)} left out ({reasons or 'none'}); in all {suffixes(paths)}. Add "
            "images, or give another image_dir."
        )
    if labels:
        kept = [name for name in names if name not in broken]
        missing = next((name for name in kept if name not in label_of), None)
        expected = f"a label for each image file in {labels}"
        expect(missing is None, expected, f"none for {missing}", _LABEL_ROWS)
        labels = [label_of[name] for name in kept]
    return Images(pixels, skipped, labels)


def described_files(folder, names):
    """List of [name, size in bytes, time of the last change in ns], both None for a link to nowhere."""
    found = []
    for name in names:
        try:
            status = os.stat(folder / name)
            found.append([name, status.st_size, status.st_mtime_ns])
        except OSError:
            found.append([name, None, None])
    return found


@contextlib.contextmanager
def in_threads(read, items, count=None):
    """Within it, an iterator of `read` of each item, in order; logs how many of `count`, if any.

    Threads read ahead. They end with the context: an iterator that is left unfinished would end them when it
    is collected as garbage, where Python drops a Ctrl-C.
    """

    def images():
        ahead, done = iter(items), itertools.count(1)
        while some := list(itertools.islice(ahead, _AT_ONCE)):
            for image in pool.map(read, some):
                yield image
                if count is not None:
                    message = "Decoded %d of %d image files"
                    logging.log_every_n_seconds(logging.INFO, message, 5, next(done), count)

    # Pillow decodes without Python's lock.
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        yield images()


def below(folder):
    """Sorted relative `pathlib.Path`s of all files below a folder. Links to folders are not followed."""

    def stop(error):
        raise error

    with disk.explained(f"to read all folders of images in {folder}"):
        return sorted(
            pathlib.Path(parent, name).relative_to(folder)
            for parent, _, files in os.walk(folder, onerror=stop)
            for name in files
        )


def suffixes(paths, most=9):
    """The suffixes of paths and their numbers, the most frequent ones first: "12 .bmp, 3 .txt"."""
    counts = collections.Counter(path.suffix.lower() or "without a suffix" for path in paths)
    listed = [f"{count} {suffix}" for suffix, count in counts.most_common(most)]
    return ", ".join(listed + ["..."] * (len(counts) > most)) or "no files"


def _labels_of(labels, paths):
    """dict, path of an image file, a str -> the number of its class, from 0 on, or -1.

    `labels` are as in `registry.load`; `paths` are those of all image files of every split, relative to their
    folder. Raises ValueError for a damaged table, and one with others than `paths`.
    """
    if labels == FOLDERS:
        classes = sorted({path.parts[0] for path in paths if len(path.parts) > 1})
        numbers = {name: number for number, name in enumerate(classes)}
        return {str(path): numbers.get(path.parts[0], -1) for path in paths}
    expected, found = f"a table of files and whole numbers in {labels}", {}
    with restated(expected, "another one", _LABEL_ROWS, TypeError, ValueError, csv.Error):
        text = disk.contents(labels).decode("utf-8-sig")  # as spreadsheets write it
        rows = csv.DictReader(io.StringIO(text, newline=""))
        if not {"file", "label"} <= {*(rows.fieldnames or ())}:
            raise ValueError(f"the columns {rows.fieldnames}")
        for row in rows:
            if row["file"] in found:
                raise ValueError(f"{row['file']} twice")
            found[row["file"]] = int(row["label"])
    unknown = sorted(found.keys() - set(map(str, paths)))
    received = f"{''.join(unknown[:1])}, which is not there"
    expect(not unknown, f"image files of the folder in {labels}", received, _LABEL_ROWS)
    return found
