"""Tests of entropies: they are those of the probabilities, by hand and of what is drawn."""

from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from pixelcnn_aux import likelihoods
from pixelcnn_aux.likelihoods import entropies
from pixelcnn_aux.sums import Bounds
from tests.helpers import in_pixels, mixture_params
from tests.likelihoods.helpers import IS_LOG_SCALE, extreme_params, random_bounds, random_params


def by_values(likelihood, params, pixels, bounds):
    """The entropies by the probabilities of all values, computed one by one: [...]."""
    total, earlier, known = 0.0, [], []
    for channel in range(likelihood.num_channels):
        known.append(Bounds(*(x[..., channel] for x in bounds)))
        log_probs = likelihood.value_log_probs(params, channel, earlier, bounds=known).numpy()
        probs = np.exp(log_probs.astype(np.float64))
        total = total - np.sum(probs * np.where(probs > 0, log_probs, 0.0), axis=-1)
        earlier.append(np.int32(pixels[..., channel]))
    return total


class MixtureTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.product(
        dtype=(np.float32, np.float64), centered=(False, True), narrow=(0.0, 3.0, 6.0)
    )
    def test_that_of_the_probabilities_of_all_values(self, dtype, centered, narrow):
        likelihood = likelihoods.LogisticMixture(centered=centered)
        params = random_params(3, 50)
        params = tf.constant(params - narrow * IS_LOG_SCALE, dtype)
        low, high, center, pixels = random_bounds(3, 50)
        for ends in ((low, high), (0 * low, 0 * low + 255), (low, np.minimum(low + 3, 255))):
            bounds = Bounds(*np.int32(ends), center)
            values = np.clip(pixels, *ends)
            found = likelihood.entropy(params, values, bounds)
            self.assertEqual((found.dtype, found.shape), (dtype, (3, 50)))
            self.assertAllClose(found, by_values(likelihood, params, values, bounds), atol=3e-4)

    def test_finite_at_the_extremes(self):
        params = extreme_params(1024)
        low, high, center, pixels = random_bounds(2048)
        for centered in (False, True):
            likelihood = likelihoods.LogisticMixture(centered=centered)
            for ends in ((low, high), (pixels, pixels), (0 * pixels, 0 * pixels + 255)):
                found = likelihood.entropy(params, pixels, Bounds(*ends, center)).numpy()
                most = np.log(ends[1] - ends[0] + 1.0).sum(axis=-1)
                self.assertAllInRange(found, -1e-5, np.inf)
                self.assertAllInRange(most - found, -1e-3, np.inf)

    def test_by_hand(self):
        """A component far out in its tail is an exponential, one much wider than an interval is flat."""
        likelihood = likelihoods.LogisticMixture(1)
        for mean, scale, (first, last), expected in (
            (90.0, 2.0, (120, 125), entropy(np.exp(-np.arange(6) / 2.0))),
            (200.0, 0.5, (120, 125), entropy(np.exp(-np.arange(6) / 0.5))),
            (100.0, 1e9, (90, 99), np.log(10)),
            (100.0, 0.12, (0, 255), entropy(np.diff(np.tanh(np.arange(-4.5, 5) / 0.24)))),
            (-500.0, 1.0, (0, 255), 0.0),
        ):
            params = mixture_params([0.0], in_pixels(mean), np.log(scale / 127.5), 0.0)
            low, high = np.full([2, 1, 3], [[[first]], [[last]]])
            found = likelihood.entropy(params[None], low, Bounds(low, high, None))
            self.assertAllClose(found, [3 * expected], atol=1e-4)

    def test_of_16_bits(self):
        likelihood = likelihoods.LogisticMixture(2, num_channels=1, num_values=2**16)
        params = tf.constant([[0.0, 0.5, 0.1, -0.2, -5.0, -7.0]])
        pixels = np.zeros([1, 1], np.int32)
        found = likelihood.entropy(params, pixels)
        bounds = Bounds(pixels, pixels + 2**16 - 1, pixels)
        self.assertAllClose(found, by_values(likelihood, params, pixels, bounds), atol=1e-3)

    def test_any_number_of_pixels_in_a_graph(self):
        likelihood, params = likelihoods.LogisticMixture(), random_params(7).astype(np.float32)
        *_, pixels = random_bounds(7)
        pixels = pixels.astype(np.float32)
        spec = [tf.TensorSpec([None, 100]), tf.TensorSpec([None, 3])]
        graph = tf.function(likelihood.entropy, input_signature=spec)
        expected = likelihood.entropy(params, pixels)
        self.assertAllClose(graph(params, pixels), expected, rtol=1e-5)
        with mock.patch.object(entropies, "AT_ONCE", 4):
            self.assertAllClose(likelihood.entropy(params, pixels), expected, rtol=1e-5)


class OtherTest(tf.test.TestCase):
    def test_categorical(self):
        for values, channels in ((16, 1), (5, 3)):
            likelihood = likelihoods.Categorical(values, channels)
            params = tf.constant(
                np.random.default_rng(0).normal(size=(2, 9, likelihood.num_params))
            )
            low, high, center, pixels = random_bounds(2, 9, num_values=values, channels=channels)
            bounds = Bounds(np.int32(low), np.int32(high), center)
            found = likelihood.entropy(params, pixels, bounds)
            self.assertAllClose(found, by_values(likelihood, params, pixels, bounds), rtol=1e-9)


def entropy(weights):
    probs = np.array(weights) / np.sum(weights)
    return -np.sum(probs * np.log(probs))
