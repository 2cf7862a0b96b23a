"""Tests of how far work is said to be, and how long it takes."""

import contextlib
import io
from unittest import mock

import tensorflow as tf

from pixelcnn_aux import batches


class DurationTest(tf.test.TestCase):
    def test_two_digits_or_three(self):
        found = {0.2: "0 s", 99.4: "99 s", 99.6: "2 min", 5950: "99 min", 6000: "1.7 h"}
        for seconds, expected in found.items():
            self.assertEqual(batches.duration(seconds), expected)


class LateBarTest(tf.test.TestCase):
    def shown(self, is_terminal, seconds, count=3):
        """What is shown of units that take so long each."""
        stdout = io.StringIO()
        stdout.isatty = lambda: is_terminal
        clock = (seconds * step for step in range(4))
        with (
            contextlib.redirect_stdout(stdout),
            mock.patch("time.perf_counter", side_effect=clock),
        ):
            update = batches.late_bar(count, "image")
            for done in range(1, count + 1):
                update(done)
        return stdout.getvalue()

    def test_only_in_a_terminal_and_only_of_what_takes_long(self):
        self.assertEqual([self.shown(True, 1), self.shown(False, 10)], ["", ""])
        self.assertIn("3/3", self.shown(True, 10))
        self.assertIn("3/3", self.shown(True, 3))
        self.assertEqual(self.shown(True, 10, count=1), "")
