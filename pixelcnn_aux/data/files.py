"""Image files: found, checked, and decoded once, into the cache of `cache`."""

import concurrent.futures
import itertools
import os
import pathlib

from absl import logging

from pixelcnn_aux.data import cache, exif, lazy
from pixelcnn_aux.data.images import from_arrays
from pixelcnn_aux.data.registry import SPLITS
from pixelcnn_aux.runs import disk

_SUFFIXES = (".png", ".jpg", ".jpeg")
PNG, JPEG = exif.PNG, b"\xff\xd8\xff"
MAX_PIXELS = 2**26  # 200 MB decoded, one a thread: a small file can claim far more than that
_MAX_BYTES = 10 * MAX_PIXELS  # of a file: so many pixels of 64 bits each take less, uncompressed
_THREADS = min(8, os.cpu_count() or 1)  # of the machine's cores, a process may have few
_AT_ONCE = 128  # images that threads decode ahead of the file that they are written to


def load(dataset, split, image_size, image_dir, cache_dir, fit, kind, split_of, rule):
    """The PNG and JPEG files under a folder that are of some kind, those of one split.

    Args:
      dataset: str, the name of the data set.
      split, image_size, image_dir, cache_dir: as a loader receives them.
      fit: function, uint8 [h, w, 3] -> uint8 [H, W, 3]; raises ValueError for another kind of image.
      kind: str, how messages call the files that are used.
      split_of: function of a file's name -> its split, or None: it is left out of all splits.
      rule: str, how messages explain `split_of`.

    Returns:
      `Images`, whose `skipped` has the files of no split and those of this one that are no such images.

    Raises:
      FileNotFoundError: no such folder.
      ImportError: files to decode, and no TensorFlow.
      OSError: a cache folder that cannot be written.
      ValueError: no file to use in this split.
    """
    if not image_dir.is_dir():
        raise FileNotFoundError(
            f"Expected a folder of images. Received: {image_dir}, which is none. "
            "Give an image_dir that exists."
        )
    by_split = {name: [] for name in (*SPLITS, None)}
    for name in _names(image_dir):
        by_split[split_of(name.rpartition("/")[2])].append(name)
    names = by_split[split]
    used = sorted([*names, *by_split[None]], key=_parts)
    source = {
        "dataset": dataset,
        "folder": str(image_dir),
        "split": split,
        "image_size": list(image_size),
        "files": described(image_dir, used),
    }

    def decode(write):
        broken, unread = [], []

        def read(name):
            try:
                return check(image_dir / name, fit)
            except OSError:  # whatever the file is, it may be read another time
                unread.append(name)

        for done, (name, image) in enumerate(zip(names, in_threads(read, names)), start=1):
            if image is None:
                broken.append(name)
            else:
                write(image)
            logging.log_every_n_seconds(
                logging.INFO, "Decoded %d of %d image files of %s", 5, done, len(names), image_dir
            )
        return sorted([*broken, *by_split[None]], key=_parts), not unread

    pixels, skipped = cache.load(cache_dir, source, decode)
    if skipped:
        logging.warning(
            "Left out %d of %d %s files of %s, which are no whole PNG or JPEG %s: %s",
            *(len(skipped), len(used), split, image_dir, kind, ", ".join(map(repr, skipped))),
        )
    if not len(pixels):
        counts = ", ".join(f"{len(by_split[name])} {name}" for name in SPLITS)
        raise ValueError(
            f"Expected PNG or JPEG files {kind} in {image_dir} for the split {split!r}. Received: "
            f"{counts} files ({rule}), {len(skipped)} left out. Add images, or give another image_dir."
        )
    return from_arrays(pixels, skipped)


def described(folder, names):
    """What tells whether files are as they were.

    Args:
      folder: their `pathlib.Path`.
      names: list of str, below that.

    Returns:
      List of [name, size in bytes, time of the last change in ns], both None where nothing is found.
    """
    return [[name, *_size_and_time(folder / name)] for name in names]


def in_threads(read, items):
    """Yields `read` of each of an iterable's items, in order, a few of them ahead."""
    items = iter(items)
    # TensorFlow decodes without Python's lock.
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        while some := list(itertools.islice(items, _AT_ONCE)):
            yield from pool.map(read, some)


def check(path, fit):
    """The pixels of an image file that decodes to the end and fits, uint8 [H, W, 3]; None of any other.

    Raises OSError for a file that cannot be read.
    """
    if not path.is_file():  # a pipe would never end
        return None
    if path.stat().st_size > _MAX_BYTES:
        return None
    tf = lazy.tensorflow()
    contents = path.read_bytes()
    try:
        if contents.startswith(PNG):
            if contents[12:16] != b"IHDR":  # what is read would be another chunk's
                return None
            height, width = contents[20:24], contents[16:20]
            num_pixels = int.from_bytes(height, "big") * int.from_bytes(width, "big")
        elif contents.startswith(JPEG):
            height, width, _ = tf.image.extract_jpeg_shape(contents).numpy()
            num_pixels = int(height) * int(width)
        else:
            return None
        return fit(decode(contents)) if num_pixels <= MAX_PIXELS else None
    except tf.errors.ResourceExhaustedError:
        raise  # the file is not to blame
    except (ValueError, tf.errors.OpError):
        return None


def decode(contents):
    """The bytes of a PNG or JPEG file of any kind -> uint8 [h, w, 3], upright; alpha is dropped.

    Raises `tf.errors.OpError` for a file that is broken.
    """
    tf = lazy.tensorflow()
    # This reads PNG just as well. TensorFlow's default is a faster transform, up to 7 levels off.
    image = tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE").numpy()
    return exif.upright(image, exif.orientation(contents))


def _names(folder):
    """The names of the files below a folder that are called PNG or JPEG, in the order of their paths.

    Links to files are followed, those to folders are not: they may lead around in a circle.
    """

    def stop(error):
        raise error

    with disk.explained(f"to read all folders of images in {folder}"):
        walked = [
            pathlib.Path(parent, name)
            for parent, _, files in os.walk(folder, onerror=stop)
            for name in files
        ]
    found = (path.relative_to(folder) for path in walked if path.suffix.lower() in _SUFFIXES)
    return sorted(map(str, found), key=_parts)


def _parts(name):
    return name.split("/")


def _size_and_time(path):
    try:
        found = os.stat(path)
    except OSError:  # a link to nowhere
        return None, None
    return found.st_size, found.st_mtime_ns
