"""Tests of a model of classes as a classifier."""

import json
from unittest import mock

import numpy as np

import pixelcnn_aux as pa
from pixelcnn_aux import data
from pixelcnn_aux.commands import classify
from tests import helpers


class ClassifyTest(helpers.TestCase):
    def test_accuracy_and_calibration_by_hand(self):
        """Of four images at 0.75 one is wrong; one at 0.95 is right; one has no class."""
        probs = np.array([[0.75, 0.25]] * 4 + [[0.05, 0.95]] * 2)
        labels = np.array([0, 0, 0, 1, 1, -1])
        halves = {"first": np.log(probs) / 2, "second": np.log(probs) / 2}
        found = classify.results(halves, labels)["second"]
        self.assertAllClose(found["accuracy"], 0.8)
        self.assertAllClose(found["calibration_error"], 0.2 * 0.05)
        self.assertAllClose([found["by_class"][0], found["by_class"][1]], [1.0, 0.5])
        self.assertAllClose([row["confidence"] for row in found["bins"]], [0.75, 0.95])
        self.assertAllClose([row["share"] for row in found["bins"]], [0.8, 0.2])

    def test_a_run(self):
        run = helpers.temporary_folder(self) / "run"
        model = helpers.randomized(helpers.tiny_model(condition=pa.conditions.Classes(3)))
        helpers.make_run(run, model)
        labels = [0, 1, 2, 0]
        images = data.Images(helpers.pictures(4), labels=labels)
        with mock.patch.object(data, "load", return_value=images):
            printed = helpers.run_program(classify, f"--workdir={run}", "--dataset=arrays")
        self.assertRegex(printed, r"by class: class 0 \d\.\d{3}, class 1 \d\.\d{3}, class 2 \d")
        best = np.argmax(model.class_log_probs(images.pixels), axis=1)
        found = json.loads((run / "classify.json").read_text())["up_to"]
        self.assertEqual(list(found), ["grayscale", "image"])
        self.assertAllClose(found["image"]["accuracy"], np.mean(best == labels))
        self.assertTrue((run / "classify.png").exists())
