"""Data set `celeb_a`: a folder of the official aligned JPEGs, or the data set prepared by TFDS."""

import functools
import pathlib
import re

import numpy as np

from pixelcnn_aux.base import disk
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.data import cache, decoding, files, tfds
from pixelcnn_aux.data.images import Images
from pixelcnn_aux.data.registry import register

_OFFICIAL = (218, 178)  # (height, width) of the official aligned images
_SIZES = [(128 >> k, 128 >> k) for k in range(8)]  # the paper's crop, and its halvings
# The official partition, as in TFDS. No person is in two splits.
_LAST_TRAIN, _LAST_VALIDATION = 162_770, 182_637  # file numbers
_KIND = (
    "of 178 x 218 pixels (width x height), named NNNNNN.jpg by their numbers (train up to "
    f"{_LAST_TRAIN}.jpg, validation up to {_LAST_VALIDATION}.jpg, then test)"
)


@register("celeb_a")
def celeb_a(split, image_size, data_dir, image_dir, cache_dir):
    """Images cropped to 128 x 128 as in the paper, then halved down to `image_size` unless None."""
    image_size = image_size or _SIZES[0]
    expected = f"an image size of {', '.join(map(str, _SIZES))} for the data set 'celeb_a'"
    remedy = "Choose a preset of such a size, or another data set"
    expect(image_size in _SIZES, expected, image_size, remedy)

    def fit(image):
        remedy = "Give the aligned and cropped images, img_align_celeba"
        expect(image.shape == (*_OFFICIAL, 3), f"an image of {_OFFICIAL}", image.shape[:2], remedy)
        image = image[50:-40, 25:-25]
        while image.shape[0] > image_size[0]:
            image = halve(image)
        return image

    if image_dir is not None:
        splits_of = functools.partial(map, split_of)
        folders = {"image_dir": image_dir, "cache_dir": cache_dir}
        return files.load("celeb_a", split, image_size, fit, splits_of, _KIND, **folders)
    builder = tfds.builder("celeb_a", data_dir)
    expect(
        builder.is_prepared(),
        f"a prepared CelebA in {builder.data_path}",
        "none, and its download often exceeds its quota",
        "Give --image_dir, a folder of the official aligned JPEGs (img_align_celeba), or run tfds build "
        "celeb_a and give its --data_dir, or use another data set: --dataset photos, --dataset folder",
        kind=FileNotFoundError,
    )
    folder = pathlib.Path(builder.data_path)

    def decoded():
        with disk.explained(f"to read {folder}"):
            encoded = (x["image"] for x in tfds.examples(builder, split, decoded=False))
            count = builder.info.splits[split].num_examples
            with files.in_threads(lambda x: fit(decoding.decode(x)), encoded, count) as images:
                yield from ((None, image) for image in images)

    names = sorted(path.name for path in folder.iterdir())
    described = files.described_files(folder, names)
    pixels, *_ = cache.load(cache_dir, "celeb_a", folder, split, image_size, described, decoded)
    return Images(pixels)


def split_of(name):
    """Official split of a file; None for names other than NNNNNN.jpg."""
    number = re.fullmatch(r"([0-9]{6})\.jpg", name)
    if not number:
        return None
    if int(number[1]) <= _LAST_TRAIN:
        return "train"
    return "validation" if int(number[1]) <= _LAST_VALIDATION else "test"


def halve(images):
    """`auxiliary.HalfResolution` of uint8 [..., H, W, C] with even H and W."""
    rows = images[..., ::2, :, :].astype(np.uint16) + images[..., 1::2, :, :]
    return ((rows[..., ::2, :] + rows[..., 1::2, :] + 2) // 4).astype(np.uint8)
