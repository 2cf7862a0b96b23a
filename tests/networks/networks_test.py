"""Tests of PixelCNN and Embedding: sizes of images, and topologies of the paper."""

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.networks import Embedding, PixelCNN
from pixelcnn_aux.networks.topology import Step, Topology, pixelcnn_pp, super_resolution


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


class NetworksTest(tf.test.TestCase):
    def test_indivisible_sides_are_an_error(self):
        for network, multiple in (
            (PixelCNN(pixelcnn_pp(1, 3), 4, 10), 4),
            (Embedding(pixelcnn_pp(1, 2), 4), 2),
            (Embedding(super_resolution(1, 3), 4), 4),
        ):
            for height, width in (8, 9), (9, 8):
                message = f"multiples of {multiple},.*Received: {height} x {width}"
                with self.assertRaisesRegex(ValueError, message):
                    pa.layers.ModuleLayer(network)(normal(1, height, width, 1))

    def test_wrong_number_of_resolutions_of_features(self):
        features = [normal(1, side, side, 5) for side in (4, 2, 1)]
        for count in (1, 3):
            with self.assertRaisesRegex(ValueError, f"2 resolutions. Received: {count}"):
                network = pa.layers.ModuleLayer(PixelCNN(pixelcnn_pp(1, 2), 4, 10))
                network(normal(1, 4, 4, 3), features[:count])


def count(shape, *kinds):
    return sum(step.kind in kinds for step in shape.steps)


class TopologyTest(tf.test.TestCase):
    def test_residual_blocks_of_the_paper(self):
        # Section 4.1 counts the four resamplings among them.
        self.assertEqual(count(pixelcnn_pp(5, 3), "block", "down", "up"), 36)
        self.assertEqual(count(pixelcnn_pp(3, 3), "block", "down", "up"), 24)
        # Section 4.2.
        self.assertEqual(count(super_resolution(3, 2), "block"), 15)

    def test_super_resolution_by_hand(self):
        steps = (
            *[Step("block")] * 2,  # 1, 2
            Step("down"),  # 3: not a skip, unlike in PixelCNN++
            *[Step("block")] * 2,  # 4, 5
            *(Step("block", 5), Step("block", 4)),  # 6, 7
            Step("up"),  # 8
            *(Step("block", 2), Step("block", 1)),  # 9, 10
            Step("up"),  # 11
            *[Step("block")] * 2,  # 12, 13
            Step("conv"),  # 14
        )
        self.assertEqual(super_resolution(2, 2), Topology(steps, outputs=(14,)))
        self.assertEqual(
            super_resolution(2, 2, resolutions=3), Topology(steps, outputs=(14, 10, 7))
        )
        with self.assertRaisesRegex(ValueError, "resolutions from 1 to 3.*Received: resolutions=4"):
            super_resolution(2, 2, resolutions=4)
