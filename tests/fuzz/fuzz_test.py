"""A short form of the fuzz: some tens of damaged files of each kind. python -m tests.fuzz has thousands."""

import collections

import numpy as np
from absl.testing import parameterized

from tests import helpers
from tests.fuzz import files
from tests.interop.published import build_once

CASES = {files.Config: 40, files.Variables: 15}  # these take longer
kinds = parameterized.named_parameters((kind.__name__, kind) for kind in files.KINDS)


class FuzzTest(helpers.TestCase):
    @kinds
    def test_ends_in_the_honest_thing_or_in_an_error_that_names_the_file(self, kind):
        self.enter_context(helpers.eagerly())
        build_once(self, "pyramid")
        file, counts = kind(helpers.temporary_folder(self)), collections.Counter()
        for index in range(CASES.get(kind, 60)):
            outcome, detail = file.judge(np.random.default_rng([0, index]))
            self.assertNotEqual(outcome, files.FAILED, f"case {index}: {detail}")
            counts[outcome] += 1
        self.assertGreater(counts[files.REFUSED], 5)
