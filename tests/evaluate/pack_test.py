"""Tests of what packing a run measures and says; tests/zoo_test.py has those of what it makes."""

from unittest import mock

import numpy as np
import tensorflow as tf

from evaluate import pack
from pixelcnn_aux import zoo
from pixelcnn_aux.runs.folder import RunFolder
from tests import helpers, zoo_test


class CostTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        folder = helpers.temporary_folder(self)
        self.enterContext(mock.patch.object(zoo, "FOLDER", folder / "zoo"))
        self.enterContext(mock.patch.object(RunFolder, "RUNS", folder / "runs"))
        zoo.FOLDER.mkdir()
        self.run_folder = folder / "mine"
        self.model = zoo_test.make_run(self.run_folder)

    def test_the_cost_of_rounding_is_of_so_many_images(self):
        for most, expected in ((4, 4), (500, zoo_test.NUM_IMAGES)):
            with helpers.eagerly(), mock.patch.object(pack, "NUM_IMAGES", most):
                output = zoo_test.pack_run(self.run_folder, f"of-{most}")
            self.assertIn(f" bits per dimension on {expected} validation images\n", output)

    def test_bits_are_the_exact_mean_over_the_first_images(self):
        images = helpers.images(6)
        with helpers.eagerly(), mock.patch.object(pack, "NUM_IMAGES", 4):
            found = pack.mean_bits(self.model, images)
            exact = self.model.with_exact(True)
            expected = exact.bits_per_dim(images.pixels[:4])["total"]
        self.assertAllClose(found, np.mean(expected), rtol=1e-6)

    def test_weights_that_rounding_makes_better_are_kept(self):
        with mock.patch.object(pack, "mean_bits", side_effect=[2.0, 3.0]):  # packed, the run's
            output = zoo_test.pack_run(self.run_folder, "better")
        self.assertIn("In 16 bits: -1.00000 bits per dimension", output)
        self.assertIn("better", zoo.pretrained())


if __name__ == "__main__":
    tf.test.main()
