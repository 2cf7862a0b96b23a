"""Tests of the logistic mixture over any number of channels, and up to 16 bits."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from pixelcnn_aux import likelihoods
from pixelcnn_aux.base import serialization
from pixelcnn_aux.likelihoods.logistic import TruncatedLogistic
from pixelcnn_aux.likelihoods.mixture import LogisticMixture
from pixelcnn_aux.sums import Bounds
from tests.helpers import all_images, chi_square_p_value
from tests.likelihoods.helpers import NUM_DRAWS, draw_many, fixed_bounds, sigmoid

KINDS = ((1, 2**10), (2, 2**3), (4, 3))  # channels, and values


def mixture(channels, num_values, **kwargs):
    return LogisticMixture(2, num_channels=channels, num_values=num_values, **kwargs)


def random_params(likelihood, *shape):
    return np.random.default_rng(0).normal(size=(*shape, likelihood.num_params))


def probabilities(likelihood, params, pixels, bounds=None):
    params = np.broadcast_to(params, (len(pixels), likelihood.num_params))
    return np.exp(likelihood.log_prob(params, pixels, bounds))


class PixelsTest(tf.test.TestCase, parameterized.TestCase):
    def test_parameters_and_description(self):
        for channels, blocks in ((1, 3), (2, 6), (3, 10), (4, 15), (16, 153)):
            self.assertEqual(LogisticMixture(7, num_channels=channels).num_params, 7 * blocks)
        plain = serialization.serialize(LogisticMixture())["config"]
        self.assertEqual(plain, {"num_components": 10, "centered": False, "unit": 16.0})
        other = serialization.serialize(mixture(1, 2**16, centered=True, unit=2048.0))
        again = serialization.deserialize(other, likelihoods.Likelihood)
        self.assertEqual((again.num_channels, again.num_values), (1, 2**16))
        self.assertEqual(serialization.serialize(again), other)

    def test_each_mean_depends_on_all_earlier_channels(self):
        """Four channels, with the coefficients of the last one at the end, against sigmoids."""
        likelihood = LogisticMixture(1, num_channels=4, num_values=100)
        rng = np.random.default_rng(1)
        means, log_scales = rng.normal(0, 0.3, (2, 4)) - [[0], [2]]
        lower = rng.normal(size=6)  # 10, 20, 21, 30, 31, 32
        triples = np.stack([means, log_scales, lower[:4]], axis=1)
        params = np.concatenate([[0.0], triples.ravel(), lower[4:]])
        pixel = np.array([40, 52, 61, 45])
        scaled, (a, b, c, d, e, f) = (pixel - 49.5) / 49.5, np.tanh(lower)
        weights = np.array([[0, 0, 0, 0], [a, 0, 0, 0], [b, c, 0, 0], [d, e, f, 0]])
        edges = scaled - means - weights @ scaled + np.array([[0.5], [-0.5]]) / 49.5
        above, below = sigmoid(edges / np.exp(log_scales))
        found = likelihood.log_prob(params, pixel)
        self.assertAllClose(found, np.log(above - below).sum(), rtol=1e-9)

    @parameterized.parameters(*KINDS)
    def test_probabilities_sum_to_one_and_draws_follow_them(self, channels, num_values):
        """Without bounds and within them."""
        pixels = np.indices([num_values] * channels).reshape(channels, -1).T
        places = num_values ** np.arange(channels)[::-1]
        likelihood = mixture(channels, num_values)
        params = random_params(likelihood)
        free = probabilities(likelihood, params, pixels)
        self.assertAllClose(free.sum(), 1.0, rtol=1e-12)
        in_float32 = probabilities(likelihood, params.astype(np.float32), pixels)
        self.assertAllClose(in_float32, free, rtol=1e-5)
        counts = np.bincount(draw_many(likelihood, params) @ places, minlength=len(pixels))
        self.assertGreater(chi_square_p_value(counts, free), 1e-4)

        likelihood = mixture(channels, num_values, centered=True, unit=num_values / 8)
        low, high, center = num_values // 4, num_values - 2, num_values / 2
        every = [np.full(pixels.shape, x) for x in (low, high, center)]
        probs = probabilities(likelihood, params, pixels, Bounds(*every))
        self.assertAllClose(probs.sum(), 1.0, rtol=1e-12)
        known = Bounds(*(np.full([NUM_DRAWS, channels], x) for x in (low, high, center)))
        bounds = fixed_bounds(*known)
        drawn = draw_many(likelihood, params, np.float32, bounds=bounds)
        counts = np.bincount(drawn @ places, minlength=len(pixels))
        self.assertGreater(chi_square_p_value(counts, probs), 1e-4)

    def test_sixteen_bits(self):
        """float32 agrees with float64, also at the ends, with finite gradients and equally narrow scales."""
        likelihood, rng = mixture(2, 2**16), np.random.default_rng(0)
        params = random_params(likelihood, 500)
        params[:, 4:6], params[:, 10:12] = rng.uniform(-20, 0, (2, 500, 2))  # log-scales
        means = np.round(rng.uniform(0, 2**16 - 1, (500, 2)))
        params[:, 2:4] = params[:, 8:10] = (means - 32767.5) / 32767.5
        params[:, 6:8] = 0
        pixels = np.clip(means + rng.integers(-9, 10, means.shape), 0, 2**16 - 1)
        pixels[:8] = [[0, 0], [0, 2**16 - 1]] * 4
        expected = likelihood.log_prob(params, pixels)
        params = tf.constant(params, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(params)
            found = likelihood.log_prob(params, pixels)
        # A location has an error of 1 / 256, relative to the narrowest scale.
        self.assertAllClose(found, expected, rtol=1e-3, atol=0.1)
        self.assertAllLess(expected[8:], 0.0)
        self.assertAllEqual(tf.math.is_finite(tape.gradient(found, params)), np.ones(params.shape))
        narrowest = np.tile([[0.0, 1e-6, -99.0]], (1, 1))
        one = LogisticMixture(1, num_channels=1, num_values=2**16)
        self.assertAllGreater(probabilities(one, narrowest, [[32768], [32767]]), 0.01)

    def test_truncated_draws_of_sixteen_bits_are_quantiles(self):
        """For components as wide as all values, or far wider."""
        uniforms = (np.arange(4000, dtype=np.float32) + 0.5) / 4000
        for low, high, scale in ((40_000, 40_003, 1e7), (0, 2**16 - 1, 1e9), (65_530, 65_535, 0.5)):
            dist = likelihoods.DiscretizedLogistic(np.float64(30_000.0), scale, 2**16)
            edges = np.linspace(low, high + 1, 5).astype(int)
            if high - low < 9:
                edges = np.arange(low, high + 2)
            masses = dist.log_mass(np.float64(edges[:-1]), np.float64(edges[1:] - 1))
            expected = np.exp(masses - dist.log_mass(np.float64(low), np.float64(high)))
            loc, scales = (tf.fill([4000, 1], np.float32(x)) for x in (30_000.0, scale))
            ends = (tf.fill([4000], x) for x in (low, high))
            truncated = TruncatedLogistic(loc, scales, *ends, 2**16)
            drawn = truncated.draw(tf.zeros([4000], tf.int32), uniforms, np.float32(1.0)).numpy()
            shares = np.histogram(drawn, edges - 0.5)[0] / 4000
            self.assertAllClose(shares, expected, rtol=0, atol=2e-3, msg=f"{low}, {high}")

    def test_values_of_a_channel(self):
        likelihood = mixture(2, 8, centered=True, unit=2.0)
        params, pixels = random_params(likelihood), all_images(8, 1, 1, 2)[:, 0, 0]
        bounds = [Bounds(np.int32(1), np.int32(6), np.float32(3.0))] * 2
        first = likelihood.value_log_probs(params, 0, [], bounds=bounds[:1])
        every = [np.full(pixels.shape, x) for x in (1, 6, 3.0)]
        expected = np.log(probabilities(likelihood, params, pixels, Bounds(*every)))
        for (x, y), nats in zip(pixels, expected):
            if 1 <= x <= 6:
                second = likelihood.value_log_probs(params, 1, [np.int32(x)], bounds=bounds)
                self.assertAllClose(first[x] + second[y], nats, rtol=1e-9)
