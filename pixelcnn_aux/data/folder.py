"""The data set `folder`: all PNG and JPEG files under a folder, cropped and resized."""

import hashlib
import os
import pathlib

import tensorflow as tf

from pixelcnn_aux.data import files
from pixelcnn_aux.data.registry import register


@register("folder", image_dir=True)
def folder(split, image_size, data_dir, image_dir):
    """The center of each image at `image_size`; the splits are by the names of the files."""
    del data_dir
    if image_dir is None:
        raise ValueError(
            "Expected a folder of images for the data set 'folder'. Received: none. "
            "Give image_dir (--image_dir)."
        )
    kind = f"of at most {files.MAX_PIXELS} pixels"
    rule = "by a hash of the file names: 93 % train, 2 % validation, 5 % test"

    def fit_size(image):
        return fit(image, image_size)

    return files.load(split, image_size, image_dir, fit_size, kind, split_of, rule)


def read_image(path, image_size):
    """The pixels of one image file, center-cropped and resized as those of the data set `folder`.

    Args:
      path: of a PNG or JPEG file.
      image_size: (H, W) of the image.

    Returns:
      uint8 [H, W, 3].

    Raises:
      FileNotFoundError: no such file.
      ValueError: a file that is no whole PNG or JPEG of at most 2**26 pixels.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"Expected an image file. Received: {path}, which does not exist. Give another path."
        )
    checked = files.check(path, lambda image: fit(image, image_size))
    if checked is None:
        raise ValueError(
            f"Expected a whole PNG or JPEG file of at most {files.MAX_PIXELS} pixels. "
            f"Received: {path}, which is none. Give another file."
        )
    return checked[0]


def split_of(name):
    """The split of a file, by a hash of its name alone: the same wherever its folder lies."""
    percentile = int(hashlib.sha256(os.fsencode(name)).hexdigest(), 16) % 100
    return "test" if percentile < 5 else "validation" if percentile < 7 else "train"


def fit(image, image_size):
    """uint8 [h, w, 3] -> uint8 [H, W, 3]: the largest centered crop of that aspect, resized."""
    height, width = image_size
    shape = tf.shape(image, tf.int64)
    crop_height = tf.clip_by_value(shape[1] * height // width, 1, shape[0])
    crop_width = tf.clip_by_value(shape[0] * width // height, 1, shape[1])
    top, left = (shape[0] - crop_height) // 2, (shape[1] - crop_width) // 2
    crop = image[top : top + crop_height, left : left + crop_width]
    return files.resize(tf.ensure_shape(crop, [None, None, 3]), image_size)
