"""Tests of where in an image its bits are."""

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux import scores
from tests import helpers


class PixelsTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(helpers.eagerly())

    def test_they_add_up_to_scores(self):
        model, images = helpers.shared_model(), helpers.pictures(2)
        expected = scores.bits(model, images)
        for index, image in enumerate(images):
            found = scores.pixel_bits(model, image)
            self.assertEqual(list(found), list(model.factors))
            for name, (bits, entropy) in found.items():
                self.assertEqual((bits.shape, bits.dtype), (helpers.SIZE, np.float64))
                score = expected["bits"][name][index]
                self.assertAllClose(bits.sum() / image.size, score, rtol=1e-5)
                score = expected["bits_less_entropy"][name][index]
                self.assertAllClose((bits - entropy).sum() / image.size, score, atol=1e-5)

    def test_conditions(self):
        model, [image] = helpers.tiny_model(condition=pa.conditions.Classes(3)), helpers.pictures(1)
        list(map(helpers.randomize, model.factors.values()))
        for condition, same in (([-1], True), ([2], False)):
            found = scores.pixel_bits(model, image, np.array(condition))["image"].bits
            unknown = scores.pixel_bits(model, image)["image"].bits
            self.assertEqual(np.allclose(found, unknown), same)

    def test_wrong_images_are_refused(self):
        with self.assertRaisesRegex(ValueError, "Expected images .*Received"):
            scores.pixel_bits(helpers.shared_model(), helpers.pictures(2))
