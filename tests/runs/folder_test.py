"""Tests of the folder that a run leaves: who may write to it, and that no write is ever half done."""

import errno
import functools
import json
import os
import pathlib
from unittest import mock

import h5py
import keras
import numpy as np
import tensorflow as tf

from pixelcnn_aux.runs import weight_files
from pixelcnn_aux.runs.folder import RunFolder
from tests import helpers

CONFIG = {"preset": "demo", "seed": 0, "model": {"image_size": (4, 6)}}


class CreateTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self) / "runs" / "run"
        self.mine = RunFolder(self.folder)

    def test_a_new_folder_or_an_empty_one(self):
        self.mine.create(CONFIG)
        self.assertEqual(os.listdir(self.folder), ["config.json"])
        self.assertEqual(self.mine.config(), {**CONFIG, "model": {"image_size": [4, 6]}})
        empty = self.folder.with_name("empty")
        empty.mkdir()
        RunFolder(empty).create(CONFIG)
        self.assertEqual(RunFolder(empty).config(), self.mine.config())

    def test_the_same_run_goes_on_in_it(self):
        self.mine.create(CONFIG)
        (self.folder / "image").mkdir()
        (self.folder / "image" / "average.weights.h5").write_text("weights")
        before = helpers.contents(self.folder)
        self.mine.create(CONFIG)
        self.assertEqual(helpers.contents(self.folder), before)

    def test_another_run_is_refused_with_both_shown(self):
        self.mine.create(CONFIG)
        before = helpers.contents(self.folder)
        with self.assertRaisesRegex(
            ValueError, 'has others.*: preset: "small" instead of "demo"\\.'
        ):
            self.mine.create({**CONFIG, "preset": "small"})
        with self.assertRaisesRegex(ValueError, "Received: seed: 1 instead of 0\\."):
            self.mine.create({**CONFIG, "seed": 1})
        with self.assertRaisesRegex(ValueError, "seed: null instead of 0"):
            self.mine.create({k: v for k, v in CONFIG.items() if k != "seed"})
        nested = {"stages": [{"x": 1}, {"x": 2}]}
        with self.assertRaisesRegex(ValueError, "model.stages.1.x: 2 instead of null"):
            self.mine.create({**CONFIG, "model": nested})
        self.assertEqual(helpers.contents(self.folder), before)

    def test_a_setting_that_was_not_there_yet_is_none(self):
        self.mine.create(CONFIG)
        self.mine.create({**CONFIG, "image_file": None})
        with self.assertRaisesRegex(ValueError, 'image_file: "a.npz" instead of null'):
            self.mine.create({**CONFIG, "image_file": "a.npz"})

    def test_other_things_are_left_as_they_are(self):
        self.folder.mkdir(parents=True)
        (self.folder / "thesis.tex").write_text("years of work")
        file = self.folder / "thesis.tex"
        for path in (self.folder, file):
            with self.assertRaisesRegex(ValueError, f"Received: {path}, which holds other things"):
                RunFolder(path).create(CONFIG)
        self.assertEqual(helpers.contents(self.folder), {"thesis.tex": b"years of work"})

    def test_a_process_beside_this_one_that_is_faster(self):
        def create_at_once(config, refused=FileExistsError):
            """`create`, with the other process's description there just before this one's."""

            def link(source, target):
                pathlib.Path(target).write_text(json.dumps(config))
                raise refused

            with mock.patch.object(os, "link", link):
                self.mine.create(CONFIG)

        create_at_once(CONFIG)
        self.assertEqual(os.listdir(self.folder), ["config.json"])
        for refused in (FileExistsError, PermissionError):  # The latter: a disk without hard links.
            os.remove(self.folder / "config.json")
            with self.assertRaisesRegex(ValueError, 'preset: "demo" instead of "small"'):
                create_at_once({**CONFIG, "preset": "small"}, refused)
            self.assertEqual(os.listdir(self.folder), ["config.json"])

    def test_a_process_beside_this_one_in_the_middle_of_it(self):
        """What it writes aside is no reason to refuse the folder."""
        self.folder.mkdir(parents=True)
        (self.folder / f"writing.{os.getpid() + 1}-0123abcd").write_text("{")
        self.mine.create(CONFIG)
        self.assertEqual(self.mine.config()["preset"], "demo")

    def test_a_disk_without_hard_links(self):
        refused = PermissionError(errno.EPERM, "Operation not permitted")
        with mock.patch.object(os, "link", side_effect=refused):
            self.mine.create(CONFIG)
        self.assertEqual(os.listdir(self.folder), ["config.json"])
        self.assertEqual(self.mine.config()["preset"], "demo")


class ReadTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self)
        self.mine = RunFolder(self.folder)

    def test_no_workdir(self):
        with self.assertRaisesRegex(FileNotFoundError, f"config.json.*Received: {self.folder}"):
            self.mine.config()

    def test_damaged_descriptions(self):
        file = self.folder / "config.json"
        for text in (b"", b'{"preset": "de', b"\xff\xfe\x00"):
            file.write_bytes(text)
            with self.assertRaisesRegex(ValueError, f"JSON in {file}. Received: a damaged file"):
                self.mine.config()
        deep = f'{{"model": {"[" * 900}{"]" * 900}}}'
        for text, what in (
            (deep, "more than 64 deep"),
            ("[" * 100_000, "recursion"),
            ('{"model": 1, "model": 2}', "a key twice among .'model', 'model'."),
            ('{"model": NaN}', "NaN, which is no number"),
            (f'{{"model": {"1" * 5000}}}', "limit"),
        ):
            file.write_text(text)
            with self.assertRaisesRegex(ValueError, f"JSON in {file}. Received: .*{what}"):
                self.mine.config()
        for value in ("3", "[]", '{"a": 1}', "true"):
            file.write_text(f'{{"model": 1, "dataset": {value}}}')
            with self.assertRaisesRegex(ValueError, f"Expected dataset in {file} as text or null"):
                self.mine.config()
        for text in ("[]", "3", '{"preset": "demo"}'):
            file.write_text(text)
            with self.assertRaisesRegex(ValueError, f"description of a run in {file}"):
                self.mine.config()


class NewestTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.runs = helpers.temporary_folder(self) / "runs"
        self.enterContext(mock.patch.object(RunFolder, "RUNS", self.runs))

    def write(self, file, time):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        os.utime(file, (time, time))

    def test_the_run_that_was_written_to_last(self):
        self.write(self.runs / "b" / "config.json", 10)
        self.write(self.runs / "a" / "config.json", 20)
        self.assertEqual(RunFolder.newest().path, self.runs / "a")
        self.write(RunFolder(self.runs / "b")["image"].weights, 30)
        self.assertEqual(RunFolder.newest().path, self.runs / "b")
        self.write(self.runs / "no_run" / "notes.txt", 40)
        self.assertEqual(RunFolder.newest().path, self.runs / "b")

    def test_files_that_are_being_written_or_gone_by_now(self):
        """What is written aside, under any name of its own, is renamed at any time."""
        self.write(self.runs / "a" / "config.json", 20)
        self.write(self.runs / "b" / "config.json", 10)
        self.write(self.runs / "b" / "image" / "writing.average.weights.h5", 30)
        self.assertEqual(RunFolder.newest().path, self.runs / "a")
        (self.runs / "c" / "image").mkdir(parents=True)
        # As if all files had been there a moment ago.
        with mock.patch.object(pathlib.Path, "exists", return_value=True):
            self.assertEqual(RunFolder.newest().path, self.runs / "a")

    def test_no_run_at_all(self):
        self.assertIsNone(RunFolder.newest())


class WeightsTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self)
        self.image = RunFolder(self.folder)["image"]
        self.network = keras.Sequential([keras.Input([2]), keras.layers.Dense(3)])

    def set_weights(self, value):
        self.network.set_weights([np.full(w.shape, value) for w in self.network.weights])

    def test_a_round_trip(self):
        self.set_weights(5.0)
        self.assertFalse(self.image.load_weights(self.network))
        self.image.save_weights(self.network)
        self.set_weights(0.0)
        self.assertTrue(self.image.load_weights(self.network))
        self.assertAllEqual(self.network.get_weights()[0], np.full([2, 3], 5.0))
        self.assertEqual(list(helpers.contents(self.folder)), ["image/average.weights.h5"])
        self.assertFalse(RunFolder(self.folder)["grayscale"].load_weights(self.network))

    def test_a_failure_while_writing_leaves_the_old_file(self):
        self.set_weights(5.0)
        self.image.save_weights(self.network)
        file = self.image.weights
        before = file.read_bytes()

        self.set_weights(6.0)
        with helpers.files_of_at_most(len(before) // 2):
            with self.assertRaisesRegex(OSError, f"to write {file}. Received: File too large"):
                self.image.save_weights(self.network)
        self.assertEqual(helpers.contents(file.parent), {file.name: before})
        self.image.save_weights(self.network)
        self.image.load_weights(self.network)
        self.assertAllEqual(self.network.get_weights()[0], np.full([2, 3], 6.0))

    def save_if_best(self, step, bits):
        """Weights of so many steps."""
        self.set_weights(float(step))
        self.image.save_if_best(self.network, step, bits)

    def assertBest(self, step, bits):
        self.set_weights(0.0)
        self.assertTrue(self.image.load_weights(self.network, best=True))
        self.assertAllEqual(self.network.get_weights()[0], np.full([2, 3], float(step)))
        notes = weight_files.notes(self.image.best)
        self.assertEqual(notes, {"step": step, "val_bits_per_dim": bits})

    def test_the_best_weights_are_kept(self):
        (self.folder / "image").mkdir()
        for step, bits, best in (
            (3, 2.5, (3, 2.5)),
            (6, 2.25, (6, 2.25)),
            (9, 2.75, (6, 2.25)),
            (12, 2.25, (6, 2.25)),  # no better
            (6, 2.25, (6, 2.25)),  # taken again, after a checkpoint was damaged
            (3, 2.5, (3, 2.5)),  # a run that starts anew
        ):
            self.save_if_best(step, bits)
            self.assertBest(*best)

    def test_best_weights_that_are_damaged_give_way(self):
        (self.folder / "image").mkdir()
        self.save_if_best(3, 2.5)
        file = self.image.best
        with h5py.File(file, "r+") as opened:
            opened.attrs["val_bits_per_dim"] = 0.5
        with self.assertRaisesRegex(ValueError, f"'image' in {file}.*checksum differs"):
            self.image.load_weights(self.network, best=True)
        with self.assertLogs("absl", "WARNING") as logged:
            self.save_if_best(6, 2.75)
        self.assertIn(f"{file}. Received: a damaged file", logged.output[0])
        self.assertBest(6, 2.75)

    def test_no_best_weights(self):
        load = functools.partial(self.image.load_weights, self.network, best=True)
        self.assertFalse(load())  # not trained yet
        self.image.save_weights(self.network)
        file = self.image.best
        with self.assertRaisesRegex(ValueError, f"'image' in {file}. Received: no such file"):
            load()

    def change(self, change):
        """The error of loading a file without a seal, of which one array has been changed in place."""
        self.set_weights(5.0)
        self.image.save_weights(self.network)
        file = self.image.weights
        file.write_bytes(weight_files.unsealed(file.read_bytes()))
        with h5py.File(file, "r+") as opened:
            names = []
            opened.visit(names.append)
            name = next(name for name in names if isinstance(opened[name], h5py.Dataset))
            change(opened, name)
        self.set_weights(1.0)
        with self.assertRaises(ValueError) as caught:
            self.image.load_weights(self.network)
        self.assertAllEqual(self.network.get_weights()[0], np.full([2, 3], 1.0))
        self.assertIn("'image'", str(caught.exception))
        return str(caught.exception), name

    def test_every_changed_byte_is_found_out(self):
        self.set_weights(5.0)
        self.image.save_weights(self.network)
        file = self.image.weights
        whole = file.read_bytes()
        self.set_weights(1.0)
        for position in range(0, len(whole), 13):
            damaged = bytearray(whole)
            damaged[position] ^= 0x10
            file.write_bytes(damaged)
            with self.assertRaises(ValueError, msg=position):
                self.image.load_weights(self.network)
        self.assertAllEqual(self.network.get_weights()[0], np.full([2, 3], 1.0))

    def test_what_a_run_is_called(self):
        for path, expected in (
            ("runs/mine", "mine"),
            ("runs/mine/", "mine"),
            ("runs/mine/image/..", "mine"),
            (".", pathlib.Path.cwd().name),
            ("..", pathlib.Path.cwd().parent.name),
        ):
            self.assertEqual(RunFolder(path).name, expected)

    def test_nothing_is_interpreted_of_a_file_whose_seal_differs(self):
        self.set_weights(5.0)
        self.image.save_weights(self.network)
        file = self.image.weights
        whole = file.read_bytes()
        file.write_bytes(whole[:-1] + b"\1")
        with mock.patch.object(h5py, "File", side_effect=AssertionError("opened")):
            with self.assertRaisesRegex(ValueError, f"{file}.*their checksum differs"):
                self.image.load_weights(self.network)

    def test_keras_reads_what_is_sealed_and_writes_what_is_not(self):
        self.set_weights(5.0)
        self.image.save_weights(self.network)
        self.set_weights(0.0)
        file = self.image.weights
        self.network.load_weights(file)
        self.assertAllEqual(self.network.get_weights()[0], np.full([2, 3], 5.0))
        self.set_weights(6.0)
        self.network.save_weights(file)
        self.set_weights(0.0)
        self.image.load_weights(self.network)
        self.assertAllEqual(self.network.get_weights()[0], np.full([2, 3], 6.0))

    def test_a_file_that_claims_more_than_there_is_memory_for(self):
        self.set_weights(5.0)
        file = self.image.weights
        file.parent.mkdir()
        with h5py.File(file, "w") as opened:
            opened.create_dataset("vars/0", shape=(10**12,), dtype="f4")
        with self.assertRaisesRegex(ValueError, f"{file}.*1,000,000,000,000 numbers, expected 9"):
            self.image.load_weights(self.network)

    def test_files_that_take_more_to_read_than_they_say(self):
        file = self.image.weights
        file.parent.mkdir()

        def chunks(opened):  # of which the smallest part that is read is a whole one
            opened.create_dataset(
                "a\x1b", (3,), "f4", chunks=(2**20,), maxshape=(None,), compression=9
            )

        def other_files(opened):
            opened.create_dataset("a\x1b", (3,), "f4", external=[("/dev/zero", 0, 12)])

        def depth(opened):
            for _ in range(100):
                opened = opened.create_group("a")

        for make, received in (
            (chunks, r"the array 'a\\x1b' in pieces"),
            (other_files, r"the array 'a\\x1b' in pieces or other files"),
            (depth, "groups in one another, more than 64 deep"),
        ):
            with h5py.File(file, "w") as opened:
                make(opened)
            with self.assertRaisesRegex(ValueError, f"{file}.*{received}"):
                self.image.load_weights(self.network)
            self.assertIsNone(weight_files.count(file))

    def test_a_pipe_is_not_waited_for(self):
        self.image.run.create({"model": {}})
        file = self.image.weights
        file.parent.mkdir()
        os.mkfifo(file)
        os.mkfifo(self.image.training)
        for act in (
            lambda: self.image.load_weights(self.network),
            lambda: self.image.recorded_training(),
        ):
            with self.assertRaisesRegex(
                OSError, f"^Expected a file. Received: {file.parent}/.*, a pipe"
            ):
                act()

    def test_weights_of_another_dtype_or_not_finite_in_a_file_without_seal(self):
        def to_int(opened, name):
            array = opened[name][()].astype(np.int32)
            del opened[name]
            opened[name] = array

        def to_nan(opened, name):
            opened[name][0] = np.nan

        message, name = self.change(to_int)
        self.assertIn(f"int32 in the array {name!r}, expected floats", message)
        message, name = self.change(to_nan)
        self.assertIn(f"not finite in the array {name!r}", message)

    def test_a_file_that_is_no_weights_file(self):
        file = self.image.weights
        file.parent.mkdir()
        file.write_bytes(b"no HDF5")
        with self.assertRaisesRegex(ValueError, f"'image' in {file}.*damaged"):
            self.image.load_weights(self.network)
        self.assertEqual(file.read_bytes(), b"no HDF5")

    def test_what_to_do_about_a_damaged_file(self):
        """A finished run writes its average anew, if it has a checkpoint; no run does so with its best."""
        for file in (self.image.weights, self.image.best):
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(b"no HDF5")

        def assert_advises(advice, best=False):
            with self.assertRaisesRegex(ValueError, f"another network .*{advice}"):
                self.image.load_weights(self.network, best)

        assert_advises("Restore the file: there is no checkpoint")
        assert_advises("Load the last ones, without best", best=True)
        kept = self.image.checkpoints
        kept.mkdir()
        (kept / "step-3.npz").touch()
        assert_advises("Run training again, which writes it anew from its last checkpoint")


class LockTest(tf.test.TestCase):
    def test_one_training_of_a_factor_at_a_time(self):
        folder = helpers.temporary_folder(self)
        with RunFolder(folder)["image"].lock():
            with self.assertRaisesRegex(RuntimeError, f"'image' in {folder}"):
                with RunFolder(folder)["image"].lock():
                    self.fail("two hold the same lock")
            with RunFolder(folder)["grayscale"].lock():
                pass  # another factor is no matter
        with RunFolder(folder)["image"].lock():
            pass  # and it is free again


if __name__ == "__main__":
    tf.test.main()
