"""Tests of prefetching: order, errors, and the end of the thread."""

import itertools
import subprocess
import sys
import threading
import time

from pixelcnn_aux.data import Prefetched
from tests import helpers


class PrefetchedTest(helpers.TestCase):
    def test_all_items_in_order_and_then_the_end(self):
        with Prefetched(range(100), size=3) as items:
            self.assertEqual(list(items), list(range(100)))
            for _ in range(2):
                with self.assertRaises(StopIteration):
                    next(items)

    def test_no_more_are_made_ahead_than_size(self):
        made = []
        with Prefetched((made.append(i) for i in itertools.count()), size=3) as items:
            for count in (4, 5):  # three are ready, one waits
                end = time.monotonic() + 60
                while len(made) < count and time.monotonic() < end:
                    time.sleep(0.001)
                time.sleep(0.05)
                self.assertLen(made, count)
                next(items)

    def test_an_error_is_raised_in_its_place(self):
        def failing():
            yield 1
            raise KeyError("lost")

        with Prefetched(failing()) as items:
            self.assertEqual(next(items), 1)
            with self.assertRaisesRegex(KeyError, "lost"):
                next(items)
            with self.assertRaises(StopIteration):
                next(items)

    def test_closed_its_thread_ends(self):
        for taken in (0, 5):
            before = threading.active_count()
            items = Prefetched(itertools.count(), size=2)
            self.assertEqual([next(items) for _ in range(taken)], list(range(taken)))
            self.assertEqual(threading.active_count(), before + 1)
            items.close()
            self.assertEqual(threading.active_count(), before)
            items.close()
            with self.assertRaises(StopIteration):
                next(items)

    def test_an_interpreter_ends_that_has_one_open(self):
        code = """
import itertools, time
from pixelcnn_aux.data import Prefetched
items = [Prefetched(x) for x in (itertools.count(), (time.sleep(600) for _ in "a"))]
print(next(items[0]))
"""
        command = [sys.executable, "-c", code]
        how = {"cwd": helpers.ROOT, "capture_output": True, "text": True, "timeout": 120}
        result = subprocess.run(command, **how)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "0\n", ""))
