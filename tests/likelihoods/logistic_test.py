"""Tests of the discretized logistic: its probabilities, far in its tails too."""

import numpy as np
import tensorflow as tf

from pixelcnn_aux import likelihoods
from pixelcnn_aux.likelihoods.logistic import TruncatedLogistic
from tests.likelihoods.helpers import sigmoid


class DiscretizedLogisticTest(tf.test.TestCase):
    def test_differences_of_sigmoids(self):
        for loc, scale in ((127.5, 10.0), (3.2, 2.0), (250.0, 40.0), (-20.0, 30.0), (90.0, 1e6)):
            edges = sigmoid((np.arange(1, 256) - 0.5 - loc) / scale)
            expected = np.diff(np.concatenate([[0.0], edges, [1.0]]))
            dist = likelihoods.DiscretizedLogistic(loc=np.float64(loc), scale=scale)
            probs = dist.prob(np.arange(256.0)).numpy()
            self.assertAllClose(probs, expected, rtol=1e-8, atol=1e-14)
            for low, high in ((0, 0), (0, 90), (7, 7), (1, 254), (90, 93), (90, 255), (255, 255)):
                mass = np.exp(dist.log_mass(np.float64(low), np.float64(high)))
                self.assertAllClose(mass, probs[low : high + 1].sum(), rtol=1e-9, atol=0)
            self.assertAllEqual(dist.log_mass(np.float64(0), np.float64(255)), 0.0)

    def test_mass_is_precise_far_from_the_location(self):
        """There, next to all of an interval's mass is that of the nearest value, a bin of exp(-1 / scale)."""
        dist = likelihoods.DiscretizedLogistic(loc=np.float32([5.0, 250.0]), scale=[0.5, 0.5])
        mass = dist.log_mass(np.float32([205, 40]), np.float32([230, 50]))
        self.assertAllClose(mass, [-199.5 / 0.5, -199.5 / 0.5], rtol=1e-6)

    def test_draws_are_quantiles_of_the_cut_distribution(self):
        count = 4000
        uniforms = ((np.arange(count) + 0.5) / count)[:, np.newaxis]
        loc = np.array([127.5, 100.2, 3.2, 250.0, 100.0, 8e4, -3e4, 5.0, 250.0, 20.0])
        scale = np.array([10.0, 0.7, 4.0, 40.0, 9e4, 20.0, 9.0, 2.0, 3.0, 200.0])
        low = np.array([0, 98, 0, 200, 50, 230, 12, 205, 0, 7])
        high = np.array([255, 101, 9, 255, 99, 251, 60, 255, 250, 7])
        exact = likelihoods.DiscretizedLogistic(loc, scale)
        values = np.arange(256.0)[:, np.newaxis]
        log_probs = np.where((values < low) | (values > high), -np.inf, exact.log_prob(values))
        expected = np.exp(log_probs - exact.log_mass(*np.float64([low, high])))
        for dtype in (np.float32, np.float64):
            parts = (np.tile(x, (count, 1)) for x in (loc, scale, low, high))
            loc_k, scale_k, low_k, high_k = parts
            truncated = TruncatedLogistic(
                *(tf.constant(x, dtype)[..., np.newaxis] for x in (loc_k, scale_k)), low_k, high_k
            )
            u = np.broadcast_to(uniforms, loc_k.shape).astype(dtype)
            drawn = truncated.draw(tf.zeros(u.shape, tf.int32), u, np.ones_like(u)).numpy()
            self.assertEqual(drawn.dtype, dtype)
            self.assertAllEqual(drawn, np.clip(drawn, low, high))
            for i in range(len(loc)):
                shares = np.bincount(drawn[:, i].astype(int), minlength=256) / count
                # Each edge between two values lies between two of the uniforms.
                self.assertAllClose(shares, expected[:, i], rtol=0, atol=1.1 / count, msg=loc[i])
