"""The data set `celeb_a`: a folder of the official aligned JPEGs, or those that TFDS has prepared."""

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
# The official partition, which TFDS has too. Nobody is in two splits.
_LAST_TRAIN, _LAST_VALIDATION = 162_770, 182_637  # numbers of files
_KIND = (
    "of 178 x 218 pixels (width x height), named NNNNNN.jpg by their numbers (train up to "
    f"{_LAST_TRAIN}.jpg, validation up to {_LAST_VALIDATION}.jpg, then test)"
)


@register("celeb_a")
def celeb_a(split, image_size, data_dir, image_dir, cache_dir):
    """The images cropped to 128 x 128 as in the paper, and halved down to `image_size`, if that is given."""
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
        how = {"fit": fit, "kind": _KIND, "image_dir": image_dir, "cache_dir": cache_dir}
        splits_of = functools.partial(map, split_of)
        return files.load("celeb_a", split, image_size, splits_of=splits_of, **how)
    builder = tfds.builder("celeb_a", data_dir)
    expect(
        builder.is_prepared(),
        f"a prepared CelebA in {builder.data_path}",
        "none, and its download is mostly over its quota",
        "Give --image_dir, a folder of the official aligned JPEGs (img_align_celeba), or run tfds build "
        "celeb_a and give --data_dir where it is elsewhere, or do without: --dataset photos, --dataset "
        "folder",
        kind=FileNotFoundError,
    )
    folder = pathlib.Path(builder.data_path)

    def decoded():
        with disk.explained(f"to read {folder}"):
            encoded = (x["image"] for x in tfds.examples(builder, split, decoded=False))
            count = builder.info.splits[split].num_examples
            with files.in_threads(lambda x: fit(decoding.decode(x)), encoded, count) as images:
                yield from ((None, image) for image in images)

    described = files.described_files(folder, sorted(path.name for path in folder.iterdir()))
    how = {"dataset": "celeb_a", "folder": folder, "split": split, "image_size": image_size}
    pixels, _ = cache.load(cache_dir, files=described, decoded=decoded, **how)
    return Images(pixels)


def split_of(name):
    """The official split of a file of the archive, None for a file of another name than NNNNNN.jpg."""
    number = re.fullmatch(r"([0-9]{6})\.jpg", name)
    if not number:
        return None
    if int(number[1]) <= _LAST_TRAIN:
        return "train"
    return "validation" if int(number[1]) <= _LAST_VALIDATION else "test"


def halve(images):
    """As `auxiliary.HalfResolution`, of uint8 [..., H, W, C] with H and W even."""
    rows = images[..., ::2, :, :].astype(np.uint16) + images[..., 1::2, :, :]
    return ((rows[..., ::2, :] + rows[..., 1::2, :] + 2) // 4).astype(np.uint8)
