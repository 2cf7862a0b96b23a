"""Tests of dropout and of residual blocks."""

import keras
import numpy as np
import tensorflow as tf

from pixelcnn_aux import layers
from pixelcnn_aux.base import backend
from pixelcnn_aux.networks import blocks
from pixelcnn_aux.networks.network import Module

FILTERS = 4


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def block(kernel_size=(3, 3), dropout=0.0, condition=None):
    """A built block with random weights, far from the identity."""
    layer = layers.GatedResidualBlock(FILTERS, kernel_size, "unshifted", dropout=dropout)
    layer(normal(1, 2, 2, FILTERS), condition=condition)
    for k, variable in enumerate(layer.trainable_variables):
        variable.assign(normal(*variable.shape, seed=k))
    return layer


class OneBlock(Module):
    """A gated block as a part of a network."""

    def make(self, layers):
        block = blocks.GatedResidualBlock(FILTERS, (3, 3), "unshifted")
        self.block = layers.part("block", block)

    def forward(self, x):
        return self.block(x)


class DropoutTest(tf.test.TestCase):
    def test_rate_and_independence(self):
        seeds = keras.random.SeedGenerator(0)
        for given, rate in ((0.25, 0.25), (0.04, 10 / 256), (0.5, 0.5)):  # multiples of 1 / 256
            y = backend.dropout(tf.ones([64, 33, 35]), given, seeds.next()).numpy()
            self.assertAllClose(np.unique(y), [0.0, 1.0 / (1.0 - rate)], rtol=1e-6)
            # Five standard deviations of the share.
            self.assertAllClose((y > 0).mean(), 1.0 - rate, atol=5 * 0.5 / np.sqrt(y.size))
        kept = (y > 0).ravel()
        for distance in (1, 2, 3, 4, 35, 33 * 35):
            agreeing = np.mean(kept[distance:] == kept[:-distance])
            self.assertAllClose(agreeing, 0.5, atol=5 * 0.5 / np.sqrt(kept.size))

    def test_a_seed_gives_one_mask_and_the_next_another(self):
        seeds, x = keras.random.SeedGenerator(0), tf.ones([1000])
        first, second = seeds.next(), seeds.next()
        self.assertAllEqual(backend.dropout(x, 0.5, first), backend.dropout(x, 0.5, first))
        self.assertNotAllEqual(backend.dropout(x, 0.5, first), backend.dropout(x, 0.5, second))

    def test_only_blocks_that_drop_out_have_seeds(self):
        self.assertEqual([*block(dropout=0.5).seeds], ["dropout"])
        self.assertEmpty(block(dropout=0.001).seeds)


class GatedResidualBlockTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        keras.utils.set_random_seed(0)

    def test_concat_elu_in_bfloat16(self):
        """Agrees with float64 up to rounding, with known and unknown shapes."""
        x = tf.cast(3 * normal(2, 3, 4, 5), tf.bfloat16)
        gradient = tf.cast(normal(2, 3, 4, 10), tf.bfloat16)

        def both(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = backend.concat_elu(x)
            return y, tape.gradient(y, x, tf.cast(gradient, y.dtype))

        expected = both(tf.cast(x, tf.float64))
        unknown = tf.TensorSpec([None, None, None, 5], tf.bfloat16)
        for function in (both, tf.function(both), tf.function(both, input_signature=[unknown])):
            for found, exact, error in zip(function(x), expected, (2**-8, 2**-6)):
                self.assertEqual(found.dtype, tf.bfloat16)
                self.assertAllClose(tf.cast(found, tf.float64), exact, error, error)

    def test_new_block_is_close_to_the_identity(self):
        x = normal(2, 6, 6, FILTERS)
        layer = layers.GatedResidualBlock(FILTERS, (3, 3), "unshifted")
        self.assertLess(np.std(layer(x) - x), 0.1)

    def test_dropout_is_for_training_only(self):
        x, layer, kept = normal(1, 4, 4, FILTERS), block(dropout=0.5), block()
        self.assertAllEqual(layer(x, training=False), kept(x, training=True))
        self.assertAllEqual(layer(x), kept(x))
        self.assertNotAllClose(layer(x, training=True), kept(x))
        self.assertNotAllClose(layer(x, training=True), layer(x, training=True))

    def test_rematerialized_blocks_are_evaluated_again_in_the_backward_pass(self):
        x = tf.constant(normal(1, 4, 4, FILTERS))
        whole = layers.ModuleLayer(OneBlock())
        whole(x)

        def traced(remat):
            """The number of convolutions in a graph of the gradient, and the gradient."""

            def gradient(x):
                with tf.GradientTape() as tape:
                    y = whole(x, remat=remat)
                return tape.gradient(y, whole.by_path["block/conv_in/v"].value)

            function = tf.function(gradient).get_concrete_function(x)
            graph = function.graph.as_graph_def()
            nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
            return sum(node.op == "Conv2D" for node in nodes), function(x)

        (count, expected), (more, found) = traced(False), traced(True)
        self.assertGreater(more, count)
        self.assertAllClose(found, expected)

    def test_a_condition_adds_its_own_bias_to_each_unit(self):
        """Also if the block is evaluated again in the backward pass."""
        condition = tf.constant(normal(2, 3))
        whole = layers.ModuleLayer(OneBlock())
        whole(normal(1, 2, 2, FILTERS), condition=condition[:1])
        for k, variable in enumerate(whole.trainable_variables):
            variable.assign(normal(*variable.shape, seed=k))
        x = tf.constant(normal(2, 3, 4, FILTERS))
        h, b = (whole.by_path[f"block/conv_out/{name}"] for name in "hb")
        gradients = []
        for remat in (False, True):
            with tf.GradientTape() as tape:
                y = whole(x, condition=condition, remat=remat)
            gradients.append(tape.gradient(y, [h.value, b.value]))
        self.assertAllClose(*gradients)
        self.assertGreater(np.abs(gradients[0][0]).min(), 0.0)
        for index, bias in enumerate(condition @ h):  # the bias of a block without a condition
            b.assign_add(bias)
            self.assertAllClose(y[index], whole(x)[index], atol=1e-5)
            b.assign_sub(bias)

    def test_wrong_channels_and_streams_are_refused(self):
        with self.assertRaisesRegex(ValueError, "Expected stream of.*Received: stream='down'"):
            layers.GatedResidualBlock(FILTERS, (3, 3), "down")
        layer = layers.GatedResidualBlock(FILTERS, (3, 3), "unshifted")
        with self.assertRaisesRegex(ValueError, "Expected 4 channels.*Received"):
            layer(normal(1, 4, 4, FILTERS + 1))
