"""Tests of mixtures in whole numbers, by the likelihood's probabilities, and of the entropy decoder."""

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.codec import entropy
from pixelcnn_aux.codec.integer_mixture import IntegerMixture, Pixels, counts
from pixelcnn_aux.sums import Bounds
from tests.likelihoods.helpers import fixed_bounds


class IntegerMixtureTest(tf.test.TestCase):
    def test_probabilities_are_those_of_the_likelihood(self):
        rng, count = np.random.default_rng(0), 300
        for centered, at_once in ((False, 1), (True, 1), (True, 2)):
            likelihood = pa.likelihoods.LogisticMixture(4, centered=centered, unit=8.0)
            params = np.round(256 * rng.normal(0, 1, (count, 40))).astype(np.int64)
            low = rng.integers(0, 200 if centered else 1, (count, 3))
            high = np.minimum(low + rng.integers(0 if centered else 255, 256, (count, 3)), 255)
            center = rng.integers(low, high + 1)
            known = Bounds(low, high, center.astype(np.float64))
            uniforms = rng.random((count, likelihood.bounded_noise_size))
            noise = likelihood.noise(uniforms, bounded=True)
            values = likelihood.draw(params / 256.0, noise, bounds=fixed_bounds(*known))
            values = values.astype(np.int64)
            pixels, bits = Pixels(IntegerMixture(likelihood), params), 0.0
            for index in range(3):
                bounds_here = low[:, index], high[:, index], 4 * center[:, index]
                channel = pixels.channel(*bounds_here)
                for size in counts(255, at_once):
                    tables = channel.parts(size, 2**at_once)
                    self.assertLess(tables.sum(axis=1).max(), 2**24)
                    part = (values[:, index] - low[:, index]) // size % 2**at_once
                    bits -= np.log2(tables[np.arange(count), part] / tables.sum(axis=1))
                    channel.choose(part, size)
                self.assertAllEqual(channel.value, values[:, index])
                pixels.finish(channel, 4 * center[:, index])
            expected = -likelihood.log_prob(params / 256.0, values, known) / np.log(2)
            self.assertAllClose(bits, expected, atol=0.2)
            self.assertAllClose(bits.mean(), np.mean(expected), rtol=1e-3)


class EntropyTest(tf.test.TestCase):
    def test_more_values_than_the_words_can_hold(self):
        """What a file claims to have takes no longer than what it has."""
        tables = np.random.default_rng(0).integers(1, 2**20, (1000, 3)).astype(np.float32)
        for seed in range(20):
            words = np.random.default_rng(seed).integers(0, 2**32, 8).astype(np.uint32)
            decoder = entropy.Decoder(words)
            with self.assertRaisesRegex(ValueError, "Expected words that an encoder wrote"):
                for first in range(0, 1000, 100):
                    decoder.code(tables[first : first + 100])

    def test_a_value_that_is_ruled_out(self):
        encoder, tables = entropy.Encoder(), np.float32([[0, 1, 0, 0]])
        encoder.code(tables, np.array([3]))
        with self.assertRaisesRegex(ValueError, "a value of probability 0"):
            entropy.Decoder(encoder.words()).code(tables)
