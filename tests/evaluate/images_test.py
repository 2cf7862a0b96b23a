"""Tests of which images the evaluation programs take, and how many at once."""

import contextlib
import types
from unittest import mock

import numpy as np
import tensorflow as tf

from evaluate import common, samples
from pixelcnn_aux import data, zoo
from pixelcnn_aux.programs import run_flags
from pixelcnn_aux.runs.folder import RunFolder
from tests import helpers


class BatchSizeTest(tf.test.TestCase):
    def test_a_batch_has_so_many_pixels(self):
        for size, expected in (
            ((32, 32), 100),
            ((64, 64), 25),
            ((16, 32), 200),
            ((128, 128), 6),
            ((1024, 1024), 1),
        ):
            self.assertEqual(common.batch_size(size), expected)


class SourceTest(tf.test.TestCase):
    def source(self, config, **changes):
        folder = helpers.temporary_folder(self)
        RunFolder(folder).create({**config, "model": {}})
        flags = dict.fromkeys(("dataset", "image_dir", "image_file"))
        flags = types.SimpleNamespace(**{**flags, "workdir": str(folder), **changes})
        with mock.patch.object(common, "FLAGS", flags):
            return common.source(folder)

    def test_images_are_those_of_the_run_unless_flags_say_otherwise(self):
        arrays = {"dataset": "arrays", "image_dir": None, "image_file": "/a.npz"}
        self.assertEqual(self.source(arrays), arrays)
        other = {**arrays, "image_file": "/b.npz"}
        self.assertEqual(self.source(arrays, image_file="/b.npz"), other)
        folder = {"dataset": "folder", "image_dir": "/images"}  # of before there were such files
        self.assertEqual(self.source(folder), {**folder, "image_file": None})
        photos = {"dataset": "photos", "image_dir": None, "image_file": None}
        for config in (arrays, folder):
            self.assertEqual(self.source(config, dataset="photos"), photos)
        with self.assertRaisesRegex(ValueError, "trained on arrays. Give --dataset"):
            self.source({})


class FlagsTest(tf.test.TestCase):
    """What flags say of a run."""

    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self)

    @contextlib.contextmanager
    def flags(self, *arguments):
        with helpers.own_flags(common, run_flags) as values:
            common.define_flags()
            values(["program", *map(str, arguments)])
            yield

    def test_exact_or_as_it_was_trained(self):
        model = helpers.tiny_model(exact=True)
        helpers.make_run(self.folder / "run", model, model.factors)
        for flags, exact in (([], True), (["--noexact"], False), (["--exact"], True)):
            with self.flags(f"--workdir={self.folder / 'run'}", *flags):
                self.assertEqual(common.load()[1].exact, exact)

    def test_images_are_where_those_of_the_run_are(self):
        source = {"dataset": "folder", "image_dir": "/images", "image_file": None}
        RunFolder(self.folder).create({**source, "model": {}})
        with (
            self.flags(f"--workdir={self.folder}", "--cache_dir=c"),
            mock.patch.object(data, "load") as load,
        ):
            common.images(self.folder, types.SimpleNamespace(image_size=(4, 6)), "test")
        places = {"image_dir": "/images", "image_file": None, "data_dir": None, "cache_dir": "c"}
        load.assert_called_once_with("folder", "test", (4, 6), **places)

    def test_a_model_of_the_package_by_its_name_has_the_images_that_it_was_trained_on(self):
        with self.flags(f"--workdir={zoo.DEFAULT}"):
            self.assertEqual(common.source(zoo.find(zoo.DEFAULT))["dataset"], "cifar10")


class TestImagesTest(tf.test.TestCase):
    def test_they_are_spread_over_the_split_and_no_others_are_read(self):
        pixels, read = helpers.pictures(50), []

        class Counting(np.ndarray):
            def __getitem__(self, indices):
                read.extend(indices)
                return np.asarray(self)[indices]

        images = data.Images(pixels.view(Counting))
        for num, expected in (
            (4, [0, 12, 25, 37]),
            (40, [5 * k // 4 for k in range(40)]),
            (99, range(50)),
        ):
            read.clear()
            with (
                mock.patch.object(common, "images", return_value=images) as asked,
                mock.patch.object(samples, "FLAGS", types.SimpleNamespace(num=num)),
            ):
                found = samples.test_images("folder", "model")
            asked.assert_called_once_with("folder", "model", "test")
            self.assertAllEqual(found, pixels[list(expected)])
            self.assertCountEqual(read, expected)


class PictureTest(tf.test.TestCase):
    def test_where_no_picture_can_be_is_found_out_before_it_is_drawn(self):
        folder = helpers.temporary_folder(self)
        with mock.patch.object(common, "load", side_effect=AssertionError):
            for out in ("missing/a.png", "a.foo"):
                with self.assertRaisesRegex(ValueError, f"Expected --out as a name.*{out}"):
                    helpers.run_program(samples, f"--out={folder / out}", sharing=[common])


if __name__ == "__main__":
    tf.test.main()
