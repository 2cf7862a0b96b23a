"""Data set `cifar10`, from TFDS."""

import numpy as np

from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.data import tfds
from pixelcnn_aux.data.images import Images
from pixelcnn_aux.data.registry import CLASS_NAMES, register

# Slices of the official training or test images: the last 1000 training images are for validation.
_PARTS = {"train": slice(-1000), "validation": slice(-1000, None), "test": slice(None)}
CLASS_NAMES["cifar10"] = "airplane automobile bird cat deer dog frog horse ship truck".split()


@register("cifar10")
def cifar10(split, image_size, data_dir):
    """All 32 x 32 images in the official order, with their classes. TFDS downloads them if needed."""
    expected = "an image size of (32, 32) for the data set 'cifar10'"
    remedy = "Choose a preset of that size, or another data set"
    expect(image_size in (None, (32, 32)), expected, image_size, remedy)
    builder = tfds.builder("cifar10", data_dir)
    if not builder.is_prepared():
        import requests  # with which TFDS downloads

        expected = f"a prepared CIFAR-10 in {builder.data_path}"
        remedy = (
            "Run tfds build cifar10 on a machine with a network and copy the folder here, give its "
            "--data_dir, or use another data set: --dataset photos, --dataset arrays"
        )
        # TFDS and the network may raise any exception.
        received, kind = "none, and its download failed", FileNotFoundError
        with restated(expected, received, remedy, Exception, kind=kind):
            for url in builder.url_infos:
                requests.head(url, timeout=10)  # without a network TFDS retries for minutes
            builder.download_and_prepare()
    official = "test" if split == "test" else "train"
    batches = list(tfds.examples(builder, official, batch_size=1000))
    keys = "id", "image", "label"
    names, images, labels = (np.concatenate([batch[key] for batch in batches]) for key in keys)
    # TFDS prepares shuffled files. Names are train_00000, train_00001, ...
    order = np.argsort(names)[_PARTS[split]]
    return Images(images[order], labels=labels[order])
