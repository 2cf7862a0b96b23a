"""Tests of the constructors: the paper's models, and chains of images of other channels and bits."""

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.auxiliary import Grayscale, HalfResolution, HighBits
from pixelcnn_aux.networks import topology
from tests import helpers

SMALL = {"blocks": 1, "embedding_blocks": 1, "depth": 1, "num_components": 2}
IMAGE = {"image_filters": 3, "image_blocks": 2, "image_embedding_blocks": 4, "resolutions": 1}


class ConstructorsTest(helpers.TestCase):
    def test_grayscale_is_a_chain_of_two_factors(self):
        blocks = {"gray_blocks": 3, "image_blocks": 1, "embedding_blocks": 2, "resolutions": 1}
        how = {"num_components": 2, "dropout": 0.25, "centered": False}
        model = pa.grayscale((4, 6), filters=[4, 3, 5], **blocks, **how)
        self.assertEqual(list(model.factors), ["grayscale", "image"])
        grayscale, image = model.factors.values()
        # One resolution goes `blocks` down and up; the turning point is shared by both.
        networks = (grayscale.network, image.network, image.embedding)
        self.assertEqual([len(network.topology.steps) for network in networks], [6, 2, 4])
        self.assertEqual([network.filters for network in networks], [4, 3, 5])
        self.assertEqual(grayscale.likelihood.get_config(), {"num_values": 16, "num_channels": 1})
        config = {"num_components": 2, "num_channels": 3, "num_values": 256}
        config |= {"centered": False, "unit": 16.0}
        self.assertEqual(image.likelihood.get_config(), config)
        self.assertEqual(image.embedding.stream.steps[0].rate, 0.25)
        self.assertIsNone(grayscale.embedding)

    def test_a_pyramid_of_another_network_at_each_scale(self):
        how = {**SMALL, "filters": [2, 3, 4], "blocks": [1, 2, 1], "resolutions": [1, 1, 2]}
        model = pa.pyramid((8, 16), (2, 4), **how)
        self.assertEqual(model.sizes(), {"2x4": (2, 4), "4x8": (4, 8), "8x16": (8, 16)})
        small, middle, large = model.factors.values()
        networks = (small.network, middle.network, middle.embedding)
        self.assertEqual([network.get_config()["filters"] for network in networks], [2, 3, 3])
        self.assertEqual([len(network.topology.steps) for network in networks], [1, 2, 5])
        self.assertEqual(large.network.topology, topology.pixelcnn_pp(1, 2))
        self.assertEqual(large.embedding.topology, topology.super_resolution(1, 1, resolutions=2))

    def test_a_pyramid_of_grays_and_an_image_of_another_network(self):
        how = {**SMALL, **IMAGE, "filters": 2, "bits": 3, "dropout": 0.25}
        model = pa.grayscale_pyramid((8, 8), (2, 2), **how)
        names = ["grayscale_2x2", "grayscale_4x4", "grayscale", "image"]
        images = helpers.pictures(2, size=(8, 8))
        self.assertEqual(list(model.bits_per_dim(images)), [*names, "total"])
        _, half, gray, image = model.factors.values()
        networks = (half.network, gray.network, gray.embedding, image.network, image.embedding)
        found = [network.get_config() for network in networks]
        self.assertEqual(gray.likelihood.num_values, 8)
        self.assertEqual([x["filters"] for x in found], [2, 2, 2, 3, 3])
        self.assertEqual([len(x["topology"].steps) for x in found[3:]], [4, 8])
        self.assertEqual([x["dropout"] for x in found], [0.25] * 5)
        chain = model.auxiliaries(images)
        self.assertAllEqual(chain["grayscale"], Grayscale(3)(images))
        self.assertAllEqual(chain["grayscale_4x4"], HalfResolution()(chain["grayscale"]))

    def test_sixteen_bits(self):
        model = pa.pyramid((4, 4), (2, 2), filters=2, **SMALL, channels=1, bits=16)
        self.assertEqual([x.likelihood.num_params for x in model.factors.values()], [6, 6])
        self.assertEqual(model.likelihood.unit, 2048.0)

    def test_transforms_of_sixteen_bits(self):
        images = np.array([[[[65_535], [65_534]], [[65_535], [65_535]]]], np.uint16)
        self.assertAllEqual(HalfResolution()(images), np.array([[[[65_535]]]], np.uint16))
        self.assertEqual(HalfResolution()(images).dtype, tf.uint16)
        high = HighBits(8)(images)
        self.assertEqual((high.dtype, high.max()), (tf.uint8, 255))
        self.assertEqual(HighBits(9)(images // 2).dtype, tf.uint16)
        self.assertAllEqual(HighBits(3, of=10)(images // 2**6), np.full([1, 2, 2, 1], 7))

    def test_refused(self):
        halvings = r"halvings.*image_size=\(.*base_size=\("
        for sizes, how, message in (
            (((12, 12), (8, 8)), {}, halvings),
            (((8, 8), (16, 16)), {}, halvings),
            (((8, 16), (4, 4)), {}, halvings),
            (((4, 4), (2, 2)), {"filters": [2, 3, 4]}, "filters as .*a list of 2.*Received: .2, 3"),
            (((4, 4), (2, 2)), {"blocks": [2, "3"]}, "blocks from 1 .*Received: blocks='3'"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                pa.pyramid(*sizes, **how)
        with self.assertRaisesRegex(ValueError, "over all of 1 chan"):
            helpers.random_chain([Grayscale()], (4, 4), channels=1)
