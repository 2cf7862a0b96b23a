"""Tests of what is loaded from a workdir, and of what is refused."""

import json
import shutil

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.runs.folder import RunFolder
from tests import helpers

IMAGES = helpers.pictures(3)
GRAYS = pa.auxiliary.Grayscale()(IMAGES).numpy()


class LoadTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self) / "run"

    def make_run(self, *trained):
        helpers.make_run(self.folder, helpers.shared_model(), trained)

    def assertRefused(self, *fragments):
        """`load` says what is wrong, naming all of these, and changes nothing."""
        before = helpers.contents(self.folder)
        with self.assertRaises(ValueError) as caught:
            pa.load(self.folder)
        for fragment in fragments:
            self.assertIn(str(fragment), str(caught.exception))
        self.assertEqual(helpers.contents(self.folder), before)

    def test_weights_come_back(self):
        self.make_run("grayscale", "image")
        model = pa.load(self.folder)
        self.assertEqual(model.untrained, ())
        self.assertEqual(model.description(), helpers.shared_model().description())
        self.assertAllEqual(model.log_prob(IMAGES), helpers.shared_model().log_prob(IMAGES))

    def test_the_best_weights_instead_of_the_last_ones(self):
        self.make_run("grayscale", "image")
        model = helpers.tiny_model()
        for name, factor in model.factors.items():
            helpers.randomize(factor)
            RunFolder(self.folder)[name].save_if_best(factor, 1, 1.0)
        best, last = pa.load(self.folder, best=True), pa.load(self.folder)
        self.assertAllEqual(best.log_prob(IMAGES), model.log_prob(IMAGES))
        self.assertAllEqual(last.log_prob(IMAGES), helpers.shared_model().log_prob(IMAGES))

    def test_float64_throughout(self):
        self.make_run("grayscale", "image")
        model = pa.load(self.folder, dtype="float64")
        self.assertEqual(model.log_prob(IMAGES).dtype, tf.float64)
        self.assertEqual(model.bits_per_dim(IMAGES)["total"].dtype, tf.float64)
        single = helpers.shared_model().log_prob(IMAGES)
        self.assertAllClose(model.log_prob(IMAGES), single, rtol=1e-5)

    def test_a_factor_not_trained_yet_is_named_by_what_needs_it(self):
        self.make_run("image")
        model = pa.load(self.folder)
        self.assertEqual(model.untrained, ("grayscale",))
        for needs_all in (model.log_prob, model.bits_per_dim):
            with self.assertRaisesRegex(ValueError, "'grayscale' not trained yet.*--factor gray"):
                needs_all(IMAGES)
        seeds = np.zeros([3, 2], np.int32)
        with self.assertRaisesRegex(ValueError, "'grayscale' not trained yet"):
            model.sample(seeds)
        # What does not need it works.
        self.assertAllEqual(
            model.sample(seeds, given={"grayscale": GRAYS})["image"],
            helpers.shared_model().sample(seeds, given={"grayscale": GRAYS})["image"],
        )

    def test_given_grays_still_need_the_image_factor(self):
        self.make_run("grayscale")
        model = pa.load(self.folder)
        with self.assertRaisesRegex(ValueError, "'image' not trained yet.*--factor image"):
            model.sample(np.zeros([3, 2], np.int32), given={"grayscale": GRAYS})

    def test_a_truncated_weights_file(self):
        self.make_run("grayscale")
        file = RunFolder(self.folder)["grayscale"].weights
        whole = file.read_bytes()
        for size in (len(whole) - 1, len(whole) // 2, 100, 0):
            file.write_bytes(whole[:size])
            self.assertRefused(file, "'grayscale'", "damaged")

    def test_the_weights_of_another_network(self):
        self.make_run("grayscale", "image")
        file = RunFolder(self.folder)["image"].weights
        shutil.copy(RunFolder(self.folder)["grayscale"].weights, file)
        self.assertRefused(file, "'image'", "another network")

    def test_the_weights_of_a_deeper_network(self):
        """All that the shallower one asks for is in its file, and more."""
        self.make_run()
        deeper = helpers.tiny_model(blocks=2).factors["grayscale"]
        RunFolder(self.folder)["grayscale"].save_weights(deeper)
        file = RunFolder(self.folder)["grayscale"].weights
        self.assertRefused(file, "'grayscale'", "another factor")

    def test_descriptions_that_are_no_model(self):
        self.make_run()
        file = self.folder / "config.json"
        config = json.loads(file.read_text())
        whole = config["model"]
        gray, image = whole["config"]["factors"]

        def with_factor(**changes):
            factor = {**gray, "config": {**gray["config"], **changes}}
            return {**whole, "config": {**whole["config"], "factors": [factor, image]}}

        for model in (
            3,
            {},
            {**whole, "config": {}},
            {**whole, "config": {**whole["config"], "factors": []}},
            {**whole, "config": {**whole["config"], "transforms": []}},
            {**whole, "config": {**whole["config"], "transforms": [gray]}},
            {**whole, "config": {**whole["config"], "image_size": [4]}},
            gray,
            with_factor(likelihood=None),
            with_factor(network=gray["config"]["likelihood"]),
            with_factor(filters=3),
        ):
            file.write_text(json.dumps({**config, "model": model}))
            self.assertRefused(self.folder, "description of a model")

    def test_no_workdir(self):
        with self.assertRaisesRegex(
            FileNotFoundError, "Expected the folder of a run.*Received: .*run"
        ):
            pa.load(self.folder)
        self.assertFalse(self.folder.exists())


if __name__ == "__main__":
    tf.test.main()
