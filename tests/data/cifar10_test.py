"""Tests of CIFAR-10: its order, and downloads that fail."""

import pathlib
import shutil
from unittest import mock

import numpy as np
import requests
import tensorflow as tf
import tensorflow_datasets as tfds

from pixelcnn_aux import data
from tests import helpers
from tests.data.helpers import everything, prepare


def prepare_cifar10(data_dir, num_train=1010, num_test=12):
    """Image i starts with the bytes of i."""

    def examples(split, count):
        for i in np.random.default_rng(0).permutation(count):  # TFDS itself shuffles too
            image = np.zeros([32, 32, 3], np.uint8)
            image[0, 0, :2] = divmod(i, 256)
            yield {"id": f"{split}_{i:05}", "image": image, "label": i % 10}

    splits = {"train": examples("train", num_train), "test": examples("test", num_test)}
    prepare("cifar10", data_dir, splits)


class Cifar10Test(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.parent = helpers.temporary_folder(self)
        self.data_dir = self.parent / "not" / "there"

    def numbers(self, split):
        images = data.load("cifar10", split, data_dir=str(self.data_dir))
        pixels = everything(images.batches(500)).astype(int)
        self.assertEqual(pixels.shape, (images.num_images, 32, 32, 3))
        numbers = pixels[:, 0, 0, 0] * 256 + pixels[:, 0, 0, 1]
        self.assertAllEqual(images.labels, numbers % 10)
        return numbers

    def test_splits_in_the_official_order(self):
        prepare_cifar10(self.data_dir)
        with mock.patch.object(requests, "head", side_effect=AssertionError("no need to ask")):
            self.assertAllEqual(self.numbers("train"), np.arange(10))
            self.assertAllEqual(self.numbers("validation"), np.arange(10, 1010))
            self.assertAllEqual(self.numbers("test"), np.arange(12))

    def test_no_network(self):
        failure = requests.ConnectionError("no route")
        with (
            mock.patch.object(requests, "head", side_effect=failure),
            self.assertRaises(FileNotFoundError) as caught,
        ):
            self.numbers("train")
        for part in (str(self.data_dir), "no route", "tfds build cifar10", "--data_dir", "photos"):
            self.assertIn(part, str(caught.exception))
        self.assertIs(caught.exception.__cause__, failure)
        self.assertEmpty(list(self.parent.iterdir()))

    def test_a_download(self):
        """Prepared by TFDS, which puts it in its place as a whole."""
        elsewhere = self.parent / "elsewhere"
        prepare_cifar10(elsewhere)

        def download(builder):
            shutil.copytree(elsewhere / "cifar10", pathlib.Path(builder.data_path).parent)
            builder.info.read_from_directory(builder.data_path)

        head = mock.patch.object(requests, "head")
        builder, lost = tfds.core.DatasetBuilder, OSError("connection lost")
        with head, mock.patch.object(builder, "download_and_prepare", side_effect=lost):
            with self.assertRaisesRegex(FileNotFoundError, "connection lost"):
                self.numbers("train")
        with head, mock.patch.object(builder, "download_and_prepare", download):
            self.assertAllEqual(self.numbers("test"), np.arange(12))
        self.assertAllEqual(self.numbers("train"), np.arange(10))  # from the disk
