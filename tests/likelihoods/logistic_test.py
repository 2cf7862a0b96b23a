"""Tests of the discretized logistic: its probabilities, far in its tails too."""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from pixelcnn_aux import likelihoods
from tests.likelihoods.helpers import sigmoid

tfd = tfp.distributions


class DiscretizedLogisticTest(tf.test.TestCase):
    def test_golden_values(self):
        # sigmoid(1) - sigmoid(0), sigmoid(1) at the lower end, and 1 - sigmoid(-1) at the upper.
        dist = likelihoods.DiscretizedLogistic(loc=[9.5, -0.5, 255.5], scale=1.0)
        self.assertAllClose(
            dist.prob([10.0, 0.0, 255.0]), [0.231059, 0.731059, 0.731059], rtol=1e-5
        )

    def test_differences_of_sigmoids(self):
        values = np.arange(256.0)
        for loc, scale in ((127.5, 10.0), (3.2, 2.0), (250.0, 40.0), (-20.0, 30.0)):
            edges = sigmoid((np.arange(1, 256) - 0.5 - loc) / scale)
            expected = np.diff(np.concatenate([[0.0], edges, [1.0]]))
            dist = likelihoods.DiscretizedLogistic(loc=np.float64(loc), scale=scale)
            self.assertAllClose(dist.prob(values), expected, rtol=1e-8, atol=1e-14)

    def test_agrees_with_quantized_distribution(self):
        loc, scale, values = np.float64([[100.0], [-5.0], [257.0]]), 8.0, np.arange(256.0)
        # That distribution rounds up, ours to the nearest.
        quantized = tfd.QuantizedDistribution(tfd.Logistic(loc - 0.5, scale), low=0.0, high=255.0)
        ours = likelihoods.DiscretizedLogistic(loc, scale)
        self.assertAllClose(ours.log_prob(values), quantized.log_prob(values), rtol=1e-9)

    def test_shapes(self):
        dist = likelihoods.DiscretizedLogistic(loc=tf.zeros([4, 1]), scale=tf.ones([3]))
        self.assertEqual(dist.batch_shape, [4, 3])
        self.assertEqual(dist.event_shape, [])
        with self.assertRaisesRegex(ValueError, r"that broadcast.*\(4,\).*\(3,\)"):
            likelihoods.DiscretizedLogistic(loc=tf.zeros([4]), scale=tf.ones([3]))


if __name__ == "__main__":
    tf.test.main()
