"""Tests of the auxiliary transforms: values worked out by hand, and what is refused."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import pixelcnn_aux as pa
from tests import helpers


def gray(*rgb, bits=4):
    pixel = np.array(rgb, np.uint8).reshape(1, 1, 1, 3)
    return int(pa.auxiliary.Grayscale(bits)(pixel)[0, 0, 0, 0])


class Red(pa.auxiliary.Transform):
    channels = 1

    def __call__(self, images):
        return images[..., :1]


class RGBTo8Bit(Red):
    ratio = 2


class TransformTest(helpers.TestCase):
    """Defaults of a subclass."""

    def test_its_name_is_that_of_its_class_or_its_own(self):
        class Levels(Red):
            def __init__(self, levels):
                self.name = f"levels_{levels}"

        named = (Red(), RGBTo8Bit(), pa.auxiliary.HalfResolution(), Levels(3))
        names = ["red", "rgbto8_bit", "half_resolution", "levels_3"]
        self.assertEqual([transform.name for transform in named], names)

    @parameterized.parameters(1, 2, 4)
    def test_size_and_known_follow_from_the_ratio(self, ratio):
        transform = type("Altered", (Red,), {"ratio": ratio})()
        self.assertEqual(transform.size((8, 12)), (8 // ratio, 12 // ratio))
        masks = np.random.default_rng(0).random((5, 8, 12, 1)) < 0.9
        known = transform.known(masks.astype(np.uint8))
        self.assertEqual(known.dtype, tf.uint8)
        places = [masks[:, i::ratio, j::ratio] for i, j in np.ndindex(ratio, ratio)]
        expected = np.all(places, axis=0)
        self.assertAllEqual(known, expected)
        self.assertBetween(expected.mean(), 0.05, 0.95)
        if ratio > 1:
            with self.assertRaisesRegex(ValueError, f"multiples of {ratio}.*Received: 8 x 13"):
                transform.size((8, 13))


class GrayscaleTest(helpers.TestCase):
    def test_luma_and_quantization_by_hand(self):
        for rgb, expected in (
            ((255, 0, 0), 4),  # 76.245 // 16
            ((0, 255, 0), 9),  # 149.685 // 16
            ((0, 0, 255), 1),  # 29.07 // 16
            ((200, 100, 50), 7),  # 124.2 // 16
            ((0, 9, 94), 0),  # 15.999: rounding to the nearest gives 16
            ((9, 225, 81), 9),  # exactly 144: float32 gives a little less
        ):
            self.assertEqual(gray(*rgb), expected, rgb)

    def test_any_number_of_bits_from_1_to_8(self):
        images = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 3), dtype=np.uint8)
        luma = images.astype(int) @ [299, 587, 114] // 1000
        for bits in range(1, 9):
            transform = pa.auxiliary.Grayscale(bits)
            self.assertEqual(transform.num_values, 2**bits)
            self.assertAllEqual(transform(images), luma[..., np.newaxis] >> (8 - bits))
            self.assertEqual(gray(255, 255, 255, bits=bits), 2**bits - 1)
        self.assertEqual(transform(images).dtype, tf.uint8)

    def test_other_inputs_are_refused(self):
        for dtype, shape, message in (
            (np.float32, [2, 4, 4, 3], r"uint8.*Received: float32 \[2, 4, 4, 3\]"),
            (np.uint8, [4, 4, 3], r"\[B, H, W, 3\].*Received: uint8 \[4, 4, 3\]"),
            (np.uint8, [2, 4, 4, 1], r"3 channels.*Received: shape \[2, 4, 4, 1\]"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                pa.auxiliary.Grayscale()(np.zeros(shape, dtype))


class HalfResolutionTest(helpers.TestCase):
    def test_means_of_blocks_by_hand(self):
        # The sums of the blocks are 10, 9, 1 and 1020, with quarters 2.5, 2.25, 0.25 and 255.
        rows = [[1, 2, 0, 9], [3, 4, 0, 0], [0, 1, 255, 255], [0, 0, 255, 255]]
        image = np.array(rows, np.uint8).reshape(1, 4, 4, 1)
        halved = pa.auxiliary.HalfResolution()(image)
        self.assertEqual(halved.dtype, tf.uint8)
        self.assertAllEqual(halved[0, ..., 0], [[3, 2], [0, 255]])  # halves go up
        images = helpers.pictures(2, size=(6, 4))
        corners = [images[:, i::2, j::2].astype(int) for i in (0, 1) for j in (0, 1)]
        self.assertAllEqual(pa.auxiliary.HalfResolution()(images), (sum(corners) + 2) // 4)

    def test_odd_sides_repeat_the_last_row_and_column(self):
        transform = pa.auxiliary.HalfResolution()
        images = helpers.pictures(2, size=(5, 7))
        repeated = np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="edge")
        self.assertAllEqual(transform(images), transform(repeated))
        self.assertEqual((transform.size((5, 7)), transform.size((6, 4))), ((3, 4), (3, 2)))
        known = [transform.known(x[..., :1] % 2) for x in (images, repeated)]
        self.assertAllEqual(*known)

        halve = tf.function(transform, autograph=False)
        with self.assertRaisesRegex(ValueError, "known.*Received: None x 4. Set them by tf.ensure"):
            halve.get_concrete_function(tf.TensorSpec([None, None, 4, 3], tf.uint8))
