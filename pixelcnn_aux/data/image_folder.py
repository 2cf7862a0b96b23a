"""Data set `folder`: all image files below a folder, cropped and resized, or whole."""

import hashlib
import os

import numpy as np

from pixelcnn_aux.base.arguments import PathLike, Size
from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.base.resizing import fit
from pixelcnn_aux.data import decoding, files
from pixelcnn_aux.data.registry import SHARES, SPLITS, register

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
    """Center crops or whole images; split by folders named after splits, or by file names."""
    expected = "a folder of images for the data set 'folder'"
    expect(image_dir is not None, expected, "none", "Give image_dir (--image_dir)")
    has_splits = all((image_dir / name).is_dir() for name in SPLITS)
    shares = {"validation_share": validation_share, "test_share": test_share}
    shares = {name: share for name, share in shares.items() if share is not None}
    expected = f"no shares of splits for {image_dir}, which has a folder for each split"
    expect(not (has_splits and shares), expected, shares, "Leave them out")
    validation, test = (100 * share for share in (SHARES | shares).values())
    expected = "validation_share and test_share below 1 in all, which leaves images to train on"
    expect(validation + test < 100, expected, shares, "Give lower ones")
    if has_splits:
        kind, image_dir = _WHOLE, image_dir / split
    else:
        kind = _BY_HASH.format(100 - validation - test, validation, test)

    def splits_of(names):
        return [split] * len(names) if has_splits else split_by_hash(names, validation, test)

    def fitted(image):
        return image if image_size is None else fit(image, image_size)

    options = {"channels": channels, "num_values": num_values, "labels": labels}
    options |= {"image_dir": image_dir, "cache_dir": cache_dir}
    return files.load("folder", split, image_size, fitted, splits_of, kind, **options)


def read_image(path: PathLike, image_size: Size | None = None) -> np.ndarray:
    """Reads a PNG, JPEG, TIFF or WebP file as uint8 [H, W, 3], cropped and resized as in data set `folder`.

    `image_size` is (H, W), or None for the whole image.

    Raises OSError for an unreadable file, and ValueError for one of another format, a damaged one, and one of
    more than `decoding.MAX_PIXELS` pixels, 8 bits per channel, or one picture.
    """
    expected = f"a whole {decoding.kinds()} file of at most {decoding.MAX_PIXELS:,} pixels"
    with restated(expected, f"{path}", "Give another file"):
        image = decoding.decode(decoding.contents(path))
    return image if image_size is None else fit(image, image_size)


def split_by_hash(names, validation, test):
    """Splits files by hashes of their names, independent of their folder; `validation` and `test` in percent.

    The lowest hashes are for test, the next ones for validation. So a file's name alone determines its split,
    unless that leaves a split of three files or more empty, which then takes the next hashes.
    """
    digests = (int(hashlib.sha256(os.fsencode(name)).hexdigest(), 16) for name in names)
    hashes = np.array([digest % 100 + digest / 2**256 for digest in digests])  # percentiles
    num_test = np.count_nonzero(hashes < test)
    num_held_out = np.count_nonzero(hashes < test + validation)
    if len(names) >= 3:
        num_test = min(max(num_test, 1), len(names) - 2)
        num_held_out = min(max(num_held_out, num_test + 1), len(names) - 1)
    order = np.argsort(hashes, kind="stable")
    splits = np.full(len(names), "train", object)
    splits[order[:num_held_out]] = "validation"
    splits[order[:num_test]] = "test"
    return splits.tolist()
