"""Tests of the interface of likelihoods: shapes, wrong arguments, and entropies."""

import re
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from pixelcnn_aux import likelihoods
from pixelcnn_aux.base import arrays
from pixelcnn_aux.likelihoods import entropies
from pixelcnn_aux.sums import Bounds
from tests.custom import Coin
from tests.likelihoods.helpers import (
    IS_LOG_SCALE,
    extreme_params,
    fixed_bounds,
    random_bounds,
    random_params,
)

PARAMS, PIXELS, ONE = (np.zeros([2, 5, size], np.float32) for size in (100, 3, 1))
CENTERED = likelihoods.LogisticMixture(centered=True)
NO_BOUNDS = "Expected `bounds` .*Received: None"


def within(likelihood, params=PARAMS, images=PIXELS, **changes):
    """log_prob within bounds, with some changes."""
    bounds = Bounds(images, images, images)._replace(**changes)
    return likelihood.log_prob(params, images, bounds)


class InterfaceTest(tf.test.TestCase, parameterized.TestCase):
    def test_shapes_and_dtypes(self):
        kinds = (likelihoods.Categorical(), likelihoods.Categorical(3, 3))
        for likelihood in (likelihoods.LogisticMixture(), *kinds):
            sizes = (likelihood.num_params, likelihood.num_channels, likelihood.noise_size)
            for dtype, leading in ((tf.float32, []), (tf.float64, [2]), (tf.float32, [2, 3, 4])):
                params, pixels, noise = (tf.fill([*leading, n], tf.cast(0.0, dtype)) for n in sizes)
                expected = likelihood.log_prob(params, tf.cast(pixels, tf.uint8))
                self.assertEqual((expected.dtype, expected.shape), (dtype, leading))
                self.assertAllEqual(likelihood.log_prob(params, pixels), expected)
                drawn = likelihood.draw(params, noise + 0.3)
                self.assertEqual((drawn.dtype, drawn.shape), (tf.int32, pixels.shape))

    def test_probabilities_of_all_values_of_one_channel(self):
        """With only `_log_prob` defined, also in a graph of any number of pixels."""
        coin, logits = Coin(), np.array([[-1.0], [0.5], [3.0]])
        spec = [tf.TensorSpec([None, 1], tf.float64), tf.TensorSpec([None], tf.int32)]

        def of_values(params, low):
            return coin.value_log_probs(params, 0, [], bounds=[Bounds(low, low + 1, None)])

        graph = tf.function(of_values, input_signature=spec)
        expected = np.log([1 / (1 + np.exp(logits[:, 0])), 1 / (1 + np.exp(-logits[:, 0]))]).T
        self.assertAllClose(graph(logits, np.zeros(3, np.int32)), expected, rtol=1e-12)
        coin.centered = True
        with self.assertRaisesRegex(NotImplementedError, "Coin. Define _value_log_probs"):
            of_values(tf.constant(logits), tf.zeros(3, tf.int32))

    @parameterized.parameters(
        (lambda own: own.log_prob(PARAMS[..., :7], PIXELS), r"Expected `params`.*\(2, 5, 7\)"),
        (lambda own: own.log_prob(PARAMS, PIXELS[..., :2]), r"Expected `images`.*\(2, 5, 2\)"),
        (lambda own: own.log_prob(PARAMS, PIXELS[:, :1]), "same leading shape"),
        (lambda own: own.draw(PARAMS, PARAMS), r"Expected `noise` .*13\]. Received.*, 100\)"),
        (lambda own: own.noise(PARAMS[..., :13], "mean"), "'sample', 'map'.*Received: mode='mean'"),
        (lambda own: within(own, low=ONE), r"Expected `low` .*Received.*\(2, 5, 1\)"),
        (lambda own: CENTERED.log_prob(PARAMS, PIXELS), NO_BOUNDS),
        (lambda own: within(CENTERED, center=None), NO_BOUNDS),
        (lambda own: CENTERED.draw(PARAMS, PARAMS[..., :13]), NO_BOUNDS),
    )
    def test_wrong_arguments(self, call, message):
        with self.assertRaisesRegex(ValueError, message):
            call(likelihoods.LogisticMixture())

    def test_a_likelihood_without_bounds_says_so(self):
        for call in (
            lambda: within(Coin(), ONE, ONE),
            lambda: Coin().entropy(ONE, ONE, Bounds(ONE, ONE, ONE)),
            lambda: Coin().noise(tf.constant(ONE), bounded=True),
        ):
            with self.assertRaisesRegex(NotImplementedError, "has bounds. Received: Coin"):
                call()

    @parameterized.named_parameters(
        ("log_prob", "_log_prob", lambda own, x: own.log_prob(x, PIXELS)),
        ("bounded", "_bounded_log_prob", lambda own, x: within(own, x)),
        ("draw", "_draw", lambda own, x: own.draw(x, x)),
        ("bounded_draw", "_bounded_draw", lambda own, x: own.draw(x, x, bounds=len)),
    )
    def test_results_of_a_subclass_with_wrong_shapes(self, method, call):
        """They would broadcast silently in a sum over pixels."""
        right = "numbers of shape [2, 5]"
        if method.endswith("draw"):
            right = "pixels that it draws of shape [2, 5, 3]"
        for wrong in ([2, 5, 1], [2, 4], []):
            attributes = {method: lambda self, *args, shape=wrong: tf.zeros(shape)}
            own = type("Own", (likelihoods.Categorical,), attributes)(2, 3)
            own.num_params = own.noise_size
            message = f"Expected Own to give {right}. Received: {wrong}."
            with self.assertRaisesRegex(ValueError, re.escape(message)):
                call(own, tf.zeros([2, 5, own.num_params]))


