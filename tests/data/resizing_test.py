"""Tests of resizing in NumPy: the pixels are those of TensorFlow's and of the transform's."""

import numpy as np
import tensorflow as tf

from pixelcnn_aux import auxiliary
from pixelcnn_aux.data import resizing
from tests.data.helpers import noise


class ResizeTest(tf.test.TestCase):
    def test_pixels_are_tensorflows(self):
        random = np.random.default_rng(0)
        sizes = [(1, 1, 5, 3), (7, 9, 7, 9), (64, 48, 32, 24), (218, 178, 64, 64)]
        sizes += random.integers(1, 120, (40, 4)).tolist()
        for height, width, *size in sizes:
            image = noise(height, width, 3, seed=height)
            expected = tf.round(tf.image.resize(image, size, "area"))
            received = resizing.resize(image, size)
            self.assertEqual(received.dtype, np.uint8)
            self.assertAllEqual(received, expected, f"{height} x {width} to {size}")


class HalveTest(tf.test.TestCase):
    def test_pixels_are_the_transforms(self):
        images = noise(3, 8, 10, 3)
        images[0] = 255  # sums beyond a byte
        halves = resizing.halve(images)
        self.assertEqual(halves.dtype, np.uint8)
        self.assertAllEqual(halves, auxiliary.HalfResolution()(images))
