"""Tests of what packing a run says; tests/zoo_test.py has those of what it makes."""

from unittest import mock

import tensorflow as tf

from evaluate import pack
from pixelcnn_aux import workdir, zoo
from tests import helpers, zoo_test


class OutputTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        folder = helpers.temporary_folder(self)
        self.enterContext(mock.patch.object(zoo, "FOLDER", folder / "zoo"))
        self.enterContext(mock.patch.object(workdir, "RUNS", folder / "runs"))
        zoo.FOLDER.mkdir()
        self.run_folder = folder / "mine"
        zoo_test.make_run(self.run_folder)

    def test_the_cost_of_rounding_is_of_so_many_images(self):
        for most, expected in ((4, 4), (500, zoo_test.NUM_IMAGES)):
            with helpers.eagerly(), mock.patch.object(pack, "NUM_IMAGES", most):
                output = zoo_test.pack_run(self.run_folder, f"of-{most}")
            self.assertIn(f" bits per dimension on {expected} validation images\n", output)


if __name__ == "__main__":
    tf.test.main()
