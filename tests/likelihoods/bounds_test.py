"""Tests of mixtures within bounds, and of centered ones: probabilities, gradients, and draws."""

import itertools

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from pixelcnn_aux import likelihoods
from pixelcnn_aux.sums import Bounds
from tests.helpers import chi_square_p_value, in_pixels, mixture_params, probabilities, without
from tests.likelihoods.helpers import (
    NUM_DRAWS,
    every_value,
    extreme_params,
    fixed_bounds,
    random_bounds,
    random_noise,
    random_params,
)

VALUES = np.arange(256)


class MixtureTest(tf.test.TestCase, parameterized.TestCase):
    def test_conditionals_are_renormalized(self):
        likelihood = likelihoods.LogisticMixture()
        params = random_params(5)
        low, high, center, pixels = random_bounds(5)
        received = likelihood.log_prob(params, pixels, Bounds(low, high, center))
        for i, (r, g, b) in enumerate(pixels):
            p_r = probabilities(likelihood, without(params[i], 1, 2), VALUES, 0, 0)
            p_rg = probabilities(likelihood, without(params[i], 2), r, VALUES, 0)
            p_rgb = probabilities(likelihood, params[i], r, g, VALUES)
            expected = 1.0
            for channel, (p, value) in enumerate(zip((p_r, p_rg, p_rgb), (r, g, b))):
                expected *= p[value] / p[low[i, channel] : high[i, channel] + 1].sum()
            self.assertAllClose(received[i], np.log(expected), rtol=1e-7, atol=1e-9)

    def test_values_outside_have_no_probability(self):
        """Nor do they disturb those beside them."""
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
        params = extreme_params(2048)
        low, high, center, pixels = random_bounds(4096)
        for centered in (False, True):
            likelihood = likelihoods.LogisticMixture(centered=centered)
            for ends in ((low, high), (pixels, pixels), (0 * pixels, 0 * pixels + 255)):
                with tf.GradientTape() as tape:
                    tape.watch(params)
                    log_prob = likelihood.log_prob(params, pixels, Bounds(*ends, center))
                self.assertAllEqual(np.isfinite(log_prob), np.ones(4096))
                gradient = tape.gradient(log_prob, params)
                self.assertAllEqual(np.isfinite(gradient), np.ones(gradient.shape))
            for uniform in (0.0, 1.0 - 2.0**-24):
                for mode in likelihoods.MODES:
                    noise = likelihood.noise(tf.fill([4096, 33], uniform), mode, bounded=True)
                    bounds = fixed_bounds(low, high, center)
                    drawn = likelihood.draw(params, noise, bounds=bounds).numpy()
                    self.assertTrue(((low <= drawn) & (drawn <= high)).all())

    @parameterized.parameters(16.0, 8.0)
    def test_centered_is_another_way_to_write_the_parameters(self, unit):
        """That of the mixture with the same locations and scales."""
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
        """The wider one is, the less of it is in an interval: here about as much as of the other's tail."""
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
            drawn = likelihood.draw(every, noise, bounds=fixed_bounds(low, high, low)).numpy()
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
