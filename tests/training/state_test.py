"""Tests of checkpoints: damage is detected, and the previous one is used."""

import errno
import os
from unittest import mock

import keras

from pixelcnn_aux import training
from pixelcnn_aux.run_files import tensors
from pixelcnn_aux.training import state as training_state
from pixelcnn_aux.training.state import (
    checkpoint_file,
    find_checkpoints,
    restore_checkpoint,
    save_checkpoint,
)
from tests import helpers

IMAGE = {"factor": "image"}


def variables():
    values = {"weights/0": [1.0, 2.0], "weights/1": [[3.0]], "seconds/0": 0.0}
    return {name: keras.Variable(x) for name, x in values.items()}


def values(named):
    return [variable.numpy().tolist() for variable in named.values()]


class CheckpointsTest(helpers.TestCase):
    def save(self, *steps, before=None):
        for step in steps:
            named = variables()
            named["seconds/0"].assign(float(step))
            save_checkpoint(self.folder, step, named, IMAGE, before=before)
            before = step

    def steps(self):
        return [step for step, _ in find_checkpoints(self.folder)]

    def assertRestores(self, step, warned=None):
        """Expects this step's checkpoint to be restored; a warning names that of step `warned`, if any."""
        named = variables()
        named["weights/0"].assign([9.0, 9.0])
        with mock.patch.object(training_state.logging, "warning") as warning:
            self.assertEqual(restore_checkpoint(self.folder, named, IMAGE, {}), step)
        self.assertEqual(values(named), [[1.0, 2.0], [[3.0]], float(step)])
        named = f"step-{warned}.safetensors" in str(warning.call_args)
        self.assertEqual((warning.called, named), (warned is not None,) * 2)

    def assertRefused(self, message, named=None):
        before = values(named := named or variables())
        with self.assertRaisesRegex(ValueError, message):
            restore_checkpoint(self.folder, named, IMAGE, {})
        self.assertEqual(values(named), before)

    def test_the_newest_two_are_kept_and_the_newest_is_restored(self):
        self.save(9, 10, 100)
        self.assertEqual(self.steps(), [100, 10])
        self.assertRestores(100)

    def test_a_damaged_one_does_not_count_among_those_that_are_kept(self):
        for damaged, following in ((9, 7), (7, 9)):
            self.save(6, damaged)
            checkpoint_file(self.folder, damaged).write_bytes(b"")
            self.assertRestores(6, warned=damaged)
            self.save(following, before=6)
            self.assertCountEqual(self.steps(), [following, 6])

    def test_damaged_ones_and_those_of_another_factor_or_step_are_left_out(self):
        self.save(1, 2)
        (self.folder / "writing.step-3.safetensors").write_bytes(b"")
        first, last = (checkpoint_file(self.folder, step) for step in (1, 2))
        whole, before = last.read_bytes(), first.read_bytes()
        save_checkpoint(self.folder, 2, variables(), {"factor": "8x8"}, before=1)
        for contents in (last.read_bytes(), whole[:-1] + b"\1", whole[:-1], b"none", before):
            last.write_bytes(contents)
            self.assertRestores(1, warned=2)
        first.write_bytes(b"not a checkpoint")
        self.assertRefused(r"intact checkpoint.*step-2\.s.*step-1\.s.*remove the folder")

    def test_a_signal_and_errors_of_the_machine_are_no_damage(self):
        self.save(1, 2)
        stale = OSError(errno.ESTALE, "Stale file handle")
        for owner, name, error, message in (
            (tensors, "read", training.Stopped(), ""),
            (tensors, "read", MemoryError(), ""),
            (os, "open", stale, "Expected to read .*step-2.* Stale file handle"),
        ):
            with mock.patch.object(owner, name, side_effect=error):
                with self.assertRaisesRegex(type(error), message):
                    restore_checkpoint(self.folder, variables(), IMAGE, {})
        self.assertRestores(2)

    def test_of_versions_that_numbered_variables(self):
        before = {"factor/0": [1.0, 2.0], "factor/1": [[3.0]], "seconds/0": 1.0}
        numbered = {name: keras.Variable(x) for name, x in before.items()}
        save_checkpoint(self.folder, 1, numbered, IMAGE)
        named, paths = variables(), ("weights/1", "weights/0", "seconds/0")
        earlier_names = dict(zip(paths, ("factor/1", "factor/0", "seconds/0")))
        self.assertEqual(restore_checkpoint(self.folder, named, IMAGE, earlier_names), 1)
        self.assertEqual(values(named), [*before.values()])

    def test_of_another_network(self):
        self.save(1)
        named = variables()
        named["weights/1"] = keras.Variable([[3.0, 4.0]])
        self.assertRefused(r"another network: \(1, 1\) instead of \(1, 2\) as weights/1", named)
