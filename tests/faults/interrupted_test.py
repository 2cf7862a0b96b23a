"""Tests that a run that is ended at random moments finishes with the same files, bit for bit."""

import signal

from pixelcnn_aux.run_files import tensors
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.training import metrics
from tests import helpers
from tests.faults import interrupted

# One of each kind of moment; `python -m tests.faults` ends more of them.
COUNTS = {signal.SIGKILL: 3, signal.SIGTERM: 1, signal.SIGXFSZ: 1}
# The first process is killed when its checkpoint is written but not named yet, another one in the middle of a
# file; one is sent SIGTERM after a step.
SEED = 3461


class InterruptedTest(helpers.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.alone = helpers.temporary_folder(cls)
        interrupted.train(cls.alone)

    def test_ends_with_the_same_files(self):
        folder = helpers.temporary_folder(self)
        for what, received, expected in interrupted.interrupt(folder, COUNTS, SEED):
            self.assertEqual(received, expected, what)
            self.assertTrue(interrupted.is_whole(folder), what)
        self.assertEqual(interrupted.differing(folder, self.alone), [])

    def test_the_best_weights_are_those_of_the_best_epoch(self):
        rows = metrics.read(RunFolder(self.alone)[interrupted.NAME].metrics)
        best = min(rows, key=lambda row: row["val_bits_per_dim"])
        self.assertNotIn(best, (rows[0], rows[-1]))
        notes = tensors.notes(RunFolder(self.alone)[interrupted.NAME].best)
        for key in ("step", "val_bits_per_dim"):
            self.assertEqual(notes[key], best[key])
