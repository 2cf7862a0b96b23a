"""The one way through a chain that encoder and decoder share.

Both run the same compiled graphs on batches of the same shape, pixel by pixel, so that they meet the same
numbers. What differs is who decides a value: a function outside of the graph.
"""

import threading

import numpy as np
import tensorflow as tf

from pixelcnn_aux import arguments
from pixelcnn_aux.bounds import Bounds
from pixelcnn_aux.codec.entropy import DIGIT, Decoder, Encoder

# Parameters are rounded to multiples of this, so that what differs in their last digits, as between
# processors in float64, seldom shows.
GRID = 2.0**-12
# What probabilities are multiplied by before they are rounded. With 1 added for each value, so that none that
# can be has no bits, tables still add up to less than 2 ** 24: exact in float32.
SHARES = 2.0**22


class Coding:
    """Codes the images of a chain, an `AuxiliaryModel`, value by value."""

    def __init__(self, model):
        self._model = model
        # The graphs ask one coder: threads take turns.
        self._coder, self._turn = None, threading.Lock()
        self._decide = {  # a graph for each size of batch
            name: tf.function(self._decided_by_coder(factor, model.sizes()[name]), autograph=False)
            for name, factor in model.factors.items()
        }

    def encode(self, images, batch):
        """Codes images uint8 [N, H, W, C] in a batch of B >= N: (uint32 [n], dict, factor name -> bits)."""
        encoder = Encoder({k: np.asarray(x) for k, x in self._model.auxiliaries(images).items()})
        self.run(encoder, batch)
        return encoder.words(), encoder.bits

    def decode(self, words, count, batch):
        """What `encode` coded: (uint8 [N, H, W, C], float32 [N, H, W], the bits that each pixel took).

        None where this machine comes across values that no encoder wrote.
        """
        decoder = Decoder(words, count)
        try:
            images = self.run(decoder, batch).numpy()[:count]
        except (tf.errors.InvalidArgumentError, tf.errors.UnknownError):
            return None
        height, width = self._model.image_size
        bits = np.zeros([count, height, width], np.float32)
        for name, (h, w) in self._model.sizes().items():
            value_bits = np.array(decoder.bits[name], np.float32).reshape(h, w, -1, count)
            pixel_bits = np.moveaxis(value_bits.sum(axis=2), -1, 0) * (h * w / (height * width))
            bits += pixel_bits.repeat(height // h, axis=1).repeat(width // w, axis=2)
        return images, bits

    def run(self, coder, batch):
        """The full images that an `Encoder` or a `Decoder` decides: uint8 [batch, H, W, C]."""
        image = None
        # GPUs choose how to compute a convolution by its time in each process, and results differ.
        with self._turn, tf.device("CPU:0"):
            self._coder = coder
            for name, factor in self._model.factors.items():
                coder.begin(name)
                features = () if image is None else factor.features(image)
                image = self._decide[name](features, image, batch)
                coder.end()
        return image

    def _decided_by_coder(self, factor, size):
        """Function of features, auxiliary images and the int B: the images uint8 [B, h, w, c] of a factor."""
        likelihood = factor.likelihood

        def images(features, auxiliary, batch):
            zeros = tf.zeros([batch], tf.int32)
            last = likelihood.num_values - 1
            unbounded = Bounds(zeros, zeros + last, tf.cast(zeros, tf.float32) + last / 2)

            def decide_digit(log_probs):
                shares = tf.round(SHARES * tf.exp(log_probs)) + 1
                tables = tf.where(tf.math.is_inf(log_probs), tf.zeros_like(shares), shares)
                tables = [tf.cast(tables, tf.float32)]
                value = tf.numpy_function(lambda x: self._coder.decide(x), tables, tf.int32)
                return tf.ensure_shape(value, [batch])

            def decide(params, column, bounds):
                del column
                params = GRID * tf.round(params / GRID)
                pixel, known = [], []
                for channel in range(likelihood.num_channels):
                    known.append(bounds(channel, pixel) if bounds else unbounded)
                    if likelihood.num_values <= DIGIT:
                        log_probs = likelihood.value_log_probs(params, channel, pixel, known)
                        pixel.append(decide_digit(log_probs))
                        continue
                    value = tf.zeros_like(zeros)
                    # The high digit, an interval of values, and the low one within it.
                    for place in (DIGIT, 1):
                        lows = value[:, tf.newaxis] + place * tf.range(DIGIT)
                        log_probs = likelihood.interval_log_probs(
                            params, channel, pixel, known, lows, lows + place - 1
                        )
                        value += place * decide_digit(log_probs)
                    pixel.append(value)
                return tf.stack(pixel, axis=-1)

            scan = factor.scan(size, batch, auxiliary)
            [found] = scan.decide_each_pixel(features, lambda row: decide)
            return tf.cast(found, arguments.pixel_dtype(likelihood.num_values))

        return images
