"""Tests of a run's folder: locks, rejected contents, and weights."""

import contextlib
import json
import os
import pathlib
from unittest import mock

import numpy as np

import pixelcnn_aux as pa
from pixelcnn_aux import training
from pixelcnn_aux.run_files import tensors
from pixelcnn_aux.run_files.folder import RunFolder
from tests import helpers

CONFIG = {"preset": "demo", "seed": 0, "model": {"image_size": (4, 6)}}


class CreateTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self) / "runs" / "run"
        self.mine = RunFolder(self.folder)

    def test_a_new_folder_which_the_same_run_goes_on_in(self):
        """While another process is creating it."""
        self.folder.mkdir(parents=True)
        (self.folder / f"writing.{os.getpid() + 1}-0123abcd").write_text("{")
        self.mine.create(CONFIG)
        self.assertEqual(self.mine.config(), {**CONFIG, "model": {"image_size": [4, 6]}})
        (self.folder / "image").mkdir()
        (self.folder / "image" / "average.safetensors").write_text("weights")
        before = helpers.contents(self.folder)
        self.mine.create(CONFIG)
        self.mine.create({**CONFIG, "image_file": None})  # as if absent
        self.assertEqual(helpers.contents(self.folder), before)

    def test_another_run_is_refused(self):
        self.mine.create(CONFIG)
        before = helpers.contents(self.folder)
        for changes, message in (
            ({"preset": "small"}, 'has others.*: preset: "small" instead of "demo"\\.'),
            ({"seed": None}, "Received: seed: null instead of 0\\."),
            ({"model": {"stages": [{"x": 1}, {"x": 2}]}}, "model.stages.1.x: 2 instead of null"),
            ({"image_file": "a.npz"}, 'image_file: "a.npz" instead of null'),
        ):
            with self.assertRaisesRegex(ValueError, message):
                self.mine.create({**CONFIG, **changes})
        self.assertEqual(helpers.contents(self.folder), before)

    def test_other_things_are_left_as_they_are(self):
        self.folder.mkdir(parents=True)
        file = self.folder / "thesis.tex"
        file.write_text("years of work")
        for path in (self.folder, file):
            with self.assertRaisesRegex(ValueError, f"Received: {path}, which holds other things"):
                RunFolder(path).create(CONFIG)
        self.assertEqual(helpers.contents(self.folder), {"thesis.tex": b"years of work"})

    def test_another_process_that_is_faster(self):
        """Also on a disk without hard links, with the other description written just before."""
        small, message = {**CONFIG, "preset": "small"}, 'preset: "demo" instead of "small"'
        for refused, other in (
            (FileExistsError, CONFIG),
            (FileExistsError, small),
            (PermissionError, small),
            (PermissionError, None),
        ):

            def link(_, target, other=other, refused=refused):
                if other is not None:
                    pathlib.Path(target).write_text(json.dumps(other))
                raise refused

            differs = other is small and self.assertRaisesRegex(ValueError, message)
            with mock.patch.object(os, "link", link), differs or contextlib.nullcontext():
                self.mine.create(CONFIG)
            self.assertEqual(os.listdir(self.folder), ["config.json"])
            self.mine.config_file.unlink()


