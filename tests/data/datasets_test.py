"""Tests of the photographs, CIFAR-10 and CelebA: their splits, crops, and downloads that fail."""

import contextlib
import importlib.util
import io
import os
import pathlib
import shutil
from unittest import mock

import numpy as np
import requests
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging
from PIL import Image

from pixelcnn_aux import auxiliary, data
from pixelcnn_aux.data import celeb_a, decoding, photos, tfds as own_tfds
from tests import helpers
from tests.data.helpers import FilesTest, encoded, everything, noise, prepare


class PhotosTest(helpers.TestCase):
    def test_sizes(self):
        for split, count in (("train", 8832), ("validation", 120), ("test", 120)):
            images = data.load("photos", split)
            self.assertEqual((images.num_images, images.image_size), (count, (32, 32)))
        images = data.load("photos", "test", image_size=(16, 64))
        self.assertEqual(next(iter(images.batches(2))).shape, (2, 16, 64, 3))

    def test_scenes_are_held_out(self):
        files = [name for split in data.SPLITS for name in photos.PHOTOS[split]]
        self.assertLen(set(files), len(files))
        motorcycles = {name for name in files if name.startswith("motorcycle")}
        self.assertLen(motorcycles, 2)
        self.assertContainsSubset(motorcycles, photos.PHOTOS["train"])

    def photo(self, name):
        folder = importlib.util.find_spec("skimage").submodule_search_locations[0]
        return np.asarray(Image.open(f"{folder}/data/{name}").convert("RGB"))

    def test_crops_are_those_of_the_photographs(self):
        crops = everything(data.load("photos", "test").batches(64))
        self.assertLen(np.unique(crops.reshape(len(crops), -1), axis=0), len(crops))
        # The astronaut, 512 x 512, comes first in training: 29 rows of 29 crops, 8 pixels apart.
        half = self.photo("astronaut.png").reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
        crops = everything(data.load("photos", "train").batches(512, num_images=29**2))
        self.assertAllEqual(crops[4 * 29 + 3], np.round(half[32:64, 24:56]))

    def test_squares_are_the_middles_of_the_photographs(self):
        squares = photos.squares(32)
        self.assertEqual((squares.shape, squares.dtype), ((9, 32, 32, 3), np.uint8))
        means = self.photo("astronaut.png").reshape(32, 16, 32, 16, 3).mean(axis=(1, 3))
        self.assertAllEqual(squares[2], np.round(means))
        middle = self.photo("chelsea.png")[:, 75:375]  # of 300 x 451
        self.assertAllClose(np.mean(squares[0]), np.mean(middle), atol=0.5)


def prepare_cifar10(data_dir, num_train=1010, num_test=12):
    """The first bytes of image i encode i."""

    def examples(split, count):
        for i in np.random.default_rng(0).permutation(count):  # TFDS itself shuffles too
            image = np.zeros([32, 32, 3], np.uint8)
            image[0, 0, :2] = divmod(i, 256)
            yield {"id": f"{split}_{i:05}", "image": image, "label": i % 10}

    splits = {"train": examples("train", num_train), "test": examples("test", num_test)}
    prepare("cifar10", data_dir, splits)


class Cifar10Test(helpers.TestCase):
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
        message = f"{self.data_dir}.*no route.*tfds build cifar10.*"
        with (
            mock.patch.object(requests, "head", side_effect=failure),
            self.assertRaisesRegex(FileNotFoundError, message) as caught,
        ):
            self.numbers("train")
        self.assertIs(caught.exception.__cause__, failure)
        self.assertEmpty(list(self.parent.iterdir()))

    def test_beside_another_backend_tensorflow_leaves_it_the_gpus(self):
        for backend, calls in (("tensorflow", []), ("jax", [mock.call([], "GPU")])):
            with (
                mock.patch.object(tf.keras.backend, "backend", return_value=backend),
                mock.patch.object(tf.config, "set_visible_devices") as set_visible_devices,
            ):
                own_tfds.builder("cifar10", None)
            self.assertEqual(set_visible_devices.call_args_list, calls)

    def test_a_download(self):
        """TFDS prepares the data set and moves it into place as a whole."""
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