class KindsOfArraysTest(tf.test.TestCase, parameterized.TestCase):
    """NumPy arrays and tensors give the same results, without Keras for NumPy arrays."""

    @parameterized.product(
        likelihood=(
            likelihoods.LogisticMixture(),
            CENTERED,
            likelihoods.LogisticMixture(2, num_channels=1, num_values=2**12),
            likelihoods.LogisticMixture(2, centered=True, unit=1.0, num_channels=4, num_values=9),
            likelihoods.Categorical(),
            likelihoods.Categorical(5, 3),
        ),
        bounded=(False, True),
        kind=((np.float32, "sample"), (np.float64, "map")),
    )
    def test_they_agree(self, likelihood, bounded, kind):
        dtype, mode = kind
        if likelihood.centered and not bounded:
            return
        size = likelihood.bounded_noise_size if bounded else likelihood.noise_size
        rng, channels = np.random.default_rng(0), likelihood.num_channels
        uniforms = rng.random((4, 50, size), dtype=dtype)
        params = rng.normal(size=(4, 50, likelihood.num_params)).astype(dtype)
        shifts = np.linspace(-1, 1, 4, dtype=np.float32)
        known = random_bounds(4, 50, num_values=likelihood.num_values, channels=channels)
        *ends, center, pixels = (np.int32(x) for x in known)

        def computed(kind):
            own_params, bounds = kind(params), Bounds(*map(kind, (*ends, np.float32(center))))
            noise = likelihood.noise(kind(uniforms), mode, bounded)
            how = {"bounds": fixed_bounds(*bounds)} if bounded else {}
            drawn = likelihood.draw(own_params, noise, kind(shifts), **how)
            log_prob = likelihood.log_prob(own_params, kind(pixels), bounds if bounded else None)
            earlier = [kind(pixels[..., i]) for i in range(channels - 1)]
            each = [Bounds(*(x[..., i] for x in bounds)) for i in range(channels)]
            values = likelihood.value_log_probs(own_params, channels - 1, earlier, bounds=each)
            return noise, log_prob, values, drawn

        refuse = {"side_effect": AssertionError}
        with mock.patch.multiple(arrays, _keras=mock.Mock(**refuse), backend=mock.Mock(**refuse)):
            with np.errstate(over="ignore"):
                *found, drawn = computed(np.array)
        *expected, drawn_by_tensors = computed(tf.constant)
        for one, other in zip([*found, drawn], [*expected, drawn_by_tensors]):
            self.assertIsInstance(one, np.ndarray)
            self.assertEqual((one.dtype, one.shape), (other.dtype, tuple(other.shape)))
        rtol, atol = (1e-11, 1e-12) if dtype == np.float64 else (1e-4, 1e-5)
        for one, other in zip(found, expected):
            self.assertAllClose(one, other, rtol=rtol, atol=atol)
        differ = np.mean(drawn != drawn_by_tensors.numpy())
        self.assertLessEqual(differ, 0 if dtype == np.float64 else 0.01)

    def test_own_likelihoods_in_operations_of_keras(self):
        """They return NumPy arrays for NumPy arrays."""
        coin, logits, ones = Coin(), np.array([[-0.5], [3.0]]), np.ones([2, 1], np.int32)
        uniforms = np.array([[0.6], [0.5]])
        drawn = coin.draw(logits, coin.noise(uniforms))
        found = drawn, coin.log_prob(logits, ones)
        self.assertEqual({type(x) for x in found}, {np.ndarray})
        self.assertAllEqual(drawn, [[0], [1]])
        self.assertAllClose(found[1], -np.log1p(np.exp(-logits[:, 0])))


