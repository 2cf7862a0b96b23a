"""Tests of what a step says of itself: the bits of its batch, and the norm of their gradient."""

import keras
import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux import training
from pixelcnn_aux.training import steps
from tests import helpers


class GradientNormTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.model = helpers.shared_model()
        self.factor = self.model.new_factor("image")
        helpers.randomize(self.factor)
        self.images = helpers.pictures(8)

    def step(self, optimizer, accumulate=1):
        optimizer.build(self.factor.trainable_variables)
        strategy = tf.distribute.get_strategy()
        return steps.make(
            self.model, "image", self.factor, optimizer, strategy, accumulate=accumulate
        )

    def bits_and_norm(self):
        """Of the gradient of the mean bits per dimension, by hand."""
        image, auxiliary, _ = self.model.inputs(self.images)["image"]
        with tf.GradientTape() as tape:
            nats = self.factor.log_prob(image, auxiliary)
            bits = -tf.reduce_mean(nats) / (np.log(2) * np.size(image[0]))
        weights = [weight.value for weight in self.factor.trainable_variables]
        return bits, tf.linalg.global_norm(tape.gradient(bits, weights))

    def test_of_each_step(self):
        step = self.step(training.AveragingAdam(1e-2))
        for _ in range(2):
            expected = self.bits_and_norm()
            self.assertAllClose(step(self.images), expected, rtol=1e-4)

    def test_in_double_precision(self):
        self.enter_context(helpers.eagerly())
        self.model = helpers.shared_model("float64")
        weights = self.factor.get_weights()
        self.factor = self.model.new_factor("image")
        self.factor.set_weights(weights)
        for accumulate in (1, 2):
            step = self.step(training.AveragingAdam(1e-2), accumulate)
            expected = self.bits_and_norm()
            self.assertAllClose(step(self.images), expected, rtol=1e-12, atol=0.0)

    def test_where_the_loss_does_not_depend_on_some_weights(self):
        # After its last step the vertical stream goes nowhere.
        network = {"topology": [[["block", None], ["conv", None]], [2]], "filters": 4}
        self.model = pa.chain([pa.auxiliary.Grayscale()], helpers.SIZE, network, network, None, 2)
        self.factor = self.model.new_factor("image")
        helpers.randomize(self.factor)
        weights, outcomes = self.factor.get_weights(), []
        for accumulate in (1, 2):
            self.factor.set_weights(weights)
            outcomes.append(self.step(training.AveragingAdam(1e-2), accumulate)(self.images))
        self.assertAllClose(*outcomes, rtol=1e-5)
        same = [np.array_equal(x, y) for x, y in zip(self.factor.get_weights(), weights)]
        self.assertTrue(any(same))
        self.assertFalse(all(same))

    def test_of_a_scaled_loss_unscaled_and_none_of_a_step_that_is_not_taken(self):
        optimizer = keras.optimizers.LossScaleOptimizer(training.AveragingAdam(1e-2))
        step = self.step(optimizer)
        expected = self.bits_and_norm()
        self.assertAllClose(step(self.images), expected, rtol=1e-4)
        optimizer.dynamic_scale.assign(3e38)
        before = self.factor.get_weights()
        bits, norm = step(self.images)
        self.assertTrue(np.isfinite(bits))
        self.assertTrue(np.isnan(norm))
        for weight, expected in zip(self.factor.get_weights(), before, strict=True):
            self.assertAllEqual(weight, expected)


if __name__ == "__main__":
    tf.test.main()
