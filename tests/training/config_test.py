"""Tests of settings: the values of a `Training`, and the signals that stop training."""

import dataclasses
import math
import os
import signal
import time
from concurrent import futures
from unittest import mock

import numpy as np
import tensorflow as tf

from pixelcnn_aux import training

VALID = training.Training(
    epochs=np.int64(1),
    steps_per_epoch=1,
    batch_size=np.uint8(4),
    learning_rate=1e-2,
    muon_ratio=np.float32(0.5),
    decay=np.float64(0.9),
    condition_dropout=np.float32(0.25),
    flip=np.bool_(True),
    crop=np.int32(8),
)


class TrainingTest(tf.test.TestCase):
    def test_numbers_of_numpy_are_plain_ones(self):
        for value in dataclasses.asdict(VALID).values():
            self.assertIn(type(value), (int, float, bool, type(None)))

    def test_values_that_no_run_can_have_are_refused(self):
        for name, value, message in (
            ("batch_size", 0, "batch_size from 1 .*batch_size=0"),
            ("epochs", 1.5, "epochs from 1 .*epochs=1.5"),
            ("learning_rate", math.nan, "learning_rate above 0.*=nan"),
            ("learning_rate", np.float32("inf"), "learning_rate .*inf"),
            ("muon_ratio", 0, "muon_ratio above 0.*=0"),
            ("decay", -0.5, "decay above 0.*=-0.5"),
            ("condition_dropout", 1.5, "condition_dropout from 0 to 1"),
            ("decay", 1.5, "decay above 0, of at most 1.*=1.5"),
            ("fall", 1.5, "fall above 0, of at most 1.*=1.5"),
            ("fall", 0.5, "decay or fall of.*both"),
            ("mixed_precision", "False", "mixed_precision of True or False"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                dataclasses.replace(VALID, **{name: value})


class StopTest(tf.test.TestCase):
    """loop_test.py has tests of signals during training."""

    def test_a_second_signal_ends_the_process(self):
        with (
            mock.patch.object(os, "_exit", side_effect=SystemExit) as ended,
            training.Stop() as stop,
            self.assertRaises(SystemExit),
            stop.held(),
        ):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
        ended.assert_called_once_with(130)  # the exit status after Ctrl-C

    def test_a_signal_that_is_noted_says_so(self):
        with mock.patch("os.write") as written, self.assertRaises(training.Stopped):
            with training.Stop() as stop, stop.held():
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)
        self.assertRegex(written.call_args.args[1].decode(), "Stopping with a checkpoint, after")

    def test_threads_that_receive_no_signals(self):
        with futures.ThreadPoolExecutor(1) as threads:
            with self.assertRaisesRegex(RuntimeError, "main thread.*Train without `stop`"):
                threads.submit(training.Stop().__enter__).result()