def by_values(likelihood, params, pixels, bounds):
    """The entropies, from the probabilities of all values: [...]."""
    total, earlier, each = 0.0, [], []
    for channel in range(likelihood.num_channels):
        each.append(Bounds(*(x[..., channel] for x in bounds)))
        log_probs = likelihood.value_log_probs(params, channel, earlier, bounds=each).numpy()
        probs = np.exp(log_probs.astype(np.float64))
        total = total - np.sum(probs * np.where(probs > 0, log_probs, 0.0), axis=-1)
        earlier.append(np.int32(pixels[..., channel]))
    return total


class EntropyTest(tf.test.TestCase, parameterized.TestCase):
    """With tensors and in NumPy."""

    @parameterized.product(
        dtype=(np.float32, np.float64), centered=(False, True), narrow=(0.0, 6.0)
    )
    def test_agrees_with_the_probabilities_of_all_values(self, dtype, centered, narrow):
        likelihood = likelihoods.LogisticMixture(centered=centered)
        params = random_params(3, 20)
        params = tf.constant(params - narrow * IS_LOG_SCALE, dtype)
        low, high, center, pixels = random_bounds(3, 20)
        for ends in ((low, high), (0 * low, 0 * low + 255), (low, np.minimum(low + 3, 255))):
            bounds = Bounds(*np.int32(ends), center)
            values = np.clip(pixels, *ends)
            found = likelihood.entropy(params, values, bounds)
            self.assertEqual((found.dtype, found.shape), (dtype, (3, 20)))
            self.assertAllClose(found, by_values(likelihood, params, values, bounds), atol=3e-4)
            in_numpy = likelihood.entropy(params.numpy(), values, bounds)
            self.assertIsInstance(in_numpy, np.ndarray)
            self.assertEqual((in_numpy.dtype, in_numpy.shape), (dtype, (3, 20)))
            # Locations are rounded to a few thousandths of the narrowest scales in float32.
            rtol, atol = (1e-5, 1e-4 if narrow == 6.0 else 0) if dtype == np.float32 else (1e-11, 0)
            self.assertAllClose(in_numpy, found, rtol=rtol, atol=atol)

    def test_finite_at_the_extremes(self):
        params = extreme_params(1024)
        low, high, center, pixels = random_bounds(2048)
        for centered in (False, True):
            likelihood = likelihoods.LogisticMixture(centered=centered)
            for ends in ((low, high), (pixels, pixels), (0 * pixels, 0 * pixels + 255)):
                most = np.log(ends[1] - ends[0] + 1.0).sum(axis=-1)
                for given in (params, params.numpy()):
                    found = np.asarray(likelihood.entropy(given, pixels, Bounds(*ends, center)))
                    self.assertAllInRange(found, -1e-5, np.inf)
                    self.assertAllInRange(most - found, -1e-3, np.inf)

    def test_of_16_bits(self):
        likelihood = likelihoods.LogisticMixture(2, num_channels=1, num_values=2**16)
        params = tf.constant([[0.0, 0.5, 0.1, -0.2, -5.0, -7.0]])
        pixels = np.zeros([1, 1], np.int32)
        bounds = Bounds(pixels, pixels + 2**16 - 1, pixels)
        expected = by_values(likelihood, params, pixels, bounds)
        graph = tf.function(likelihood.entropy)
        for evaluate, given in ((graph, params), (likelihood.entropy, params.numpy())):
            self.assertAllClose(evaluate(given, pixels), expected, atol=1e-3)

    def test_any_number_of_pixels_in_a_graph(self):
        likelihood, params = likelihoods.LogisticMixture(), random_params(7).astype(np.float32)
        *_, pixels = random_bounds(7)
        pixels = pixels.astype(np.float32)
        spec = [tf.TensorSpec([None, 100]), tf.TensorSpec([None, 3])]
        graph = tf.function(likelihood.entropy, input_signature=spec)
        expected = likelihood.entropy(params, pixels)
        self.assertAllClose(graph(params, pixels), expected, rtol=1e-5)
        with mock.patch.object(entropies, "AT_ONCE", 4):
            for given in (params, tf.constant(params)):
                self.assertAllClose(likelihood.entropy(given, pixels), expected, rtol=1e-5)

    def test_categorical(self):
        for values, channels in ((16, 1), (5, 3)):
            likelihood = likelihoods.Categorical(values, channels)
            params = tf.constant(
                np.random.default_rng(0).normal(size=(2, 9, likelihood.num_params))
            )
            low, high, center, pixels = random_bounds(2, 9, num_values=values, channels=channels)
            bounds = Bounds(np.int32(low), np.int32(high), center)
            expected = by_values(likelihood, params, pixels, bounds)
            for given in (params, params.numpy()):
                found = likelihood.entropy(given, pixels, bounds)
                self.assertIsInstance(found, type(given))
                self.assertAllClose(found, expected, rtol=1e-9)
