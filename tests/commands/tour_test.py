"""Tests of the tour: its picture, its figures, and that fine-tuning starts from the model of the package."""

import json
import os
import re
import signal
import subprocess
import types
from unittest import mock

import numpy as np
from PIL import Image

import pixelcnn_aux as pa
from pixelcnn_aux import data, image_grid
from pixelcnn_aux.commands import tour
from pixelcnn_aux.data import photos
from pixelcnn_aux.run_files import trained
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.training import presets
from tests import helpers

SQUARES = helpers.pictures(3, size=(4, 4))
KIND = {"exact": True, "centered": True}


class TourTest(helpers.TestCase):
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
        how = {"embedding": network, "num_components": 2, "condition": classes, **KIND}
        colors = helpers.randomized(pa.chain(grays, (4, 4), network, **how))
        pyramid = pa.pyramid((4, 4), (2, 2), depth=1, **sizes)
        tuned = helpers.random_chain([], (4, 4), network)
        cls.models = {tour.COLORS: colors, tour.SIZES: pyramid}
        cls.models |= {tour.TUNED: tuned, str(folder / "run"): pyramid}
        patch(tour, "SIDE", 4)
        whole = pa.rounded(helpers.randomized(helpers.tiny_parallel(halvings=2)))
        patch(pa, "load", side_effect={**cls.models, tour.WHOLE: whole}.get)
        patch(photos, "squares", return_value=SQUARES)
        counts = {"validation": 3, "test": 2}
        splits = {name: helpers.pictures(x, x, (4, 4)) for name, x in counts.items()}
        cls.images = np.concatenate(list(splits.values()))
        patch(data, "load", side_effect=lambda name, split, size: data.Images(splits[split]))
        cls.trained = patch(subprocess, "run", return_value=types.SimpleNamespace(returncode=0))
        cls.labeled = patch(image_grid, "labeled", wraps=image_grid.labeled)
        cls.output = helpers.run_program(tour, f"--workdir={folder / 'run'}")
        cls.run_folder = folder / "run"

    def test_each_row_of_the_picture_is_what_it_says(self):
        for name in ("tour.png", "tour-photographs.png"):
            self.assertEqual(Image.open(RunFolder.RUNS / name).format, "PNG")
        how = {"seeds": [[0, 0], [0, 1], [0, 2]], "log_scale_shift": -0.5}
        colors, sizes = self.models[tour.COLORS], self.models[tour.SIZES]
        halves = {"2x2": sizes.auxiliaries(SQUARES)["2x2"]}
        rows = {
            "grayscale\ndrawn": 17 * colors.sample(**how)["grayscale"],
            "horses\ndrawn": colors.sample(**how, condition=[7, 7, 7])["image"],
            "test\n2x2": halves["2x2"],
        }
        enlarged = sizes.sample(**how, given=halves)["4x4"]
        [shown] = self.labeled.call_args.args
        found = dict(reversed(shown))
        for label, images in rows.items():
            self.assertAllEqual(found[label], np.broadcast_to(images, found[label].shape), label)
        self.assertAllEqual(shown[-1][1], enlarged)

    def test_places_are_refused_before_anything_is_drawn(self):
        with mock.patch.object(tour, "picture", side_effect=AssertionError):
            with self.assertRaisesRegex(ValueError, "Expected --out as a name.*missing/a.png"):
                helpers.run_program(tour, f"--out={self.run_folder.parent / 'missing/a.png'}")

    def test_figures_and_fine_tuning(self):
        for name, model in self.models.items():
            mean = np.mean(model.bits_per_dim(self.images)["total"])
            lines = re.findall(rf"^{re.escape(name)} +(\d+\.\d{{3}})$", self.output, re.MULTILINE)
            self.assertNotEmpty(lines, name)
            for printed in lines:  # to three digits
                self.assertAllClose(float(printed), mean, rtol=0, atol=5.1e-4)
        for codec in ("PNG", "WebP"):
            self.assertRegex(self.output, rf"\n{codec} files +\d+\.\d{{3}}\n")
        _, *command = self.trained.call_args.args[0]
        self.assertIn("\npython " + " ".join(command) + "\n", self.output)
        expected = ["-m", "pixelcnn_aux", "train", "pixelcnn", "--init", tour.TUNED]
        self.assertEqual(command[:6], expected)
        self.assertEqual(command[-2:], ["--workdir", str(self.run_folder)])

    def test_it_waits_for_fine_tuning_that_is_interrupted_and_ends_as_that_does(self):
        """Ctrl-C reaches both processes: training saves its work before it ends."""

        def run(*args, **kwargs):
            os.kill(os.getpid(), signal.SIGINT)
            return types.SimpleNamespace(returncode=130)

        before = signal.getsignal(signal.SIGINT)
        with (
            mock.patch.object(subprocess, "run", run),
            mock.patch.object(tour, "FLAGS", types.SimpleNamespace(workdir="w")),
            self.assertRaises(SystemExit) as caught,
        ):
            tour.fine_tune()
        self.assertEqual(caught.exception.code, 130)
        self.assertEqual(signal.getsignal(signal.SIGINT), before)


class PresetsTest(helpers.TestCase):
    def test_presets_have_the_networks_of_the_trained_models(self):
        names = {"grayscale": "large", "pyramid": "medium", "pixelcnn": "medium"}
        for model, name in names.items():
            preset = presets.BY_MODEL[model][name]
            classes = pa.conditions.Classes(10)  # as of --classes 10
            found = preset.constructor(**preset.model, condition=classes).description()
            expected = RunFolder(trained.FOLDER / f"cifar10-{model}").config()["model"]
            self.assertEqual(json.loads(json.dumps(found)), expected, model)
