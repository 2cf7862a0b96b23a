"""Tests of chains over other images than RGB of 8 bits: any channels, up to 16 bits, and their high bits."""

import functools

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux import arguments, likelihoods
from pixelcnn_aux.networks import topology
from tests import helpers

HALVES = pa.auxiliary.HalfResolution()
HighBits = pa.auxiliary.HighBits
FLAT = {"topology": topology.flat(1), "filters": 2}
DOUBLING = {"topology": topology.super_resolution(1, 1), "filters": 2}


def chain(transforms, size, channels, bits, dtype="float64", **kwargs):
    """A chain with random weights."""
    names = [f"x{position}" for position in range(len(transforms) + 1)]
    above = [DOUBLING if x.ratio == 2 else FLAT for x in transforms[::-1]]
    sizes = {"channels": channels, "bits": bits, "dtype": dtype}
    model = pa.chain(
        transforms,
        size,
        FLAT,
        embedding=[None, *above],
        names=names,
        num_components=2,
        **sizes,
        **kwargs,
    )
    for seed, factor in enumerate(model.factors.values()):
        helpers.randomize(factor, seed)
    return model


@functools.cache
def deep_model(transforms, channels=1):
    return chain(list(transforms), (4, 4), channels, 10)


ORDERS = ((HALVES, HighBits(4, of=10)), (HighBits(9, of=10), HALVES))


def random_images(model, count):
    """Of all values, uint8 or uint16 [count, H, W, C]."""
    likelihood = model.likelihood
    shape = (count, *model.image_size, likelihood.num_channels)
    images = np.random.default_rng(0).integers(0, likelihood.num_values, shape)
    return images.astype(arguments.pixel_dtype(likelihood.num_values))


class EveryImageTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.named_parameters(
        ("half_resolution", [HALVES], (2, 2), 1, 3),
        ("half_resolution_of_two_channels", [HALVES], (2, 2), 2, 1),
        ("high_bits_of_two_channels", [HighBits(1, of=3)], (1, 2), 2, 3),
        ("high_bits_of_a_half", [HALVES, HighBits(1, of=2)], (2, 2), 1, 2),
        ("half_of_high_bits", [HighBits(1, of=2), HALVES], (2, 2), 1, 2),
        ("nothing", [], (1, 1), 1, 10),
    )
    def test_probabilities_sum_to_one(self, transforms, size, channels, bits):
        images = helpers.all_images(2**bits, *size, channels)
        for centered in (False, True):
            model = chain(transforms, size, channels, bits, centered=centered)
            self.assertTrue(model.exact)
            with helpers.eagerly():
                probs = np.exp(model.log_prob(images))
            self.assertAllClose(probs.sum(), 1.0, rtol=0, atol=1e-6)


class SixteenBitsTest(tf.test.TestCase, parameterized.TestCase):
    def test_transforms(self):
        images = np.array([[[[65_535], [65_534]], [[65_535], [65_535]]]], np.uint16)
        self.assertAllEqual(HALVES(images), np.array([[[[65_535]]]], np.uint16))
        self.assertEqual(HALVES(images).dtype, tf.uint16)
        high = HighBits(8)(images)
        self.assertEqual((high.dtype, high.numpy().max()), (tf.uint8, 255))
        self.assertEqual(HighBits(9)(images // 2).dtype, tf.uint16)
        self.assertAllEqual(HighBits(3, of=10)(images // 2**6), np.full([1, 2, 2, 1], 7))
        model = pa.pyramid(
            (4, 4),
            (2, 2),
            filters=2,
            blocks=1,
            embedding_blocks=1,
            depth=1,
            num_components=2,
            channels=1,
            bits=16,
        )
        self.assertEqual([x.likelihood.num_params for x in model.factors.values()], [6, 6])
        self.assertEqual(model.likelihood.unit, 2048.0)
        colors = pa.chain([HighBits(4, of=8)], (4, 4), FLAT, embedding=FLAT)
        kinds = [type(x.likelihood) for x in colors.factors.values()]
        self.assertEqual(kinds, [likelihoods.LogisticMixture] * 2)

    @parameterized.parameters(*ORDERS)
    def test_draws(self, *transforms):
        """They agree with their auxiliary images, and those of whole networks are the same."""
        model = deep_model(transforms)
        drawn = model.sample([[0, 1], [2, 3]])
        chained = model.auxiliaries(drawn["x2"])
        for name, images in drawn.items():
            self.assertAllEqual(images, chained[name], name)
            many = model.factors[name].likelihood.num_values > 256
            self.assertEqual(images.dtype, tf.uint16 if many else tf.uint8)
        self.assertTrue(np.isfinite(model.log_prob(drawn["x2"])).all())
        if transforms == ORDERS[1]:  # in either order, but for the time that it takes
            for name, images in model.sample([[0, 1], [2, 3]], method="full").items():
                self.assertAllEqual(images, drawn[name], name)

    def test_completion_keeps_what_is_known(self):
        model = deep_model(ORDERS[0])
        images, mask = random_images(model, 2), np.zeros([2, 4, 4, 1], np.uint8)
        mask[:, :3, 1:] = 1
        drawn = model.sample([[0, 1], [2, 3]], known=images, mask=mask)
        self.assertAllEqual(np.where(mask, drawn["x2"], 0), np.where(mask, images, 0))
        for name, auxiliary in model.auxiliaries(drawn["x2"]).items():
            self.assertAllEqual(drawn[name], auxiliary, name)

    def test_what_a_description_gives_back(self):
        model = deep_model(ORDERS[0])
        again = pa.serialization.deserialize(model.description(), pa.AuxiliaryModel)
        self.assertEqual(again.description(), model.description())

    def test_other_chains_are_refused(self):
        with self.assertRaisesRegex(ValueError, "Grayscale to be over all of 1 channels"):
            chain([pa.auxiliary.Grayscale()], (4, 4), 1, 8)
        for kind in ({"channels": 17}, {"bits": 17}, {"bits": 0}):
            with self.assertRaisesRegex(ValueError, f"Expected {[*kind][0]} .*Received"):
                pa.pixelcnn_pp((4, 4), filters=2, blocks=1, resolutions=1, **kind)
