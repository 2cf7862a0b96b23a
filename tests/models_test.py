"""Tests of the constructors: the paper's models, and chains of any transforms."""

import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.networks import topology
from tests import helpers


class ConstructorsTest(tf.test.TestCase):
    def test_grayscale_is_a_chain_of_two_factors(self):
        blocks = {"gray_blocks": 3, "image_blocks": 1, "embedding_blocks": 2, "resolutions": 1}
        model = pa.grayscale(
            (4, 6), filters=4, **blocks, num_components=2, dropout=0.25, centered=False
        )
        self.assertEqual(list(model.factors), ["grayscale", "image"])
        self.assertEqual(model.image_size, (4, 6))
        grayscale, image = model.factors.values()
        # One resolution goes `blocks` down and up; the turning point is shared by both.
        networks = (grayscale.network, image.network, image.embedding)
        self.assertEqual([len(network.topology.steps) for network in networks], [6, 2, 4])
        self.assertEqual(grayscale.likelihood.get_config(), {"num_values": 16, "num_channels": 1})
        config = {"num_components": 2, "num_channels": 3, "num_values": 256}
        config |= {"centered": False, "unit": 16.0}
        self.assertEqual(image.likelihood.get_config(), config)
        self.assertEqual(image.embedding.stream.steps[0].rate, 0.25)
        self.assertIsNone(grayscale.embedding)

    def test_pixelcnn_pp_is_a_chain_of_one_factor(self):
        model = pa.pixelcnn_pp((4, 6), filters=4, blocks=1, resolutions=1, num_components=2)
        self.assertEqual(list(model.factors), ["image"])
        self.assertIsNone(model.factors["image"].embedding)
        images = helpers.pictures(2)
        self.assertEqual(list(model.auxiliaries(images)), ["image"])
        with helpers.eagerly():
            expected = model.factors["image"].log_prob(images)
            self.assertAllEqual(model.log_prob(images), expected)

    def test_a_pyramid_of_another_network_at_each_scale(self):
        size = {"embedding_blocks": 1, "depth": 1, "num_components": 2}
        model = pa.pyramid((4, 4), (2, 2), filters=[2, 3], blocks=[1, 2], **size)
        small, large = model.factors.values()
        networks = (small.network, large.network, large.embedding)
        self.assertEqual([network.get_config()["filters"] for network in networks], [2, 3, 3])
        self.assertEqual([len(network.topology.steps) for network in networks], [1, 2, 5])
        for name in ("filters", "blocks"):
            message = rf"{name} as .*a list of 2.*Received: \[2, 3, 4\]"
            with self.assertRaisesRegex(ValueError, message):
                pa.pyramid((4, 4), (2, 2), **{name: [2, 3, 4]})
            with self.assertRaisesRegex(ValueError, f"{name} from 1 .*Received: {name}='3'"):
                pa.pyramid((4, 4), (2, 2), **{name: [2, "3"]})

    def test_a_pyramid_whose_networks_have_resolutions(self):
        size = {"filters": 2, "blocks": 1, "embedding_blocks": 1, "depth": 1, "num_components": 2}
        model = pa.pyramid((4, 4), (2, 2), resolutions=[1, 2], **size)
        small, large = model.factors.values()
        self.assertEqual(small.network.topology, topology.flat(1))
        self.assertEqual(large.network.topology, topology.pixelcnn_pp(1, 2))
        self.assertEqual(large.embedding.topology, topology.super_resolution(1, 1, resolutions=2))
        with helpers.eagerly():
            drawn = [model.sample([[0, 1]], method=method) for method in ("incremental", "full")]
        self.assertAllEqual(*(each["4x4"] for each in drawn))

    def test_a_pyramid_of_grays_and_an_image_of_another_network(self):
        size = {"filters": 2, "blocks": 1, "embedding_blocks": 1, "depth": 1, "bits": 3}
        image = {"image_filters": 3, "image_blocks": 2, "image_embedding_blocks": 4}
        image |= {"resolutions": 1, "num_components": 2, "dropout": 0.25}
        model = pa.grayscale_pyramid((4, 4), (2, 2), **size, **image)
        half, gray, image = model.factors.values()
        networks = (half.network, gray.network, gray.embedding, image.network, image.embedding)
        found = [network.get_config() for network in networks]
        self.assertEqual(gray.likelihood.num_values, 8)
        self.assertEqual([x["filters"] for x in found], [2, 2, 2, 3, 3])
        self.assertEqual([len(x["topology"].steps) for x in found[3:]], [4, 8])
        self.assertEqual([x["dropout"] for x in found], [0.25] * 5)
