"""The data set `celeb_a`: a folder of the official aligned JPEGs, or what TFDS has prepared of them."""

import re

import tensorflow as tf

from pixelcnn_aux import auxiliary
from pixelcnn_aux.data import files, prepared
from pixelcnn_aux.data.pipeline import Images, fits_in_memory, from_arrays
from pixelcnn_aux.data.registry import register

_SIZE = (218, 178)  # of the official aligned images: (height, width)
_SIDES = tuple(128 // 2**k for k in range(8))  # the paper's crop, and its halvings
# The official partition, which TFDS has too. Nobody is in two splits.
_LAST_TRAIN, _LAST_VALIDATION = 162_770, 182_637  # numbers of files


@register("celeb_a", image_dir=True)
def celeb_a(split, image_size, data_dir, image_dir):
    """The images cropped to 128 x 128 as in the paper, and halved down to `image_size`."""
    sizes = [(side, side) for side in _SIDES]
    if image_size not in sizes:
        raise ValueError(
            f"Expected an image size of {', '.join(map(str, sizes))} for the data set 'celeb_a'. "
            f"Received: {image_size}. Choose a preset of such a size, or another data set."
        )

    def fit(image):
        images = tf.ensure_shape(image, [*_SIZE, 3])[None, 50:-40, 25:-25]
        while images.shape[1] > image_size[0]:
            images = auxiliary.HalfResolution()(images)
        return images[0]

    if image_dir is not None:
        height, width = _SIZE
        kind = f"of {width} x {height} pixels (width x height), named NNNNNN.jpg by their numbers"
        rule = f"train up to {_LAST_TRAIN}.jpg, validation up to {_LAST_VALIDATION}.jpg, then test"
        return files.load(split, image_size, image_dir, fit, kind, split_of, rule)
    return _through_tfds(split, image_size, data_dir, fit)


def split_of(name):
    """The official split of a file of the archive, None for a file of another name than NNNNNN.jpg."""
    number = re.fullmatch(r"([0-9]{6})\.jpg", name)
    if not number:
        return None
    if int(number[1]) <= _LAST_TRAIN:
        return "train"
    return "validation" if int(number[1]) <= _LAST_VALIDATION else "test"


def _through_tfds(split, image_size, data_dir, fit):
    import tensorflow_datasets as tfds

    builder = tfds.builder("celeb_a", data_dir=data_dir)
    if not builder.is_prepared():
        raise FileNotFoundError(
            f"Expected a prepared CelebA in {builder.data_path}. Received: none, and its download "
            "is mostly over its quota. Give --image_dir, a folder of the official aligned JPEGs "
            "(img_align_celeba), or run tfds build celeb_a and give --data_dir where it is "
            "elsewhere, or do without: --dataset photos, --dataset folder."
        )
    decoders = {"image": tfds.decode.SkipDecoding()}  # `files.decode` is nearer to the original
    examples = prepared.examples(builder, split, decoders=decoders)
    contents = examples.map(lambda example: example["image"])
    num_images = builder.info.splits[split].num_examples
    if fits_in_memory(num_images, image_size):
        images = contents.map(lambda file: fit(files.decode(file)), tf.data.AUTOTUNE)
        return from_arrays(images.batch(num_images).get_single_element())
    with tf.device("CPU"):
        contents = contents.batch(num_images).get_single_element()  # 1.4 GB at every image size
    return Images(num_images, image_size, lambda index: fit(files.decode(contents[index])))
