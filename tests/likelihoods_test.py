"""Tests of the likelihoods: probabilities, their gradients, and draws that follow them."""

import math
import pathlib

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from absl.testing import parameterized

from pixelcnn_aux import likelihoods
from tests.helpers import (
    chi_square_p_value,
    in_log_scales,
    in_pixels,
    mixture_params,
    probabilities,
    without,
)

tfd = tfp.distributions

REFERENCE = pathlib.Path(__file__).parent / "data" / "openai_pixelcnn_pp.npz"
NUM_DRAWS = 20_000


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def random_params(*shape, num_components=10, seed=0):
    return np.random.default_rng(seed).normal(size=(*shape, 10 * num_components))


def random_noise(head, *shape, dtype=np.float64, seed=1, mode="sample"):
    uniforms = np.random.default_rng(seed).random((*shape, head.noise_size), dtype=dtype)
    return head.noise(tf.constant(uniforms), mode)


def draw_many(head, params, dtype=np.float64, seed=0, mode="sample", **kwargs):
    noise = random_noise(head, NUM_DRAWS, dtype=dtype, seed=seed, mode=mode)
    params = np.broadcast_to(params.astype(dtype), (NUM_DRAWS, head.num_params))
    return head.draw(params, noise, **kwargs).numpy()


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


