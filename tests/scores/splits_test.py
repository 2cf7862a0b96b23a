"""Tests of means over a split."""

import math

import numpy as np

from pixelcnn_aux.scores import splits
from tests import helpers


class BitsPerDimTest(helpers.TestCase):
    def test_every_image_counts_once_even_in_a_ragged_last_batch(self):
        model, images = helpers.shared_model(), helpers.pictures(5)
        batches = [images[:2], images[2:4], images[4:]]
        found = splits.summary(splits.bits(model, batches))
        for kind, as_trained in (("bound", model), ("exact", model.with_exact(True))):
            nats = as_trained.log_prob(images)
            bits = -nats / (math.prod(helpers.SIZE) * 3 * math.log(2))
            expected = np.mean(bits), np.std(bits, ddof=1) / math.sqrt(5)
            summary = found[kind]["total"], found[kind]["std_error"]
            self.assertAllClose(summary, expected, rtol=1e-5)
            factors = found[kind]["factors"]
            self.assertEqual(list(factors), ["grayscale", "image"])
            self.assertAllClose(sum(factors.values()), found[kind]["total"])

    def test_one_image_has_no_standard_error(self):
        one = splits.summary(splits.bits(helpers.shared_model(), [helpers.pictures(1)]))
        self.assertIsNone(one["bound"]["std_error"])