HALVED = auxiliary.HalfResolution()


class CelebATest(FilesTest):
    def load(self, split="train", size=128):
        return data.load("celeb_a", split, (size, size), image_dir=self.folder)

    def test_crop_and_halvings(self):
        pixels = noise(218, 178, 3)
        self.write("000001.jpg", encoded(pixels, "PNG"))  # which loses nothing, unlike JPEG
        expected = pixels[50:178, 25:153]
        for size in (128, 64, 32, 16, 8, 4, 2, 1):
            images = self.load(size=size)
            self.assertEqual((images.num_images, images.image_size), (1, (size, size)))
            self.assertAllEqual(everything(images.batches(1)), expected[None])
            expected = np.asarray(HALVED(expected[None]))[0] if size > 1 else None

    def test_the_official_partition(self):
        numbers = {"train": [1, 162770], "validation": [162771, 182637], "test": [182638, 202599]}
        for split, ends in numbers.items():
            found = {celeb_a.split_of(f"{number:06}.jpg") for number in ends}
            self.assertEqual(found, {split})
        for name in ("0000001.jpg", "000001.JPG", "000001.png", "1.jpg", "x000001.jpg"):
            self.assertIsNone(celeb_a.split_of(name))

    def test_files_of_another_size_are_named_and_left_out(self):
        good, other = encoded(noise(218, 178, 3), "JPEG"), encoded(noise(178, 218, 3), "JPEG")
        self.write("a/000001.jpg", other)
        message = r"178 x 218 pixels .*train up to 162770\.jpg.*1 train, .*, 1 left out"
        with self.assertRaisesRegex(ValueError, message):
            self.load()
        self.write("000003.jpg", good)
        with self.assertLogs(logging.get_absl_logger(), "WARNING") as logs:
            images = self.load()
        self.assertEqual(images.skipped, ("a/000001.jpg",))
        self.assertRegex(logs.output[0], r"1 of 2 .*178 x 218 .*\(178, 218\).*: 'a/000001.jpg'")
        self.assertAllEqual(images.pixels, decoding.decode(good)[None, 50:178, 25:153])

    def test_through_tfds(self):
        """Decoded once, and again after it is prepared again."""
        features = tfds.builder("celeb_a", data_dir=self.folder).info.features
        rest = {key: dict.fromkeys(features[key], 0) for key in features if key != "image"}
        counts = {"train": 5, "validation": 3, "test": 2}
        encodings = {
            split: [encoded(noise(218, 178, 3, seed=(count, i)), "JPEG") for i in range(count)]
            for split, count in counts.items()
        }
        splits = {
            split: [{"image": io.BytesIO(file), **rest} for file in files]
            for split, files in encodings.items()
        }
        prepare("celeb_a", self.folder, splits)
        again = mock.patch.object(decoding, "decode", side_effect=AssertionError("decoded again"))
        for split, files in encodings.items():
            whole = np.stack([decoding.decode(file) for file in files])
            expected = HALVED(whole[:, 50:178, 25:153])
            for context in (contextlib.nullcontext(), again):
                with context:
                    images = data.load("celeb_a", split, (64, 64), data_dir=self.folder)
                self.assertAllEqual(images.pixels, expected)
        for record in self.folder.rglob("*.tfrecord*"):
            os.utime(record)
        with again, self.assertRaisesRegex(AssertionError, "decoded again"):
            data.load("celeb_a", "test", (64, 64), data_dir=self.folder)

    def test_nothing_prepared_is_not_downloaded(self):
        with (
            mock.patch.object(tfds.core.DatasetBuilder, "download_and_prepare") as download,
            mock.patch.object(requests, "head") as head,
            self.assertRaisesRegex(
                FileNotFoundError, f"{self.folder}/x/celeb_a.*--image_dir.*tfds build celeb_a"
            ),
        ):
            data.load("celeb_a", "train", data_dir=self.folder / "x")
        download.assert_not_called()
        head.assert_not_called()
        self.assertEmpty(list(self.folder.iterdir()))
