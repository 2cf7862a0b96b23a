"""The data set `cifar10`, through TFDS, which downloads it where it is not there yet."""

import os
import pathlib
import tempfile

import numpy as np

from pixelcnn_aux.data import lazy
from pixelcnn_aux.data.images import Images
from pixelcnn_aux.data.registry import register

# Of the official training images, or the test images. Validation is the last 1000 of the former.
_PARTS = {"train": slice(-1000), "validation": slice(-1000, None), "test": slice(None)}


@register("cifar10")
def cifar10(split, image_size, data_dir, image_dir):
    """All 32 x 32 images, in the official order."""
    del image_dir
    if image_size != (32, 32):
        raise ValueError(
            "Expected an image size of (32, 32) for the data set 'cifar10'. Received: "
            f"{image_size}. Choose a preset of that size, or another data set."
        )
    official = "test" if split == "test" else "train"
    batches = list(lazy.examples(_prepare(data_dir), official, batch_size=1000).as_numpy_iterator())
    names, images = (np.concatenate([batch[key] for batch in batches]) for key in ("id", "image"))
    # TFDS shuffles as it prepares. Names are train_00000, train_00001, ...
    return Images(images[np.argsort(names)[_PARTS[split]]])


def _prepare(data_dir):
    """TFDS's builder of a CIFAR-10 that is there, after a download if need be."""
    tfds = lazy.tfds()
    builder = tfds.builder("cifar10", data_dir=data_dir)
    if builder.is_prepared():
        return builder
    import requests  # what TFDS downloads with

    target = pathlib.Path(builder.data_path)
    try:
        for url in builder.url_infos:
            requests.head(url, timeout=10)  # with no network TFDS itself retries for minutes
        # Prepared beside its place and moved there whole: a failure leaves nothing behind.
        beside = next(folder for folder in target.parents if folder.is_dir())
        with tempfile.TemporaryDirectory(dir=beside) as temporary:
            download = tfds.builder("cifar10", data_dir=temporary)
            download.download_and_prepare()
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(download.data_path, target)
    except Exception as error:  # whatever TFDS and the network come up with
        prepared_beside = tfds.builder("cifar10", data_dir=data_dir)
        if prepared_beside.is_prepared():  # by another process, which was faster
            return prepared_beside
        raise FileNotFoundError(
            f"Expected a prepared CIFAR-10 in {target}. Received: none, and its download failed "
            f"({type(error).__name__}: {error}). Run tfds build cifar10 on a machine with a network "
            "and copy the folder here, give --data_dir where it is elsewhere, or do without: "
            "--dataset photos, --dataset arrays."
        ) from error
    return tfds.builder("cifar10", data_dir=data_dir)
