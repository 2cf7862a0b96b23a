"""Tests of CelebA: the official partition, the crop, and both places that it may be in."""

import contextlib
import io
import os
from unittest import mock

import numpy as np
import requests
import tensorflow_datasets as tfds
from absl import logging

from pixelcnn_aux import auxiliary, data
from pixelcnn_aux.data import celeb_a, decoding
from tests.data.helpers import FilesTest, encoded, everything, noise, prepare

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
        for split, named in numbers.items():
            for number in named:
                self.assertEqual(celeb_a.split_of(f"{number:06}.jpg"), split)
        for name in ("0000001.jpg", "000001.JPG", "000001.png", "1.jpg", "x000001.jpg"):
            self.assertIsNone(celeb_a.split_of(name))

    def test_files_of_another_size_are_named_and_left_out(self):
        good, other = encoded(noise(218, 178, 3), "JPEG"), encoded(noise(178, 218, 3), "JPEG")
        self.write("a/000001.jpg", other)
        message = r"178 x 218 pixels .*train up to 162770\.jpg.*1 train, .*, 1 left out"
        with self.assertRaisesRegex(ValueError, message):
            self.load()
        self.write("000002.jpg", good[:-200])
        self.write("000003.jpg", good)
        with self.assertLogs(logging.get_absl_logger(), "WARNING") as logs:
            images = self.load()
        self.assertEqual(images.skipped, ("000002.jpg", "a/000001.jpg"))
        self.assertRegex(
            logs.output[0], "2 of 3 .*178 x 218 .*: '000002.jpg'; .*(178, 218).*: 'a/000001.jpg'"
        )
        expected = decoding.decode(good)[None, 50:178, 25:153]
        self.assertAllEqual(everything(images.batches(2)), expected)

    def test_through_tfds(self):
        """Decoded once, and again where it is prepared again."""
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
