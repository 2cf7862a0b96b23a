"""Tests of the chain: what its factors see, how their probabilities add up, and what is loaded."""

import json
import math
import shutil

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux import workdir
from tests import helpers

IMAGES = helpers.pictures(3)
GRAYS = pa.auxiliary.Grayscale()(IMAGES).numpy()


def nats(model):
    """Of each factor, by hand: dict, name -> [B]."""
    grayscale, image = model.factors.values()
    return {"grayscale": grayscale.log_prob(GRAYS), "image": image.log_prob(IMAGES, GRAYS)}


class AuxiliaryModelTest(tf.test.TestCase):
    def test_auxiliaries_in_the_order_of_sampling(self):
        chain = helpers.shared_model().auxiliaries(IMAGES)
        self.assertEqual(list(chain), ["grayscale", "image"])
        self.assertEqual(list(chain), list(helpers.shared_model().factors))
        self.assertAllEqual(chain["grayscale"], GRAYS)
        self.assertAllEqual(chain["image"], IMAGES)

    def test_pair_is_what_a_factor_sees(self):
        model = helpers.shared_model()
        image, given = model.pair("image", IMAGES)
        self.assertAllEqual(image, IMAGES)
        self.assertAllEqual(given, GRAYS)
        image, given = model.pair("grayscale", IMAGES)
        self.assertAllEqual(image, GRAYS)
        self.assertIsNone(given)

    def test_log_prob_is_the_sum_of_the_factors(self):
        model = helpers.shared_model()
        expected = sum(value.numpy() for value in nats(model).values())
        self.assertAllClose(model.log_prob(IMAGES), expected, rtol=1e-6)
        self.assertEqual(model.log_prob(IMAGES).dtype, tf.float32)

    def test_bits_per_dim_are_of_the_full_image_and_add_up(self):
        model = helpers.shared_model()
        bits = model.bits_per_dim(IMAGES)
        self.assertEqual(list(bits), ["grayscale", "image", "total"])
        dimensions = math.prod(helpers.SIZE) * 3  # also where a factor models one channel
        for name, value in nats(model).items():
            self.assertAllClose(bits[name], -value / (dimensions * math.log(2)), rtol=1e-5)
        self.assertAllClose(bits["total"], bits["grayscale"] + bits["image"], rtol=1e-6)
        total = -model.log_prob(IMAGES) / (dimensions * math.log(2))
        self.assertAllClose(bits["total"], total, rtol=1e-5)

    def test_images_of_another_size_than_that_of_samples(self):
        images = helpers.pictures(2, size=(3, 5))
        self.assertEqual(helpers.shared_model().log_prob(images).shape, [2])

    def test_wrong_images_are_refused(self):
        model = helpers.shared_model()
        for method in (model.auxiliaries, model.log_prob, model.bits_per_dim):
            with self.assertRaisesRegex(ValueError, "uint8.*Received: int64"):
                method(IMAGES.astype(np.int64))
            with self.assertRaisesRegex(ValueError, r"3 channels.*\[3, 4, 6, 1\]"):
                method(GRAYS)

    def test_sizes_of_what_is_sampled(self):
        self.assertEqual(
            helpers.shared_model().sizes(), {"grayscale": helpers.SIZE, "image": helpers.SIZE}
        )

    def test_a_new_factor_has_the_same_layers_and_weights_of_its_own(self):
        model = helpers.shared_model()
        for name, factor in model.factors.items():
            new = model.new_factor(name)
            self.assertEqual(new.name, name)
            self.assertEqual(
                [weight.shape for weight in new.weights],
                [weight.shape for weight in factor.weights],
            )
            # Two new ones: each test starts from the same random seed as that which drew `factor`.
            other = model.new_factor(name)
            self.assertNotAllClose(new.get_weights()[0], other.get_weights()[0])
        new = helpers.shared_model("float64").new_factor("image")
        self.assertEqual({weight.dtype for weight in new.weights}, {"float64"})
        with self.assertRaisesRegex(ValueError, r"\['grayscale', 'image'\]. Received: '8x8'"):
            model.new_factor("8x8")

    def test_config_builds_the_same_architecture(self):
        model = helpers.shared_model()
        copy = pa.chain(**json.loads(json.dumps(model.config)))
        self.assertEqual(copy.config, model.config)
        self.assertEqual(copy.image_size, model.image_size)
        for name, factor in model.factors.items():
            copy.factors[name].set_weights(factor.get_weights())
        self.assertAllEqual(copy.log_prob(IMAGES), model.log_prob(IMAGES))


