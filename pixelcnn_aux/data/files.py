"""Image files: found, checked, decoded, and read as `Images`."""

import multiprocessing.pool
import os

import numpy as np
import tensorflow as tf
from absl import logging

from pixelcnn_aux.data.pipeline import Images, fits_in_memory, from_arrays
from pixelcnn_aux.data.registry import SPLITS

_SUFFIXES = (".png", ".jpg", ".jpeg")
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
MAX_PIXELS = 2**26  # 200 MB decoded, one per core: a small file can claim far more than that


def load(split, image_size, image_dir, fit, kind, split_of, rule):
    """The PNG and JPEG files under a folder that are of some kind, those of one split.

    Args:
      split, image_size, image_dir: as a loader receives them.
      fit: traced, uint8 [h, w, 3] -> uint8 [H, W, 3]; raises `tf.errors.OpError` for another
        kind of image.
      kind: str, how messages call the files that are used.
      split_of: function of a file's name -> its split, or None: it is left out of all splits.
      rule: str, how messages explain `split_of`.

    Returns:
      `Images`, whose `skipped` has the files of no split and those of this one that are no such images.

    Raises:
      FileNotFoundError: no such folder.
      ValueError: no file to use in this split.
    """
    if not image_dir.is_dir():
        raise FileNotFoundError(
            f"Expected a folder of images. Received: {image_dir}, which is none. "
            "Give an image_dir that exists."
        )
    found = [path for path in image_dir.rglob("*") if path.suffix.lower() in _SUFFIXES]
    by_split = {name: [] for name in (*SPLITS, None)}
    for path in sorted(path for path in found if not path.is_dir()):
        by_split[split_of(path.name)].append(path)
    paths = by_split[split]

    fit = tf.function(fit, [tf.TensorSpec([None, None, 3], tf.uint8)])  # half the time of eager
    # To check a file is to decode it, which costs more than to train a tiny network on it.
    in_memory = fits_in_memory(len(paths), image_size)
    pixels = np.empty((len(paths) if in_memory else 0, *image_size, 3), np.uint8)
    good, skipped = [], [*by_split[None]]  # (path, fingerprint); paths
    with multiprocessing.pool.ThreadPool() as pool:  # TensorFlow decodes without Python's lock
        checks = pool.imap(lambda path: check(path, fit), paths, chunksize=16)
        for done, (path, checked) in enumerate(zip(paths, checks), start=1):
            if checked is None:
                skipped.append(path)
            else:
                image, fingerprint = checked
                if in_memory:
                    pixels[len(good)] = image
                good.append((os.fsencode(path), fingerprint))
            logging.log_every_n_seconds(
                logging.INFO, "Checked %d of %d image files of %s", 5, done, len(paths), image_dir
            )
    skipped = [path.relative_to(image_dir).as_posix() for path in sorted(skipped)]
    if skipped:
        logging.warning(
            "Left out %d of %d %s files of %s, which are no whole PNG or JPEG %s: %s",
            *(len(skipped), len(good) + len(skipped), split, image_dir, kind, ", ".join(skipped)),
        )
    if not good:
        counts = ", ".join(f"{len(by_split[name])} {name}" for name in SPLITS)
        raise ValueError(
            f"Expected PNG or JPEG files {kind} in {image_dir} for the split {split!r}. Received: "
            f"{counts} files ({rule}), {len(skipped)} left out. Add images, or give another image_dir."
        )
    if in_memory:
        return from_arrays(pixels[: len(good)], skipped)
    return Images(len(good), image_size, _reader(good, fit), skipped)


def _reader(good, fit):
    """What reads the pixels of a file by its index, out of a list of (path, fingerprint)."""
    with tf.device("CPU"):
        paths, fingerprints = map(tf.constant, zip(*good))

    def read(index):
        contents = tf.io.read_file(paths[index])
        # What is decoded here is what has been checked, or the run ends with the file's name.
        message = tf.strings.join(
            [
                "Expected an image file as it was when the data set was loaded. Received: another, ",
                paths[index],
                ". Leave the files as they are while they are read, and start again.",
            ]
        )
        unchanged = tf.debugging.Assert(
            tf.equal(_fingerprint(contents), fingerprints[index]), [message]
        )
        with tf.control_dependencies([unchanged]):
            return fit(decode(contents))

    return read


def check(path, fit):
    """(Pixels, fingerprint) of an image file that decodes to the end and fits, None of any other."""
    try:
        if not path.is_file():  # a pipe would never end
            return None
        contents = path.read_bytes()
        if contents.startswith(_PNG):
            height, width = contents[20:24], contents[16:20]
            num_pixels = int.from_bytes(height, "big") * int.from_bytes(width, "big")
        elif contents.startswith(_JPEG):
            height, width, _ = tf.image.extract_jpeg_shape(contents).numpy()
            num_pixels = int(height) * int(width)
        else:
            return None
        if num_pixels > MAX_PIXELS:
            return None
        return fit(decode(contents)).numpy(), _fingerprint(contents).numpy()
    except (OSError, tf.errors.OpError):
        return None


def decode(contents):
    """The bytes of a PNG or JPEG file of any kind -> uint8 [h, w, 3]; alpha is dropped."""
    # This reads PNG just as well. TensorFlow's default is a faster transform, up to 7 levels off.
    return tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE")


def resize(image, image_size):
    """uint8 [h, w, 3] -> uint8 [H, W, 3]: every pixel is the mean of those that it covers."""
    return tf.cast(tf.round(tf.image.resize(image, image_size, "area")), tf.uint8)


def _fingerprint(contents):
    return tf.strings.to_hash_bucket_fast(contents, 2**63 - 1)
