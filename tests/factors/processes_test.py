"""Tests of work in processes beside this one."""

import operator
import os
import signal
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from unittest import mock

from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux.base import threads
from pixelcnn_aux.factors import processes
from tests import helpers
from tests.factors import work

PROGRAMS = {  # without and with what ends the page
    "as it is": "from tests.factors import work; work.begin()",
    "as the page": """
from pixelcnn_aux.demo import server
from tests.factors import work
with server.temporary_folder():
    work.begin()
""",
}


class ProcessesTest(helpers.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = helpers.temporary_folder(cls)
        helpers.make_run(folder, helpers.tiny_model(exact=True, centered=True))
        cls.model = pa.load(folder)
        cls.pictures = helpers.pictures(3, size=(9, 7))
        cls.calls = [
            operator.methodcaller("colorize", cls.pictures[k : k + 1], [[5, k]]) for k in range(3)
        ]

    def setUp(self):
        super().setUp()
        self.enter_context(mock.patch.object(threads, "cores", 2))

    def ids(self):
        """The ids of both processes, which must not import Keras: it takes seconds."""
        found = set()
        while len(found) < 2:  # the second one may start later
            found |= {*processes.in_order(self.model, [work.process] * 2)}
        self.assertFalse(any(has_keras for _, has_keras in found))
        return {number for number, _ in found}

    def assertEnded(self, ids):
        for number in ids:
            with self.assertRaises(ProcessLookupError):
                os.kill(number, 0)

    def test_results_are_those_of_this_process_in_order(self):
        found = [*processes.in_order(self.model, self.calls)]
        expected = self.model.colorize(self.pictures, [[5, k] for k in range(3)])
        self.assertLen(found, 3)
        for [image], one in zip(found, expected):
            self.assertAllEqual(image, one)

    def test_processes_are_others_and_are_kept(self):
        before = self.ids()
        self.assertNotIn(os.getpid(), before)
        self.assertEqual(self.ids(), before)

    @parameterized.parameters((1, 3), (2, 1))
    def test_one_after_another_here(self, cores, count):
        """On one core, for one call, and by Keras: each call when its result is needed."""
        made = mock.Mock()
        with mock.patch.object(threads, "cores", cores):
            found = processes.in_order(self.model, [made] * count)
            next(found)
        made.assert_called_once_with(self.model)
        by_keras = helpers.shared_model()
        for number, _ in processes.in_order(by_keras, [work.process] * 2):
            self.assertEqual(number, os.getpid())

    def test_errors_are_those_of_the_call_and_end_the_processes(self):
        before = self.ids()
        wrong = operator.methodcaller("enlarge", self.pictures, 3)
        with self.assertRaises(ValueError) as expected:
            wrong(self.model)
        found = processes.in_order(self.model, [self.calls[0], wrong, work.endless])
        next(found)
        with self.assertRaises(ValueError) as error:
            next(found)
        self.assertEqual(str(error.exception), str(expected.exception))
        self.assertEnded(before)

    def test_others_start_after_processes_that_were_killed(self):
        before = self.ids()
        for number in before:
            os.kill(number, signal.SIGKILL)
        with self.assertRaisesRegex(BrokenProcessPool, "terminated abruptly"):
            self.ids()
        self.assertEmpty(before & self.ids())

    def test_processes_end_whose_work_nobody_waits_for(self):
        before = self.ids()
        found = processes.in_order(self.model, [work.process, work.endless])
        next(found)
        found.close()
        self.assertEnded(before)

    @parameterized.product(
        program=list(PROGRAMS), number=[signal.SIGINT, signal.SIGTERM, signal.SIGKILL]
    )
    def test_none_is_left_however_a_program_ends(self, program, number):
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAMS[program]],
            cwd=helpers.ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as started:
            try:
                self.assertRegex(started.stdout.readline(), r"\d+ False\n")
                # A terminal interrupts all processes.
                send = os.killpg if number == signal.SIGINT else os.kill
                send(started.pid, number)
                _, errors = started.communicate(timeout=60)  # until no process has these streams
            finally:
                started.kill()
        self.assertNotEqual(started.returncode, 0)
        self.assertLessEqual(errors.count("Traceback"), 1, errors)  # of Ctrl-C, here
