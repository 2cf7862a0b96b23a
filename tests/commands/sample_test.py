"""Tests of the program that draws images: what its pictures have, and what it refuses."""

import contextlib
import functools
import tarfile
import types
from unittest import mock

import numpy as np
from absl import flags
from PIL import Image

import pixelcnn_aux as pa
from pixelcnn_aux.commands import chosen_run, jobs, sample
from pixelcnn_aux.run_files.folder import RunFolder
from tests import helpers


class SamplesTest(helpers.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = helpers.temporary_folder(cls)
        cls.model = helpers.shared_model()
        cls.run_folder = cls.folder / "tiny"
        helpers.make_run(cls.run_folder, cls.model)

    def run_program(self, *arguments):
        with contextlib.chdir(self.folder):
            arguments = (f"--workdir={self.run_folder}", "--dataset=photos", *arguments)
            return helpers.run_program(sample, *arguments)

    def drawn(self, *arguments):
        """The colors, as integers, of the program's picture."""
        # The model keeps its graphs from one picture to the next.
        loaded = self.run_folder, self.model
        with mock.patch.object(chosen_run, "load", return_value=loaded) as load:
            self.run_program("--num=2", "--out=picture.png", *arguments)
        load.assert_called_once_with("--best" in arguments)
        return colors(np.asarray(Image.open(self.folder / "picture.png").convert("RGB")))

    def test_pictures_of_samples_have_the_pixels_drawn(self):
        seeds = [[0, 0], [0, 1]]
        drawn, found = self.model.sample(seeds), self.drawn()
        self.assertContainsSubset(colors(drawn["image"]), found)
        self.assertContainsSubset(colors(np.repeat(17 * drawn["grayscale"], 3, axis=-1)), found)
        found = self.drawn("--sweep")
        for how in ({}, {"log_scale_shift": -0.5}, {"log_scale_shift": -1.0}, {"mode": "map"}):
            self.assertContainsSubset(colors(self.model.sample(seeds, **how)["image"]), found)

    def test_pictures_of_test_images_have_the_pixels_drawn(self):
        found = self.drawn("--known=half")
        self.assertIn(0x7F7F7F, found)
        # Labels are gray: what has another color is of the images, the upper halves and what is drawn.
        self.assertGreater(sum(not is_gray(color) for color in found), 24)
        found = self.drawn("--given=grayscale", "--best")
        self.assertGreater(sum(not is_gray(color) for color in found), 3 * 24)

    def test_classes(self):
        """A row for each; other pictures have one class, or none."""
        model = helpers.randomized(helpers.tiny_model(condition=pa.conditions.Classes(2)))
        originals, seeds = helpers.pictures(2), [[3, 0], [3, 1]]
        given = {"grayscale": model.auxiliaries(originals)["grayscale"]}
        run = helpers.temporary_folder(self) / "run"
        RunFolder(run).create({"model": {}, "dataset": "cifar10"})
        for model.loaded_from, names in (
            (None, ["class 0", "class 1"]),
            (str(run), ["airplane", "automobile"]),
        ):
            rows = self.rows(sample.by_class, model)
            self.assertEqual([name for name, *_ in rows], names)
        for label, (_, _, images) in enumerate(rows):
            drawn = model.sample(seeds, condition=[label, label])
            self.assertAllEqual(images, drawn["image"])
        once = functools.partial(sample.draws_given, times=1)
        for label, told in ((None, [-1, -1]), ("1", [1, 1]), ("automobile", [1, 1])):
            rows = self.rows(once, model, originals, "grayscale", label=label)
            drawn = model.sample(seeds, given=given, condition=told)["image"]
            self.assertAllEqual(rows[1][2], drawn)
            rows = self.rows(sample.samples, model, originals, label=label)
            self.assertAllEqual(rows[1][2], model.sample(seeds, condition=told)["image"])
        for chosen, function in (([], "by_class"), (["--label=-1"], "samples")):
            with (
                mock.patch.object(self, "model", model),
                mock.patch.object(sample, function, side_effect=KeyboardInterrupt),
                self.assertRaises(KeyboardInterrupt),
            ):
                self.drawn(*chosen)
        with self.assertRaisesRegex(ValueError, "class-conditional model for --label.*--label 1"):
            self.drawn("--label=1")
        self.enterContext(mock.patch.object(self, "model", model))
        for label, message in (
            (
                "automobil",
                "a class of airplane, automobile.* you mean 'automobile'",
            ),
            ("2", "classes from 0 to 1, or -1 .*Received: 2"),
            ("-2", "classes from 0 to 1, or -1 .*Received: -2"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                self.drawn(f"--label={label}")

    def rows(self, function, *arguments, **changes):
        """A function's rows of two images: list of (label, factor, images)."""
        how = {"num": 2, "seed": 3, "log_scale_shift": 0.0, "mode": "sample", "label": None}
        values = types.SimpleNamespace(**{**how, **changes})
        with (
            mock.patch.object(sample, "FLAGS", values),
            mock.patch.object(chosen_run, "FLAGS", values),
        ):
            return function(*arguments)

    def test_draws_given_auxiliary_images(self):
        """Each row has different draws."""
        originals = helpers.pictures(2)
        given = {"grayscale": self.model.auxiliaries(originals)["grayscale"]}
        twice = functools.partial(sample.draws_given, times=2)
        rows = self.rows(twice, self.model, originals, "grayscale")
        drawn = [images for label, _, images in rows if label == "drawn"]
        for first, images in zip((0, 2), drawn, strict=True):
            seeds = [[3, first], [3, first + 1]]
            self.assertAllEqual(images, self.model.sample(seeds, given=given)["image"])
        how = {"log_scale_shift": -0.5, "mode": "map"}
        rows = self.rows(sample.samples, self.model, originals, **how)
        images = {label: images for label, _, images in rows}
        self.assertAllEqual(images["their\ngrayscale"], given["grayscale"])
        expected = self.model.sample([[3, 0], [3, 1]], given=given, **how)["image"]
        self.assertAllEqual(images["drawn\ngiven grayscale"], expected)

    def test_folders_of_draws(self):
        model = helpers.randomized(helpers.tiny_model(condition=pa.conditions.Classes(2)))
        run, labels = self.folder / "in_turn", [0, 1, 0, 1, 0]
        helpers.make_run(run, model)
        expected = model.sample([[3, k] for k in range(5)], condition=labels)["image"]
        arguments = [f"--workdir={run}", "--num=5", "--seed=3", "--jobs=1"]
        with mock.patch.object(jobs, "at_once", return_value=2):
            helpers.run_program(sample, *arguments, f"--out={self.folder / 'draws'}")
            tar = ["--format=tar", f"--out={self.folder / 'tar'}"]
            printed = helpers.run_program(sample, *arguments, *tar)
        self.assertIn("5 images in 3 files", printed)
        parts = [np.load(self.folder / "draws" / f"00000{k}.npz") for k in range(3)]
        self.assertAllEqual(np.concatenate([x["image"] for x in parts]), expected)
        self.assertAllEqual(np.concatenate([x["label"] for x in parts]), labels)
        with tarfile.open(self.folder / "tar" / "000001.tar") as opened:
            names = opened.getnames()
            self.assertEqual(names, [f"{k:08}.{x}" for k in (2, 3) for x in ("png", "cls")])
            self.assertAllEqual(np.asarray(Image.open(opened.extractfile(names[0]))), expected[2])
            self.assertEqual(opened.extractfile(names[3]).read(), b"1")

    def test_refusals_before_anything_is_drawn(self):
        self.enterContext(mock.patch.object(sample, "sample", side_effect=AssertionError))
        for error, message, *arguments in (
            (ValueError, "--sweep without.*Received: --mode. Omit", "--sweep", "--mode=map"),
            (ValueError, "Expected --out as a name.*missing/a.png", "--out=missing/a.png"),
            (ValueError, "ends in .png, .jpg, .webp, .pdf, in a folder.*a.svg", "--out=a.svg"),
            (flags.IllegalFlagValueError, "seed", f"--seed={2**40}"),
            (ValueError, "--num up to 1,024 for a picture", "--num=2000"),
            (ValueError, "flags of a picture. Received: --jobs", "--jobs=2"),
            (ValueError, "a picture as --out.*Received: --sweep", "--out=folder", "--sweep"),
            (flags.IllegalFlagValueError, "num", "--num=0"),
            (flags.IllegalFlagValueError, "known", "--known=half", "--sweep"),
        ):
            with self.assertRaisesRegex(error, message):
                self.run_program(*arguments)


def colors(images):
    """The colors of uint8 [..., 3] as a set of integers 0xRRGGBB."""
    return set((np.asarray(images).reshape(-1, 3) @ [1 << 16, 1 << 8, 1]).tolist())


def is_gray(color):
    return color % 0x010101 == 0
