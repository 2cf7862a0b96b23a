"""Tests of the logistic mixture, with and without bounds, and of its discretized logistics."""

import itertools

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from pixelcnn_aux import likelihoods
from pixelcnn_aux.likelihoods.logistic import TruncatedLogistic
from pixelcnn_aux.sums import Bounds
from tests.helpers import chi_square_p_value, in_pixels, mixture_params, probabilities, without
from tests.likelihoods.helpers import (
    IS_LOG_SCALE,
    NUM_DRAWS,
    every_value,
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
        """There, the nearest value has almost all mass of an interval."""
        dist = likelihoods.DiscretizedLogistic(loc=np.float32([5.0, 250.0]), scale=[0.5, 0.5])
        mass = dist.log_mass(np.float32([205, 40]), np.float32([230, 50]))
        self.assertAllClose(mass, [-199.5 / 0.5, -199.5 / 0.5], rtol=1e-6)

    def test_draws_are_quantiles_of_the_truncated_distribution(self):
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


class LogisticMixtureTest(tf.test.TestCase, parameterized.TestCase):
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
        # With equal logits, the Gumbel numbers select the component.
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


class BoundedMixtureTest(tf.test.TestCase, parameterized.TestCase):
    def test_conditionals_are_renormalized(self):
        likelihood, values = likelihoods.LogisticMixture(), np.arange(256)
        params = random_params(5)
        low, high, center, pixels = random_bounds(5)
        received = likelihood.log_prob(params, pixels, Bounds(low, high, center))
        for i, (r, g, b) in enumerate(pixels):
            p_r = probabilities(likelihood, without(params[i], 1, 2), values, 0, 0)
            p_rg = probabilities(likelihood, without(params[i], 2), r, values, 0)
            p_rgb = probabilities(likelihood, params[i], r, g, values)
            expected = 1.0
            for channel, (p, value) in enumerate(zip((p_r, p_rg, p_rgb), (r, g, b))):
                expected *= p[value] / p[low[i, channel] : high[i, channel] + 1].sum()
            self.assertAllClose(received[i], np.log(expected), rtol=1e-7, atol=1e-9)

    def test_values_outside_have_no_probability(self):
        """Nor do they affect other values."""
        likelihood = likelihoods.LogisticMixture(centered=True)
        params = tf.constant(random_params(300), tf.float32)
        low, high, center, pixels = random_bounds(300)
        outside = np.random.default_rng(0).random(pixels.shape) < 0.2
        low = np.where(outside, pixels + 1, low)  # beyond 255 too
        high = np.where(outside & (pixels % 2 == 0), pixels - 3, high)  # below 0, and below `low`
        agrees = ~outside.any(axis=-1)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(params)
            log_prob = likelihood.log_prob(params, pixels, Bounds(low, high, center))
            beside = tf.reduce_sum(tf.boolean_mask(log_prob, agrees))
        self.assertAllEqual(np.isfinite(log_prob), agrees)
        self.assertAllEqual(log_prob[~agrees] == -np.inf, np.ones(np.sum(~agrees), bool))
        gradient = tape.gradient(log_prob, params).numpy()
        self.assertAllEqual(gradient, tape.gradient(beside, params))
        self.assertAllEqual(gradient[~agrees], np.zeros([np.sum(~agrees), 100]))
        self.assertAllEqual(np.isfinite(gradient), np.ones([300, 100]))

    def test_finite_at_the_extremes(self):
        """With and without bounds, also for images of the first or last value."""
        params = extreme_params(2048)
        low, high, center, pixels = random_bounds(4096)
        first, last = 0 * pixels, 0 * pixels + 255
        cases = [(False, None, x) for x in (pixels, first, last)]
        for ends in ((low, high), (pixels, pixels), (first, last)):
            cases += [(centered, Bounds(*ends, center), pixels) for centered in (False, True)]
        for centered, known, values in cases:
            likelihood = likelihoods.LogisticMixture(centered=centered)
            with tf.GradientTape() as tape:
                tape.watch(params)
                log_prob = likelihood.log_prob(params, values, known)
            self.assertAllInRange(log_prob, -np.finfo(np.float32).max, 1e-5)
            self.assertAllEqual(np.isfinite(tape.gradient(log_prob, params)), np.ones([4096, 100]))
        bounds = fixed_bounds(low, high, center)
        for uniform, mode in itertools.product((0.0, 1.0 - 2.0**-24), likelihoods.MODES):
            for centered in (False, True):
                likelihood = likelihoods.LogisticMixture(centered=centered)
                noise = likelihood.noise(tf.fill([4096, 33], uniform), mode, bounded=True)
                drawn = likelihood.draw(params, noise, bounds=bounds).numpy()
                self.assertTrue(((low <= drawn) & (drawn <= high)).all())
            likelihood = likelihoods.LogisticMixture()
            noise = likelihood.noise(tf.fill([4096, 13], uniform), mode)
            self.assertAllInRange(likelihood.draw(params, noise), 0, 255)

    @parameterized.parameters(16.0, 8.0)
    def test_centered_is_another_way_to_write_the_parameters(self, unit):
        """A mixture with the same locations and scales agrees."""
        centered = likelihoods.LogisticMixture(3, True, unit)
        plain = likelihoods.LogisticMixture(3)
        params = random_params(200, num_components=3)
        low, high, center, pixels = random_bounds(200)
        blocks = params[:, 3:].reshape(-1, 3, 3, 3)  # [B, channel, mean or log-scale or ..., K]
        coefficients = np.tanh(blocks[:, :, 2])
        moved = 127.5 - center[..., np.newaxis]  # [B, 3, 1]
        means = unit * blocks[:, :, 0] - moved
        means[:, 1] += coefficients[:, 0] * moved[:, 0]
        means[:, 2] += coefficients[:, 1] * moved[:, 0] + coefficients[:, 2] * moved[:, 1]
        log_scales = blocks[:, :, 1] - 2.0 + np.log(unit / 16)
        blocks = np.stack([means / 127.5, log_scales, blocks[:, :, 2]], axis=2)
        same = np.concatenate([params[:, :3], blocks.reshape(200, 27)], axis=-1)
        for ends in (every_value(pixels)[:2], (low, high)):
            expected = plain.log_prob(same, pixels, Bounds(*ends, None))
            found = centered.log_prob(params, pixels, Bounds(*ends, center))
            self.assertAllClose(found, expected, rtol=1e-9)
        noise, bounds = random_noise(plain, 200, bounded=True), fixed_bounds(low, high, center)
        drawn = centered.draw(params, noise, -0.3, bounds=bounds)
        self.assertAllEqual(drawn, plain.draw(same, noise, -0.3, bounds=bounds))

    def test_wide_components_are_drawn_as_rarely_as_they_are_likely(self):
        """A wide component has little mass in an interval: here about as much as the other one's tail."""
        likelihood = likelihoods.LogisticMixture(num_components=2)
        pixels = np.array(list(itertools.product(range(100, 104), repeat=3)))
        noise = random_noise(likelihood, NUM_DRAWS, bounded=True)
        for log_scale in (6.0, 8.0):
            params = mixture_params(
                [0.0, 0.0],
                means=[in_pixels([88.0, 100.0])] * 3,
                log_scales=[[-np.log(127.5), log_scale]] * 3,
                coefficients=np.zeros([3, 2]),
            )

            low, high = (np.full([NUM_DRAWS, 3], end) for end in (100, 103))
            every, known = np.tile(params, (NUM_DRAWS, 1)), Bounds(low[:64], high[:64], None)
            probs = np.exp(likelihood.log_prob(every[:64], pixels, known))
            drawn = likelihood.draw(every, noise, bounds=fixed_bounds(low, high, low))
            counts = np.bincount((drawn - 100) @ [16, 4, 1], minlength=64)
            self.assertGreater(chi_square_p_value(counts, probs), 1e-4, log_scale)

    def test_map_is_the_location_moved_into_the_interval(self):
        likelihood = likelihoods.LogisticMixture(num_components=1)
        params = mixture_params(
            [0.0],
            means=np.array([[100.4 - 127.5], [3.0], [90.0]]) / 127.5,
            log_scales=1.0,
            coefficients=[[30.0], [0.0], [30.0]],  # 1 of r for G, 1 of g for B
        )
        noise = random_noise(likelihood, mode="map", bounded=True)
        for ends, expected in (
            (((0, 255), (0, 255), (0, 255)), [100, 103, 193]),
            (((110, 120), (0, 255), (0, 255)), [110, 113, 203]),
            (((0, 90), (95, 99), (0, 150)), [90, 95, 150]),
        ):
            low, high = np.transpose(ends)
            drawn = likelihood.draw(params, noise, bounds=fixed_bounds(low, high, low))
            self.assertAllEqual(drawn, expected)