class ReadTest(helpers.TestCase):
    def test_no_workdir_and_damaged_descriptions(self):
        run = RunFolder(helpers.temporary_folder(self))
        with self.assertRaisesRegex(FileNotFoundError, f"config.json.*Received: {run}"):
            run.config()
        file = run.config_file
        json_of = f"JSON in {file}. Received: .*"
        for text, message in (
            (b'{"preset": "de', json_of),
            (b"\xff\xfe\x00", json_of),
            (b'{"model": %s%s}' % (b"[" * 100, b"]" * 100), f"{json_of}more than 64 deep"),
            (b"[" * 100_000, f"{json_of}recursion"),
            (b'{"model": 1, "model": 2}', f"{json_of}a duplicate key among .'model', 'model'."),
            (b'{"model": NaN}', f"{json_of}NaN, which is not a JSON number"),
            (b'{"model": %s}' % (b"1" * 5000), f"{json_of}limit"),
            (b'{"model": 1, "image_dir": []}', f"Expected image_dir in {file} as text or null"),
            (b"[]", f"description of a run in {file}"),
            (b'{"preset": "demo"}', f"description of a run in {file}"),
        ):
            file.write_bytes(text)
            with self.assertRaisesRegex(ValueError, message):
                run.config()

    def test_the_newest_run_is_the_one_that_was_written_to_last(self):
        """Files may be renamed or removed at any time."""
        runs = helpers.temporary_folder(self) / "runs"
        self.enterContext(mock.patch.object(RunFolder, "RUNS", runs))

        def write(name, time):
            file = runs / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            os.utime(file, (time, time))

        self.assertIsNone(RunFolder.newest())
        write("b/config.json", 10)
        write("a/config.json", 20)
        write("b/image/writing.average.safetensors", 30)
        self.assertEqual(RunFolder.newest().path, runs / "a")
        (runs / "c" / "image").mkdir(parents=True)
        # As if all files had been there a moment ago.
        with mock.patch.object(pathlib.Path, "exists", return_value=True):
            self.assertEqual(RunFolder.newest().path, runs / "a")
        write("b/image/average.safetensors", 30)
        write("no_run/notes.txt", 40)
        self.assertEqual(RunFolder.newest().path, runs / "b")


