"""Shared helpers of the data set tests: image files and small TFDS data sets."""

import io
import itertools
import os
from unittest import mock

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from tests import helpers


def saved(picture, kind, **options):
    """A Pillow image as a file's bytes."""
    picture.save(file := io.BytesIO(), kind, **options)
    return file.getvalue()


def encoded(pixels, kind, mode="RGB", **options):
    """Pixels as an image file's bytes."""
    picture = Image.fromarray(pixels).convert(mode, palette=Image.Palette.ADAPTIVE)
    return saved(picture, kind, **options)


def flipped(contents, at):
    """A file with one bit flipped."""
    return contents[:at] + bytes([contents[at] ^ 1]) + contents[at + 1 :]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def everything(batches):
    return np.concatenate(list(batches))


def taken(batches, count):
    return np.stack(list(itertools.islice(batches, count)))


class FilesTest(helpers.TestCase):
    """Test case with a folder for image files and a cache folder."""

    def setUp(self):
        super().setUp()
        home = helpers.temporary_folder(self)
        self.enter_context(mock.patch.dict(os.environ, XDG_CACHE_HOME=str(home)))
        self.cache = home / "pixelcnn_aux"

    def write(self, name, contents):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
        return path


def prepare(name, data_dir, splits):
    """Writes a small TFDS data set: dict, split -> iterable of examples."""
    builder = tfds.builder(name, data_dir=data_dir)
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version=str(builder.version),
        data_dir=data_dir,
        features=builder.info.features,
        split_datasets={split: enumerate(examples) for split, examples in splits.items()},
        disable_shuffling=True,
    )
