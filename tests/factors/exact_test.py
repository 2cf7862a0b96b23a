"""Tests of exact models: their likelihood is that of images, not of pairs; and of centered ones."""

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from tests import custom, helpers

HALVES = pa.auxiliary.HalfResolution()


class ExactModelTest(helpers.TestCase):
    def test_an_image_that_contradicts_its_auxiliary_image(self):
        for transform, centered in ((pa.auxiliary.Grayscale(3), False), (HALVES, True)):
            how = {"centered": centered, "dtype": "float32"}
            factor = helpers.random_chain([transform], (8, 4), **how).factors["x1"]
            images = helpers.pictures(3, size=(8, 4))
            given = np.array(transform(images))
            given[1, 0, 0, 0] ^= 1
            nats = factor.log_prob(images, given)
            self.assertAllEqual(np.isneginf(nats), [False, True, False])
            # Nothing of it gets into the others' gradient.
            keras_model = factor.keras_model()
            with tf.GradientTape() as tape:
                bounds = factor.fixed_sum.bounds(images, given)
                nats = factor.likelihood.log_prob(keras_model((images, given)), images, bounds)
                total = tf.reduce_sum(tf.where(nats > -np.inf, nats, tf.zeros_like(nats)))
            weights = [weight.value for weight in keras_model.trainable_variables]
            for gradient in tape.gradient(total, weights):
                self.assertAllEqual(np.isfinite(gradient), np.ones(gradient.shape, bool))

    def test_the_same_weights_the_other_way(self):
        model = helpers.tiny_model()
        model.untrained = ("image",)
        exact = model.with_exact(True)
        self.assertEqual((exact.exact, exact.untrained), (True, ("image",)))
        for name, factor in exact.factors.items():
            np.testing.assert_equal(factor.weights, model.factors[name].weights)
        self.assertEqual(exact.with_exact(False).description(), model.description())
        self.assertFalse(model.exact)  # It is left as it was.

    def test_transforms_that_declare_less(self):
        class Lenient(pa.auxiliary.HalfResolution):
            def fixed_sum(self, num_values):
                return super().fixed_sum(num_values).with_exact(False)

        model = helpers.random_chain([HALVES, custom.Bright()], (4, 4))  # without a sum: a bound
        self.assertEqual((model.exact, model.centered), (False, True))
        exact = {name: factor.exact for name, factor in model.factors.items()}
        self.assertEqual(exact, {"x0": False, "x1": False, "x2": True})
        model = helpers.random_chain([Lenient()], (4, 4))
        self.assertEqual((model.exact, model.centered), (False, True))

    def test_parts_that_do_not_fit(self):
        model = helpers.tiny_model(exact=True, centered=True)
        gray, image = model.factors.values()
        other = image.with_fixed_sum(pa.auxiliary.Grayscale(3).fixed_sum(256))
        parts = [gray, other], model.transforms, model.image_size
        for ask, message in (
            (lambda: image.with_fixed_sum(None), "a fixed_sum, since the likelihood is centered"),
            (lambda: gray.with_fixed_sum(image.fixed_sum), "this factor is unconditional"),
            (lambda: pa.AuxiliaryModel(*parts), "'image' to know the sum that Grayscale declares"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                ask()
