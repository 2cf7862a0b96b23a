"""Evaluation in forked processes, and in several threads at once."""

import contextlib
import multiprocessing
import threading
from unittest import mock

import numpy as np
import threadpoolctl

import pixelcnn_aux as pa
from pixelcnn_aux.base import threads
from tests import helpers

FORK = multiprocessing.get_context("fork")


def forked(function):
    """The result of a function in a process forked from this one."""
    ours, theirs = FORK.Pipe()

    def send():
        try:
            theirs.send(function())
        except RuntimeError as error:
            theirs.send(error)

    process = FORK.Process(target=send)
    process.start()
    try:
        return ours.recv() if ours.poll(60) else "nothing"
    finally:
        process.kill()
        process.join()


def blas_threads():
    return {x["num_threads"] for x in threadpoolctl.threadpool_info() if x["user_api"] == "blas"}


class ThreadsTest(helpers.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = helpers.temporary_folder(cls)
        helpers.make_run(folder, helpers.tiny_model())
        cls.model = pa.load(folder)
        cls.pictures = helpers.pictures(2, size=(90, 90))  # in several threads
        cls.enterClassContext(mock.patch.object(threads, "cores", 2))

    def test_forked_processes_answer(self):
        expected = self.model.log_prob(self.pictures)
        self.assertAllEqual(forked(lambda: self.model.log_prob(self.pictures)), expected)
        # Also one that is forked while another thread computes.
        with threads.one_blas_thread():
            found = forked(lambda: (self.model.log_prob(self.pictures), blas_threads()))
        self.assertAllEqual(found[0], expected)
        self.assertEqual(found[1], blas_threads())

    def test_keras_computes_in_no_fork_of_a_process_in_which_it_has(self):
        """It would wait for threads that a fork lacks."""
        keras_model = self.model.factors["image"].keras_model()
        inputs = self.model.inputs(self.pictures)["image"]
        keras_model(inputs)
        error = forked(lambda: keras_model(inputs))
        self.assertRegex(str(error), "Expected a process that was not forked.*a forked one.*spawn")
        with mock.patch("pixelcnn_aux.batches.GRAPH_BREAK_EVEN", 0):  # else by a graph
            found = forked(lambda: np.asarray(self.model.log_prob(self.pictures)))
        self.assertAllEqual(found, self.model.log_prob(self.pictures))

    def test_threads_leave_those_of_blas_as_they_were(self):
        with threadpoolctl.threadpool_limits(2, "blas"):
            before = blas_threads()
            first, second = (threads.one_blas_thread() for _ in range(2))
            with contextlib.ExitStack() as stack:
                stack.enter_context(first)
                with second:  # begins later, and ends later than the first
                    stack.close()
                    self.assertEqual(blas_threads(), {1})
            self.assertEqual(blas_threads(), before)

    def test_several_threads_evaluate_at_once(self):
        expected, found = self.model.log_prob(self.pictures), []

        def evaluate():
            found.append(self.model.log_prob(self.pictures))

        workers = [threading.Thread(target=evaluate) for _ in range(4)]
        [worker.start() for worker in workers]
        [worker.join() for worker in workers]
        self.assertLen(found, 4)
        for nats in found:
            self.assertAllEqual(nats, expected)
