"""Tests of exact models: their likelihood is that of images, not of pairs; and of centered ones."""

import functools
import math

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux import likelihoods
from pixelcnn_aux.factor import Factor
from pixelcnn_aux.networks import topology
from pixelcnn_aux.sums import FixedSum
from tests import helpers

HALVES = pa.auxiliary.HalfResolution()
FLAT = {"topology": topology.flat(1), "filters": 2}
DOUBLING = {"topology": topology.super_resolution(1, 1), "filters": 2}


@pa.serialization.register(package="tests")
class SmallGray(pa.auxiliary.Transform):
    """A gray of two values, of three channels of two values."""

    channels = 1
    num_values = 2

    def __call__(self, images):
        sums = tf.reduce_sum(tf.cast(images, tf.int32) * [3, 5, 1], axis=-1, keepdims=True)
        return tf.cast(sums // 5, tf.uint8)

    def fixed_sum(self, num_values):
        return FixedSum([[[3, 5, 1]]], step=5, num_values=num_values)


def tiny_chain(transforms, size, num_values, channels, exact):
    """A chain of categoricals, whose images are few enough to go through."""
    described = [(num_values, channels)]
    for transform in transforms:
        values, of_pixel = described[-1]
        described.append((transform.num_values or values, transform.channels or of_pixel))
    factors, given = [], None
    for position, values in enumerate(reversed(described)):
        likelihood = likelihoods.Categorical(*values)
        network = pa.networks.PixelCNN(topology.flat(1), 4, likelihood.num_params, dtype="float64")
        embedding = fixed_sum = None
        if given is not None:
            transform = transforms[len(transforms) - position]
            shape = topology.super_resolution(1, 1) if transform.ratio == 2 else topology.flat(1)
            embedding = pa.networks.Embedding(shape, 4, dtype="float64")
            fixed_sum = transform.fixed_sum(values[0]) if exact else None
        how = {"auxiliary_likelihood": given, "fixed_sum": fixed_sum, "name": f"x{position}"}
        factors.append(Factor(likelihood, network, embedding, **how, dtype="float64"))
        helpers.randomize(factors[-1], seed=position)
        given = likelihood
    return pa.AuxiliaryModel(factors, transforms, size)


class SumsToOneTest(tf.test.TestCase, parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(helpers.eagerly())

    @parameterized.named_parameters(
        ("half_resolution", [HALVES], (2, 2), 3, 1),
        ("half_resolution_of_two_blocks", [HALVES], (4, 2), 3, 1),
        ("gray", [SmallGray()], (2, 1), 2, 3),
        ("gray_and_its_half_resolution", [SmallGray(), HALVES], (2, 2), 2, 3),
    )
    def test_over_all_images(self, transforms, size, num_values, channels):
        images = helpers.all_images(num_values, *size, channels)
        exact = tiny_chain(transforms, size, num_values, channels, exact=True)
        probs = np.exp(exact.log_prob(images))
        self.assertAllClose(probs.sum(), 1.0, rtol=0, atol=1e-5)
        self.assertGreater(np.std(np.log(probs)), 0.1)
        bound = np.exp(exact.with_exact(False).log_prob(images))
        self.assertLess(bound.sum(), 0.9)
        self.assertAllLessEqual(bound - probs, 1e-12)


class Whole(pa.auxiliary.Transform):
    """A transform that declares no sum."""

    channels, num_values = 1, 2

    def __call__(self, images):
        return images[..., :1] // 128


@functools.cache
def random_model(name):
    """A model of a constructor, exact and with random weights."""
    small = {"filters": 4, "num_components": 2, "dropout": 0.0, "centered": name == "pyramid"}
    grays = {"gray_blocks": 1, "image_blocks": 1, "embedding_blocks": 1, "resolutions": 1}
    scales = {"image_size": (8, 4), "base_size": (4, 2), "blocks": 1, "depth": 1}
    scales |= {"embedding_blocks": 1}
    image = {"image_filters": 4, "image_blocks": 1, "image_embedding_blocks": 1, "resolutions": 1}
    model = {
        "grayscale": lambda: pa.grayscale((8, 4), **grays, bits=3, **small),
        "pyramid": lambda: pa.pyramid(**scales, **small),
        "grayscale_pyramid": lambda: pa.grayscale_pyramid(**scales, **image, **small),
    }[name]()
    for seed, factor in enumerate(model.factors.values()):
        helpers.randomize(factor, seed)
    return model


@functools.cache
def tiny_model(exact, centered):
    return helpers.tiny_model(exact=exact, centered=centered)


class ExactModelTest(tf.test.TestCase, parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(helpers.eagerly())

    @parameterized.parameters("grayscale", "pyramid", "grayscale_pyramid")
    def test_bits_never_rise(self, name):
        model = random_model(name)
        images = helpers.pictures(10, size=(8, 4))
        images[0] = 0
        bound, exact = model.bound_and_exact(images)
        for factor in exact:
            self.assertAllLessEqual(exact[factor] - bound[factor], 1e-5)
        self.assertAllGreater(bound["total"] - exact["total"], 0.01)
        self.assertAllClose(model.bits_per_dim(images)["total"], exact["total"], rtol=1e-6)
        bits = model.with_exact(False).bits_per_dim(images)
        self.assertAllClose(bits["total"], bound["total"], rtol=1e-6)

    def test_an_image_that_contradicts_its_auxiliary_image(self):
        for name in ("grayscale", "pyramid"):
            *_, factor = random_model(name).factors.values()
            images = helpers.pictures(3, size=(8, 4))
            transform, *_ = random_model(name).transforms
            given = np.array(transform(images))
            given[1, 0, 0, 0] ^= 1
            nats = factor.log_prob(images, given)
            self.assertAllEqual(np.isneginf(nats), [False, True, False])
            # Nothing of it gets into the others' gradient.
            with tf.GradientTape() as tape:
                bounds = factor.fixed_sum.bounds(images, given)
                nats = factor.likelihood.log_prob(factor((images, given)), images, bounds)
                total = tf.reduce_sum(tf.where(nats > -np.inf, nats, tf.zeros_like(nats)))
            for gradient in tape.gradient(total, [v.value for v in factor.trainable_variables]):
                self.assertAllEqual(np.isfinite(gradient), np.ones(gradient.shape, bool))

    def test_the_same_weights_the_other_way(self):
        model = helpers.tiny_model()
        self.assertEqual((model.exact, model.centered), (False, False))
        model.untrained = ("image",)
        exact = model.with_exact(True)
        self.assertTrue(exact.exact)
        self.assertEqual(exact.untrained, ("image",))
        for name, factor in exact.factors.items():
            self.assertIs(factor.network, model.factors[name].network)
        self.assertEqual(exact.with_exact(False).description(), model.description())
        self.assertFalse(model.exact)  # It is left as it was.

    def test_a_transform_that_declares_no_sum_leaves_a_bound(self):
        model = pa.chain([HALVES, Whole()], (4, 4), FLAT, embedding=[None, FLAT, DOUBLING])
        self.assertFalse(model.exact)
        self.assertTrue(model.centered)
        exact = {name: factor.exact for name, factor in model.factors.items()}
        self.assertEqual(exact, {"whole": False, "half_resolution": False, "image": True})

    def test_a_sum_that_only_centers(self):
        class Lenient(pa.auxiliary.HalfResolution):
            def fixed_sum(self, num_values):
                return super().fixed_sum(num_values).with_exact(False)

        model = pa.chain(
            [Lenient()], (4, 4), FLAT, embedding=[None, DOUBLING], num_components=1, exact=True
        )
        self.assertEqual((model.exact, model.centered), (False, True))

    def test_parts_that_do_not_fit(self):
        model = tiny_model(True, True)
        gray, image = model.factors.values()
        with self.assertRaisesRegex(ValueError, "a fixed_sum, since the likelihood is centered"):
            image.with_fixed_sum(None)
        with self.assertRaisesRegex(ValueError, "no fixed_sum: this factor is unconditional"):
            gray.with_fixed_sum(image.fixed_sum)
        other = image.with_fixed_sum(pa.auxiliary.Grayscale(3).fixed_sum(256))
        with self.assertRaisesRegex(ValueError, "'image' to know the sum that Grayscale declares"):
            pa.AuxiliaryModel([gray, other], model.transforms, model.image_size)


class CompiledTest(tf.test.TestCase):
    def test_images_of_several_sizes(self):
        """Of the second one on, graphs do not know the sides."""
        for transform, above in ((HALVES, DOUBLING), (pa.auxiliary.Grayscale(), FLAT)):
            model = pa.chain([transform], (4, 4), FLAT, embedding=[None, above], num_components=1)
            factor = model.factors["image"]
            for size in ((4, 4), (8, 6), (2, 4)):
                inputs = model.inputs(helpers.pictures(2, size=size))["image"]
                found = factor.log_prob(inputs)
                with helpers.eagerly():
                    self.assertAllClose(found, factor.log_prob(inputs), rtol=1e-5)

    def test_networks_see_how_many_units_pixels_are_from_their_centers(self):
        model = pa.pyramid((2, 2), (1, 1), filters=4, blocks=1, embedding_blocks=1, depth=1)
        image = np.repeat(np.array([[[[10], [20]], [[30], [40]]]], np.uint8), 3, axis=-1)
        factor, sums = model.factors["2x2"], model.factors["2x2"].fixed_sum
        halved = HALVES(image)  # 25, for sums of 98 to 101
        centers = np.array([[[99.5 / 4, 89.5 / 3], [69.5 / 2, 39.5]]])[..., np.newaxis]
        seen = factor.network_inputs(image, sums.centers(image, halved))
        self.assertAllClose(seen, (image - centers) / 8, rtol=1e-6)
        params = factor.network(factor.network_inputs(image, centers), factor.features(halved))
        self.assertAllClose(factor.params(image, halved), params, rtol=1e-5)


class FitTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters((True, True), (True, False))
    def test_the_loss_is_what_is_evaluated(self, exact, centered):
        model, images = tiny_model(exact, centered), helpers.pictures(4)
        factor = model.new_factor("image")
        inputs = model.inputs(images)["image"]
        dims = math.prod(helpers.SIZE) * 3 * math.log(2.0)
        bits = -np.mean(factor.log_prob(inputs)) / dims
        # Eagerly, but for one kind: to trace a step takes longer than to take it.
        adam = keras.optimizers.Adam(1e-2)
        factor.compile(adam, run_eagerly=not centered, jit_compile=False)
        batches = tf.data.Dataset.from_tensors((inputs, images))
        losses = factor.fit(batches, epochs=4, verbose=0).history["loss"]
        self.assertAllClose(losses[0], bits, rtol=1e-5)  # of the weights before the first step
        self.assertLess(losses[-1], losses[0])

    def test_weights_of_images_count(self):
        model = tiny_model(True, True)
        factor, images = model.factors["image"], helpers.pictures(2)
        inputs = model.inputs(images)["image"]
        params = factor(inputs)
        loss = factor.compute_loss(inputs, images, params, sample_weight=np.array([2.0, 0.0]))
        dims = math.prod(helpers.SIZE) * 3 * math.log(2.0)
        self.assertAllClose(loss, -factor.log_prob(inputs)[0] / dims, rtol=1e-5)
