"""Tests of which images the evaluation programs take, and how many at once."""

import types
from unittest import mock

import numpy as np
import tensorflow as tf

from evaluate import common, samples
from pixelcnn_aux import data
from tests import helpers


class BatchSizeTest(tf.test.TestCase):
    def test_a_batch_has_so_many_pixels(self):
        for size, expected in (
            ((32, 32), 100),
            ((64, 64), 25),
            ((16, 32), 200),
            ((128, 128), 6),
            ((1024, 1024), 1),
        ):
            self.assertEqual(common.batch_size(size), expected)


class TestImagesTest(tf.test.TestCase):
    def test_they_are_spread_over_the_split_and_no_others_are_read(self):
        pixels, read = helpers.pictures(50), []

        class Counting(np.ndarray):
            def __getitem__(self, indices):
                read.extend(indices)
                return np.asarray(self)[indices]

        images = data.Images(pixels.view(Counting))
        for num, expected in ((4, [0, 12, 24, 36]), (16, range(0, 48, 3)), (99, range(50))):
            read.clear()
            with (
                mock.patch.object(common, "images", return_value=images),
                mock.patch.object(samples, "FLAGS", types.SimpleNamespace(num=num)),
            ):
                found = samples.test_images("folder", "model")
            self.assertAllEqual(found, pixels[list(expected)])
            self.assertCountEqual(read, expected)


if __name__ == "__main__":
    tf.test.main()
