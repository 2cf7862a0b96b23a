"""The data set `celeb_a`: a folder of the official aligned JPEGs, or what TFDS has prepared of them."""

import pathlib
import re

from absl import logging

from pixelcnn_aux.data import cache, files, lazy
from pixelcnn_aux.data.images import from_arrays
from pixelcnn_aux.data.registry import register
from pixelcnn_aux.data.resizing import halve

_SIZE = (218, 178)  # of the official aligned images: (height, width)
_SIDES = tuple(128 // 2**k for k in range(8))  # the paper's crop, and its halvings
# The official partition, which TFDS has too. Nobody is in two splits.
_LAST_TRAIN, _LAST_VALIDATION = 162_770, 182_637  # numbers of files


@register("celeb_a", image_dir=True, cache_dir=True)
def celeb_a(split, image_size, data_dir, image_dir, cache_dir):
    """The images cropped to 128 x 128 as in the paper, and halved down to `image_size`."""
    sizes = [(side, side) for side in _SIDES]
    if image_size not in sizes:
        raise ValueError(
            f"Expected an image size of {', '.join(map(str, sizes))} for the data set 'celeb_a'. "
            f"Received: {image_size}. Choose a preset of such a size, or another data set."
        )

    def fit(image):
        if image.shape != (*_SIZE, 3):
            raise ValueError(
                f"Expected an image of {_SIZE}. Received: {image.shape[:2]}. "
                "Give the aligned and cropped images, img_align_celeba."
            )
        image = image[50:-40, 25:-25]
        while image.shape[0] > image_size[0]:
            image = halve(image)
        return image

    if image_dir is not None:
        height, width = _SIZE
        kind = f"of {width} x {height} pixels (width x height), named NNNNNN.jpg by their numbers"
        rule = f"train up to {_LAST_TRAIN}.jpg, validation up to {_LAST_VALIDATION}.jpg, then test"
        return files.load(
            "celeb_a", split, image_size, image_dir, cache_dir, fit, kind, split_of, rule
        )
    return _through_tfds(split, image_size, data_dir, cache_dir, fit)


def split_of(name):
    """The official split of a file of the archive, None for a file of another name than NNNNNN.jpg."""
    number = re.fullmatch(r"([0-9]{6})\.jpg", name)
    if not number:
        return None
    if int(number[1]) <= _LAST_TRAIN:
        return "train"
    return "validation" if int(number[1]) <= _LAST_VALIDATION else "test"


def _through_tfds(split, image_size, data_dir, cache_dir, fit):
    tfds = lazy.tfds()
    builder = tfds.builder("celeb_a", data_dir=data_dir)
    if not builder.is_prepared():
        raise FileNotFoundError(
            f"Expected a prepared CelebA in {builder.data_path}. Received: none, and its download "
            "is mostly over its quota. Give --image_dir, a folder of the official aligned JPEGs "
            "(img_align_celeba), or run tfds build celeb_a and give --data_dir where it is "
            "elsewhere, or do without: --dataset photos, --dataset folder."
        )
    folder, num_images = pathlib.Path(builder.data_path), builder.info.splits[split].num_examples
    source = {
        "dataset": "celeb_a",
        "folder": str(folder),
        "split": split,
        "image_size": list(image_size),
        "files": files.described(folder, sorted(path.name for path in folder.iterdir())),
    }

    def decode(write):
        decoders = {"image": tfds.decode.SkipDecoding()}  # `files.decode` is nearer to the original
        examples = lazy.examples(builder, split, decoders=decoders).as_numpy_iterator()
        contents = (example["image"] for example in examples)
        images = files.in_threads(lambda file: fit(files.decode(file)), contents)
        for done, image in enumerate(images, start=1):
            write(image)
            logging.log_every_n_seconds(
                logging.INFO, "Decoded %d of %d images of %s", 5, done, num_images, folder
            )
        return [], True

    pixels, _ = cache.load(cache_dir, source, decode)
    return from_arrays(pixels)
