"""A short form of the fuzz: some tens of damaged files of each kind. python -m tests.fuzz has thousands."""

import collections
import os
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tests import helpers
from tests.fuzz import files

CASES = {files.Config: 30, files.Variables: 30}  # these take longer
kinds = parameterized.named_parameters((kind.__name__, kind) for kind in files.KINDS)


class FuzzTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        # libjpeg says what it finds wrong with images.
        kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        self.addCleanup(os.close, kept)
        self.addCleanup(os.close, nowhere)
        self.addCleanup(os.dup2, kept, 2)

    @kinds
    def test_ends_in_the_honest_thing_or_in_an_error_that_names_the_file(self, kind):
        self.enter_context(helpers.eagerly())
        file, counts = kind(helpers.temporary_folder(self)), collections.Counter()
        for index in range(CASES.get(kind, 60)):
            outcome, detail = file.judge(np.random.default_rng([0, index]))
            self.assertNotEqual(outcome, files.FAILED, f"case {index}: {detail}")
            counts[outcome] += 1
        self.assertGreater(counts[files.REFUSED], 5)

    def test_failures_are_found(self):
        file, random = files.Arrays(helpers.temporary_folder(self)), np.random.default_rng(0)
        named = f"Expected a file. Received: {file.file}, which is none."
        for changes, outcome in (
            ({"side_effect": ValueError(named)}, files.REFUSED),
            ({"side_effect": ValueError("Expected a file. Received: none")}, files.FAILED),
            ({"side_effect": ValueError(f"{file.file} is damaged")}, files.FAILED),
            ({"side_effect": KeyError(named)}, files.FAILED),
            ({"side_effect": MemoryError(named)}, files.FAILED),
            ({"return_value": 1 + file.expected[0]}, files.FAILED),
            ({"return_value": file.expected[0]}, files.EQUAL),
        ):
            with mock.patch.object(file, "read", **changes):
                self.assertEqual(file.judge(random)[0], outcome)
