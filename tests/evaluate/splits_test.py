"""Tests of means over a split."""

import math

import numpy as np
import tensorflow as tf

from evaluate import splits
from tests import helpers


class BitsPerDimTest(tf.test.TestCase):
    def test_every_image_counts_once_in_a_ragged_last_batch_too(self):
        model, images = helpers.shared_model(), helpers.pictures(5)
        done = []
        batches = [images[:2], images[2:4], images[4:]]
        found = splits.bound_and_exact(model, batches, done.append)
        for bits, of_kind in zip(found, (model, model.with_exact(True))):
            nats = of_kind.log_prob(images).numpy()
            expected = -nats / (math.prod(helpers.SIZE) * 3 * math.log(2))
            self.assertAllClose(bits["total"], expected, rtol=1e-5)
            self.assertEqual(list(bits), ["grayscale", "image", "total"])
        self.assertEqual(done, [2, 4, 5])

    def test_a_factor_that_is_not_trained(self):
        model = helpers.tiny_model()
        model.untrained = ("image",)
        with self.assertRaisesRegex(ValueError, "'image' not trained yet"):
            splits.bound_and_exact(model, [helpers.pictures(2)])

    def test_summary_by_hand(self):
        total = np.array([1.0, 2.0, 6.0])
        summary = splits.summarize({"grayscale": total / 4, "image": total * 3 / 4, "total": total})
        self.assertAllClose(summary["factors"], {"grayscale": 0.75, "image": 2.25})
        self.assertAllClose(summary["total"], 3.0)
        self.assertAllClose(summary["std_error"], math.sqrt(7.0) / math.sqrt(3.0))
        self.assertIsNone(splits.summarize({"image": total[:1], "total": total[:1]})["std_error"])


if __name__ == "__main__":
    tf.test.main()
