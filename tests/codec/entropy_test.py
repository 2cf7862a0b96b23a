"""Tests of the entropy coder: what its decoder refuses."""

import numpy as np
import tensorflow as tf

from pixelcnn_aux.codec import entropy


class EntropyTest(tf.test.TestCase):
    def test_more_values_than_the_words_can_hold(self):
        """What a file claims to have takes no longer than what it has."""
        tables = np.random.default_rng(0).integers(1, 2**20, (1000, 3)).astype(np.float32)
        for seed in range(20):
            words = np.random.default_rng(seed).integers(0, 2**32, 8).astype(np.uint32)
            decoder = entropy.Decoder(words)
            with self.assertRaisesRegex(ValueError, "Expected values that an encoder wrote"):
                for first in range(0, 1000, 100):
                    decoder.code(tables[first : first + 100])

    def test_a_value_that_is_ruled_out(self):
        encoder, tables = entropy.Encoder(), np.float32([[0, 1, 0, 0]])
        encoder.code(tables, np.array([3]))
        with self.assertRaisesRegex(ValueError, "rules out"):
            entropy.Decoder(encoder.words()).code(tables)
