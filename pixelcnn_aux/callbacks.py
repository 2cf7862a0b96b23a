"""What training does besides the steps: averages weights, validates, counts time, keeps checkpoints."""

import time

import keras
import numpy as np
import tensorflow as tf

from pixelcnn_aux import workdir

MAX_AVERAGE_DECAY = 0.9995  # of the weight average, as in PixelCNN++ (Salimans et al., 2017)


def steps_done(optimizer):
    """As an int, whatever strategy mirrors the counter."""
    return int(optimizer.iterations.value.numpy())


def mean_bits(factor, pairs):
    """Mean bits per own dimension over (image, auxiliary) batches of any sizes: each image counts once.

    Args:
      factor: `Factor`.
      pairs: iterable of what `factor.log_prob` takes.

    Returns:
      float, summed in double precision.
    """
    bits, dimensions = 0.0, 0
    for image, auxiliary in pairs:
        nats = factor.log_prob(image, auxiliary).numpy().astype(np.float64)
        bits -= nats.sum() / np.log(2.0)
        dimensions += int(np.prod(image.shape))
    return bits / dimensions


class WeightAverage(keras.callbacks.Callback):
    """Keeps an exponential average of the trained factor's weights in a second factor.

    The decay at step t is min(0.9995, (1 + t) / (10 + t)), so that a short run's average forgets its
    first weights.

    Args:
      average: `Factor` like the one trained.
    """

    def __init__(self, average):
        super().__init__()
        self.average = average

    def on_train_begin(self, logs=None):
        means = [mean.value for mean in self.average.trainable_variables]
        weights = [weight.value for weight in self.model.trainable_variables]

        @tf.function
        def update():
            step = tf.cast(self.model.optimizer.iterations.value, tf.float32)
            decay = tf.minimum(MAX_AVERAGE_DECAY, (1.0 + step) / (10.0 + step))
            for mean, weight in zip(means, weights, strict=True):
                mean.assign_add((1.0 - decay) * (weight - mean))

        self.update = update

    def on_train_batch_end(self, batch, logs=None):
        self.update()


class Throughput(keras.callbacks.Callback):
    """Shows bits per dimension, by that name, and images per second; counts the seconds of training."""

    def __init__(self, batch_size, seconds):
        super().__init__()
        self.batch_size = batch_size
        self.seconds = seconds

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.elapsed = time.perf_counter() - self.start
        self.images_per_s = (batch + 1) * self.batch_size / self.elapsed
        logs.update(bits_per_dim=logs["loss"], images_per_s=self.images_per_s)

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.assign_add(self.elapsed)
        logs.update(bits_per_dim=logs["loss"], images_per_s=self.images_per_s)


class Validation(keras.callbacks.Callback):
    """Adds the bits per dimension of the validation images under the averaged weights."""

    def __init__(self, average, pairs):
        super().__init__()
        self.average = average
        self.pairs = pairs

    def on_epoch_end(self, epoch, logs=None):
        logs["val_bits_per_dim"] = mean_bits(self.average, self.pairs)


class Save(keras.callbacks.Callback):
    """Keeps a checkpoint, and the averaged weights beside it, at the end of every epoch."""

    def __init__(self, folder, name, average, manager):
        super().__init__()
        self.folder = folder
        self.name = name
        self.average = average
        self.manager = manager

    def on_epoch_end(self, epoch, logs=None):
        self.manager.save(checkpoint_number=steps_done(self.model.optimizer))
        workdir.save_weights(self.folder, self.name, self.average)
