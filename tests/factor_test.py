"""Tests of a factor: an ordinary Keras model whose outputs are a distribution's parameters."""

import functools
import math

import keras
import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.inputs import Inputs
from tests import custom, helpers

IMAGES = helpers.pictures(4)
GRAYS = pa.auxiliary.Grayscale()(IMAGES).numpy()
TWO_RESOLUTIONS = pa.networks.topology.pixelcnn_pp(blocks=1, resolutions=2)


def gray_factor(dtype="float32"):
    return helpers.shared_model(dtype).factors["grayscale"]


def image_factor(dtype="float32"):
    return helpers.shared_model(dtype).factors["image"]


@functools.cache
def halving_factor():
    """A factor, its embedding included, that halves image sides once."""
    return helpers.tiny_model(topology=TWO_RESOLUTIONS).factors["image"]


class FactorTest(tf.test.TestCase):
    def test_plain_fit_trains_a_conditional_factor(self):
        factor = helpers.shared_model().new_factor("image")
        before = factor.embedding.get_weights()
        bits = -np.mean(factor.log_prob(IMAGES, GRAYS)) / (
            math.prod(helpers.SIZE) * 3 * math.log(2)
        )
        adam = keras.optimizers.Adam(1e-2)
        factor.compile(adam, loss=factor.likelihood.bits_per_dim, run_eagerly=True)
        batches = tf.data.Dataset.from_tensors(((IMAGES, GRAYS), IMAGES))
        losses = factor.fit(batches, epochs=4, verbose=0).history["loss"]
        self.assertAllClose(losses[0], bits, rtol=1e-5)  # of the weights before the first step
        self.assertLess(losses[-1], losses[0])
        self.assertNotAllClose(factor.embedding.get_weights()[0], before[0])

    def test_log_prob_is_the_sum_over_pixels_in_nats(self):
        for factor, inputs in ((gray_factor(), (GRAYS,)), (image_factor(), (IMAGES, GRAYS))):
            nats = factor.log_prob(inputs)
            pixels = factor.likelihood.log_prob(factor.params(inputs), inputs[0])
            self.assertEqual(nats.dtype, tf.float32)
            self.assertAllClose(nats, tf.reduce_sum(pixels, axis=[1, 2]), rtol=1e-6)
            self.assertAllClose(factor.pixel_log_prob(inputs), pixels, rtol=1e-6)

    def test_probabilities_of_all_images_sum_to_one(self):
        """Two gray pixels, 16 x 16 images: only a causal network can pass."""
        images = helpers.all_images(16, 1, 2, 1)
        nats = gray_factor("float64").log_prob(images)
        self.assertAllClose(np.sum(np.exp(nats)), 1.0, rtol=1e-9)

    def test_params_are_of_the_network_without_dropout(self):
        factor = helpers.tiny_model(dropout=0.5).factors["grayscale"]
        params = factor.params(GRAYS)
        self.assertAllEqual(params, factor.params(GRAYS))
        self.assertAllClose(params, factor.network(factor.scaled(GRAYS), training=False), rtol=1e-5)

    def test_images_are_scaled_to_minus_one_and_one(self):
        self.assertAllClose(image_factor().scaled([0, 51, 255]), [-1.0, -0.6, 1.0])
        self.assertAllClose(gray_factor().scaled([0, 3, 15]), [-1.0, -0.6, 1.0])

    def test_features_are_those_of_the_scaled_auxiliary_image(self):
        factor = halving_factor()
        grays = np.arange(2 * 4 * 6).reshape(2, 4, 6, 1).astype(np.uint8) % 16
        features = factor.features(grays)
        self.assertEqual([f.shape.as_list() for f in features], [[2, 4, 6, 4], [2, 2, 3, 4]])
        expected = factor.embedding(grays / np.float32(7.5) - 1)
        for feature, values in zip(features, expected, strict=True):
            self.assertAllClose(feature, values, rtol=1e-5, atol=1e-6)
        with self.assertRaisesRegex(ValueError, "conditional"):
            gray_factor().features(grays)

    def test_params_at_every_size_that_the_down_sampling_divides(self):
        self.enter_context(helpers.eagerly())
        factor = halving_factor()
        for height, width in ((2, 2), (4, 6), (8, 2)):
            images = np.zeros([3, height, width, 3], np.uint8)
            params = factor.params(images, images[..., :1])
            self.assertEqual(params.shape, [3, height, width, factor.likelihood.num_params])
        for height, width in ((4, 5), (3, 4)):
            images = np.zeros([3, height, width, 3], np.uint8)
            with self.assertRaisesRegex(ValueError, f"multiples of 2.*{height} x {width}"):
                factor.params(images, images[..., :1])

    def test_every_float_is_of_the_dtype_asked_for(self):
        factor = image_factor("float64")
        self.assertEqual({weight.dtype for weight in factor.weights}, {"float64"})
        self.assertEqual(factor.params(IMAGES, GRAYS).dtype, tf.float64)
        self.assertEqual(factor.log_prob(IMAGES, GRAYS).dtype, tf.float64)
        self.assertEqual(factor.features(GRAYS)[0].dtype, tf.float64)
        with self.assertRaisesRegex(ValueError, "method='fast'"):
            factor.params(IMAGES, GRAYS, method="fast")

    def test_other_dtypes_are_refused(self):
        """Likelihoods do not survive 16 bits, and a network's own dtype would decide about the factor's."""
        network = {"topology": pa.networks.topology.flat(1), "filters": 4}
        other = pa.networks.PixelCNN(**network, num_params=16, dtype="float64")
        message = "Received: float64 of 'pixel_cnn.*a factor of float32"
        with self.assertRaisesRegex(ValueError, message):
            pa.Factor(pa.likelihoods.Categorical(16), other)
        for dtype in ("float16", "bfloat16"):
            with self.assertRaisesRegex(ValueError, f"Expected one dtype .*Received: {dtype} of"):
                helpers.shared_model().new_factor("grayscale", dtype)
        self.addCleanup(keras.config.set_dtype_policy, keras.config.dtype_policy())
        keras.config.set_dtype_policy("float16")
        with self.assertRaisesRegex(ValueError, "Expected one dtype .*Received: float16 of"):
            pa.chain([], helpers.SIZE, network, embedding=None)

    def test_initialize_from_data_changes_g_and_b_alone(self):
        factor = helpers.shared_model().new_factor("image")
        before = factor.get_weights()
        factor.initialize_from_data(IMAGES, GRAYS)
        for weight, old in zip(factor.weights, before, strict=True):
            changed = not np.array_equal(weight.numpy(), old)
            self.assertEqual(changed, weight.name in ("g", "b"), weight.path)
        # The last layer's outputs are the parameters.
        params = factor.params(IMAGES, GRAYS)
        self.assertAllClose(np.mean(params, axis=(0, 1, 2)), np.zeros(20), atol=1e-4)
        self.assertAllClose(np.std(params, axis=(0, 1, 2)), np.ones(20), atol=1e-4)

    def test_a_summary_of_layers_whose_parameters_add_up(self):
        factor, printed = halving_factor(), []
        factor.summary(printed.append)
        rows = [line.rsplit(maxsplit=1) for line in "".join(printed).splitlines()[2:]]
        counts = {line: int(count.replace(",", "")) for line, count in rows if count}
        parts = [n for line, n in counts.items() if line.startswith("  ")]
        self.assertEqual(sum(parts), factor.count_params())
        self.assertEqual(counts["all"], factor.num_parameters)
        self.assertEqual(counts["network (PixelCNN)"], factor.network.count_params())
        self.assertLen(counts, len(rows))
        self.assertRegex(rows[-2][0], r"last \(WeightNormDense\) +H x W x 20$")
        self.assertRegex("".join(counts), "  vertical: down +H/2 x W/2 x 4")

    def test_no_images(self):
        factor = helpers.shared_model().new_factor("image")
        before = factor.get_weights()
        for method in ("full", "incremental"):
            params = factor.params(IMAGES[:0], GRAYS[:0], method)
            self.assertEqual(params.shape, (0, *IMAGES.shape[1:3], factor.likelihood.num_params))
        with self.assertRaisesRegex(ValueError, "Received: none. Give a batch"):
            factor.initialize_from_data(IMAGES[:0], GRAYS[:0])
        self.assertAllEqual(factor.get_weights()[0], before[0])


