"""Tests of the discretized logistic: its probabilities, far in its tails too."""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from pixelcnn_aux import likelihoods
from pixelcnn_aux.likelihoods.logistic import TruncatedLogistic
from tests.likelihoods.helpers import sigmoid

tfd = tfp.distributions


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

    def test_shapes(self):
        dist = likelihoods.DiscretizedLogistic(loc=tf.zeros([4, 1]), scale=tf.ones([3]))
        self.assertEqual(dist.batch_shape, [4, 3])
        self.assertEqual(dist.event_shape, [])
        with self.assertRaisesRegex(ValueError, r"that broadcast.*\(4,\).*\(3,\)"):
            likelihoods.DiscretizedLogistic(loc=tf.zeros([4]), scale=tf.ones([3]))

    def test_mass_is_precise_far_from_the_location(self):
        """There, next to all of an interval's mass is that of the nearest value, a bin of exp(-1 / scale)."""
        dist = likelihoods.DiscretizedLogistic(loc=np.float32([5.0, 250.0]), scale=[0.5, 0.5])
        mass = dist.log_mass(np.float32([205, 40]), np.float32([230, 50]))
        self.assertAllClose(mass, [-199.5 / 0.5, -199.5 / 0.5], rtol=1e-6)

    def test_finite_at_the_extremes(self):
        for dtype in (np.float32, np.float64):
            loc, log_scale, (low, high) = extremes(dtype)
            with tf.GradientTape() as tape:
                tape.watch((loc, log_scale))
                dist = likelihoods.DiscretizedLogistic(loc, 127.5 * tf.exp(log_scale))
                mass = dist.log_mass(low, high)
            self.assertAllInRange(mass, np.finfo(dtype).min, 0)
            for gradient in tape.gradient(mass, (loc, log_scale)):
                self.assertAllEqual(np.isfinite(gradient), np.ones(gradient.shape))

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


def extremes(dtype):
    """Locations, log-scales of scaled pixels and intervals that broadcast: all pairs of extremes."""
    loc = np.array([-1.3e8, -200.0, 0.0, 27.5, 127.5, 228.0, 255.0, 455.0, 1.3e8], dtype)
    log_scale = np.array([-7.0, -3.0, 0.0, 10.0, 30.0], dtype)[:, np.newaxis]
    pairs = [(0, 0), (255, 255), (28, 28), (0, 255), (1, 254), (0, 27), (28, 255), (228, 231)]
    intervals = np.array(pairs, dtype).T[:, :, np.newaxis, np.newaxis]
    return tf.constant(loc), tf.constant(log_scale), intervals
