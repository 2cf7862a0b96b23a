"""Tests of factors that compute with whole numbers: in which order they are added up does not matter."""

import decimal
import math
from unittest import mock

import numpy as np
import tensorflow as tf
from keras import ops

import pixelcnn_aux as pa
from benchmarks import pack
from pixelcnn_aux.base import rounding
from pixelcnn_aux.factors.inputs import Inputs
from pixelcnn_aux.networks import Embedding, ParallelPixelCNN, activations, topology
from pixelcnn_aux.run_files import tensors
from tests import helpers

HALVES = pa.auxiliary.HalfResolution()


def build(filters=8, **how):
    likelihood = pa.likelihoods.LogisticMixture(3, centered=True, unit=16.0)
    network = ParallelPixelCNN(1, filters, likelihood.num_params, **how)
    embedding = Embedding(topology.flat(1), filters, gated=False)
    fixed_sum = pa.sums.FixedSum(np.ones([2, 2]), 4, -2, center_units=rounding.CENTERS)
    how = {"auxiliary_likelihood": likelihood, "fixed_sum": fixed_sum, "name": "image"}
    return helpers.randomize(pa.Factor(likelihood, network, embedding, **how, rounded=True))


class WholeNumbersTest(helpers.TestCase):
    def test_parameters_are_the_same_whatever_adds_them_up(self):
        factor, images = build().with_rounded_weights(), helpers.pictures(3, size=(9, 12))
        auxiliary, keras_model = HALVES(images), factor.keras_model()
        expected = factor.params(images, auxiliary)
        self.assertAllEqual(np.round(expected * 256.0), expected * 256.0)
        self.assertGreater(np.std(expected), 0.1)
        conv = ops.conv

        def in_double(x, kernel, *args, **kwargs):
            y = conv(ops.cast(x, "float64"), ops.cast(kernel, "float64"), *args, **kwargs)
            return ops.cast(y, "float32")

        def channel_by_channel(x, kernel, *args, **kwargs):
            return sum(
                conv(x[..., k : k + 1], kernel[:, :, k : k + 1], *args, **kwargs)
                for k in reversed(range(x.shape[-1]))
            )

        for other in (conv, in_double, channel_by_channel):
            with mock.patch.object(ops, "conv", other):  # by Keras, and not in NumPy as above
                self.assertAllEqual(keras_model(Inputs(images, auxiliary)), expected)

    def test_quantized_weights_are_rounded_to_themselves(self):
        factor, images = build(), helpers.pictures(3)
        before = factor.params(images, HALVES(images))
        self.assertFalse(factor.has_rounded_weights)
        factor = factor.with_rounded_weights()
        self.assertTrue(factor.has_rounded_weights)
        self.assertAllEqual(factor.params(images, HALVES(images)), before)
        # As if another machine normalized them otherwise, in the last digits.
        other = helpers.altered(factor, lambda g: g * np.float32(1 + 3e-7), "/g")
        self.assertTrue(other.has_rounded_weights)
        self.assertAllEqual(other.params(images, HALVES(images)), before)
        self.assertAllClose(other.with_rounded_weights().weights, factor.weights, rtol=1e-6)

    def test_weights_that_were_stored_in_16_and_8_bits(self):
        """Quantizing again restores kernels, and weights with 8-bit kernels to the last bit."""
        factor, file = build().with_rounded_weights(), self.folder / "weights.safetensors"
        halved = helpers.altered(factor, np.float16).with_rounded_weights()
        for path, weight in halved.weights.items():
            if path.endswith("/v"):
                self.assertAllEqual(weight, factor.weights[path])
        pack.write_whole(factor, file)
        self.assertLess(file.stat().st_size, 2 * factor.num_parameters + 10_000)
        arrays = tensors.read_weights(file, tensors.identity(factor))
        loaded = tensors.with_arrays(factor, arrays)
        self.assertTrue(loaded.has_rounded_weights)
        np.testing.assert_equal(loaded.with_rounded_weights().weights, factor.weights)

    def test_training_from_the_weights_of_a_float_model(self):
        folder, images = helpers.temporary_folder(self), helpers.pictures(8, size=(8, 8))
        how = {"halvings": 1, **helpers.TINY_PARALLEL}
        trained = helpers.make_run(folder / "floats", pa.parallel_pyramid(**how))
        made = pa.parallel_pyramid(whole_numbers=True, **how)
        steps = {"epochs": 1, "steps_per_epoch": 2, "batch_size": 4}
        settings = pa.Training(**steps, learning_rate=1e-3, crop=8)
        where = {"workdir": folder / "whole", "init": folder / "floats", "factors": ["image"]}
        with helpers.eagerly():
            pa.train(made, settings, images, images, **where)
        loaded = pa.load(folder / "whole").factors["image"]
        self.assertTrue(loaded.has_rounded_weights)
        halves = HALVES(images)
        expected = made.factors["image"].params(images, halves)
        self.assertAllEqual(loaded.params(images, halves), expected)
        before = trained.factors["image"].params(images, halves)
        self.assertLess(np.abs(np.subtract(before, expected)).mean(), 0.05)

    def test_a_sum_that_is_not_exact_is_refused(self):
        factor = build(filters=64).with_rounded_weights()
        large = helpers.altered(factor, np.ones_like, "0_block/conv_in/v")  # 127 units each
        with self.assertRaisesRegex(ValueError, r"sums of less than 2 \*\* 24 units in .*conv_in"):
            large.with_rounded_weights()

    def test_gradients_go_through_the_rounding(self):
        keras_model, images = build().keras_model(), helpers.pictures(3)
        inputs = images, HALVES(images)

        def gradients(remat):
            with tf.GradientTape() as tape:
                params = keras_model(inputs, remat=remat)
                loss = keras_model.compute_loss(inputs, images, params)
            return tape.gradient(loss, keras_model.trainable_weights)

        found = gradients(remat=False)
        for weight, gradient in zip(keras_model.trainable_weights, found):
            self.assertGreater(np.abs(gradient).max(), 0, weight.path)
        self.assertAllClose(gradients(remat=True), found, rtol=1e-4, atol=1e-6)

    def test_other_parts_are_refused(self):
        good = build()
        names = "likelihood", "network", "embedding", "auxiliary_likelihood", "fixed_sum"
        parts = {name: good.definitions.get(name) or getattr(good, name) for name in names}
        fixed_sum = pa.sums.FixedSum(**{**good.fixed_sum.get_config(), "center_units": 1})
        for wrong, message in (
            ({**parts, "embedding": Embedding(topology.flat(1), 8)}, "without gates"),
            ({**parts, "fixed_sum": fixed_sum}, "center_units=4"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                pa.Factor(**wrong, rounded=True)


class RoundingTest(helpers.TestCase):
    def test_silu(self):
        x = np.arange(-20 * 64, 20 * 64, dtype=np.float32) / 64
        y = activations.silu(ops.convert_to_tensor(x), True)
        expected = np.round(64 * np.float64(x) / (1 + np.exp(-np.float64(x))))
        self.assertAllEqual(64 * y, np.minimum(expected, 255))

    def test_silu_is_never_near_to_where_it_rounds_otherwise(self):
        """Its distance is 20 times the error of a float32 sigmoid: 7e-4 units, of 255."""
        with decimal.localcontext(prec=40):
            for n in range(-20 * 64, 5 * 64):
                exact = n / (1 + (decimal.Decimal(-n) / 64).exp())
                moved = float(exact - decimal.Decimal(rounding._ASIDE))
                self.assertEqual(round(moved), round(exact))
                self.assertGreater(abs(moved - math.floor(moved) - 0.5), 7e-4)