class LogisticMixtureTest(tf.test.TestCase, parameterized.TestCase):
    def test_reference_likelihood(self):
        with np.load(REFERENCE) as data:
            params, image, expected = (
                data[k] for k in ("head/params", "image", "head/nll_nats_per_image")
            )
        log_prob = likelihoods.LogisticMixture().log_prob(params, image)
        self.assertAllClose(-tf.reduce_sum(log_prob, [1, 2]), expected, rtol=0, atol=2e-2)

    def test_against_sigmoids_in_the_middle(self):
        head = likelihoods.LogisticMixture(num_components=2)
        params = mixture_params(
            logits=[math.log(1.0), math.log(3.0)],
            means=[[-0.3, 0.2], [0.1, -0.1], [0.4, 0.0]],
            log_scales=[[-2.0, -1.5], [-2.5, -1.0], [-1.0, -3.0]],
            coefficients=[[0.5, -0.4], [0.3, 0.9], [-0.8, 0.2]],
        )
        pixel = np.array([100, 120, 140])
        r, g, b = in_pixels(pixel)
        expected = 0.0
        for weight, m, s, (c_r, c_g, c_b) in (
            (0.25, (-0.3, 0.1, 0.4), (-2.0, -2.5, -1.0), np.tanh([0.5, 0.3, -0.8])),
            (0.75, (0.2, -0.1, 0.0), (-1.5, -1.0, -3.0), np.tanh([-0.4, 0.9, 0.2])),
        ):
            means = np.array([m[0], m[1] + c_r * r, m[2] + c_g * r + c_b * g])
            upper = sigmoid(((r, g, b) - means + 0.5 / 127.5) / np.exp(s))
            lower = sigmoid(((r, g, b) - means - 0.5 / 127.5) / np.exp(s))
            expected += weight * np.prod(upper - lower)
        self.assertAllClose(head.log_prob(params, pixel), np.log(expected), rtol=1e-9, atol=0)

    @parameterized.parameters((np.float32, 2e-5), (np.float64, 1e-12))
    def test_probabilities_sum_to_one(self, dtype, tolerance):
        head, values = likelihoods.LogisticMixture(), np.arange(256)
        for seed in range(3):
            params = (2.0 * random_params(seed=seed)).astype(dtype)
            p_r = probabilities(head, without(params, 1, 2), values, 0, 0)
            self.assertAllClose(p_r.sum(), 1.0, rtol=tolerance)
            # Summing g out of P(r, g) leaves P(r) only if one component makes both.
            p_rg = probabilities(head, without(params, 2), values[:, None], values, 0)
            self.assertAllClose(p_rg.sum(axis=1), p_r, rtol=tolerance, atol=0)
            p_b = probabilities(head, params, 40, 200, values)
            self.assertAllClose(p_b.sum(), p_rg[40, 200], rtol=tolerance, atol=0)

    def test_joint_sums_to_one(self):
        head, values = likelihoods.LogisticMixture(num_components=3), np.arange(24)
        means = in_pixels([[1.0, 6.0, 11.0], [8.0, -2.0, 3.0], [5.0, 9.0, 2.0]])
        # The means keep where they are because coefficients act on r = g = -1 nearly.
        coefficients = np.array([[0.5, -0.1, 0.2], [-0.3, 0.4, 0.1], [0.6, -0.2, 0.3]])
        c_r, c_g, c_b = np.tanh(coefficients)
        means += np.stack([np.zeros(3), c_r, c_g + c_b])
        params = mixture_params([0.0, 1.0, -1.0], means, in_log_scales(0.5), coefficients)
        joint = probabilities(head, params, values[:, None, None], values[:, None], values)
        self.assertAllClose(joint.sum(), 1.0, rtol=1e-8)
        self.assertGreater(joint[0].sum(), 0.05)

    def test_finite_at_the_extremes(self):
        head, rng, shape = likelihoods.LogisticMixture(), np.random.default_rng(0), (4096, 10)
        signed = [-1e6, -1.0, 0.0, 1e-6, 1.0, 1e6]
        blocks = [rng.choice(signed, shape)]
        for _ in range(3):
            blocks += [rng.choice(signed, shape), rng.choice([-1e6, -7.0, 0.0, 5.0, 30.0], shape)]
            blocks += [rng.choice(signed, shape)]
        params = np.concatenate(blocks, axis=-1)
        # Whole pixels at one extreme too, so that no ordinary component comes to the rescue.
        same = params[:, ::10].repeat(10, axis=-1)
        params = tf.constant(np.concatenate([params, same]), tf.float32)
        for values in ([0, 1, 127, 254, 255], [0], [255]):
            images = rng.choice(values, (8192, 3))
            with tf.GradientTape() as tape:
                tape.watch(params)
                log_prob = head.log_prob(params, images)
            self.assertAllInRange(log_prob, -np.finfo(np.float32).max, 1e-5)
            self.assertAllEqual(
                tf.math.is_finite(tape.gradient(log_prob, params)), tf.ones([8192, 100])
            )
        for value in (0.0, np.float32(1.0 - 2.0**-24)):
            self.assertAllInRange(head.draw(params, head.noise(tf.fill([8192, 13], value))), 0, 255)

    @parameterized.parameters(np.float32, np.float64)
    def test_draws_of_r(self, dtype):
        head = likelihoods.LogisticMixture(num_components=3)
        params = mixture_params(
            logits=[0.0, 1.0, -0.5],
            means=in_pixels([[20.0, 130.0, 250.0], [0.0] * 3, [0.0] * 3]),
            log_scales=in_log_scales([[3.0, 1.0, 12.0], [9.0] * 3, [9.0] * 3]),
            coefficients=0.0,
        )
        draws = draw_many(head, params, dtype)
        expected = probabilities(head, without(params, 1, 2), np.arange(256), 0, 0)
        counts = np.bincount(draws[:, 0], minlength=256)
        self.assertGreater(chi_square_p_value(counts, expected), 1e-4)

    def test_draws_of_g_given_r(self):
        head = likelihoods.LogisticMixture(num_components=2)
        # Narrow enough in G to show whether it follows the rounded r; overlapping in R, so that r
        # tells something about the component, not all.
        params = mixture_params(
            logits=[0.0, 0.7],
            means=[in_pixels([126.0, 129.0]), in_pixels([127.5, 140.0]), [0.0, 0.0]],
            log_scales=in_log_scales([[1.5, 1.0], [0.15, 1.0], [1.0, 1.0]]),
            coefficients=[[5.0, -0.5], [0.5, 2.0], [1.0, 1.0]],
        )
        draws, values = draw_many(head, params), np.arange(256)
        joint = probabilities(head, without(params, 2), values[:, None], values, 0)
        counts = np.zeros([256, 256])
        np.add.at(counts, (draws[:, 0], draws[:, 1]), 1)
        self.assertGreater(chi_square_p_value(counts, joint), 1e-4)
        r = 128  # Either component may have drawn it.
        self.assertGreater(counts[r].sum(), 2000)
        self.assertGreater(chi_square_p_value(counts[r], joint[r] / joint[r].sum()), 1e-4)

    def test_draws_of_b_given_r_and_g(self):
        head = likelihoods.LogisticMixture(num_components=2)
        params = mixture_params(
            logits=[0.0, 0.3],
            means=[in_pixels([60.3, 59.6]), in_pixels([210.0, 190.5]), in_pixels([110.0, 127.5])],
            log_scales=in_log_scales([[0.3, 0.4], [0.3, 0.4], [2.0, 0.3]]),
            coefficients=[[0.3, 0.0], [-0.5, 0.2], [0.4, 5.0]],
        )
        draws, values = draw_many(head, params), np.arange(256)
        pairs, sizes = np.unique(draws[:, :2], axis=0, return_counts=True)
        for (r, g), size in zip(pairs, sizes):
            if size > 1000:
                expected = probabilities(head, params, r, g, values)
                of_pair = draws[(draws[:, 0] == r) & (draws[:, 1] == g)]
                counts = np.bincount(of_pair[:, 2], minlength=256)
                p_value = chi_square_p_value(counts, expected / expected.sum())
                self.assertGreater(p_value, 1e-4, msg=f"r={r}, g={g}")
        self.assertGreater(np.sum(sizes > 1000), 3)

    def test_map_is_the_rounded_location_of_the_component(self):
        head = likelihoods.LogisticMixture(num_components=2)
        # With coefficients c_R = 1, c_G = 0, c_B = -1 of r, r and g:
        # Component 0: R at 100.4 becomes 100, G 0.3 above it 100 (101 if 100.4 had been fed on),
        # and B at 255 - 100 + 1.6 becomes 157.
        # Component 1: R at -30 becomes 0, G 20 above it 20, and B at 255 - 20 + 50 becomes 255.
        params = mixture_params(
            logits=[0.0, 0.0],
            means=[
                in_pixels([100.4, -30.0]),
                np.array([0.3, 20.0]) / 127.5,
                np.array([1.6, 50.0]) / 127.5,
            ],
            log_scales=1.0,
            coefficients=[[30.0, 30.0], [0.0, 0.0], [-30.0, -30.0]],
        )
        uniforms = np.random.default_rng(0).random((100, 5))
        # The Gumbels decide on the component, whose logits are the same.
        uniforms[:, 0], uniforms[:, 1] = np.linspace(0.9, 0.1, 100), 0.5
        noise = head.noise(tf.constant(uniforms), "map")
        # Even infinite scales leave locations as they are.
        for shift in (-0.5, 1000.0):
            draws = head.draw(np.tile(params, [100, 1]), noise, log_scale_shift=shift)
            self.assertAllEqual(draws, [[100, 100, 157]] * 50 + [[0, 20, 255]] * 50)

    def test_infinite_scales(self):
        head, params = likelihoods.LogisticMixture(), random_params(64)
        draws = head.draw(params, random_noise(head, 64), log_scale_shift=1000.0)
        self.assertAllEqual(np.unique(draws), [0, 255])

    def test_log_scale_shift(self):
        head, params = likelihoods.LogisticMixture(), random_params(4, 5)
        noise = random_noise(head, 4, 5)
        is_log_scale = np.repeat([0, 0, 1, 0, 0, 1, 0, 0, 1, 0], 10)
        for shift in (-0.5, -100.0, np.array([0.0, -0.5, -1.0, 0.5])):
            shifted = params + is_log_scale * np.reshape(shift, [-1, 1, 1])
            self.assertAllEqual(
                head.draw(params, noise, log_scale_shift=shift), head.draw(shifted, noise)
            )
        narrowest = np.where(is_log_scale, -7.0, params)
        self.assertAllEqual(head.draw(params, noise, -100.0), head.draw(narrowest, noise))
        self.assertNotAllEqual(head.draw(params, noise, -0.5), head.draw(params, noise))

    def test_zero_noise_is_within_the_components_reach(self):
        head = likelihoods.LogisticMixture(num_components=1)
        params = mixture_params([0.0], in_pixels(200.0), -7.0, 0.0).astype(np.float32)
        noise = head.noise(tf.zeros(4))
        self.assertAllInRange(head.draw(params, noise), 190, 200)

    def test_plain_and_compiled_draws_agree(self):
        head, params = likelihoods.LogisticMixture(), random_params(64)
        noise = random_noise(head, 64)
        compiled = tf.function(head.draw, jit_compile=True)
        self.assertAllEqual(compiled(tf.constant(params), noise), head.draw(params, noise))


class CategoricalTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(np.float32, np.float64)
    def test_log_prob(self, dtype):
        logits = np.log(np.array([1, 2, 3, 4], dtype))
        log_prob = likelihoods.Categorical(4).log_prob(
            np.tile(logits, [4, 1]), [[3], [2], [1], [0]]
        )
        self.assertEqual(log_prob.dtype, dtype)
        self.assertAllClose(log_prob, np.log([0.4, 0.3, 0.2, 0.1]), rtol=1e-6)

    def test_probabilities_sum_to_one(self):
        head, params = likelihoods.Categorical(), 5.0 * random_params(16)[0, :16]
        self.assertAllClose(probabilities(head, params, np.arange(16)).sum(), 1.0, rtol=1e-12)

    def test_finite_at_the_extremes(self):
        params = np.random.default_rng(0).choice([-1e6, 0.0, 1.0, 1e6], (1600, 16))
        params = tf.constant(params, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(params)
            log_prob = likelihoods.Categorical().log_prob(params, np.arange(1600)[:, None] % 16)
        self.assertAllInRange(log_prob, -np.finfo(np.float32).max, 0)
        self.assertAllEqual(tf.math.is_finite(tape.gradient(log_prob, params)), tf.ones([1600, 16]))

    @parameterized.product(dtype=(np.float32, np.float64), mode=likelihoods.MODES)
    def test_draws(self, dtype, mode):
        head, params = likelihoods.Categorical(), random_params(16)[0, :16]
        draws = draw_many(head, params, dtype, mode=mode, log_scale_shift=-1.0)
        counts = np.bincount(draws[:, 0], minlength=16)
        expected = probabilities(head, params, np.arange(16))
        self.assertGreater(chi_square_p_value(counts, expected), 1e-4)

    @parameterized.parameters(np.float32, np.float64)
    def test_never_draws_what_has_no_probability(self, dtype):
        head, rng = likelihoods.Categorical(), np.random.default_rng(0)
        params = rng.normal(size=(NUM_DRAWS, 16)).astype(dtype)
        impossible = rng.random((NUM_DRAWS, 16)) < 0.5
        impossible[:, 7] = False
        params[impossible] = -1e6
        # The largest Gumbels that there are, for what is impossible alone.
        largest = 1.0 - np.finfo(dtype).eps / 2
        for uniforms in (np.where(impossible, largest, 0.0), rng.random((NUM_DRAWS, 16))):
            draws = head.draw(params, head.noise(tf.constant(uniforms, dtype)))
            self.assertAllEqual(np.take_along_axis(impossible, draws.numpy(), axis=1).any(), False)


def table_params(head, seed=0):
    """Params of one pixel, in float64, with logits and tables far from equal."""
    return 1.5 * np.random.default_rng(seed).normal(size=head.num_params)


def joint_of(head, params):
    """Probabilities of all values of a few channels, float64 [K, ..., K]."""
    shape = [head.num_values] * head.num_channels
    return probabilities(head, params, *np.indices(shape).reshape(len(shape), -1)).reshape(shape)


def joint_by_hand(head, params):
    """The same by the definition."""
    values, channels = head.num_values, head.num_channels
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
        head = likelihoods.Categorical(*size)
        params = table_params(head)
        joint = joint_of(head, params)
        self.assertAllClose(joint.sum(), 1.0, rtol=1e-12)
        self.assertAllClose(joint, joint_by_hand(head, params), rtol=1e-10, atol=0)

    def test_number_of_params(self):
        for size, params in (
            ((3, 2), 15),
            ((2, 3), 18),
            ((2, 8), 128),
            ((16, 1), 16),
            ((8, 3), 216),
        ):
            head = likelihoods.Categorical(*size)
            self.assertEqual((head.num_params, head.noise_size), (params, math.prod(size)))

    def conditionals(self, head, params):
        """Of each channel i: P(v_i | v_0 .. v_(i-1)), [K] * (i + 1)."""
        joint, found = joint_of(head, params), []
        for i in range(head.num_channels):
            upto = joint.sum(axis=tuple(range(i + 1, head.num_channels)))
            found.append(upto / upto.sum(axis=-1, keepdims=True))
        return found

    def test_each_table_is_of_one_pair_of_channels(self):
        """A change of a channel's logits, or of a pair's table, shows where it belongs and nowhere else."""
        head = likelihoods.Categorical(2, 3)
        params = table_params(head)
        before = self.conditionals(head, params)
        blocks = [(2 * i, 2 * i + 2, None, i) for i in range(3)]
        pairs = ((0, 1), (0, 2), (1, 2))
        blocks += [(6 + 4 * k, 10 + 4 * k, j, i) for k, (j, i) in enumerate(pairs)]
        for start, stop, earlier, later in blocks:
            changed = params.copy()
            changed[start:stop] += [0.0, 1.0] if earlier is None else [0.0, 1.0, 1.0, 0.0]
            after = self.conditionals(head, changed)
            for i in range(3):
                if i == later:
                    self.assertGreater(np.abs(after[i] - before[i]).min(), 1e-4)
                else:
                    self.assertAllClose(after[i], before[i], rtol=1e-10)

    def test_gradients_by_causality(self):
        """Of P(v_i | ..) with respect to the tables of later channels: none."""
        head = likelihoods.Categorical(3, 3)
        params = tf.constant(table_params(head))
        with tf.GradientTape() as tape:
            tape.watch(params)
            nats = head.log_prob(params, [2, 0, 1])
        gradient = tape.gradient(nats, params).numpy()
        tables = gradient[9:].reshape(3, 3, 3)
        for table, row in zip(tables, (2, 2, 0)):  # pairs 01, 02, 12: the row of the earlier value
            self.assertEqual(sorted(set(np.nonzero(table)[0])), [row])

    @parameterized.product(size=((3, 2), (2, 3)), dtype=(np.float32, np.float64))
    def test_draws(self, size, dtype):
        head = likelihoods.Categorical(*size)
        params = table_params(head, seed=1)
        draws = draw_many(head, params, dtype)
        self.assertEqual(draws.shape, (NUM_DRAWS, head.num_channels))
        counts = np.zeros([head.num_values] * head.num_channels)
        np.add.at(counts, tuple(draws.T), 1)
        self.assertGreater(chi_square_p_value(counts, joint_by_hand(head, params)), 1e-4)

    def test_one_channel_is_a_softmax(self):
        head = likelihoods.Categorical(7)
        params = np.random.default_rng(0).normal(size=(50, 7))
        images = np.arange(50)[:, None] % 7
        expected = tf.gather(tf.nn.log_softmax(params), images, batch_dims=1)[:, 0]
        self.assertAllClose(head.log_prob(params, images), expected, rtol=1e-14, atol=1e-15)
        noise = random_noise(head, 50)
        self.assertAllEqual(head.draw(params, noise)[:, 0], np.argmax(params + noise, axis=-1))

    def test_finite_at_the_extremes(self):
        head, rng = likelihoods.Categorical(4, 3), np.random.default_rng(0)
        params = tf.constant(rng.choice([-1e6, 0.0, 1.0, 1e6], (2000, head.num_params)), tf.float32)
        images = rng.integers(0, 4, (2000, 3))
        with tf.GradientTape() as tape:
            tape.watch(params)
            log_prob = head.log_prob(params, images)
        self.assertAllInRange(log_prob, -np.finfo(np.float32).max, 0)
        self.assertAllEqual(np.isfinite(tape.gradient(log_prob, params)), np.ones(params.shape))
        self.assertAllInRange(head.draw(params, random_noise(head, 2000, dtype=np.float32)), 0, 3)


class SizesTest(tf.test.TestCase):
    def test_sizes_that_make_no_sense_are_refused(self):
        for size in (0, -1, 2.5, "3", None, True):
            with self.assertRaisesRegex(ValueError, f"num_components of 1 or more.*={size!r}"):
                likelihoods.LogisticMixture(num_components=size)
            with self.assertRaisesRegex(ValueError, f"num_channels from 1 to 256.*={size!r}"):
                likelihoods.Categorical(16, num_channels=size)
        for size in (1, 257, 16.0):
            with self.assertRaisesRegex(ValueError, f"num_values from 2 to 256.*={size!r}"):
                likelihoods.Categorical(size)


class InterfaceTest(tf.test.TestCase, parameterized.TestCase):
    heads = parameterized.named_parameters(
        ("mixture", likelihoods.LogisticMixture()),
        ("categorical", likelihoods.Categorical()),
        ("of_three_channels", likelihoods.Categorical(3, 3)),
    )

    @heads
    def test_bits_per_dim(self, head):
        params = random_params(2, 3, 5)[..., : head.num_params]
        images = np.random.default_rng(1).integers(
            head.num_values, size=(2, 3, 5, head.num_channels)
        )
        bits = head.bits_per_dim(images, params)
        nats = head.log_prob(params, images).numpy()
        for i in range(2):
            expected = -nats[i].sum() / (3 * 5 * head.num_channels) / 0.6931471805599453
            self.assertAllClose(bits[i], expected, rtol=1e-12)

    @heads
    def test_is_a_loss(self, head):
        images = np.random.default_rng(0).integers(
            head.num_values, size=(4, 6, 6, head.num_channels)
        )
        images = images.astype(np.uint8)
        model = keras.Sequential([keras.layers.Conv2D(head.num_params, 1)])
        model.compile(
            optimizer=keras.optimizers.Adam(1e-2), loss=head.bits_per_dim, jit_compile=False
        )
        inputs = tf.cast(images, tf.float32) / head.num_values
        before = model.evaluate(inputs, images, verbose=0)
        self.assertAllClose(before, np.mean(head.bits_per_dim(images, model(inputs))), rtol=1e-5)
        model.fit(inputs, images, epochs=5, verbose=0)
        self.assertLess(model.evaluate(inputs, images, verbose=0), before)

    @heads
    def test_shapes_and_dtypes(self, head):
        for dtype in (tf.float32, tf.float64):
            for leading in ([], [2], [2, 3], [2, 3, 4]):
                params = tf.zeros([*leading, head.num_params], dtype)
                expected = head.log_prob(params, tf.zeros([*leading, head.num_channels], tf.uint8))
                self.assertEqual((expected.dtype, expected.shape), (dtype, leading))
                for image_dtype in (tf.int64, tf.float32, tf.float64):
                    images = tf.zeros([*leading, head.num_channels], image_dtype)
                    self.assertAllEqual(head.log_prob(params, images), expected)
                draws = head.draw(params, tf.fill([*leading, head.noise_size], tf.cast(0.3, dtype)))
                self.assertEqual(
                    (draws.dtype, draws.shape), (tf.int32, [*leading, head.num_channels])
                )

    @heads
    def test_unknown_sizes(self, head):
        spec = [tf.TensorSpec([None, None, None, n]) for n in (head.num_params, head.num_channels)]
        params = random_params(2, 3, 4)[..., : head.num_params].astype(np.float32)
        images = np.ones([2, 3, 4, head.num_channels], np.float32)
        graph = tf.function(head.log_prob, input_signature=spec)
        self.assertAllClose(graph(params, images), head.log_prob(params, images), rtol=1e-6)

    @heads
    def test_config(self, head):
        self.assertEqual(type(head)(**head.get_config()).num_params, head.num_params)

    @heads
    def test_wrong_arguments(self, head):
        params, images = tf.zeros([2, 3, head.num_params]), tf.zeros([2, 3, head.num_channels])
        noise = tf.zeros([2, 3, head.noise_size])
        with self.assertRaisesRegex(ValueError, r"Expected `params`.*Received.*\(2, 3, 7\)"):
            head.log_prob(params[..., :7], images)
        with self.assertRaisesRegex(ValueError, r"Expected `images`.*Received.*\(2, 3, 2\)"):
            tf.function(head.log_prob)(params, tf.zeros([2, 3, 2]))
        with self.assertRaisesRegex(ValueError, "same leading shape"):
            head.log_prob(params, images[:, :1])
        with self.assertRaisesRegex(ValueError, r"Expected `noise`.*Received.*\(2, 3, 6\)"):
            head.draw(params, tf.zeros([2, 3, 6]))
        with self.assertRaisesRegex(ValueError, r"'sample', 'map'.*Received: mode='mean'"):
            head.noise(noise, mode="mean")


if __name__ == "__main__":
    tf.test.main()
