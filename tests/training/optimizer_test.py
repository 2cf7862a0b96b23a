"""Tests of the optimizer: the average of the weights that it keeps."""

import keras
import numpy as np
import tensorflow as tf

from pixelcnn_aux.training import AveragingAdam
from tests import helpers


class AverageTest(tf.test.TestCase):
    def test_moments_are_those_of_pixelcnn_pp(self):
        optimizer = AveragingAdam()
        self.assertEqual((optimizer.beta_1, optimizer.beta_2), (0.95, 0.9995))

    def test_decay_by_hand(self):
        weight = keras.Variable([1.0])
        optimizer = AveragingAdam(learning_rate=0.0)
        optimizer.build([weight])
        [average] = optimizer.averages

        def after(step, value):
            """The average, once the weight of that step is `value`."""
            weight.assign([value])
            optimizer.iterations.assign(step - 1)
            optimizer.apply([tf.constant([3.0])])
            return average.numpy()[0]

        self.assertAllClose(average, [1.0])  # the first weights
        self.assertAllClose(after(1, 12.0), 10.0)  # 2/11 + 9/11 * 12
        self.assertAllClose(after(2, 2.0), 4.0)  # 3/12 * 10 + 9/12 * 2
        self.assertAllClose(after(90, 14.0), 4.9)  # 91/100 * 4 + 9/100 * 14
        average.assign([0.0])
        self.assertAllClose(after(10**6, 1000.0), 0.5, rtol=1e-4)  # no further than 0.9995

    def test_it_is_of_the_weights_after_the_step(self):
        starts = [[1.0, 2.0], [[3.0]]]
        weights = [keras.Variable(start, dtype="float64") for start in starts]
        gradients = [tf.constant(x, tf.float64) for x in ([1.0, -2.0], [[0.5]])]
        optimizer = AveragingAdam(0.5, epsilon=0.0)
        optimizer.apply(gradients, weights)
        ends = [[0.5, 2.5], [[2.5]]]  # Adam's first step is as long as its rate
        for weight, end, start, average in zip(weights, ends, starts, optimizer.averages):
            self.assertAllClose(weight, end, 1e-12, 1e-12)
            self.assertAllClose(average, 2 / 11 * np.array(start) + 9 / 11 * weight.numpy())

    def test_steps_are_those_of_adam(self):
        """Of Kingma & Ba, 2015, section 2: algorithm 1 in the order of its last paragraph."""
        random = np.random.default_rng(0)
        gradients = random.normal(size=(5, 3, 4))
        for amsgrad in (False, True):  # the latter as Keras has it
            for dtype, rtol in (("float32", 1e-5), ("float64", 1e-12)):
                weight = keras.Variable(random.normal(size=(3, 4)), dtype=dtype)
                expected, m, v, largest = weight.numpy().astype(float), 0.0, 0.0, 0.0
                rate = keras.optimizers.schedules.ExponentialDecay(0.125, 1, 0.5)
                optimizer = AveragingAdam(rate, 0.75, 0.96875, epsilon=2**-8, amsgrad=amsgrad)
                for step, gradient in enumerate(gradients, start=1):
                    optimizer.apply([tf.constant(gradient, dtype)], [weight])
                    m, v = m + 0.25 * (gradient - m), v + 0.03125 * (gradient**2 - v)
                    largest = np.maximum(largest, v) if amsgrad else v
                    length = 0.25 * 0.5**step * np.sqrt(1 - 0.96875**step) / (1 - 0.75**step)
                    expected = expected - length * m / (np.sqrt(largest) + 2**-8)
                self.assertAllClose(weight, expected, rtol, rtol)

    def test_plain_fit_and_a_saved_factor_keep_it(self):
        factor = helpers.tiny_model().factors["grayscale"]
        grays = helpers.shared_model().auxiliaries(helpers.pictures(8))["grayscale"]
        factor.compile(AveragingAdam(1e-2), jit_compile=False)
        factor.fit(grays, grays, batch_size=4, verbose=0)
        file = helpers.temporary_folder(self) / "factor.keras"
        factor.save(file)
        loaded = keras.saving.load_model(file).optimizer
        self.assertIsInstance(loaded, AveragingAdam)
        for average, expected in zip(loaded.averages, factor.optimizer.averages, strict=True):
            self.assertAllEqual(average, expected)
        self.assertNotAllEqual(loaded.averages[0], factor.get_weights()[0])
