"""Tests of actions in a process beside the page's."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
from unittest import mock

import pixelcnn_aux as pa
from pixelcnn_aux.demo import work
from tests import helpers
from tests.demo.work import counting, dying, endless, wrong


class WorkerTest(helpers.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.worker = cls.enterClassContext(contextlib.closing(work.Worker()))

    def pid(self):
        """The id of the process, which has to work."""
        *before, last = self.worker.run(counting, 3)
        self.assertRegex(last.text, rf"counted to 3 of {len(pa.pretrained())} \(\d+ s\)")
        self.assertIsNone(last.share)
        return next(step.images[0][0] for step in before if step.images)

    def test_work_ends_when_nobody_waits(self):
        folder, before = pathlib.Path(helpers.temporary_folder(self)), self.pid()
        given = (endless, folder), (counting, 2)
        steps, waiting = (self.enterContext(contextlib.closing(self.worker.run(*x))) for x in given)
        while "begun" not in next(steps).text or not (folder / "grows").exists():
            pass
        self.assertRegex(next(waiting).text, r"Waiting for 1 other request, now: begun \(\d+ s\)")
        left = self.worker.run(counting, 2)
        next(left)
        left.close()
        steps.close()
        size = (folder / "grows").stat().st_size
        with self.assertRaises(ProcessLookupError):
            os.kill(before, 0)
        with mock.patch.object(work, "_since", lambda start: 7):
            *_, last = waiting
        counted = f"counted to 2 of {len(pa.pretrained())}"
        self.assertEqual(last.text, f"{counted} (7 s, 7 of them waiting)")
        self.assertEqual((folder / "grows").stat().st_size, size)
        self.assertNotEqual(self.pid(), before)

    def test_interrupts_are_blocked_in_the_first_process_that_python_starts(self):
        """In a terminal, Ctrl-C goes to all processes."""
        program = (
            "import time; from pixelcnn_aux.jobs import workers\n"
            "process = workers.SPAWN.Process(target=time.sleep, args=(60,))\n"
            "with workers.uninterrupted(): process.start()\n"
            "print(open(f'/proc/{process.pid}/status').read()); process.kill()"
        )
        command = [sys.executable, "-c", program]
        status = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        blocked = int(re.search("SigBlk:\t(.*)", status)[1], 16)
        self.assertTrue(blocked & 1 << signal.SIGINT - 1)

    def test_the_same_images_are_sent_once(self):
        """The page sends images that are new objects."""
        images = [id(step.images) for step in self.worker.run(counting, 3)]
        self.assertLessEqual(len(set(images)), 5)

    def test_errors_are_raised_here(self):
        before = self.pid()
        with self.assertRaisesRegex(ValueError, "Expected another one."):
            list(self.worker.run(wrong))
        self.assertEqual(self.pid(), before)
        with self.assertRaisesRegex(RuntimeError, "Expected the work to end. Received: the end of"):
            list(self.worker.run(dying))
        with (
            mock.patch.object(work, "MAX_SECONDS", 0),
            self.assertRaisesRegex(
                TimeoutError, "Expected at most 0 seconds of work. Received: more"
            ),
        ):
            list(self.worker.run(endless, pathlib.Path("/nowhere")))
        self.assertNotEqual(self.pid(), before)
