"""Tests of the chain: what its factors see, and how their probabilities add up."""

import math

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux import serialization
from tests import helpers

IMAGES = helpers.pictures(3)
GRAYS = pa.auxiliary.Grayscale()(IMAGES).numpy()


def nats(model):
    """Of each factor, by hand: dict, name -> [B]."""
    grayscale, image = model.factors.values()
    return {"grayscale": grayscale.log_prob(GRAYS), "image": image.log_prob(IMAGES, GRAYS)}


class AuxiliaryModelTest(tf.test.TestCase):
    def test_inputs_are_what_factors_see_in_the_order_of_sampling(self):
        model = helpers.shared_model()
        inputs, sees = model.inputs(IMAGES), {"grayscale": (GRAYS, None), "image": (IMAGES, GRAYS)}
        for found in (model.factors, model.auxiliaries(IMAGES), inputs, model.sizes()):
            self.assertEqual(list(found), list(sees))
        for name, (image, given) in sees.items():
            self.assertEqual(model.sizes()[name], helpers.SIZE)
            self.assertAllEqual(model.auxiliaries(IMAGES)[name], image)
            self.assertAllEqual(inputs[name].images, image)
            if given is not None:
                self.assertAllEqual(inputs[name].auxiliary, given)
        self.assertIsNone(inputs["grayscale"].auxiliary)

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

    def test_what_it_says_of_itself(self):
        lines = repr(helpers.tiny_model(exact=True)).splitlines()
        self.assertLen(lines, 3)
        self.assertRegex(lines[0], r"^<AuxiliaryModel of 4 x 6 images: exact, [\d,]+ parameters$")
        grayscale = "Factor name=grayscale: Categorical, unconditional, "
        image = "Factor name=image: LogisticMixture, conditional, exact, "
        for line, factor in zip(lines[1:], (grayscale, image)):
            self.assertRegex(line, rf"^  4 x 6: <{factor}[\d,]+ parameters>+$")
        self.assertIn("conditional, a bound", repr(helpers.shared_model()))

    def test_images_of_another_size_than_that_of_samples(self):
        images = helpers.pictures(2, size=(3, 5))
        self.assertEqual(helpers.shared_model().log_prob(images).shape, [2])

    def test_a_new_factor_has_the_same_class_and_layers_and_weights_of_its_own(self):
        class Own(pa.Factor):
            pass

        shared = helpers.shared_model()
        first, second = shared.factors.values()
        own = Own.from_config(second.get_config())
        model = pa.AuxiliaryModel([first, own], shared.transforms, helpers.SIZE)
        # Two new ones: each test starts from the same random seed as that which drew `own`.
        new, other = model.new_factor("image"), model.new_factor("image", "float64")
        self.assertEqual((type(new), new.name), (Own, "image"))
        for weights in zip(new.weights, other.weights, own.weights, strict=True):
            self.assertEqual([weight.shape for weight in weights], [weights[0].shape] * 3)
        self.assertNotAllClose(new.get_weights()[0], other.get_weights()[0])
        self.assertEqual({weight.dtype for weight in other.weights}, {"float64"})
        with self.assertRaisesRegex(ValueError, r"\['grayscale', 'image'\]. Received: '8x8'"):
            model.new_factor("8x8")

    def test_a_subclass_keeps_its_own_arguments(self):
        @serialization.register(package="tests")
        class Own(pa.AuxiliaryModel):
            def __init__(self, *args, note="", **kwargs):
                super().__init__(*args, **kwargs)
                self.note = note

            def get_config(self):
                return {**super().get_config(), "note": self.note}

        shared = helpers.shared_model()
        factors = shared.factors.values()
        model = Own(factors, shared.transforms, shared.image_size, note="mine")
        copy = serialization.deserialize(model.description(), pa.AuxiliaryModel)
        for other in (copy, model.with_exact(True)):
            self.assertEqual((type(other), other.note), (Own, "mine"))


class PyramidTest(tf.test.TestCase):
    """Three scales of images that are not square."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.images = helpers.pictures(3, size=(8, 16))
        small = {"filters": 3, "blocks": 1, "embedding_blocks": 1, "num_components": 2}
        cls.model = pa.pyramid((8, 16), (2, 4), **small, dropout=0.0, exact=False, centered=False)

    def test_factors_are_scales_the_base_first(self):
        sizes = {"2x4": (2, 4), "4x8": (4, 8), "8x16": (8, 16)}
        self.assertEqual(self.model.sizes(), sizes)
        chain = self.model.auxiliaries(self.images)
        self.assertEqual(
            {name: x.shape[1:3].as_list() for name, x in chain.items()},
            {name: [*size] for name, size in sizes.items()},
        )
        halved = pa.auxiliary.HalfResolution()(self.images)
        self.assertAllEqual(chain["4x8"], halved)
        # Each is computed from the one just above it, with that one's rounding.
        self.assertAllEqual(chain["2x4"], pa.auxiliary.HalfResolution()(halved))

    def test_completion_knows_the_blocks_that_are_known_whole(self):
        small = {"filters": 3, "blocks": 1, "embedding_blocks": 1, "depth": 1, "num_components": 2}
        model = pa.pyramid((8, 16), (4, 8), **small, exact=False, centered=False)
        mask = np.zeros([3, 8, 16, 1], np.uint8)
        mask[:, :3] = 1  # of the third row, no half-resolution pixel is known
        drawn = model.sample([[0, 1], [0, 2], [0, 3]], known=self.images, mask=mask)
        halves = model.auxiliaries(self.images)["4x8"]
        self.assertAllEqual(drawn["8x16"][:, :3], self.images[:, :3])
        self.assertAllEqual(drawn["4x8"][:, :1], halves[:, :1])
        self.assertNotAllEqual(drawn["4x8"][:, 1], halves[:, 1])

    def test_sizes_that_halvings_do_not_reach_are_refused(self):
        for image_size, base_size in (((12, 12), (8, 8)), ((8, 8), (16, 16)), ((8, 16), (4, 4))):
            with self.assertRaisesRegex(ValueError, r"halvings.*image_size=\(.*base_size=\("):
                pa.pyramid(image_size, base_size, filters=2)

    def test_grays_may_be_a_pyramid_too(self):
        size = {"filters": 2, "blocks": 1, "embedding_blocks": 1, "num_components": 2}
        image = {"image_filters": 2, "image_blocks": 1, "image_embedding_blocks": 1}
        model = pa.grayscale_pyramid((8, 8), (2, 2), **size, **image, resolutions=1)
        names = ["grayscale_2x2", "grayscale_4x4", "grayscale", "image"]
        self.assertEqual(list(model.factors), names)
        images = helpers.pictures(2, size=(8, 8))
        chain = model.auxiliaries(images)
        self.assertAllEqual(chain["grayscale"], pa.auxiliary.Grayscale()(images))
        halved = pa.auxiliary.HalfResolution()(chain["grayscale"])
        self.assertAllEqual(chain["grayscale_4x4"], halved)
        with helpers.eagerly():
            self.assertEqual(list(model.bits_per_dim(images)), [*names, "total"])
