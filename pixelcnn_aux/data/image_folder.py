"""The data set `folder`: all image files under a folder, cropped and resized, or as they are."""

import functools
import hashlib
import os

import numpy as np

from pixelcnn_aux.arguments import PathLike, Size
from pixelcnn_aux.data import decoding, files
from pixelcnn_aux.data.registry import SHARES, SPLITS, register
from pixelcnn_aux.errors import expect, restated

_WHOLE = f"of at most {decoding.MAX_PIXELS:,} pixels"
_BY_HASH = (
    f"{_WHOLE} (split by a hash of their names: {{:g}} % train, {{:g}} % validation, {{:g}} % test, of three "
    "files one each at least)"
)


@register("folder")
def folder(
    split,
    image_size,
    image_dir,
    cache_dir,
    channels,
    num_values,
    labels,
    validation_share,
    test_share,
):
    """Centers of images, or whole ones; split by folders of the splits' names, or by files' names."""
    expected = "a folder of images for the data set 'folder'"
    expect(image_dir is not None, expected, "none", "Give image_dir (--image_dir)")
    expected = "images of one channel or three, of image files"
    remedy = "Save them as arrays, for the data set 'arrays'"
    expect(channels in (1, 3), expected, f"{channels} channels", remedy)
    has_splits = all((image_dir / name).is_dir() for name in SPLITS)
    shares = {"validation_share": validation_share, "test_share": test_share}
    given = {name: share for name, share in shares.items() if share is not None}
    expected = f"no shares of splits for {image_dir}, which has a folder for each split"
    expect(not (has_splits and given), expected, given, "Leave them out")
    validation, test = (100 * share for share in (SHARES | given).values())
    expected = "validation_share and test_share below 1 in all, which leaves images to train on"
    expect(validation + test < 100, expected, given, "Give lower ones")
    by_hash = functools.partial(split_by_hash, validation=validation, test=test)
    return files.load(
        "folder",
        split,
        image_size,
        image_dir=image_dir / split if has_splits else image_dir,
        cache_dir=cache_dir,
        fit=lambda image: image if image_size is None else fit(image, image_size),
        splits_of=(lambda names: [split] * len(names)) if has_splits else by_hash,
        kind=_WHOLE if has_splits else _BY_HASH.format(100 - validation - test, validation, test),
        channels=channels,
        num_values=num_values,
        labels=labels,
    )


def read_image(path: PathLike, image_size: Size | None = None) -> np.ndarray:
    """uint8 [H, W, 3] of a PNG, JPEG, TIFF or WebP file, cropped and resized as in the data set `folder`.

    `image_size` is (H, W); None for all of the image, as it is.

    Raises OSError for a file that cannot be read, and ValueError for one that is no such file, damaged, or of
    more than `decoding.MAX_PIXELS` pixels, 8 bits a channel or one picture.
    """
    expected = f"a whole {decoding.KINDS} file of at most {decoding.MAX_PIXELS:,} pixels"
    with restated(expected, f"{path}", "Give another file"):
        image = decoding.decode(decoding.contents(path))
    return image if image_size is None else fit(image, image_size)


def split_by_hash(names, validation, test):
    """The splits of files by hashes of their names, wherever their folder lies; two splits in percent.

    The lowest hashes are for test, and the next ones for validation. So each file has a split by its name
    alone, unless that leaves a split of three files or more empty: it then takes those of the next hashes.
    """
    digests = (int(hashlib.sha256(os.fsencode(name)).hexdigest(), 16) for name in names)
    hashes = np.array([digest % 100 + digest / 2**256 for digest in digests])  # percentiles
    num_test, others = (np.count_nonzero(hashes < most) for most in (test, test + validation))
    if len(names) >= 3:
        num_test = min(max(num_test, 1), len(names) - 2)
        others = min(max(others, num_test + 1), len(names) - 1)
    splits, order = np.full(len(names), "train", object), np.argsort(hashes, kind="stable")
    splits[order[:others]] = "validation"
    splits[order[:num_test]] = "test"
    return splits.tolist()


def fit(image, image_size):
    """[h, w, C] -> [H, W, C]: the largest centered crop of that aspect, resized."""
    (height, width), (image_height, image_width, _) = image_size, image.shape
    crop_height = min(max(image_width * height // width, 1), image_height)
    crop_width = min(max(image_height * width // height, 1), image_width)
    top, left = (image_height - crop_height) // 2, (image_width - crop_width) // 2
    return resize(image[top : top + crop_height, left : left + crop_width], image_size)


def resize(image, image_size):
    """[h, w, C] -> [H, W, C] of its dtype: every pixel is the mean of the area that it covers.

    It equals `tf.image.resize(image, image_size, "area")` bit for bit: the same sums in float32, in order.
    """
    rows, row_weights, height = _covered(image.shape[0], image_size[0])
    columns, column_weights, width = _covered(image.shape[1], image_size[1])
    sums = sum(
        image[:, column].astype(np.float32) * weight[:, np.newaxis]
        for column, weight in zip(columns, column_weights)
    )
    sums = sum(sums[row] * weight[:, None, None] for row, weight in zip(rows, row_weights))
    return np.rint(sums * np.float32(1.0 / float(height * width))).astype(image.dtype)


def _covered(length, size):
    """The cells of an axis that each of `size` covers, how much, and its length: [K, size], [K, size], []."""
    scale = np.float32(length) / np.float32(size)
    edges = np.arange(size + 1, dtype=np.float32) * scale
    low, high = edges[:-1], edges[1:]
    first, end = np.floor(low).astype(int), np.ceil(high).astype(int)
    cells = first + np.arange(np.max(end - first))[:, np.newaxis]
    left, right = cells.astype(np.float32), (cells + 1).astype(np.float32)
    weights = np.minimum(right, high) - np.maximum(left, low)
    weights = np.where((left < low) & (right > high), scale, weights)  # the difference is rounded
    weights = np.where(cells < end, weights, np.float32(0.0))
    return np.minimum(cells, length - 1), weights, scale
