"""Tests of how long work is said to take."""

import tensorflow as tf

from pixelcnn_aux.programs import progress


class DurationTest(tf.test.TestCase):
    def test_two_digits_or_three(self):
        found = {0.2: "0 s", 99.4: "99 s", 99.6: "2 min", 5950: "99 min", 6000: "1.7 h"}
        for seconds, expected in found.items():
            self.assertEqual(progress.duration(seconds), expected)
