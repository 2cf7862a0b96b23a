"""Tests of the program of information against exposure and noise."""

import json
import math
from unittest import mock

import numpy as np

import pixelcnn_aux as pa
from pixelcnn_aux.commands import information as program
from tests import helpers
from tests.information_test import Known, entropy, poisson


class InformationTest(helpers.TestCase):
    def run_program(self, *arguments):
        """(output, results, measurements that models were trained on), of black and gray images.

        The models are sure of nothing: all values are as likely.
        """
        trained = {}

        def train(model, settings, images, validation_images, folder, seed):
            self.assertEqual(images.dtype, validation_images.dtype)
            self.assertEqual(model.image_size, (4, 4))
            trained[folder] = images, model.likelihood.num_values

        def uniform(folder):
            _, count = trained[folder]
            return Known(lambda images: np.full(len(images), -16 * math.log(count)), count)

        images = np.full([9, 6, 5, 1], 200, np.uint8)
        images[:, 0] = 0
        np.savez(self.folder / "images.npz", train=images, validation=images, test=images)
        with (
            mock.patch.object(pa, "train", train),
            mock.patch.object(pa, "load", uniform),
        ):
            output = helpers.run_program(
                program,
                "--dataset=arrays",
                f"--image_file={self.folder / 'images.npz'}",
                f"--workdir={self.folder / 'out'}",
                *("--channels=1", "--side=4", "--num_images=5", *arguments),
            )
        results = json.loads((self.folder / "out" / "information.json").read_text())
        self.assertTrue((self.folder / "out" / "information.png").exists())
        return output, results, [*trained.values()]

    def test_exposures(self):
        output, results, trained = self.run_program("--exposure=3", "--exposure=300")
        self.assertIn("information, at most", output)
        low, high = results["rows"]
        self.assertEqual((low["exposure"], high["exposure"]), (3.0, 300.0))
        [(few, least), (many, most)] = trained
        self.assertEqual((few.dtype, many.dtype, most), (np.uint8, np.uint16, 512))
        self.assertLess(many.max(), most)
        self.assertLess(few.max(), least)
        self.assertAllClose(low["entropy"]["per_pixel"], math.log2(least))
        # Some pixels are black, all others have 3 counts in the mean.
        share = low["noise_entropy"]["per_pixel"] / entropy(poisson(3.0, 50))
        self.assertAllClose(16 * 5 * share, round(16 * 5 * share), atol=0.01)
        self.assertBetween(share, 0.8, 1.0)
        for row in results["rows"]:
            expected = row["entropy"]["per_pixel"] - row["noise_entropy"]["per_pixel"]
            self.assertAllClose(row["information"]["per_pixel"], expected)

    def test_sigmas(self):
        given = ("--noise=both", "--exposure=20", "--sigma=1", "--sigma=5")
        _, results, [(first, _), _] = self.run_program(*given)
        self.assertEqual([row["sigma"] for row in results["rows"]], [1.0, 5.0])
        low, high = (row["noise_entropy"]["per_pixel"] for row in results["rows"])
        self.assertLess(low, high)
        _, _, [(again, _), _] = self.run_program(*given)
        self.assertAllEqual(again, first)
        _, _, [(other, _), _] = self.run_program(*given, "--seed=1")
        self.assertNotAllEqual(other, first)
