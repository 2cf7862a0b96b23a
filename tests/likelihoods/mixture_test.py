"""Tests of the logistic mixture, and of the logistic it is made of: probabilities, gradients and draws."""

import pathlib

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from pixelcnn_aux import likelihoods
from pixelcnn_aux.likelihoods.logistic import TruncatedLogistic
from tests.helpers import mixture_params, probabilities, without
from tests.likelihoods.helpers import (
    IS_LOG_SCALE,
    extreme_params,
    fixed_bounds,
    random_bounds,
    random_noise,
    random_params,
    sigmoid,
)


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


REFERENCE = pathlib.Path(__file__).parents[1] / "data" / "openai_pixelcnn_pp.npz"


class LogisticMixtureTest(tf.test.TestCase, parameterized.TestCase):
    def test_reference_likelihood(self):
        with np.load(REFERENCE) as data:
            names = ("head/params", "image", "head/nll_nats_per_image")
            params, image, expected = (data[name] for name in names)
        log_prob = likelihoods.LogisticMixture().log_prob(params, image)
        self.assertAllClose(-tf.reduce_sum(log_prob, [1, 2]), expected, rtol=0, atol=2e-2)

    @parameterized.parameters((np.float32, 2e-5), (np.float64, 1e-12))
    def test_probabilities_sum_to_one(self, dtype, tolerance):
        likelihood, values = likelihoods.LogisticMixture(), np.arange(256)
        for seed in range(3):
            params = (2.0 * random_params(seed=seed)).astype(dtype)
            p_r = probabilities(likelihood, without(params, 1, 2), values, 0, 0)
            self.assertAllClose(p_r.sum(), 1.0, rtol=tolerance)
            # Summing g out of P(r, g) leaves P(r) only if one component makes both.
            p_rg = probabilities(likelihood, without(params, 2), values[:, None], values, 0)
            self.assertAllClose(p_rg.sum(axis=1), p_r, rtol=tolerance, atol=0)
            p_b = probabilities(likelihood, params, 40, 200, values)
            self.assertAllClose(p_b.sum(), p_rg[40, 200], rtol=tolerance, atol=0)

    def test_finite_at_the_extremes(self):
        likelihood, rng = likelihoods.LogisticMixture(), np.random.default_rng(0)
        params = extreme_params(4096)
        for values in ([0, 1, 127, 254, 255], [0], [255]):
            images = rng.choice(values, (8192, 3))
            with tf.GradientTape() as tape:
                tape.watch(params)
                log_prob = likelihood.log_prob(params, images)
            self.assertAllInRange(log_prob, -np.finfo(np.float32).max, 1e-5)
            gradient = tape.gradient(log_prob, params)
            self.assertAllEqual(np.isfinite(gradient), np.ones([8192, 100]))
        for value in (0.0, np.float32(1.0 - 2.0**-24)):
            noise = likelihood.noise(tf.fill([8192, 13], value))
            self.assertAllInRange(likelihood.draw(params, noise), 0, 255)

    def test_map_is_the_rounded_location_of_the_component(self):
        likelihood = likelihoods.LogisticMixture(num_components=2)
        # With coefficients c_R = 1, c_G = 0, c_B = -1 of r, r and g:
        # Component 0: R at 100.4 becomes 100, G 0.3 above it 100 (101 if 100.4 had been fed on),
        # and B at 255 - 100 + 1.6 becomes 157.
        # Component 1: R at -30 becomes 0, G 20 above it 20, and B at 255 - 20 + 50 becomes 255.
        params = mixture_params(
            logits=[0.0, 0.0],
            means=np.array([[100.4 - 127.5, -157.5], [0.3, 20.0], [1.6, 50.0]]) / 127.5,
            log_scales=1.0,
            coefficients=[[30.0, 30.0], [0.0, 0.0], [-30.0, -30.0]],
        )
        uniforms = np.random.default_rng(0).random((100, 5))
        # The Gumbels decide on the component, whose logits are the same.
        uniforms[:, 0], uniforms[:, 1] = np.linspace(0.9, 0.1, 100), 0.5
        noise = likelihood.noise(tf.constant(uniforms), "map")
        # Even infinite scales leave locations as they are.
        for shift in (-0.5, 1000.0):
            draws = likelihood.draw(np.tile(params, [100, 1]), noise, log_scale_shift=shift)
            self.assertAllEqual(draws, [[100, 100, 157]] * 50 + [[0, 20, 255]] * 50)

    @parameterized.parameters(False, True)
    def test_log_scale_shift(self, bounded):
        likelihood, params = likelihoods.LogisticMixture(), random_params(4, 5)
        noise = random_noise(likelihood, 4, 5, bounded=bounded)
        how = {"bounds": fixed_bounds(*random_bounds(4, 5)[:3])} if bounded else {}
        for shift in (-0.5, -100.0, np.array([0.0, -0.5, -1.0, 0.5])):
            shifted = params + IS_LOG_SCALE * np.reshape(shift, [-1, 1, 1])
            expected = likelihood.draw(shifted, noise, **how)
            self.assertAllEqual(likelihood.draw(params, noise, shift, **how), expected)
        narrowest = likelihood.draw(np.where(IS_LOG_SCALE, -7.0, params), noise, **how)
        self.assertAllEqual(likelihood.draw(params, noise, -100.0, **how), narrowest)
        plain = likelihood.draw(params, noise, **how)
        self.assertNotAllEqual(likelihood.draw(params, noise, -0.5, **how), plain)
