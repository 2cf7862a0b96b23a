"""Tests of the tour: its picture, its figures, and that fine-tuning starts from the model of the package."""

import json
import os
import re
import signal
import subprocess
import types
from unittest import mock

import numpy as np
import tensorflow as tf
from PIL import Image

import pixelcnn_aux as pa
from evaluate import tour
from pixelcnn_aux import data, layers
from pixelcnn_aux.commands import sample
from pixelcnn_aux.data import photos
from pixelcnn_aux.runs import trained
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.training import presets
from tests import helpers

SQUARES = helpers.pictures(3, size=(4, 4))
KIND = {"exact": True, "centered": True}


class TourTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = helpers.temporary_folder(cls)

        def patch(*args, **kwargs):
            return cls.enterClassContext(mock.patch.object(*args, **kwargs))

        patch(RunFolder, "RUNS", folder / "runs")
        sizes = {"filters": 4, "blocks": 1, "embedding_blocks": 1, "num_components": 2, **KIND}
        network = {"topology": pa.networks.topology.flat(1), "filters": 4, "dropout": 0.0}
        grays = [pa.auxiliary.Grayscale()]
        classes = pa.conditions.Classes(10)
        colors = pa.chain(
            grays,
            (4, 4),
            network,
            embedding=network,
            names=None,
            num_components=2,
            **KIND,
            condition=classes,
        )
        list(map(helpers.randomize, colors.factors.values()))
        pyramid = pa.pyramid((4, 4), (2, 2), depth=1, **sizes)
        cls.models = {tour.COLORS: colors, tour.SIZES: pyramid, str(folder / "run"): pyramid}
        small = {"filters": 4, "blocks": 1, "trunk_blocks": 1, "base_filters": 4, "base_parts": 2}
        cls.whole = pa.parallel_pyramid(halvings=2, base_blocks=1, num_components=2, **small)
        patch(tour, "SIDE", 4)
        photographs = tour.photographs

        def kept(model):
            cls.figure = photographs(model)
            return cls.figure

        patch(tour, "photographs", kept)
        patch(pa, "load", side_effect={**cls.models, tour.WHOLE: cls.whole}.get)
        patch(photos, "squares", return_value=SQUARES)
        counts = {"validation": 3, "test": 2}
        splits = {name: helpers.pictures(x, x, (4, 4)) for name, x in counts.items()}
        cls.images = np.concatenate(list(splits.values()))
        patch(data, "load", side_effect=lambda name, split, size: data.Images(splits[split]))
        cls.trained = patch(subprocess, "run", return_value=types.SimpleNamespace(returncode=0))
        with helpers.eagerly():
            cls.output = helpers.run_program(tour, f"--workdir={folder / 'run'}")
        cls.run_folder = folder / "run"

    def test_each_row_of_the_picture_is_what_it_says(self):
        with helpers.eagerly():
            with mock.patch.object(sample, "sample") as draw:
                draw.side_effect = lambda model, what, num, first=0, **kwargs: model.sample(
                    [[0, first + i] for i in range(num)], **kwargs
                )
                figure = tour.picture(self.models)
            colors, sizes = self.models[tour.COLORS], self.models[tour.SIZES]
            seeds = [[0, 0], [0, 1], [0, 2]]
            drawn = colors.sample(seeds)
            grays = colors.auxiliaries(SQUARES)["grayscale"]
            halves = sizes.auxiliaries(SQUARES)["2x2"]
            mask = np.zeros([3, 4, 4, 1], np.uint8)
            mask[:, :2] = 1
            rows = {
                "grayscale\ndrawn": 17 * drawn["grayscale"],
                "image\ndrawn": drawn["image"],
                "horses\ndrawn": colors.sample(seeds, condition=[7, 7, 7])["image"],
                "test\ngrayscale": 17 * grays,
                "drawn": colors.sample(seeds, given={"grayscale": grays})["image"],
                "completed": colors.sample(seeds, known=SQUARES, mask=mask)["image"],
                "test\n2x2": np.repeat(np.repeat(halves, 2, axis=1), 2, axis=2),
            }
            enlarged = sizes.sample(seeds, given={"2x2": halves})["4x4"]
        found = {axes.texts[0].get_text(): strip(axes) for axes in reversed(figure.axes)}
        for label, images in rows.items():
            self.assertAllEqual(found[label], np.broadcast_to(images, [3, 4, 4, 3]), label)
        self.assertAllEqual(strip(figure.axes[-1]), enlarged)

    def test_whole_photographs(self):
        self.assertEqual(Image.open(RunFolder.RUNS / "tour-photographs.png").format, "PNG")
        shown = [np.asarray(axes.images[0].get_array()) for axes in self.figure.axes]
        self.assertAllEqual(shown[:2], SQUARES[:2])
        titles = [axes.get_title() for axes in self.figure.axes[::2]]
        self.assertEqual(titles[1:3], ["half the sides, bicubic", "drawn, given half"])
        given = self.whole.auxiliaries(SQUARES[:2])
        for name, images in (("half", shown[4:6]), ("quarter", shown[8:10])):
            drawn = self.whole.auxiliaries(np.stack(images))
            self.assertAllEqual(drawn[name], given[name])
        completed = np.stack(shown[12:14])
        differ = np.argwhere((completed != SQUARES[:2]).any(axis=-1))
        self.assertAllEqual(np.unique(differ[:, 1:]), [1])  # the pixel that was masked
        self.assertEqual(shown[-1].shape, (8, 8, 3))

    def test_where_no_picture_can_be_is_found_out_before_it_is_drawn(self):
        with mock.patch.object(tour, "picture", side_effect=AssertionError):
            for out in ("missing/a.png", "a.foo"):
                with self.assertRaisesRegex(ValueError, f"Expected --out as a name.*{out}"):
                    out = self.run_folder.parent / out
                    helpers.run_program(tour, f"--out={out}")

    def test_figures_are_means_over_all_images(self):
        self.assertEqual(Image.open(RunFolder.RUNS / "tour.png").format, "PNG")
        for name, model in self.models.items():
            mean = np.mean(model.bits_per_dim(self.images)["total"])
            lines = re.findall(rf"^{re.escape(name)} +(\d+\.\d{{3}})$", self.output, re.MULTILINE)
            self.assertNotEmpty(lines, name)
            for printed in lines:  # to three digits
                self.assertAllClose(float(printed), mean, rtol=0, atol=5.1e-4)
        for codec in ("PNG", "WebP"):
            self.assertRegex(self.output, rf"\n{codec} files +\d+\.\d{{3}}\n")

    def test_fine_tuning_is_the_command_that_is_shown(self):
        _, *command = self.trained.call_args.args[0]
        self.assertIn("\npython " + " ".join(command) + "\n", self.output)
        self.assertEqual(command[:4], ["-m", "train.grayscale", "--init", tour.COLORS])
        self.assertEqual(command[-2:], ["--workdir", str(self.run_folder)])

    def test_it_waits_for_fine_tuning_that_is_interrupted_and_ends_as_that_does(self):
        """Ctrl-C reaches both: training saves what it has done, and is not killed at that."""

        def run(*args, **kwargs):
            os.kill(os.getpid(), signal.SIGINT)
            return types.SimpleNamespace(returncode=130)

        before = signal.getsignal(signal.SIGINT)
        with (
            mock.patch.object(tour, "FLAGS", types.SimpleNamespace(workdir="run")),
            mock.patch.object(subprocess, "run", run),
            self.assertRaises(SystemExit) as ended,
        ):
            tour.fine_tune()
        self.assertEqual(ended.exception.code, 130)
        self.assertEqual(signal.getsignal(signal.SIGINT), before)


class PresetsTest(tf.test.TestCase):
    def test_those_that_may_start_from_a_model_of_the_package_have_its_networks(self):
        for model, name, package in (
            ("grayscale", "demo", tour.COLORS),
            ("grayscale", "small", "cifar10-grayscale"),
            ("pyramid", "medium", "cifar10-pyramid"),
            ("pixelcnn", "medium", "cifar10-pixelcnn"),
        ):
            preset = presets.find(model, name)
            with layers.counting_parameters():
                classes = pa.conditions.Classes(10)  # which they were trained on last
                found = preset.constructor(**preset.model, condition=classes).description()
            expected = RunFolder(trained.FOLDER / package).config()["model"]
            self.assertEqual(json.loads(json.dumps(found)), expected, (model, name))


def strip(axes):
    """The images of a row of a picture: [N, h, w, 3]."""
    [picture] = axes.get_images()
    return np.stack(np.split(picture.get_array(), 3, axis=1))[:, 1:-1, 1:-1]
