"""Tests of a training step: the bits of its batch, and the norm of its gradient."""

import contextlib
import dataclasses

import numpy as np
import tensorflow as tf

from pixelcnn_aux.training import Training, steps
from tests import helpers

TRAINING = Training(epochs=1, steps_per_epoch=10**6, batch_size=8, learning_rate=1e-2)


class GradientNormTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        self.images = helpers.pictures(8)

    def step(self, model, accumulate=1, policy=None):
        """Step of a factor with all weights random."""
        factor = helpers.randomize(model.factors["image"])
        training = dataclasses.replace(TRAINING, accumulate=accumulate)
        strategy = tf.distribute.get_strategy()
        return steps.make(model, factor, training, strategy=strategy, policy=policy)

    def bits_and_norm(self, model, keras_model):
        """Norm of the gradient of the mean bits per dimension, by hand."""
        inputs, factor = model.inputs(self.images)["image"], model.factors["image"]
        images, bounds = inputs.images, factor.bounds(inputs, factor.fixed_sum)
        with tf.GradientTape() as tape:
            nats = factor.likelihood.log_prob(keras_model(inputs), images, bounds)
            bits = -tf.reduce_mean(tf.reduce_sum(nats, axis=(1, 2))) / (np.log(2) * images[0].size)
        weights = [weight.value for weight in keras_model.trainable_variables]
        return bits, tf.linalg.global_norm(tape.gradient(bits, weights))

    def test_in_double_precision(self):
        self.enter_context(helpers.eagerly())
        model = helpers.shared_model("float64")
        for accumulate in (1, 2):
            step = self.step(model, accumulate)
            for _ in range(2):
                expected = self.bits_and_norm(model, step.keras_model)
                self.assertAllClose(step(self.images), expected, rtol=1e-12, atol=0.0)

    def test_where_the_loss_does_not_depend_on_some_weights(self):
        # The vertical stream's last output is unused.
        model = helpers.tiny_model(topology=[[["block", None], ["conv", None]], [2]])
        outcomes = []
        for accumulate, context in ((1, helpers.eagerly()), (2, contextlib.nullcontext())):
            step = self.step(model, accumulate)
            before = step.keras_model.get_weights()
            with context:
                outcomes.append(step(self.images))
        self.assertAllClose(*outcomes, rtol=1e-5)
        same = [np.array_equal(x, y) for x, y in zip(step.keras_model.get_weights(), before)]
        self.assertTrue(any(same))
        self.assertFalse(all(same))

    def test_of_a_scaled_loss_unscaled_and_none_of_a_step_that_is_not_taken(self):
        self.enter_context(helpers.eagerly())  # `devices_test` has graphs
        model = helpers.shared_model()
        step = self.step(model, policy="mixed_float16")
        bits, norm = step(self.images)
        expected, expected_norm = self.bits_and_norm(model, self.step(model).keras_model)
        self.assertAllClose(bits, expected, rtol=1e-2)
        self.assertAllClose(norm, expected_norm, rtol=5e-2)
        step.optimizer.dynamic_scale.assign(3e38)
        before = step.keras_model.factor().weights
        bits, norm = step(self.images)
        self.assertTrue(np.isfinite(bits))
        self.assertTrue(np.isnan(norm))
        np.testing.assert_equal(step.keras_model.factor().weights, before)