class WeightsTest(helpers.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.factor = helpers.tiny_model().factors["image"]

    def setUp(self):
        super().setUp()
        self.image = RunFolder(self.folder)["image"]
        self.image.path.mkdir()

    def of_weights(self, value):
        """The factor, all of whose weights have this value."""
        return helpers.altered(self.factor, lambda x: np.full(x.shape, value))

    def save(self, value):
        self.image.save_weights(self.of_weights(value))

    def assertLoads(self, value, best=False):
        for weight in helpers.load_weights(self.image, self.factor, best).weights.values():
            self.assertAllEqual(weight, np.full(weight.shape, value))

    def assertRefused(self, message, best=False):
        """Loading raises an error with the factor and the file."""
        file = self.image.best if best else self.image.weights
        with self.assertRaisesRegex(ValueError, f"'image' in {file}.*{message}"):
            helpers.load_weights(self.image, self.factor, best)

    def test_a_round_trip_and_a_failure_while_writing(self):
        for best in (False, True):
            self.assertIsNone(helpers.load_weights(self.image, self.factor, best))
        self.save(5.0)
        self.assertRefused("Received: no such file.*without best", best=True)
        self.assertLoads(5.0)
        before = self.image.weights.read_bytes()
        with helpers.files_of_at_most(len(before) // 2):
            message = f"to write {self.image.weights}. Received: File too large"
            with self.assertRaisesRegex(OSError, message):
                self.image.save_weights(self.factor)
        self.assertEqual(helpers.contents(self.image.path), {"average.safetensors": before})

    def assertBest(self, step, bits, best):
        """Saves weights of a step and bits, and expects the best ones to be of `best`, a step and bits."""
        self.image.save_if_best(self.of_weights(float(step)), step, bits)
        self.assertLoads(float(best[0]), best=True)
        notes = tensors.notes(self.image.best)
        self.assertEqual((notes["step"], notes["val_bits_per_dim"]), best)

    def test_the_best_weights_are_kept(self):
        for step, bits, best in (
            (3, 2.5, (3, 2.5)),
            (6, 2.25, (6, 2.25)),
            (9, 2.75, (6, 2.25)),
            (12, 2.25, (6, 2.25)),  # not better
            (6, 2.25, (6, 2.25)),  # repeated after a damaged checkpoint
            (3, 2.5, (3, 2.5)),  # a restarted run
        ):
            self.assertBest(step, bits, best)
        whole = self.image.best.read_bytes()
        self.image.best.write_bytes(whole.replace(b'bits_per_dim\\": 2.5', b'bits_per_dim\\": 0.5'))
        self.assertRefused("checksum differs.*Load the last ones, without best", best=True)
        with self.assertLogs("absl", "WARNING") as logged:
            self.assertBest(6, 2.75, (6, 2.75))
        self.assertIn(f"{self.image.best}. Received: a damaged file", logged.output[0])

    def test_weights_of_another_factor_are_refused(self):
        others = helpers.tiny_model(blocks=2).factors
        for factor, message in (
            (others["image"], "another factor: meaning.network.config.topology.*instead of"),
            (others["grayscale"], 'another factor: factor: "grayscale" instead of "image"'),
        ):
            self.image.save_weights(factor)
            self.assertRefused(message)
        for factor in (  # the same up to excluded values and dropout
            self.factor.with_fixed_sum(None),
            helpers.tiny_model(dropout=0.5, exact=True).factors["image"],
        ):
            self.image.save_weights(factor)
            self.assertIsNotNone(helpers.load_weights(self.image, self.factor))

    def test_weights_that_are_damaged_of_another_dtype_or_not_finite(self):
        """A finished run rewrites its average if it has a checkpoint."""
        name = "image/network/above/b"
        for value, message in (
            (np.int32(1), f"int32 in the array {name}, expected floats"),
            (np.float32(np.nan), f"not finite in float32, in the array {name}"),
        ):
            self.save(5.0)
            arrays, notes = tensors.read(self.image.weights)
            arrays[name] = np.full_like(arrays[name], value, value.dtype)
            tensors.write(self.image.weights, arrays, notes)
            self.assertRefused(f"{message}.*Restore it: there is no checkpoint")
        self.image.weights.write_bytes(b"no arrays")
        self.image.checkpoints.mkdir()
        (self.image.checkpoints / "step-3.safetensors").touch()
        self.assertRefused("damaged.*Run training again, which rewrites it from its last")

    def test_a_pipe_is_not_waited_for(self):
        for file in (self.image.weights, self.image.training):
            os.mkfifo(file)
        self.assertIsNone(tensors.count(self.image.weights))
        for act in (
            lambda: helpers.load_weights(self.image, self.factor),
            self.image.recorded_training,
        ):
            message = f"^Expected a regular file as {self.image.path}/.*, a pipe"
            with self.assertRaisesRegex(OSError, message):
                act()

    def test_what_an_earlier_version_left_is_refused(self):
        for name in ("average.weights.h5", "checkpoints/step-3.npz"):
            file = self.image.path / name
            file.parent.mkdir(exist_ok=True)
            file.touch()
            message = f"Received: {file}, of an earlier version. Train again in another folder"
            with self.assertRaisesRegex(ValueError, message):
                helpers.load_weights(self.image, self.factor)
            with self.assertRaisesRegex(ValueError, message), self.image.lock():
                self.fail("training begins")
            file.unlink()


class PathTest(helpers.TestCase):
    def test_what_is_no_path_is_refused_at_the_entry(self):
        folder = helpers.temporary_folder(self)
        model, images = helpers.shared_model(), helpers.images(4)
        settings = training.Training(epochs=1, steps_per_epoch=1, batch_size=4, learning_rate=1e-2)
        for path in (None, 3, [], b"runs", "a\0", os.fsdecode(bytes(folder) + b"/\xff")):
            for enter in (
                RunFolder,
                pa.load,
                lambda path: pa.train(model, settings, images, images, path),
                lambda path: pa.train(model, settings, images, images, folder, init=path or 0),
            ):
                with self.assertRaisesRegex(ValueError, "^Expected .* as a path, a str"):
                    enter(path)
        self.assertEqual(helpers.contents(folder), {})


class LockTest(helpers.TestCase):
    def test_one_training_of_a_factor_at_a_time(self):
        run = RunFolder(helpers.temporary_folder(self))
        for _ in range(2):  # the lock is free again
            with run["image"].lock(), run["grayscale"].lock():
                with self.assertRaisesRegex(RuntimeError, f"'image' in {run}"):
                    with run["image"].lock():
                        self.fail("two hold the same lock")

    def test_files_that_are_not_its_own_are_left_as_they_are(self):
        image = RunFolder(helpers.temporary_folder(self))["image"]
        lock, mine = image.path / "lock", image.path / "mine"
        (image.path / "writing.d").mkdir(parents=True)
        lock.write_text("notes")
        with image.lock():
            self.assertEqual(lock.read_text(), "notes")
        self.assertTrue((image.path / "writing.d").exists())
        lock.rename(mine)
        lock.symlink_to(mine)
        with self.assertRaisesRegex(OSError, "to write .*lock. Received: .*symbolic links. Move"):
            with image.lock():
                self.fail("a link is followed")
        self.assertEqual(mine.read_text(), "notes")
