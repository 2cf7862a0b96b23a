"""Tests of the benchmark of served models: many clients at once, and what it takes for a right answer."""

import collections
import contextlib
import io
import os
from unittest import mock

import numpy as np

from benchmarks import serving
from tests import helpers
from tests.serving import model_server, toy


class BenchmarkTest(helpers.TestCase):
    def test_many_clients(self):
        """Of a server in this process."""

        @contextlib.contextmanager
        def served(export):
            with model_server.serving(toy.toys()[export]) as address:
                yield os.getpid(), address

        self.enter_context(mock.patch.object(serving, "running_server", served))
        elapsed, result = serving.measure("plain", clients=4, seconds=1)
        self.assertGreater(elapsed, 1)
        with contextlib.redirect_stdout(io.StringIO()) as output:
            serving.report(elapsed, result)
        rate = len(result.seconds) / elapsed
        self.assertIn(f"{rate:.1f} requests/s, 0 errors", output.getvalue())
        self.assertGreater(result.counts["equal"], 0)
        self.assertEqual((result.counts["different"], result.counts["wrong"]), (0, 0))

    def test_wrong_answers_are_counted(self):
        right = {"log_prob": np.array([-3000.0, -10.0])}
        request = serving.Request("log_prob", {}, right)
        for answer, wrong in (
            (right["log_prob"] * [1, 1 + 5e-6], 0),
            (right["log_prob"] * [1, 1 + 3e-5], 1),
            (right["log_prob"] * [1, np.nan], 1),
            (right["log_prob"][:1], 1),
        ):
            found = serving.compare(request, {"log_prob": answer}, set())
            self.assertEqual(found["wrong"], wrong)
        first, second, third = toy.drawn_images([[0, 1], [0, 2], [0, 3]])
        drawn = {image.tobytes() for image in (first, second)}
        request = serving.Request("sample", {}, {"image": np.stack([first, second])})
        for answer, counts in (
            ([first, second], {"equal": 2, "wrong": 0}),
            ([first, third], {"equal": 1, "different": 1, "wrong": 0}),
            ([second, first], {"different": 2, "wrong": 2}),
        ):
            found = serving.compare(request, {"image": np.stack(answer)}, drawn)
            self.assertEqual(dict(found), counts)
        for counts, resident, message in (
            ({"wrong": 1}, (100,), "Received: .*'wrong': 1"),
            ({"error": 1}, (100,), "Received: .*'error': 1"),
            ({"equal": 1}, (100, 106), "Received: 6.0%"),
        ):
            result = serving.Result([0.1], collections.Counter(counts), resident)
            with self.assertRaisesRegex(RuntimeError, message):
                serving.report(1.0, result)
