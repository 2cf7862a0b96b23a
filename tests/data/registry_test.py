"""Tests of registering data sets and loading them by name."""

import importlib.machinery
import os
import pathlib
import sys
import types
from unittest import mock

import tensorflow as tf

from pixelcnn_aux import data
from pixelcnn_aux.data import cache, registry
from tests.data.helpers import noise


class LoadTest(tf.test.TestCase):
    def test_wrong_arguments(self):
        for name, split, size, places, message in (
            ("mnist", "train", 8, {}, r"arrays, celeb_a, .*, photos\. Received: 'mnist'.*--plugin"),
            (
                "fodler",
                "train",
                8,
                {},
                r"'fodler'\. Did you mean 'folder'\? Choose one of these, or",
            ),
            ("folder", "tset", 8, {}, r"split='tset'\. Did you mean 'test'\? Give such a value\."),
            ("folder", "train", 8, {"image_dir": b"a"}, r"image_dir as a path.*image_dir=b'a'"),
            ("photos", "valid", 8, {}, r"'train', 'validation', 'test'\. Received: split='valid'"),
            ("folder", "train", 8, {}, r"folder of images.*Received: none\. Give image_dir"),
            # An unset shell variable does not mean the current folder.
            ("folder", "train", 8, {"image_dir": ""}, r"folder of images.*none\. Give image_dir"),
            ("photos", "train", 8, {"image_dir": "a"}, r"a'\. Leave .*: arrays, celeb_a, folder\."),
            ("folder", "train", 8, {"image_file": "a.npz"}, r"no image_file .*one: arrays\."),
            ("arrays", "train", 8, {}, r"file of arrays.*none\. Give image_file.*savez"),
            ("photos", "train", 129, {}, "128 x 128.*129"),
            ("cifar10", "train", 64, {}, r"\(32, 32\).*\(64, 64\)"),
            ("celeb_a", "train", 48, {}, r"\(128, 128\), \(64, 64\), .*, \(1, 1\).*\(48, 48\)"),
            ("photos", "train", 8, {"num_values": 1}, "num_values from 2 to 65,536"),
            ("photos", "train", 8, {"channels": 17}, "channels from 1 to 16"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                data.load(name, split, (size, size), **places)


class RegisterTest(tf.test.TestCase):
    """Data sets from outside the package."""

    def setUp(self):
        super().setUp()
        self.enterContext(mock.patch.dict(registry._registered))

    def test_a_loader_receives_what_it_takes(self):
        """Loaders get checked, absolute paths, and None for missing arguments."""
        received = {}

        @data.register("mine")
        def mine(split, image_size, data_dir, image_dir, image_file, cache_dir):
            received.update(locals())
            return data.from_arrays(noise(1, 4, 6, 3))

        places = {"data_dir": "there", "image_dir": "~/here", "image_file": "here.npz"}
        images = data.load("mine", "test", [4, 6], **places)
        home, file = pathlib.Path("~/here").expanduser(), pathlib.Path.cwd() / "here.npz"
        received.pop("received")
        expected = {"split": "test", "image_size": (4, 6), "data_dir": "there", "image_dir": home}
        expected |= {"image_file": file, "cache_dir": cache.default_folder()}
        self.assertEqual(received, expected)
        source = {"dataset": "mine", "image_dir": str(home), "image_file": str(file)}
        self.assertEqual(images.source, source)
        data.load("mine", "test", [4, 6])
        self.assertIsNone(received["image_dir"])

    def test_the_folder_of_what_is_decoded(self):
        loader = mock.Mock(return_value=data.from_arrays(noise(1, 4, 6, 3)))
        data.register("mine")(lambda split, image_size, cache_dir: loader(cache_dir))
        for given, environment, expected in (
            ("here", {}, pathlib.Path.cwd() / "here"),
            (None, {"XDG_CACHE_HOME": "/caches"}, "/caches/pixelcnn_aux"),
            (None, {"HOME": "/home/me"}, "/home/me/.cache/pixelcnn_aux"),
        ):
            with mock.patch.dict(os.environ, environment, clear=True):
                data.load("mine", "test", [4, 6], cache_dir=given)
            loader.assert_called_with(pathlib.Path(expected))
        with (
            mock.patch.dict(os.environ, clear=True),
            mock.patch("pwd.getpwuid", side_effect=KeyError),
            self.assertRaisesRegex(ValueError, "a home folder.*Give a cache_dir"),
        ):
            data.load("mine", "test", [4, 6])

    def test_what_a_loader_returns_is_checked(self):
        for result, received in (
            (noise(5, 32, 32, 3), "ndarray"),
            (data.from_arrays(noise(5, 4, 6, 3)), r"\(5, 4, 6, 3\)"),
            (data.Images(noise(0, 32, 32, 3)), r"\(0, 32, 32, 3\)"),
        ):

            def my_loader(split, image_size, result=result):
                return result

            registry._registered.pop("mine", None)
            data.register("mine")(my_loader)
            message = (
                rf"\(32, 32\) .*'mine', for 'train'\. Received: {received}\. Fix my_loader in "
            )
            with self.assertRaisesRegex(ValueError, message):
                data.load("mine", "train")

    def test_a_name_that_is_taken_is_refused(self):
        data.register("mine")(mock.Mock(__module__="first"))
        with self.assertRaisesRegex(ValueError, r"of second\. Received: 'mine', which first has"):
            data.register("mine")(mock.Mock(__module__="second"))
        with self.assertRaisesRegex(ValueError, r"'photos', which pixelcnn_aux\.data\.photos has"):
            data.register("photos")(lambda: None)

    def test_a_module_may_come_again(self):
        def register(module):
            loader = mock.Mock(__module__=module)
            data.register("mine")(loader)
            self.assertIs(data.DATASETS["mine"], loader)

        register("__main__")
        register("__main__")  # a notebook's cell, run twice
        registry._registered.pop("mine")
        program = types.ModuleType("__main__")
        program.__spec__ = importlib.machinery.ModuleSpec("examples.mine", None)
        with mock.patch.dict(sys.modules, __main__=program):  # python -m examples.mine
            register("__main__")
            register("examples.mine")
