"""Tests of the categorical over one channel, and over several, each given earlier ones."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from pixelcnn_aux import likelihoods
from pixelcnn_aux.sums import Bounds
from tests.helpers import chi_square_p_value, probabilities
from tests.likelihoods.helpers import NUM_DRAWS, draw_many, random_bounds, random_noise


def table_params(likelihood):
    """Params of one pixel, in float64, with varied logits and tables."""
    return 1.5 * np.random.default_rng(0).normal(size=likelihood.num_params)


def joint_by_hand(likelihood, params):
    """Probabilities of all values of a few channels by the definition, float64 [K, ..., K]."""
    values, channels = likelihood.num_values, likelihood.num_channels
    logits = params[: channels * values].reshape(channels, values)
    tables = params[channels * values :].reshape(-1, values, values)
    pairs = [(j, i) for i in range(channels) for j in range(i)]  # 01, 02, 12, 03, ...
    joint = np.ones([values] * channels)
    for pixel in np.ndindex(joint.shape):
        for i in range(channels):
            a = logits[i].copy()
            for (earlier, later), table in zip(pairs, tables, strict=True):
                if later == i:
                    a += table[pixel[earlier]]
            joint[pixel] *= np.exp(a[pixel[i]]) / np.exp(a).sum()
    return joint


class CategoricalTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters((3, 2), (2, 3), (2, 8), (4, 1))  # (values, channels)
    def test_probabilities_by_hand(self, *size):
        likelihood = likelihoods.Categorical(*size)
        params = table_params(likelihood)
        expected = joint_by_hand(likelihood, params)
        pixels = np.indices(expected.shape).reshape(expected.ndim, -1)
        found = probabilities(likelihood, params, *pixels).reshape(expected.shape)
        self.assertAllClose(found.sum(), 1.0, rtol=1e-12)
        self.assertAllClose(found, expected, rtol=1e-10, atol=0)

    @parameterized.parameters(((2, 3), np.float64, "sample"), ((16, 1), np.float32, "map"))
    def test_draws(self, size, dtype, mode):
        likelihood = likelihoods.Categorical(*size)
        params = table_params(likelihood)
        draws = draw_many(likelihood, params, dtype, mode=mode, log_scale_shift=-1.0)
        self.assertEqual(draws.shape, (NUM_DRAWS, likelihood.num_channels))
        counts = np.zeros([likelihood.num_values] * likelihood.num_channels)
        np.add.at(counts, tuple(draws.T), 1)
        self.assertGreater(chi_square_p_value(counts, joint_by_hand(likelihood, params)), 1e-4)

    @parameterized.parameters(np.float32, np.float64)
    def test_never_draws_impossible_values(self, dtype):
        likelihood, rng = likelihoods.Categorical(), np.random.default_rng(0)
        params = rng.normal(size=(NUM_DRAWS, 16)).astype(dtype)
        impossible = rng.random((NUM_DRAWS, 16)) < 0.5
        impossible[:, 7] = False
        params[impossible] = -1e6
        # Impossible values get the largest possible Gumbel numbers.
        largest = 1.0 - np.finfo(dtype).eps / 2
        for uniforms in (np.where(impossible, largest, 0.0), rng.random((NUM_DRAWS, 16))):
            draws = likelihood.draw(params, likelihood.noise(uniforms.astype(dtype)))
            self.assertAllEqual(np.take_along_axis(impossible, draws, axis=1).any(), False)

    @parameterized.parameters((4, 3), (16, 1))
    def test_finite_at_the_extremes(self, *size):
        likelihood, rng = likelihoods.Categorical(*size), np.random.default_rng(0)
        params = rng.choice([-1e6, 0.0, 1.0, 1e6], (2000, likelihood.num_params))
        params = tf.constant(params, tf.float32)
        images = rng.integers(0, size[0], (2000, size[1]))
        with tf.GradientTape() as tape:
            tape.watch(params)
            log_prob = likelihood.log_prob(params, images)
        self.assertAllInRange(log_prob, -np.finfo(np.float32).max, 0)
        self.assertAllEqual(np.isfinite(tape.gradient(log_prob, params)), np.ones(params.shape))
        drawn = likelihood.draw(params, random_noise(likelihood, 2000, dtype=np.float32))
        self.assertAllInRange(drawn, 0, size[0] - 1)

    def test_conditionals_within_bounds_are_renormalized(self):
        likelihood, rng = likelihoods.Categorical(5, 2), np.random.default_rng(0)
        params = rng.normal(size=(60, likelihood.num_params))
        low, high, center, pixels = random_bounds(60, num_values=5, channels=2)
        received = np.exp(likelihood.log_prob(params, pixels, Bounds(low, high, center)))
        values = np.arange(5)
        for i, (first, second) in enumerate(pixels):
            joint = probabilities(likelihood, params[i], values[:, np.newaxis], values)
            expected = 1.0
            for channel, (p, v) in enumerate(((joint.sum(1), first), (joint[first], second))):
                expected *= p[v] / p[low[i, channel] : high[i, channel] + 1].sum()
            self.assertAllClose(received[i], expected, rtol=1e-9)