class ConstructorsTest(tf.test.TestCase):
    def test_grayscale_is_a_chain_of_two_factors(self):
        model = pa.grayscale(
            (4, 6),
            filters=4,
            gray_blocks=3,
            image_blocks=1,
            embedding_blocks=2,
            resolutions=1,
            num_components=2,
            dropout=0.25,
        )
        self.assertEqual(list(model.factors), ["grayscale", "image"])
        self.assertEqual(model.image_size, (4, 6))
        grayscale, image = model.factors.values()
        # One resolution goes `blocks` down and up; the turning point is shared by both.
        networks = (grayscale.network, image.network, image.embedding)
        self.assertEqual([len(network.topology.steps) for network in networks], [6, 2, 4])
        self.assertEqual(grayscale.likelihood.get_config(), {"num_values": 16})
        self.assertEqual(image.likelihood.get_config(), {"num_components": 2})
        self.assertEqual(image.embedding.stream.steps[0].rate, 0.25)
        self.assertIsNone(grayscale.embedding)

    def test_pixelcnn_pp_is_a_chain_of_one_factor(self):
        model = pa.pixelcnn_pp((4, 6), filters=4, blocks=1, resolutions=1, num_components=2)
        self.assertEqual(list(model.factors), ["image"])
        self.assertIsNone(model.factors["image"].embedding)
        images = helpers.pictures(2)
        self.assertEqual(list(model.auxiliaries(images)), ["image"])
        self.assertAllEqual(model.log_prob(images), model.factors["image"].log_prob(images))
        self.assertEqual(list(model.sample([[0, 0]])), ["image"])


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
        self.assertEqual(model.config, helpers.shared_model().config)
        self.assertAllEqual(model.log_prob(IMAGES), helpers.shared_model().log_prob(IMAGES))

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
        file = workdir.weights_file(self.folder, "grayscale")
        whole = file.read_bytes()
        for size in (len(whole) - 1, len(whole) // 2, 100, 0):
            file.write_bytes(whole[:size])
            self.assertRefused(file, "'grayscale'", "damaged")

    def test_the_weights_of_another_network(self):
        self.make_run("grayscale", "image")
        file = workdir.weights_file(self.folder, "image")
        shutil.copy(workdir.weights_file(self.folder, "grayscale"), file)
        self.assertRefused(file, "'image'", "another network")

    def test_the_weights_of_a_deeper_network(self):
        """All that the shallower one asks for is in its file, and more."""
        self.make_run()
        deeper = helpers.tiny_model(blocks=2).factors["grayscale"]
        workdir.save_weights(self.folder, "grayscale", deeper)
        file = workdir.weights_file(self.folder, "grayscale")
        self.assertRefused(file, "'grayscale'", "another network")

    def test_descriptions_that_are_no_model(self):
        self.make_run()
        file = self.folder / "config.json"
        config = json.loads(file.read_text())
        stages = config["model"]["stages"]
        for model in (
            3,
            {},
            {"stages": 3, "image_size": [4, 6]},
            {"stages": [], "image_size": [4, 6]},
            {"stages": [{}], "image_size": [4, 6]},
            {"stages": [{**stages[0], "likelihood": ["Gaussian", {}]}], "image_size": [4, 6]},
            {"stages": [{**stages[0], "likelihood": ["Categorical"]}], "image_size": [4, 6]},
            {"stages": [{**stages[0], "network": {"topology": ["flat", {}]}}], "image_size": [4]},
        ):
            file.write_text(json.dumps({**config, "model": model}))
            self.assertRefused(self.folder, "description of a model")

    def test_no_workdir(self):
        with self.assertRaisesRegex(FileNotFoundError, "config.json.*run"):
            pa.load(self.folder)
        self.assertFalse(self.folder.exists())


if __name__ == "__main__":
    tf.test.main()
