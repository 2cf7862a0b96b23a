"""Tests of a run whose files are in the way of something, removed, or unreadable."""

import errno
import pathlib
import shutil
from unittest import mock

from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.training import loop, metrics
from pixelcnn_aux.training.state import save_checkpoint
from tests import helpers

ROW = dict.fromkeys(metrics.FIELDS, 1)


class PlacesTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self) / "run"
        self.folder.mkdir()
        self.gray = RunFolder(self.folder)["grayscale"]

    def begin(self):
        """The first writes of training."""
        with self.gray.lock():
            self.gray.record_training({"epochs": 1})

    def metrics(self):
        return metrics.MetricsTable(self.gray, 0)

    def save_if_best(self):
        factor = helpers.shared_model().factors["grayscale"]
        self.gray.save_if_best(factor, 1, 1.0)

    def test_something_else_has_the_name_of_what_is_written(self):
        def create():
            RunFolder(self.folder).create({"model": {}})

        for name, make, act in (
            ("config.json", pathlib.Path.mkdir, create),
            ("grayscale", pathlib.Path.touch, self.begin),
            ("grayscale/checkpoints", pathlib.Path.touch, self.begin),
            ("grayscale/training.json", pathlib.Path.mkdir, self.begin),
            ("grayscale/logs", pathlib.Path.touch, self.metrics),
            ("grayscale/metrics.csv", pathlib.Path.mkdir, self.metrics),
            ("grayscale/best.safetensors", pathlib.Path.mkdir, self.save_if_best),
        ):
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            make(path)
            message = (
                f"Expected [^.]* {path}. Received: .*Move away whatever has this name, and give"
            )
            with self.assertRaisesRegex(OSError, message):
                act()
            shutil.rmtree(self.folder)
            self.folder.mkdir()

    def test_a_folder_that_is_removed_while_training_is_not_made_again(self):
        self.gray.path.mkdir()
        table = self.metrics()
        shutil.rmtree(self.folder)
        resumes = ": training resumes from its last checkpoint."
        for act, end in (
            (lambda: table.add(ROW), resumes),
            (self.save_if_best, "."),
            (lambda: save_checkpoint(self.gray.checkpoints, 1, {}, {}), resumes),
        ):
            message = f"Check the path, and give the same command again{end}$"
            with self.assertRaisesRegex(FileNotFoundError, message):
                act()
        self.assertFalse(self.folder.exists())

    def test_a_folder_that_may_not_be_read(self):
        refused = PermissionError(errno.EACCES, "Permission denied")
        with mock.patch.object(pathlib.Path, "exists", side_effect=refused):
            for act, file in (
                (self.gray.recorded_training, self.gray.training),
                (self.gray.run.config, self.gray.run.config_file),
            ):
                message = f"Expected to read {file}.*Check its permissions"
                with self.assertRaisesRegex(PermissionError, message):
                    act()

    def test_a_trace_that_cannot_be_written(self):
        (self.folder / "plugins").touch()
        with self.assertRaisesRegex(OSError, f"Expected to write a trace to {self.folder}"):
            with loop.Profile(self.folder) as trace:
                trace.toggle()  # and ended as the context is left

    def test_what_a_process_that_was_killed_was_writing_is_removed(self):
        self.gray.checkpoints.mkdir(parents=True)
        folders = self.gray.checkpoints, self.gray.path
        half = [folder / "writing.123-45674567" for folder in folders]
        for file in half:
            file.write_bytes(b"half")
        with RunFolder(self.folder)["image"].lock():
            self.assertTrue(all(file.exists() for file in half))  # that of another factor
        with self.gray.lock():
            self.assertFalse(any(file.exists() for file in half))
