"""Tests of the categorical: of one channel, and of several, each given the ones before it."""

import math

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from pixelcnn_aux import likelihoods
from tests.helpers import chi_square_p_value, probabilities
from tests.likelihoods.helpers import NUM_DRAWS, draw_many, random_noise, random_params


class CategoricalTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(np.float32, np.float64)
    def test_log_prob(self, dtype):
        logits = np.log(np.array([1, 2, 3, 4], dtype))
        log_prob = likelihoods.Categorical(4).log_prob(
            np.tile(logits, [4, 1]), [[3], [2], [1], [0]]
        )
        self.assertEqual(log_prob.dtype, dtype)
        self.assertAllClose(log_prob, np.log([0.4, 0.3, 0.2, 0.1]), rtol=1e-6)

    @parameterized.parameters((np.float32, "sample"), (np.float64, "map"))
    def test_draws(self, dtype, mode):
        likelihood, params = likelihoods.Categorical(), random_params(16)[0, :16]
        draws = draw_many(likelihood, params, dtype, mode=mode, log_scale_shift=-1.0)
        counts = np.bincount(draws[:, 0], minlength=16)
        expected = probabilities(likelihood, params, np.arange(16))
        self.assertGreater(chi_square_p_value(counts, expected), 1e-4)

    @parameterized.parameters(np.float32, np.float64)
    def test_never_draws_what_has_no_probability(self, dtype):
        likelihood, rng = likelihoods.Categorical(), np.random.default_rng(0)
        params = rng.normal(size=(NUM_DRAWS, 16)).astype(dtype)
        impossible = rng.random((NUM_DRAWS, 16)) < 0.5
        impossible[:, 7] = False
        params[impossible] = -1e6
        # The largest Gumbels that there are, for what is impossible alone.
        largest = 1.0 - np.finfo(dtype).eps / 2
        for uniforms in (np.where(impossible, largest, 0.0), rng.random((NUM_DRAWS, 16))):
            draws = likelihood.draw(params, likelihood.noise(tf.constant(uniforms, dtype)))
            self.assertAllEqual(np.take_along_axis(impossible, draws.numpy(), axis=1).any(), False)


def table_params(likelihood, seed=0):
    """Params of one pixel, in float64, with logits and tables far from equal."""
    return 1.5 * np.random.default_rng(seed).normal(size=likelihood.num_params)


def joint_of(likelihood, params):
    """Probabilities of all values of a few channels, float64 [K, ..., K]."""
    shape = [likelihood.num_values] * likelihood.num_channels
    return probabilities(likelihood, params, *np.indices(shape).reshape(len(shape), -1)).reshape(
        shape
    )


def joint_by_hand(likelihood, params):
    """The same by the definition."""
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


class CategoricalOfSeveralChannelsTest(tf.test.TestCase, parameterized.TestCase):
    sizes = parameterized.parameters((3, 2), (2, 3), (5, 2), (2, 8), (4, 1))  # (values, channels)

    @sizes
    def test_probabilities_by_hand(self, *size):
        likelihood = likelihoods.Categorical(*size)
        params = table_params(likelihood)
        joint = joint_of(likelihood, params)
        self.assertAllClose(joint.sum(), 1.0, rtol=1e-12)
        self.assertAllClose(joint, joint_by_hand(likelihood, params), rtol=1e-10, atol=0)

    def test_number_of_params(self):
        for *size, params in ((3, 2, 15), (2, 3, 18), (2, 8, 128), (16, 1, 16), (8, 3, 216)):
            likelihood = likelihoods.Categorical(*size)
            found = (likelihood.num_params, likelihood.noise_size)
            self.assertEqual(found, (params, math.prod(size)))

    def test_each_table_is_of_one_pair_of_channels(self):
        """A change of a channel's logits, or of a pair's table, shows where it belongs and nowhere else."""
        likelihood = likelihoods.Categorical(2, 3)
        params = table_params(likelihood)

        def conditionals(params):
            """Of each channel i: P(v_i | v_0 .. v_(i-1)), [K] * (i + 1)."""
            joint, found = joint_of(likelihood, params), []
            for i in range(3):
                marginal = joint.sum(axis=tuple(range(i + 1, 3)))
                found.append(marginal / marginal.sum(axis=-1, keepdims=True))
            return found

        before = conditionals(params)
        blocks = [(2 * i, 2 * i + 2, None, i) for i in range(3)]
        pairs = ((0, 1), (0, 2), (1, 2))
        blocks += [(6 + 4 * k, 10 + 4 * k, j, i) for k, (j, i) in enumerate(pairs)]
        for start, stop, earlier, later in blocks:
            changed = params.copy()
            changed[start:stop] += [0.0, 1.0] if earlier is None else [0.0, 1.0, 1.0, 0.0]
            after = conditionals(changed)
            for i in range(3):
                if i == later:
                    self.assertGreater(np.abs(after[i] - before[i]).min(), 1e-4)
                else:
                    self.assertAllClose(after[i], before[i], rtol=1e-10)

    def test_gradients_by_causality(self):
        """Of P(v_i | ..) with respect to the tables of later channels: none."""
        likelihood = likelihoods.Categorical(3, 3)
        params = tf.constant(table_params(likelihood))
        with tf.GradientTape() as tape:
            tape.watch(params)
            nats = likelihood.log_prob(params, [2, 0, 1])
        gradient = tape.gradient(nats, params).numpy()
        tables = gradient[9:].reshape(3, 3, 3)
        for table, row in zip(tables, (2, 2, 0)):  # pairs 01, 02, 12: the row of the earlier value
            self.assertEqual(sorted(set(np.nonzero(table)[0])), [row])

    @parameterized.parameters(((3, 2), np.float32), ((2, 3), np.float64))
    def test_draws(self, size, dtype):
        likelihood = likelihoods.Categorical(*size)
        params = table_params(likelihood, seed=1)
        draws = draw_many(likelihood, params, dtype)
        self.assertEqual(draws.shape, (NUM_DRAWS, likelihood.num_channels))
        counts = np.zeros([likelihood.num_values] * likelihood.num_channels)
        np.add.at(counts, tuple(draws.T), 1)
        self.assertGreater(chi_square_p_value(counts, joint_by_hand(likelihood, params)), 1e-4)

    def test_one_channel_is_a_softmax(self):
        likelihood = likelihoods.Categorical(7)
        params = np.random.default_rng(0).normal(size=(50, 7))
        images = np.arange(50)[:, None] % 7
        expected = tf.gather(tf.nn.log_softmax(params), images, batch_dims=1)[:, 0]
        self.assertAllClose(likelihood.log_prob(params, images), expected, rtol=1e-14, atol=1e-15)
        noise = random_noise(likelihood, 50)
        self.assertAllEqual(
            likelihood.draw(params, noise)[:, 0], np.argmax(params + noise, axis=-1)
        )

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
