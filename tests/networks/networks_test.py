"""Tests of PixelCNN and Embedding: shapes, sizes, features and saved networks."""

import keras
import numpy as np
import tensorflow as tf

from pixelcnn_aux.networks import Embedding, PixelCNN, topology


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


class NetworksTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        keras.utils.set_random_seed(0)

    def test_four_networks_are_two_classes(self):
        image, gray = normal(2, 8, 12, 3), normal(2, 8, 12, 1)

        features = Embedding(topology.pixelcnn_pp(1, 3), 4)(gray)  # of Grayscale PixelCNN
        shapes = [tuple(feature.shape) for feature in features]
        self.assertEqual(shapes, [(2, 8, 12, 4), (2, 4, 6, 4), (2, 2, 3, 4)])
        network = PixelCNN(topology.pixelcnn_pp(1, 3), 4, 10)
        self.assertEqual(network(image, features).shape, (2, 8, 12, 10))
        # Of Pyramid PixelCNN.
        features = Embedding(topology.super_resolution(1, 2), 4)(image[:, ::2, ::2])
        self.assertEqual([tuple(feature.shape) for feature in features], [(2, 8, 12, 4)])
        network = PixelCNN(
            topology.flat(3), 4, 10, vertical_kernel=(3, 3), horizontal_kernel=(3, 3)
        )
        self.assertEqual(network(image, features).shape, (2, 8, 12, 10))

    def test_sides_that_are_not_divided_are_an_error(self):
        for network, multiple in (
            (PixelCNN(topology.pixelcnn_pp(1, 3), 4, 10), 4),
            (Embedding(topology.pixelcnn_pp(1, 2), 4), 2),
            (Embedding(topology.super_resolution(1, 3), 4), 4),
        ):
            for height, width in (8, 9), (9, 8):
                message = f"multiples of {multiple},.*Received: {height} x {width}"
                with self.assertRaisesRegex(ValueError, message):
                    network(normal(1, height, width, 1))

    def test_features_of_every_resolution_matter(self):
        image = normal(1, 4, 4, 3)
        features = [normal(1, 4, 4, 5, seed=1), normal(1, 2, 2, 5, seed=2)]
        network = PixelCNN(topology.pixelcnn_pp(1, 2), 4, 10)
        y = network(image, features)
        for level in (0, 1):
            with self.subTest(level=level):
                others = [f + (k == level) for k, f in enumerate(features)]
                # At every pixel: the first one's parameters, too, are those given the features.
                change = np.abs(network(image, others) - y).max(axis=-1)
                self.assertAllInRange(change, 1e-7, np.inf)

    def test_saved_by_themselves_they_come_back_with_all_weights(self):
        """The layers are built as they are called: Keras would load none of their weights."""
        image = normal(1, 4, 4, 3)
        features = [normal(1, 4, 4, 5, seed=1), normal(1, 2, 2, 5, seed=2)]
        shape = topology.pixelcnn_pp(1, 2)
        plain, given, embedding = (
            PixelCNN(shape, 4, 10),
            PixelCNN(shape, 4, 10),
            Embedding(shape, 4),
        )
        for network, inputs in ((plain, [image]), (given, [image, features]), (embedding, [image])):
            expected = network(*inputs)
            file = f"{self.get_temp_dir()}/network.keras"
            network.save(file)
            received = keras.saving.load_model(file)(*inputs)
            for x, y in zip(tf.nest.flatten(received), tf.nest.flatten(expected), strict=True):
                self.assertAllEqual(x, y)
