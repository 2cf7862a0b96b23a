"""Tests of means over a split."""

import math
from unittest import mock

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.scores import splits
from tests import helpers


class BitsPerDimTest(tf.test.TestCase):
    def test_every_image_counts_once_in_a_ragged_last_batch_too(self):
        model, images = helpers.shared_model(), helpers.pictures(5)
        done = []
        batches = [images[:2], images[2:4], images[4:]]
        found = splits.summarize(model, batches, progress=done.append)
        for kind, as_trained in (("bound", model), ("exact", model.with_exact(True))):
            nats = as_trained.log_prob(images).numpy()
            bits = -nats / (math.prod(helpers.SIZE) * 3 * math.log(2))
            expected = np.mean(bits), np.std(bits, ddof=1) / math.sqrt(5)
            summary = found[kind]["total"], found[kind]["std_error"]
            self.assertAllClose(summary, expected, rtol=1e-5)
            self.assertEqual(list(found[kind]["factors"]), ["grayscale", "image"])
        self.assertEqual(done, [2, 4, 5])

    def test_summary_by_hand(self):
        model, total = helpers.tiny_model(), np.array([1.0, 2.0, 6.0])
        bits = {"grayscale": total / 4, "image": total * 3 / 4, "total": total}
        with mock.patch.object(pa.AuxiliaryModel, "bound_and_exact", return_value=(bits, bits)):
            summary = splits.summarize(model, [helpers.pictures(3)])["bound"]
        self.assertAllClose(summary["factors"], {"grayscale": 0.75, "image": 2.25})
        self.assertAllClose(summary["total"], 3.0)
        self.assertAllClose(summary["std_error"], math.sqrt(7.0) / math.sqrt(3.0))
        with helpers.eagerly():
            one = splits.summarize(model, [helpers.pictures(1)])
        self.assertIsNone(one["bound"]["std_error"])
        model.untrained = ("image",)
        with self.assertRaisesRegex(ValueError, "'image' not trained yet"):
            splits.summarize(model, [helpers.pictures(2)])