class WrongInputsTest(tf.test.TestCase):
    def assertRefused(self, message, factor, *inputs):
        for method in (factor.params, factor.log_prob, factor.initialize_from_data):
            with self.assertRaisesRegex(ValueError, message):
                method(*inputs)

    def test_images(self):
        floats = IMAGES.astype(np.float32)
        self.assertRefused("images as uint8.*Received: float32", image_factor(), floats, GRAYS)
        self.assertRefused("images with 3 channels.*, 1]", image_factor(), GRAYS, GRAYS)
        self.assertRefused("images with 1 channel.*, 3]", gray_factor(), IMAGES)
        self.assertRefused("0 to 15. Received: a value of 16", gray_factor(), GRAYS * 0 + 16)

    def test_auxiliary_images(self):
        factor = image_factor()
        self.assertRefused("auxiliary images: this factor is conditional", factor, IMAGES)
        self.assertRefused("no auxiliary images", gray_factor(), GRAYS, GRAYS)
        self.assertRefused("auxiliary images as uint8", factor, IMAGES, GRAYS.astype(np.int32))
        self.assertRefused("auxiliary images with 1 channel", factor, IMAGES, IMAGES)
        self.assertRefused("auxiliary images .*a value of 200", factor, IMAGES, GRAYS * 0 + 200)
        with self.assertRaisesRegex(ValueError, "auxiliary images .*a value of 16"):
            factor.features(GRAYS * 0 + 16)

    def test_a_condition(self):
        """A factor of an unconditional model takes none."""
        with self.assertRaisesRegex(ValueError, "Expected no condition.*Received: 3"):
            image_factor().log_prob(Inputs(IMAGES, GRAYS, 3))

    def test_auxiliary_images_of_another_size(self):
        message = r"shape \[4, 4, 6, 1\] beside.*\[4, 4, 6, 3\]. Received: \[{}, {}, 6, 1\]"
        self.assertRefused(message.format(4, 2), image_factor(), IMAGES, GRAYS[:, :2])
        self.assertRefused(message.format(3, 4), image_factor(), IMAGES, GRAYS[:3])

    def test_what_a_graph_does_not_know(self):
        """A number of images may turn out to be the same."""

        def trace(*shapes):
            traced = tf.function(image_factor().log_prob, autograph=False)
            return traced.get_concrete_function(*(tf.TensorSpec(x, tf.uint8) for x in shapes))

        for batches in ((None, 4), (None, None)):
            nats = trace(*([batch, 4, 6, c] for batch, c in zip(batches, (3, 1))))
            self.assertAllClose(nats(IMAGES, GRAYS), image_factor().log_prob(IMAGES, GRAYS))
        with self.assertRaisesRegex(ValueError, r"Received: \[3, 4, 6, 1\]"):
            trace([4, 4, 6, 3], [3, 4, 6, 1])
        with self.assertRaisesRegex(ValueError, "known.*Received: 4 x None"):
            trace([4, 4, None, 3], [4, 4, 6, 1])

    def test_sides_that_the_ratio_does_not_divide(self):
        flat = pa.networks.topology.flat(1)
        mixture = pa.likelihoods.LogisticMixture(1)
        network = pa.networks.PixelCNN(flat, 3, mixture.num_params)
        double = pa.networks.Embedding(pa.networks.topology.super_resolution(1, 1), 3)
        factor = pa.Factor(mixture, network, double, auxiliary_likelihood=mixture)
        images = np.zeros([1, 5, 4, 3], np.uint8)
        self.assertRefused("multiples of 2.* Received: 5 x 4", factor, images, images[:, :2, :2])

    def test_an_embedding_without_what_it_embeds(self):
        factor = image_factor()
        for given in ({"embedding": factor.embedding}, {"auxiliary_likelihood": factor.likelihood}):
            with self.assertRaisesRegex(ValueError, "or neither"):
                pa.Factor(factor.likelihood, factor.network, **given)

    def test_a_fixed_sum_of_a_likelihood_without_bounds(self):
        network = pa.networks.PixelCNN(pa.networks.topology.flat(1), 3, 1)
        embedding = pa.networks.Embedding(pa.networks.topology.flat(1), 3)
        coin = custom.Coin()
        for exact in (False, True):
            fixed_sum = pa.sums.FixedSum([[1]], step=1, num_values=2, exact=exact)
            with self.assertRaisesRegex(ValueError, "a likelihood that has bounds.*Received: Coin"):
                pa.Factor(coin, network, embedding, auxiliary_likelihood=coin, fixed_sum=fixed_sum)
        coin.centered, coin.unit = True, 1.0
        with self.assertRaisesRegex(ValueError, "Coin to have bounds, since it is centered"):
            pa.Factor(coin, network, embedding, auxiliary_likelihood=coin, fixed_sum=fixed_sum)
