"""The data set `folder`: all image files under a folder, cropped and resized, or as they are."""

import hashlib
import os

import numpy as np

from pixelcnn_aux.arguments import PathLike, Size
from pixelcnn_aux.data import decoding, files
from pixelcnn_aux.data.registry import SPLITS, register
from pixelcnn_aux.data.resizing import resize

_WHOLE = f"of at most {decoding.MAX_PIXELS:,} pixels"
_KIND = f"{_WHOLE} (split by a hash of their names: 93 % train, 2 % validation, 5 % test)"


@register("folder")
def folder(split, image_size, image_dir, cache_dir, channels, num_values, labels):
    """The center of each image at `image_size`, or whole ones.

    The splits are the folders of their names, if there are those of all three; if not, they are by the names
    of the files.
    """
    if image_dir is None:
        raise ValueError(
            "Expected a folder of images for the data set 'folder'. Received: none. "
            "Give image_dir (--image_dir)."
        )

    if channels not in (1, 3):
        raise ValueError(
            f"Expected images of one channel or three, of image files. Received: {channels} channels. Save "
            "them as arrays, for the data set 'arrays'."
        )

    by_name, kind = split_of, _KIND
    if all((image_dir / name).is_dir() for name in SPLITS):
        image_dir, kind = image_dir / split, _WHOLE

        def by_name(name):
            return split

    def fitted(image):
        return image if image_size is None else fit(image, image_size)

    return files.load(
        "folder",
        split,
        image_size,
        image_dir,
        cache_dir,
        fitted,
        by_name,
        kind,
        channels,
        num_values,
        labels,
    )


def read_image(path: PathLike, image_size: Size | None = None) -> np.ndarray:
    """The pixels of one image file, center-cropped and resized as those of the data set `folder`.

    Args:
      path: of a PNG, JPEG, TIFF or WebP file.
      image_size: (H, W) of the image; None for all of it, as it is.

    Returns:
      uint8 [H, W, 3].

    Raises OSError for a file that cannot be read, and ValueError for one that is no such file, damaged, or of
    more than `decoding.MAX_PIXELS` pixels, 8 bits a channel or one picture.
    """
    try:
        image = decoding.decode(decoding.contents(path))
    except ValueError as error:
        raise ValueError(
            f"Expected a whole {decoding.KINDS} file of at most {decoding.MAX_PIXELS:,} pixels. "
            f"Received: {path} ({error}). Give another file."
        ) from error
    return image if image_size is None else fit(image, image_size)


def split_of(name):
    """The split of a file, by a hash of its name alone: the same wherever its folder lies."""
    percentile = int(hashlib.sha256(os.fsencode(name)).hexdigest(), 16) % 100
    return "test" if percentile < 5 else "validation" if percentile < 7 else "train"


def fit(image, image_size):
    """[h, w, C] -> [H, W, C]: the largest centered crop of that aspect, resized."""
    (height, width), (image_height, image_width, _) = image_size, image.shape
    crop_height = min(max(image_width * height // width, 1), image_height)
    crop_width = min(max(image_height * width // height, 1), image_width)
    top, left = (image_height - crop_height) // 2, (image_width - crop_width) // 2
    return resize(image[top : top + crop_height, left : left + crop_width], image_size)
