"""Tests of the chain: what its factors see, how their probabilities add up, and what is loaded."""

import functools
import json
import math
import shutil

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux import evaluation, serialization, workdir
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

    def test_description_builds_the_same_architecture(self):
        model = helpers.shared_model()
        description = json.loads(json.dumps(model.description()))
        copy = serialization.deserialize(description, pa.AuxiliaryModel)
        self.assertEqual(json.loads(json.dumps(copy.description())), description)
        self.assertEqual(copy.image_size, model.image_size)
        for name, factor in model.factors.items():
            copy.factors[name].set_weights(factor.get_weights())
        self.assertAllEqual(copy.log_prob(IMAGES), model.log_prob(IMAGES))


@functools.cache
def tiny_pyramid(dtype="float64"):
    """Three scales of images that are not square."""
    return pa.pyramid(
        (8, 16),
        (2, 4),
        filters=3,
        blocks=1,
        embedding_blocks=1,
        num_components=2,
        dropout=0.0,
        dtype=dtype,
    )


class PyramidTest(tf.test.TestCase):
    images = helpers.pictures(3, size=(8, 16))

    def test_factors_are_scales_the_base_first(self):
        sizes = {"2x4": (2, 4), "4x8": (4, 8), "8x16": (8, 16)}
        self.assertEqual(tiny_pyramid().sizes(), sizes)
        chain = tiny_pyramid().auxiliaries(self.images)
        self.assertEqual(
            {name: x.shape[1:3].as_list() for name, x in chain.items()},
            {name: [*size] for name, size in sizes.items()},
        )
        halved = pa.auxiliary.HalfResolution()(self.images)
        self.assertAllEqual(chain["4x8"], halved)
        # Each is computed from the one just above it, with that one's rounding.
        self.assertAllEqual(chain["2x4"], pa.auxiliary.HalfResolution()(halved))

    def test_bound_adds_up_over_batches_with_a_ragged_last_one(self):
        model = tiny_pyramid("float32")
        chain = [None, *model.auxiliaries(self.images).values()]
        nats = sum(
            np.sum(factor.log_prob(image, given), dtype=np.float64)
            for factor, image, given in zip(model.factors.values(), chain[1:], chain)
        )
        expected = -nats / (3 * 8 * 16 * 3 * math.log(2))
        bits = evaluation.bits_per_dim(model, [self.images[:2], self.images[2:]])
        self.assertAllClose(evaluation.summarize(bits)["total"], expected, rtol=1e-5, atol=0.0)

    def test_incremental_draws_are_those_of_the_full_evaluation(self):
        seeds = [[0, 1], [0, 2]]
        incremental = tiny_pyramid().sample(seeds)
        for name, images in tiny_pyramid().sample(seeds, method="full").items():
            self.assertAllEqual(incremental[name], images)
        self.assertEqual(list(incremental), ["2x4", "4x8", "8x16"])
        # From a scale on, as if it had been drawn.
        given = tiny_pyramid().sample(seeds, given={"4x8": incremental["4x8"]})
        self.assertEqual(list(given), ["4x8", "8x16"])
        self.assertAllEqual(given["8x16"], incremental["8x16"])

    def test_completion_knows_the_blocks_that_are_known_whole(self):
        mask = np.zeros([3, 8, 16, 1], np.uint8)
        mask[:, :3] = 1  # of the third row, no half-resolution pixel is known
        drawn = tiny_pyramid().sample([[0, 1], [0, 2], [0, 3]], known=self.images, mask=mask)
        chain = tiny_pyramid().auxiliaries(self.images)
        self.assertAllEqual(drawn["8x16"][:, :3], self.images[:, :3])
        self.assertAllEqual(drawn["4x8"][:, :1], chain["4x8"][:, :1])
        self.assertNotAllEqual(drawn["4x8"][:, 1], chain["4x8"][:, 1])
        self.assertNotAllEqual(drawn["2x4"][:, 0], chain["2x4"][:, 0])

    def test_sizes_that_halvings_do_not_reach_are_refused(self):
        for image_size, base_size in (((12, 12), (8, 8)), ((8, 8), (16, 16)), ((8, 16), (4, 4))):
            with self.assertRaisesRegex(ValueError, r"halvings.*image_size=\(.*base_size=\("):
                pa.pyramid(image_size, base_size, filters=2)

    def test_grays_may_be_a_pyramid_too(self):
        model = pa.grayscale_pyramid(
            (8, 8),
            (2, 2),
            filters=2,
            blocks=1,
            embedding_blocks=1,
            image_filters=2,
            image_blocks=1,
            image_embedding_blocks=1,
            resolutions=1,
            num_components=2,
        )
        names = ["grayscale_2x2", "grayscale_4x4", "grayscale", "image"]
        self.assertEqual(list(model.factors), names)
        images = helpers.pictures(2, size=(8, 8))
        chain = model.auxiliaries(images)
        self.assertAllEqual(chain["grayscale"], pa.auxiliary.Grayscale()(images))
        self.assertAllEqual(
            chain["grayscale_4x4"], pa.auxiliary.HalfResolution()(chain["grayscale"])
        )
        self.assertEqual(list(model.bits_per_dim(images)), [*names, "total"])
        drawn = model.sample([[0, 1]])
        self.assertEqual(list(drawn), names)
        self.assertLess(np.max(drawn["grayscale_2x2"]), 16)


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
        self.assertEqual(grayscale.likelihood.get_config(), {"num_values": 16, "num_channels": 1})
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
        self.assertEqual(model.description(), helpers.shared_model().description())
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
        with self.assertRaisesRegex(FileNotFoundError, "config.json.*run"):
            pa.load(self.folder)
        self.assertFalse(self.folder.exists())


if __name__ == "__main__":
    tf.test.main()
