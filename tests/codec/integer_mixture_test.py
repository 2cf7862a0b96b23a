"""Tests of mixtures in whole numbers: their probabilities are those of the likelihood."""

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.codec.integer_mixture import IntegerMixture, Pixels, halvings
from pixelcnn_aux.sums import Bounds
from tests.likelihoods.helpers import fixed_bounds


class IntegerMixtureTest(tf.test.TestCase):
    def test_probabilities_are_those_of_the_likelihood(self):
        rng, count = np.random.default_rng(0), 300
        for centered in (False, True):
            likelihood = pa.likelihoods.LogisticMixture(4, centered=centered, unit=8.0)
            params = np.round(256 * rng.normal(0, 1, (count, 40))).astype(np.int64)
            low = rng.integers(0, 200 if centered else 1, (count, 3))
            high = np.minimum(low + rng.integers(0 if centered else 255, 256, (count, 3)), 255)
            center = rng.integers(low, high + 1)
            known = Bounds(low, high, center.astype(np.float64))
            uniforms = rng.random((count, likelihood.bounded_noise_size))
            noise = likelihood.noise(uniforms, bounded=True)
            values = likelihood.draw(params / 256.0, noise, bounds=fixed_bounds(*known)).numpy()
            values = values.astype(np.int64)
            pixels, bits = Pixels(IntegerMixture(likelihood, 4), params), 0.0
            for index in range(3):
                bounds_here = low[:, index], high[:, index], 4 * center[:, index]
                channel = pixels.channel(*bounds_here)
                for size in halvings(*bounds_here[:2]):
                    tables = channel.halves(size)
                    self.assertLess(tables.sum(axis=1).max(), 2**24)
                    half = (values[:, index] - low[:, index]) // size % 2
                    bits -= np.log2(tables[np.arange(count), half] / tables.sum(axis=1))
                    channel.choose(half, size)
                self.assertAllEqual(channel.value, values[:, index])
                pixels.finish(channel, 4 * center[:, index])
            expected = -likelihood.log_prob(params / 256.0, values, known) / np.log(2)
            self.assertAllClose(bits, expected, atol=0.2)
            self.assertAllClose(bits.mean(), np.mean(expected), rtol=1e-3)

    def test_tables_say_nothing_of_what_cannot_be(self):
        likelihood = pa.likelihoods.LogisticMixture(2, centered=True, unit=8.0)
        params = np.random.default_rng(0).integers(-2000, 2000, (50, 20))
        low, high = np.full(50, 17), np.full(50, 30)
        high[0] = 18  # of two values, beside others of fourteen
        self.assertEqual(halvings(low, high), [8, 4, 2, 1])
        self.assertEqual(halvings(low, low), [])
        channel = Pixels(IntegerMixture(likelihood, 4), params).channel(low, high, 4 * low)
        tables = channel.halves(8)  # of 17 .. 24, and 25 .. 30
        self.assertAllEqual(tables > 0, [[True, False]] + [[True, True]] * 49)
        channel.choose(np.arange(50) > 0, 8)
        self.assertAllEqual(channel.value, [17] + [25] * 49)
        self.assertAllEqual(channel.halves(4)[:, 1] > 0, np.arange(50) > 0)
