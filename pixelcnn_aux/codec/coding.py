"""The one way through a chain that encoder and decoder share.

Both run the same compiled graphs on batches of the same shape, pixel by pixel, so that they meet the same
numbers. What differs is who decides a value: a function outside of the graph.
"""

import threading

import tensorflow as tf

from pixelcnn_aux.bounds import Bounds

# Parameters are rounded to multiples of this, so that what differs in their last digits, as between
# processors in float64, seldom shows.
GRID = 2.0**-12
# What probabilities are multiplied by before they are rounded. With 1 added for each value, so that none that
# can be has no bits, tables still add up to less than 2 ** 24: exact in float32.
SHARES = 2.0**22


class Coding:
    """Decides the images of a chain value by value.

    Args:
      model: `AuxiliaryModel`.
      batch: int, how many images at once.
    """

    def __init__(self, model, batch):
        self._model, self._batch = model, batch
        # The graphs ask one coder: threads take turns.
        self._coder, self._turn = None, threading.Lock()
        self._filling = {
            name: tf.function(self._filling_of(factor, model.sizes()[name]), autograph=False)
            for name, factor in model.factors.items()
        }

    def run(self, coder):
        """The images that a coder decides: dict, factor name -> uint8 [batch, h, w, c].

        Args:
          coder: `entropy.Encoder` or `entropy.Decoder`.

        Raises:
          tf.errors.InvalidArgumentError: where the coder raises ValueError.
        """
        images, image = {}, None
        # GPUs choose how to compute a convolution by its time, anew in each process, and results differ.
        with self._turn, tf.device("CPU:0"):
            self._coder = coder
            for name, factor in self._model.factors.items():
                coder.begin(name)
                features = () if image is None else factor.features(image)
                image = images[name] = self._filling[name](features, image)
                coder.end()
        return images

    def _filling_of(self, factor, size):
        def fill(features, auxiliary):
            scan = factor.scan(size, self._batch, auxiliary)
            [images] = scan.decide_each_pixel(features, self._decider(factor.likelihood))
            return images

        return fill

    def _decider(self, likelihood):
        """Of a likelihood's pixels, the decider (`scanning.deciders`) that asks the coder for each value."""

        def decide(params, column, bounds):
            del column
            params = GRID * tf.round(params / GRID)
            pixel, known = [], []
            for channel in range(likelihood.num_channels):
                known.append((bounds or self._no_bounds(likelihood))(channel, pixel))
                log_probs = likelihood.value_log_probs(params, channel, pixel, known)
                shares = tf.round(SHARES * tf.exp(log_probs)) + 1
                tables = tf.where(tf.math.is_inf(log_probs), tf.zeros_like(shares), shares)
                value = tf.numpy_function(self._decide, [tf.cast(tables, tf.float32)], tf.int32)
                pixel.append(tf.ensure_shape(value, [self._batch]))
            return tf.stack(pixel, axis=-1)

        return lambda row: decide

    def _decide(self, tables):
        return self._coder.decide(tables)

    def _no_bounds(self, likelihood):
        zeros = tf.zeros([self._batch], tf.int32)
        last = likelihood.num_values - 1
        bounds = Bounds(zeros, zeros + last, tf.cast(zeros, tf.float32) + last / 2)
        return lambda channel, earlier: bounds
