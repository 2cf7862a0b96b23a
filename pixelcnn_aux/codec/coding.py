"""The one way through a chain that encoder and decoder share.

Both run the same compiled graphs on batches of the same shape, pixel by pixel, so that they meet the same
numbers. What differs is who decides a value: a function outside of the graph.
"""

import itertools
import threading

import numpy as np
import tensorflow as tf

from pixelcnn_aux import arguments
from pixelcnn_aux.codec import digits, entropy
from pixelcnn_aux.sums import Bounds

# Parameters are rounded to multiples of this, so that what differs in their last digits, as between
# processors in float64, seldom shows. Of more than 256 values they are finer, for as many of them.
GRID = 2.0**-12
DIGIT = 256  # Values of more bits than 8 are written as two digits.
# What probabilities are multiplied by before they are rounded. With 1 added for each value, so that none that
# can be has no bits, tables still add up to less than 2 ** 24: exact in float32.
SHARES = 2.0**22


class Coding:
    """Codes the images of a chain, an `AuxiliaryModel`, value by value, and first their condition.

    Attributes:
      names: list of str, what bits are counted of: perhaps `digits.NAME`, and the factors.
    """

    def __init__(self, model):
        self._model = model
        self._digits = model.condition and digits.Digits(model.condition)
        self.names = [digits.NAME] * (self._digits is not None) + [*model.factors]
        # The graphs ask for the values of one batch: threads take turns.
        self._values, self._turn = None, threading.Lock()
        self._decide = {  # a graph for each size of batch
            name: tf.function(self._decided_by_coder(factor, model.sizes()[name]), autograph=False)
            for name, factor in model.factors.items()
        }

    def encode(self, images, condition, batch, report):
        """Codes images in a batch.

        Args:
          images: uint8 or uint16 [N, H, W, C].
          condition: [N, ...], as `AuxiliaryModel.log_prob` takes it, NumPy's; None of None.
          batch: int, N or more.
          report: function that is called with the part that is done, up to 1.

        Returns:
          (uint32 [n], dict, name of `names` -> int, its bits).
        """
        values = self._model.auxiliaries(images)
        if condition is not None:
            values[digits.NAME] = self._digits.of(condition)
        encoder = entropy.Encoder()
        given = {name: _in_order(np.asarray(x)) for name, x in values.items()}
        decided = _Values(encoder, len(images), given)
        self.run(decided, batch)
        report(1)
        return encoder.words(), {name: round(np.sum(x)) for name, x in decided.bits.items()}

    def decode(self, words, count, batch, size, report):
        """What `encode` coded: (uint8 [N, H, W, C], float32 [N, H, W], the bits that each pixel took).

        `size` is (H, W), that of the model; `report` as of `encode`. None where this machine comes across
        values that no encoder wrote.
        """
        values = _Values(entropy.Decoder(words), count)
        try:
            images = self.run(values, batch).numpy()[:count]
        except (ValueError, tf.errors.InvalidArgumentError, tf.errors.UnknownError):
            return None
        report(1)
        height, width = size
        bits = np.zeros([count, height, width], np.float32)
        for name, (h, w) in self._model.sizes().items():
            value_bits = np.array(values.bits[name], np.float32).reshape(h, w, -1, count)
            pixel_bits = np.moveaxis(value_bits.sum(axis=2), -1, 0) * (h * w / (height * width))
            bits += pixel_bits.repeat(height // h, axis=1).repeat(width // w, axis=2)
        return images, bits

    def condition(self, words, count):
        """The condition that `encode` coded: [N, ...]. Raises ValueError for words that no encoder wrote."""
        return self._condition(_Values(entropy.Decoder(words), count), count)

    def _condition(self, values, batch):
        """The condition that `_Values` decide: [batch, ...]; None for nothing."""
        if self._digits is None:
            return None
        tables = np.ones([batch, self._digits.base], np.float32)
        values.begin(digits.NAME)
        found = [values.decide(tables) for _ in range(self._digits.count)]
        return self._digits.values(np.stack(found, axis=1))

    def run(self, values, batch):
        """The full images that `_Values` decide: uint8 [batch, H, W, C]."""
        image = None
        # GPUs choose how to compute a convolution by its time in each process, and results differ.
        with self._turn, tf.device("CPU:0"):
            self._values, condition = values, self._condition(values, batch)
            for name, factor in self._model.factors.items():
                values.begin(name)
                features = () if image is None else factor.features(image, condition)
                image = self._decide[name](features, image, condition, batch)
        return image

    def _decided_by_coder(self, factor, size):
        """Function of features, auxiliary images, condition and the int B: a factor's uint8 [B, h, w, c]."""
        likelihood = factor.likelihood

        def images(features, auxiliary, condition, batch):
            zeros = tf.zeros([batch], tf.int32)
            last = likelihood.num_values - 1
            unbounded = Bounds(zeros, zeros + last, tf.cast(zeros, tf.float32) + last / 2)

            def decide_digit(log_probs):
                shares = tf.round(SHARES * tf.exp(log_probs)) + 1
                tables = tf.where(tf.math.is_inf(log_probs), tf.zeros_like(shares), shares)
                tables = [tf.cast(tables, tf.float32)]
                value = tf.numpy_function(lambda x: self._values.decide(x), tables, tf.int32)
                return tf.ensure_shape(value, [batch])

            def decide(params, pick, bounds):
                del pick
                grid = GRID / max(likelihood.num_values / 256, 1.0)
                params = grid * tf.round(params / grid)
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

            with factor.given(condition):
                scan = factor.scan(size, batch, auxiliary)
                [found] = scan.decide_each_pixel(features, lambda row: decide)
            return tf.cast(found, arguments.pixel_dtype(likelihood.num_values))

        return images


class _Values:
    """Decides the values of a batch of images as the graphs ask for them: writes them, or reads them.

    A batch may have more rows than there are images: the others get likely values, which are not written.

    Args:
      coder: `entropy.Encoder` or `Decoder`.
      count: int, N, how many images there are.
      given: dict, name -> `_in_order`, what to write; None to read.

    Attributes:
      bits: dict, name -> list of float32 [N], of each value in turn: how many bits it takes.
    """

    def __init__(self, coder, count, given=None):
        self.bits = {}
        self._coder, self._count, self._given = coder, count, given

    def begin(self, name):
        """What follows is of this name: `digits.NAME`, or a factor's."""
        self._bits = self.bits[name] = []
        self._next = itertools.repeat(None) if self._given is None else iter(self._given[name])

    def decide(self, tables):
        """The next value of each image, by tables [batch, V] as of `entropy.Encoder`: int32 [batch]."""
        values, bits = self._coder.decide(tables[: self._count], next(self._next))
        self._bits.append(bits)
        others = tables[self._count :].argmax(axis=1)
        return np.concatenate([values, others]).astype(np.int32)


def _in_order(images):
    """Values in the order in which they are decided: uint8 or uint16 [N, h, w, c], or digits [N, n]."""
    values = np.moveaxis(images.astype(np.int32), 0, -1)  # [h, w, c, N], or [n, N]
    if images.dtype == np.uint16:
        values = np.stack(np.divmod(values, DIGIT), axis=-2)  # [h, w, c, 2, N]
    return np.ascontiguousarray(values.reshape(-1, values.shape[-1]))
