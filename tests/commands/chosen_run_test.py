"""Tests of which run and which images the evaluation programs take, and how many at once."""

import contextlib
import types
from unittest import mock

import numpy as np

from pixelcnn_aux import data
from pixelcnn_aux.commands import chosen_run
from pixelcnn_aux.run_files import trained
from pixelcnn_aux.run_files.folder import RunFolder
from tests import helpers


class ChosenRunTest(helpers.TestCase):
    @contextlib.contextmanager
    def flags(self, *arguments):
        with helpers.own_flags() as values:
            chosen_run.define_flags()
            values(["program", *map(str, arguments)])
            yield

    def source(self, config, *arguments):
        folder = helpers.temporary_folder(self)
        RunFolder(folder).create({**config, "model": {}})
        with self.flags(f"--workdir={folder}", *arguments):
            return chosen_run.source(folder)

    def test_batches_of_about_the_same_number_of_pixels(self):
        for height, width, expected in ((32, 32, 64), (16, 32, 128), (1024, 1024, 1)):
            images = data.Images(np.broadcast_to(np.uint8(0), (300, height, width, 3)))
            self.assertLen(next(chosen_run.batches(images)), expected)

    def test_images_are_those_of_the_run_unless_flags_say_otherwise(self):
        arrays = {"dataset": "arrays", "image_dir": None, "image_file": "/a.npz"}
        self.assertEqual(self.source(arrays), arrays)
        other = {**arrays, "image_file": "/b.npz"}
        self.assertEqual(self.source(arrays, "--image_file=/b.npz"), other)
        folder = {"dataset": "folder", "image_dir": "/images", "image_file": None}
        self.assertEqual(self.source(folder), folder)
        labeled = {**folder, "labels": "folders"}
        self.assertEqual(self.source(labeled), labeled)
        self.assertEqual(self.source(folder, "--labels=folders"), labeled)
        shares = {**folder, "validation_share": 0.1, "test_share": 0.2}
        self.assertEqual(self.source(shares), shares)
        self.assertEqual(self.source(shares, "--test_share=0.3"), {**shares, "test_share": 0.3})
        photos = {"dataset": "photos", "image_dir": None, "image_file": None}
        for config in (arrays, folder):
            self.assertEqual(self.source(config, "--dataset=photos"), photos)
        # As of a trained model of the package, whose images are not in it.
        self.assertEqual(self.source({**folder, "image_dir": None}), photos)
        with self.assertRaisesRegex(ValueError, "trained on arrays. Give --dataset"):
            self.source({})
        with self.flags(f"--workdir={trained.DEFAULT}"):
            self.assertEqual(chosen_run.source(trained.find(trained.DEFAULT))["dataset"], "cifar10")

    def test_images_are_where_those_of_the_run_are(self):
        source = {"dataset": "folder", "image_dir": "/images", "image_file": None}
        RunFolder(self.folder).create({**source, "model": {}})
        with (
            self.flags(f"--workdir={self.folder}", "--cache_dir=c"),
            mock.patch.object(data, "load") as load,
        ):
            likelihood = types.SimpleNamespace(num_channels=1, num_values=4096)
            model = types.SimpleNamespace(image_size=(4, 6), likelihood=likelihood)
            chosen_run.images(self.folder, model, "test")
        places = {"image_dir": "/images", "cache_dir": "c", "channels": 1, "num_values": 4096}
        places |= dict.fromkeys(("image_file", "data_dir", "labels"))
        places |= dict.fromkeys(("validation_share", "test_share"))
        load.assert_called_once_with(name="folder", split="test", image_size=(4, 6), **places)

    def test_exact_or_as_it_was_trained(self):
        model = helpers.tiny_model(exact=True)
        helpers.make_run(self.folder / "run", model)
        for flags, exact in (([], True), (["--noexact"], False)):
            with self.flags(f"--workdir={self.folder / 'run'}", *flags):
                self.assertEqual(chosen_run.load()[1].exact, exact)
