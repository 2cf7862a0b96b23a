"""Tests of what training does besides the steps: averages of weights, and means over images."""

import math

import keras
import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux import callbacks, training
from tests import helpers


class WeightAverageTest(tf.test.TestCase):
    def test_decay_by_hand(self):
        trained, average = (
            keras.Sequential([keras.Input([1]), keras.layers.Dense(1)]) for _ in "ab"
        )
        trained.compile(keras.optimizers.SGD())
        callback = callbacks.WeightAverage(average)
        callback.set_model(trained)
        callback.on_train_begin()

        def after(step, weight):
            """The average, once the weights of that step are `weight`."""
            trained.set_weights([np.full([1, 1], weight), np.full([1], weight)])
            trained.optimizer.iterations.assign(step)
            callback.on_train_batch_end(0)
            return average.get_weights()[0][0, 0]

        average.set_weights([np.full([1, 1], 1.0), np.full([1], 1.0)])
        self.assertAllClose(after(1, 12.0), 10.0)  # 2/11 + 9/11 * 12
        self.assertAllClose(after(2, 2.0), 4.0)  # 3/12 * 10 + 9/12 * 2
        self.assertAllClose(after(90, 14.0), 4.9)  # 91/100 * 4 + 9/100 * 14
        average.set_weights([np.full([1, 1], 0.0), np.full([1], 0.0)])
        self.assertAllClose(after(10**6, 1000.0), 0.5, rtol=1e-4)  # no further than 0.9995
        self.assertAllClose(average.get_weights()[1], [0.5], rtol=1e-4)  # every weight

    def test_after_500_steps_no_worse_than_the_weights(self):
        model = helpers.shared_model()
        factor, average = model.new_factor("grayscale"), model.new_factor("grayscale")
        images = helpers.images(32).training_batches(4, seed=0)
        batches = ((model.pair("grayscale", full)[0],) * 2 for full in images)
        factor.compile(
            keras.optimizers.Adam(2e-3, *training.BETAS),
            loss=factor.likelihood.bits_per_dim,
            jit_compile=False,
        )
        average.set_weights(factor.get_weights())
        validation = [model.pair("grayscale", helpers.pictures(32, seed=1))]
        before = callbacks.mean_bits(factor, validation)
        factor.fit(
            batches,
            steps_per_epoch=500,
            shuffle=False,
            verbose=0,
            callbacks=[callbacks.WeightAverage(average)],
        )
        raw, averaged = (callbacks.mean_bits(f, validation) for f in (factor, average))
        self.assertLess(raw, before - 0.5)  # it has learned something
        self.assertLessEqual(averaged, raw)


class MeanBitsTest(tf.test.TestCase):
    def test_every_image_counts_once_in_a_ragged_last_batch_too(self):
        factor = helpers.shared_model().factors["image"]
        images = helpers.pictures(5)
        grays = pa.auxiliary.Grayscale()(images)
        images[4] = 255 - images[4] // 2  # unlike its gray: far off the others
        pairs = [(images[at : at + 2], grays[at : at + 2]) for at in (0, 2, 4)]
        dimensions = math.prod(helpers.SIZE) * 3
        bits = -factor.log_prob(images, grays).numpy() / (dimensions * math.log(2))
        self.assertGreater(abs(bits[4] - bits[:4].mean()), 1e-2)
        self.assertAllClose(callbacks.mean_bits(factor, pairs), bits.mean(), rtol=1e-6)


if __name__ == "__main__":
    tf.test.main()
