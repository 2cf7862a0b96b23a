"""Tests of what packing a run measures and says; tests/zoo_test.py has those of what it makes."""

from unittest import mock

import tensorflow as tf

from evaluate import pack, splits
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
        zoo_test.make_run(self.run_folder)

    def test_the_cost_of_rounding_is_of_the_first_images(self):
        with helpers.eagerly(), mock.patch.object(pack, "NUM_IMAGES", 4):
            output = zoo_test.pack_run(self.run_folder, "first")
        self.assertIn(" bits per dimension on 4 validation images\n", output)

    def test_weights_that_rounding_makes_better_are_kept(self):
        with mock.patch.object(splits, "mean_bits", side_effect=[3.0, 2.0]):  # the run's, packed
            output = zoo_test.pack_run(self.run_folder, "better")
        self.assertIn("In 16 bits: -1.00000 bits per dimension", output)
        self.assertIn("better", zoo.pretrained())


if __name__ == "__main__":
    tf.test.main()
