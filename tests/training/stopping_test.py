"""Tests of the signals that stop training; tests/training/loop_test.py has those of where they stop it."""

import os
import signal
from concurrent import futures
from unittest import mock

import tensorflow as tf

from pixelcnn_aux import training


class StopTest(tf.test.TestCase):
    def test_a_second_signal_ends_the_process(self):
        with (
            mock.patch.object(os, "_exit", side_effect=SystemExit) as ended,
            training.Stop() as stop,
            self.assertRaises(SystemExit),
            stop.held(),
        ):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
        ended.assert_called_once_with(130)  # as of a process that Ctrl-C ends

    def test_threads_that_receive_no_signals(self):
        with futures.ThreadPoolExecutor(1) as threads:
            with self.assertRaisesRegex(RuntimeError, "main thread.*Train without `stop`"):
                threads.submit(training.Stop().__enter__).result()
