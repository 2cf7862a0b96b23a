"""Tests of checkpoints: whatever is damaged is found out, and the one before it is used."""

import errno
import io
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from pixelcnn_aux import training
from pixelcnn_aux.training import checkpoints
from tests import helpers


def variables():
    return {
        "weights": [keras.Variable([1.0, 2.0]), keras.Variable([[3.0]])],
        "seconds": [keras.Variable(0.0)],
    }


def values(groups):
    return [variable.numpy().tolist() for group in groups.values() for variable in group]


class CheckpointsTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self)

    def save(self, *steps, before=None):
        for step in steps:
            groups = variables()
            groups["seconds"][0].assign(float(step))
            checkpoints.save(self.folder, step, groups, before)
            before = step

    def assertRestores(self, step):
        groups = variables()
        groups["weights"][0].assign([9.0, 9.0])
        self.assertEqual(checkpoints.restore(self.folder, groups), step)
        self.assertEqual(values(groups), [[1.0, 2.0], [[3.0]], float(step)])

    def test_the_newest_two_are_kept_and_the_newest_is_restored(self):
        self.save(9, 10, 100)
        self.assertEqual([step for step, _ in checkpoints.found(self.folder)], [100, 10])
        self.assertRestores(100)

    def test_a_damaged_one_takes_no_place_of_those_that_are_kept(self):
        for damaged, following in ((9, 7), (7, 9)):
            self.save(6, damaged)
            checkpoints.file(self.folder, damaged).write_bytes(b"")
            self.assertRestores(6)
            self.save(following, before=6)
            self.assertCountEqual(
                [step for step, _ in checkpoints.found(self.folder)], [following, 6]
            )

    def test_one_that_was_being_written_is_none(self):
        self.save(1)
        (self.folder / "writing.step-2.npz").write_bytes(b"")
        self.assertRestores(1)

    def test_every_damaged_byte_is_found_out_or_does_not_matter(self):
        self.save(1, 2)
        file = self.folder / "step-2.npz"
        whole, found = file.read_bytes(), 0
        for position in range(0, len(whole), 7):
            damaged = bytearray(whole)
            damaged[position] ^= 0x41
            file.write_bytes(damaged)
            groups = variables()
            step = checkpoints.restore(self.folder, groups)
            self.assertEqual(values(groups), [[1.0, 2.0], [[3.0]], float(step)], position)
            found += step == 1
        self.assertGreater(found, len(whole) // 7 // 4)  # Much of the format does not matter.

    def test_archives_that_cannot_be_read(self):
        """Encrypted, compressed, or longer than the file, as their directory claims."""
        self.save(1, 2)
        file = self.folder / "step-2.npz"
        whole = file.read_bytes()
        record = whole.index(b"PK\1\2")
        for offset, claim in ((8, b"\1\0"), (10, b"\x08\0"), (20, b"\xff\xff\xff\x7f" * 2)):
            at = record + offset
            file.write_bytes(whole[:at] + claim + whole[at + len(claim) :])
            with self.assertLogs("absl", "WARNING") as logged:
                self.assertRestores(1)
            self.assertIn("step-2.npz", logged.output[0])

    def test_nothing_is_made_of_an_array_whose_checksum_differs(self):
        self.save(1, 2)
        file = self.folder / "step-2.npz"
        whole = file.read_bytes()
        claim = b"(2" + b"0" * 9 + b",), }"  # 16 GB
        honest = b"(2,), }".ljust(len(claim))
        self.assertIn(honest, whole)
        file.write_bytes(whole.replace(honest, claim))
        with mock.patch.object(np, "load", side_effect=np.load) as load:
            with self.assertLogs("absl", "WARNING"):
                self.assertRestores(1)
        [(opened,)] = [call.args for call in load.call_args_list]
        self.assertEqual(opened.name, str(self.folder / "step-1.npz"))

    def test_every_shortened_file_is_found_out(self):
        self.save(1, 2)
        file = self.folder / "step-2.npz"
        whole = file.read_bytes()
        for size in range(0, len(whole), 29):
            file.write_bytes(whole[:size])
            with self.assertLogs("absl", "WARNING") as logged:
                self.assertRestores(1)
            self.assertIn("step-2.npz", logged.output[0])

    def test_none_that_is_whole_is_an_error_that_names_them(self):
        self.save(1, 2)
        for _, file in checkpoints.found(self.folder):
            file.write_bytes(b"not an archive")
        groups = variables()
        with self.assertRaisesRegex(
            ValueError, "whole checkpoint.*step-2.npz.*step-1.npz.*remove the folder"
        ):
            checkpoints.restore(self.folder, groups)
        self.assertEqual(values(groups), values(variables()))

    def test_a_signal_while_one_is_read_is_no_damage(self):
        self.save(1)
        with mock.patch.object(np, "load", side_effect=training.Stopped):
            with self.assertRaises(training.Stopped):
                checkpoints.restore(self.folder, variables())

    def test_what_the_machine_refuses_is_no_damage(self):
        self.save(1, 2)
        stale = OSError(errno.ESTALE, "Stale file handle")
        for error, message in (
            (MemoryError(), ""),
            (stale, "Expected to read .*step-2.npz. Received: Stale file handle"),
        ):
            with mock.patch.object(np, "load", side_effect=error):
                with self.assertRaisesRegex(type(error), message):
                    checkpoints.restore(self.folder, variables())
        self.assertRestores(2)

    def test_pickles_are_not_loaded(self):
        self.save(1, 2)
        content = io.BytesIO()
        np.savez(content, **{"weights/0": np.array([{}], object)})
        (self.folder / "step-2.npz").write_bytes(content.getvalue())
        self.assertRestores(1)

    def test_of_another_network(self):
        self.save(1)
        groups = variables()
        groups["weights"][1] = keras.Variable([[3.0, 4.0]])
        with self.assertRaisesRegex(
            ValueError, r"another network, with \(1, 1\) instead of \(1, 2\) as weights/1"
        ):
            checkpoints.restore(self.folder, groups)
        del groups["weights"][1]
        with self.assertRaisesRegex(ValueError, "another network"):
            checkpoints.restore(self.folder, groups)


if __name__ == "__main__":
    tf.test.main()
