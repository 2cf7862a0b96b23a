"""Tests of the program that scores sets of images: its table, its files, and what it refuses."""

import csv
import json
from unittest import mock

import numpy as np
from PIL import Image

import pixelcnn_aux as pa
from pixelcnn_aux.commands import scores
from pixelcnn_aux.scores import detection, typical
from tests import helpers

FEW = 8


class ScoresTest(helpers.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = helpers.temporary_folder(cls)
        cls.run_folder = cls.folder / "run"
        model = helpers.tiny_model(exact=True)
        helpers.make_run(cls.run_folder, model)
        cls.images = helpers.pictures(FEW)
        np.savez(cls.folder / "own.npz", train=helpers.pictures(12, 1), test=cls.images)
        noise = np.random.default_rng(0).integers(0, 256, (5, *helpers.SIZE, 3))
        for name, images in {
            "noise": noise.astype(np.uint8),
            "large": helpers.pictures(3, size=(9, 12)),
            "gray": helpers.pictures(3)[..., :1],
        }.items():
            np.savez(cls.folder / f"{name}.npz", test=images)

    def run_program(self, *arguments, **flags):
        places = [f"--against={self.folder / place}" for place in arguments]
        own = {"image_file": self.folder / "own.npz", "cache_dir": self.folder / "cache", **flags}
        options = [f"--{name}={value}" for name, value in own.items()]
        with mock.patch.object(detection, "RESAMPLES", 50):
            return helpers.run_program(
                scores, f"--workdir={self.run_folder}", "--dataset=arrays", *options, *places
            )

    def found(self):
        return json.loads((self.run_folder / "scores.json").read_text())

    def test_a_row_for_each_image_and_a_table(self):
        printed = self.run_program("noise.npz", map=2)
        self.assertIn("Fitting typicality to 12 training images\n", printed)
        with open(self.run_folder / "scores.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([row["set"] for row in rows], ["own"] * FEW + ["noise"] * 5)
        self.assertEqual([row["index"] for row in rows[FEW:]], list("01234"))
        model = pa.load(self.run_folder)
        bits = model.bits_per_dim(self.images)
        for name, expected in bits.items():
            received = [float(row[f"bits_{name}"]) for row in rows[:FEW]]
            self.assertAllClose(received, expected, atol=1e-5)
        received = [[float(row[f"bits_less_entropy_{x}"]) for row in rows] for x in bits]
        self.assertAllClose(np.sum(received[:-1], axis=0), received[-1], atol=1e-5)
        found = self.found()["detections"]["noise"]
        own, noise = (
            [float(row["density_of_states_total"]) for row in rows if row["set"] == name]
            for name in ("own", "noise")
        )
        with mock.patch.object(detection, "RESAMPLES", 50):
            expected = pa.scores.detect(own, noise)
        received = found["density_of_states"]["total"]
        self.assertAllClose(received["auroc"], expected.auroc)
        self.assertAllClose(received["auroc_interval"], expected.auroc_interval)
        self.assertRegex(printed, f"density_of_states +total +{expected.auroc:.3f} ")
        for name in ("scores.png", "scores_map.png"):
            with Image.open(self.run_folder / name) as picture:
                self.assertGreater(min(picture.size), 300)

    def test_controls(self):
        with mock.patch.object(typical, "check_installed", side_effect=AssertionError):
            printed = self.run_program("noise.npz", control=True, num_training=0)
        found = self.found()
        names = ["noise", "own resized twice", "own as JPEG", "noise, exchanged"]
        self.assertEqual(list(found["detections"]), names)
        self.assertIn("own as JPEG: 8 images, own as JPEG files of quality 75\n", printed)
        self.assertNotIn("typicality", found["detections"]["noise"])
        noise, exchanged = (found["detections"][x]["bits"]["total"] for x in (names[0], names[3]))
        self.assertNotEqual(noise["auroc"], exchanged["auroc"])

    def test_labels_that_are_exchanged_tell_nothing(self):
        random = np.random.default_rng(0)
        one, other = ({"bits": {"total": random.normal(x, size=300)}} for x in (0.0, 9.0))
        found = scores.detections({"a": one, "b": other}, ["b"], seed=0)
        self.assertGreater(found["b"]["bits"]["total"]["auroc"], 0.99)
        low, high = found["b, exchanged"]["bits"]["total"]["auroc_interval"]
        self.assertTrue(low < 0.5 < high, (low, high))

    def test_refusals(self):
        none, noise = {"num_training": 0}, {"image_file": self.folder / "noise.npz"}
        for error, message, flags, *places in (
            (ValueError, r"of 4 x 6\. Received: large, of 9 x 12\.", none, "large.npz"),
            (FileNotFoundError, r"data set \(arrays, .*nowhere.npz. Check", none, "nowhere.npz"),
            (ValueError, "Expected images of 3 channels.*Received: 1 of uint8", none, "gray.npz"),
            (ValueError, "different names. Received: own, own", none, "own.npz"),
            (ValueError, "indices from 0 to 7", {"map": 8, **none}),
            (ValueError, "training split.*no train .*--num_training 0", noise),
        ):
            with self.assertRaisesRegex(error, message):
                self.run_program(*places, **flags)


class SetsTest(helpers.TestCase):
    def test_places(self):
        folder = helpers.temporary_folder(self)
        (folder / "a=b").mkdir()
        for place, expected in (
            ("cifar10", ("cifar10", "cifar10", {})),
            (f"celeb_a={folder}", ("celeb_a", "celeb_a", {"image_dir": folder})),
            (f"{folder / 'a=b'}", ("a=b", "folder", {"image_dir": folder / "a=b"})),
        ):
            self.assertEqual(scores.find_set(place), expected)
