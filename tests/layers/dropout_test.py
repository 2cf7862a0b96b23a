"""Tests of dropout."""

import numpy as np
import tensorflow as tf

from pixelcnn_aux import backend, layers


class DropoutTest(tf.test.TestCase):
    def masked(self, rate, shape=(64, 33, 35)):
        """(A layer, its output of ones.)"""
        layer = layers.Dropout(rate)
        return layer, layer(tf.ones(shape), seed=layer.seed(training=True)).numpy()

    def test_rate_and_mean(self):
        self.assertEqual(layers.Dropout(0.1).get_config()["rate"], 26 / 256)  # the nearest of 256
        for rate in (0.5, 0.25, 10 / 256):
            layer, y = self.masked(rate)
            self.assertEqual(layer.rate, rate)
            kept = y > 0
            self.assertAllClose(np.unique(y), [0.0, 1.0 / (1.0 - rate)], rtol=1e-6)
            # Five standard deviations of a share of so many.
            self.assertAllClose(kept.mean(), 1.0 - rate, atol=5 * 0.5 / np.sqrt(y.size))
            self.assertAllClose(y.mean(), 1.0, atol=0.02)

    def test_elements_are_independent(self):
        _, y = self.masked(0.5)
        flat = (y > 0).ravel()
        for distance in (1, 2, 3, 4, 35, 33 * 35):
            agreeing = np.mean(flat[distance:] == flat[:-distance])
            self.assertAllClose(agreeing, 0.5, atol=5 * 0.5 / np.sqrt(flat.size))

    def test_a_seed_gives_one_mask_and_the_next_another(self):
        layer = layers.Dropout(0.5)
        x = tf.ones([1000])
        seeds = [layer.seed(training=True) for _ in "ab"]
        self.assertAllEqual(layer(x, seed=seeds[0]), layer(x, seed=seeds[0]))
        self.assertNotAllEqual(layer(x, seed=seeds[0]), layer(x, seed=seeds[1]))

    def test_none_outside_training_or_at_rate_0(self):
        x = tf.random.normal([10])
        for layer, training in ((layers.Dropout(0.5), False), (layers.Dropout(0.0), True)):
            self.assertIsNone(layer.seed(training))
            self.assertAllEqual(layer(x, seed=None), x)
        self.assertEmpty(layers.Dropout(0.0).variables)

    def test_bytes_are_uniform(self):
        layer = layers.Dropout(0.5)
        drawn = backend.random_bytes((100_001,), layer.seed(training=True)).numpy()
        self.assertEqual(drawn.shape, (100_001,))
        counts = np.bincount(drawn, minlength=256)
        statistic = np.sum((counts - counts.mean()) ** 2) / counts.mean()
        self.assertBetween(statistic, 255 - 6 * np.sqrt(510), 255 + 6 * np.sqrt(510))
