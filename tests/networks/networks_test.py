"""Tests of the two classes of networks: shapes, sizes, and the numbers of the authors' own code."""

import itertools
import pathlib

import keras
import numpy as np
import tensorflow as tf

from pixelcnn_aux.networks import Embedding, PixelCNN, topology

REFERENCE = pathlib.Path(__file__).parents[1] / "data" / "authors_pyramid.npz"


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def flat_pixelcnn(num_params, filters=4):
    """The light network of Pyramid PixelCNN."""
    return PixelCNN(
        topology.flat(3), filters, num_params, vertical_kernel=(3, 3), horizontal_kernel=(3, 3)
    )


class NetworksTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        keras.utils.set_random_seed(0)

    def test_four_networks_are_two_classes(self):
        image, gray = normal(2, 8, 12, 3), normal(2, 8, 12, 1)

        with self.subTest("Grayscale embedding"):
            features = Embedding(topology.pixelcnn_pp(1, 3), 4)(gray)
            shapes = [tuple(feature.shape) for feature in features]
            self.assertEqual(shapes, [(2, 8, 12, 4), (2, 4, 6, 4), (2, 2, 3, 4)])
        with self.subTest("PixelCNN++"):
            network = PixelCNN(topology.pixelcnn_pp(1, 3), 4, 10)
            self.assertEqual(network(image, features).shape, (2, 8, 12, 10))
        with self.subTest("Pyramid embedding"):
            features = Embedding(topology.super_resolution(1, 2), 4)(image[:, ::2, ::2])
            self.assertEqual([tuple(feature.shape) for feature in features], [(2, 8, 12, 4)])
        with self.subTest("flat network"):
            self.assertEqual(flat_pixelcnn(10)(image, features).shape, (2, 8, 12, 10))

    def test_one_network_takes_images_of_all_sizes(self):
        network = PixelCNN(topology.pixelcnn_pp(1, 2), 4, 10)
        for height, width in (8, 8), (2, 6), (10, 4):
            y = network(normal(1, height, width, 3))
            self.assertEqual(y.shape, (1, height, width, 10))

    def test_sides_that_are_not_divided_are_an_error(self):
        for network, multiple in (
            (PixelCNN(topology.pixelcnn_pp(1, 3), 4, 10), 4),
            (Embedding(topology.pixelcnn_pp(1, 2), 4), 2),
            (Embedding(topology.super_resolution(1, 3), 4), 4),
        ):
            for height, width in (8, 9), (9, 8):
                with self.subTest(multiple=multiple, height=height):
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

    def test_dropout_is_for_training_alone(self):
        image, features = normal(1, 4, 4, 3), [normal(1, 4, 4, 4, seed=1)]
        network = PixelCNN(topology.flat(1), 4, 10, dropout=0.5)
        embedding = Embedding(topology.flat(1), 4, dropout=0.5)
        for evaluate in (
            lambda training: network(image, features, training=training),
            lambda training: embedding(image, training=training)[0],
        ):
            self.assertAllEqual(evaluate(False), evaluate(False))
            self.assertNotAllClose(evaluate(True), evaluate(False))
            self.assertNotAllClose(evaluate(True), evaluate(True))

    def test_number_of_parameters_of_pixelcnn_pp(self):
        # Salimans et al. (2017) on CIFAR-10: five blocks in a segment, 160 filters.
        network = PixelCNN(topology.pixelcnn_pp(5, 3), 160, 100)
        network(tf.zeros([1, 4, 4, 3]))
        self.assertEqual(network.count_params(), 53_659_080)


class AuthorsPyramidTest(tf.test.TestCase):
    """The authors' two-scale network: depth 2, two blocks a group, 8 filters."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with np.load(REFERENCE) as archive:
            cls.arrays = dict(archive)

    def load_layer(self, layer, scale, name):
        v, g, b = (self.arrays[f"var/Resnet/{scale}/{name}/{key}"] for key in "Vgb")
        if name.startswith("upsample"):
            # Their transposed kernel [height, width, out, in] is normalised over axes 0, 1 and 2,
            # with g along the last. What comes out is a kernel of ours of other lengths.
            v = g * v / np.sqrt(np.sum(np.square(v), axis=(0, 1, 2)))
            g = np.sqrt(np.sum(np.square(v), axis=(0, 1, 3)))
        layer.v.assign(np.reshape(v, layer.v.shape))  # 1 x 1 convolutions are products here.
        layer.g.assign(g)
        layer.b.assign(b)

    def load_block(self, block, scale, name):
        self.load_layer(block.conv_in, scale, f"{name}/conv1")
        self.load_layer(block.conv_out, scale, f"{name}/conv2")
        if block.projection.built:
            self.load_layer(block.projection, scale, f"{name}/conv_aux")

    def load_network(self, network, scale):
        self.load_layer(network.above, scale, "conv_down")
        self.load_layer(network.row_above, scale, "conv_down_2")
        self.load_layer(network.left, scale, "conv_down_right")
        for k in range(3):
            self.load_block(network.vertical.steps[k], scale, f"draw_down{k}")
            self.load_block(network.horizontal.steps[k], scale, f"draw_down_right{k}")
        self.load_layer(network.last, scale, "conv_last")

    def load_embedding(self, embedding, scale):
        self.load_layer(embedding.first, scale, "conv_first")
        blocks = [f"down_block{i}_{j}" for i, j in itertools.product(range(2), range(2))]
        blocks += [f"up_block{i}_{j}" for i, j in itertools.product(range(3), range(2))]
        others = ["downsample0", "upsample0", "upsample1", "conv_representation"]
        for step, layer in zip(embedding.topology.steps, embedding.stream.steps, strict=True):
            if step.kind == "block":
                self.load_block(layer, scale, blocks.pop(0))
            else:
                self.load_layer(layer, scale, others.pop(0))
        self.assertEmpty(blocks + others)

    def test_scale_given_another(self):
        reference = {key: self.arrays[f"out/scale0/{key}"] for key in ("x", "seed", "params")}
        embedding = Embedding(topology.super_resolution(2, 2), 8)
        network = flat_pixelcnn(100, filters=8)
        network(reference["x"], embedding(reference["seed"]))  # The layers are built.
        self.load_embedding(embedding, "scale0")
        self.load_network(network, "scale0")
        [features] = embedding(reference["seed"])
        self.assertAllClose(features, self.arrays["out/scale0/embedding"], atol=1e-4, rtol=0.0)
        params = network(reference["x"], [features])
        self.assertAllClose(params, reference["params"], atol=1e-4, rtol=0.0)

    def test_base_scale(self):
        x = self.arrays["out/scale1/x"]
        network = flat_pixelcnn(100, filters=8)
        network(x)  # The layers are built.
        self.load_network(network, "scale1")
        self.assertAllClose(network(x), self.arrays["out/scale1/params"], atol=1e-4, rtol=0.0)


if __name__ == "__main__":
    tf.test.main()
