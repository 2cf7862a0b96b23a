"""Tests of the gated residual block."""

import contextlib

import keras
import numpy as np
import tensorflow as tf

from pixelcnn_aux import layers

FILTERS = 4


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def block(stream="unshifted", kernel_size=(3, 3), skip_channels=(3,), dropout=0.0):
    """A built block whose weights, all resampled, are far from what leaves x as it is."""
    layer = layers.GatedResidualBlock(FILTERS, kernel_size, stream, dropout=dropout)
    shape = (None, None, None)
    skips_shape = [(*shape, 2 * channels) for channels in skip_channels]
    layer.build((*shape, FILTERS), skips_shape=skips_shape)
    for k, variable in enumerate(layer.trainable_variables):
        variable.assign(normal(*variable.shape, seed=k))
    return layer


def elu(x):
    return np.where(x > 0, x, np.expm1(x))


def concat_elu(x):
    return np.concatenate([elu(x), elu(-x)], axis=-1)


class GatedTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        keras.utils.set_random_seed(0)

    def test_concat_elu_in_bfloat16(self):
        """As in float64 but for rounding, thrice that of a gradient; of shapes that are known and unknown."""
        x = tf.cast(3 * normal(2, 3, 4, 5), tf.bfloat16)
        exact = tf.cast(x, tf.float64)
        gradient = tf.cast(normal(2, 3, 4, 10), tf.bfloat16)

        def both(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layers.concat_elu(x)
            return y, tape.gradient(y, x, tf.cast(gradient, y.dtype))

        expected = both(exact)
        unknown = tf.TensorSpec([None, None, None, 5], tf.bfloat16)
        compiled = tf.function(both, input_signature=[unknown])
        for found in (both(x), tf.function(both)(x), compiled(x)):
            for found_one, expected_one, error in zip(found, expected, (2**-8, 2**-6)):
                self.assertEqual(found_one.dtype, tf.bfloat16)
                self.assertAllClose(tf.cast(found_one, tf.float64), expected_one, error, error)

    def test_block_is_its_formula(self):
        def dense(layer, x):  # A 1 x 1 convolution is a product.
            kernel = np.reshape(layers.WeightNorm.kernel(layer), (x.shape[-1], layer.filters))
            return x @ kernel + layer.b.numpy()

        x = normal(2, 3, 2, FILTERS)
        for skip_channels in (), (3,), (1, 4):
            with self.subTest(skip_channels=skip_channels):
                skips = [normal(2, 3, 2, channels, seed=channels) for channels in skip_channels]
                layer = block(kernel_size=(1, 1), skip_channels=skip_channels, dropout=0.5)
                y = dense(layer.conv_in, concat_elu(x))
                if skips:
                    y = y + dense(layer.projection, concat_elu(np.concatenate(skips, axis=-1)))
                y = dense(layer.conv_out, concat_elu(y))
                a, b = y[..., :FILTERS], y[..., FILTERS:]
                expected = x + a / (1 + np.exp(-b))
                activated = [concat_elu(skip) for skip in skips]
                found = layer(x, skips=activated, training=False)
                self.assertAllClose(found, expected, atol=1e-5)
                found = layer(x, concat_elu(x), activated, training=False)
                self.assertAllClose(found, expected, atol=1e-5)

    def test_new_block_is_close_to_the_identity(self):
        x = normal(2, 6, 6, FILTERS)
        layer = layers.GatedResidualBlock(FILTERS, (3, 3), "unshifted")
        layer.build(x.shape)
        with layers.context(initialize_from_data=True):
            self.assertLess(np.std(layer(x) - x), 0.1)

    def test_dropout_is_for_training_alone(self):
        x = normal(1, 4, 4, FILTERS)
        layer, kept = block(dropout=0.5, skip_channels=()), block(skip_channels=())
        self.assertAllEqual(layer(x, training=False), kept(x, training=True))
        self.assertAllEqual(layer(x), kept(x))
        self.assertNotAllClose(layer(x, training=True), kept(x))
        self.assertNotAllClose(layer(x, training=True), layer(x, training=True))

    def test_rematerialized_blocks_are_evaluated_again_in_the_backward_pass(self):
        layer, x = block(skip_channels=()), tf.constant(normal(1, 4, 4, FILTERS))

        def traced(context):
            """How many convolutions a graph of the gradient has, and the gradient."""

            def gradient(x):
                with tf.GradientTape() as tape, context:
                    y = layer(x)
                return tape.gradient(y, layer.conv_in.v.value)

            function = tf.function(gradient).get_concrete_function(x)
            graph = function.graph.as_graph_def()
            nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
            return sum(node.op == "Conv2D" for node in nodes), function(x)

        count, expected = traced(contextlib.nullcontext())
        more, found = traced(layers.context(remat=True))
        self.assertGreater(more, count)
        self.assertAllClose(found, expected)

    def test_a_condition_adds_a_bias_of_its_own_to_each_unit(self):
        """Also where the block is evaluated again in the backward pass, outside of the context."""
        condition = tf.constant(normal(2, 3))
        with layers.context(condition=condition):
            layer = block(kernel_size=(1, 1), skip_channels=())
        x, h = tf.constant(normal(2, 3, 4, FILTERS)), layer.conv_out.h
        gradients = []
        for remat in (False, True):
            with tf.GradientTape() as tape, layers.context(condition=condition, remat=remat):
                y = layer(x)
            gradients.append(tape.gradient(y, [h.value, layer.conv_out.b.value]))
        self.assertAllClose(*gradients)
        self.assertGreater(np.abs(gradients[0][0]).min(), 0.0)
        for index, bias in enumerate(
            condition @ h
        ):  # what the bias of one without a condition would be
            layer.conv_out.b.assign_add(bias)
            self.assertAllClose(y[index], layer(x)[index], atol=1e-5)
            layer.conv_out.b.assign_sub(bias)

    def test_wrong_channels_and_streams_are_an_error(self):
        with self.assertRaisesRegex(ValueError, "Expected stream of.*Received: stream='down'"):
            layers.GatedResidualBlock(FILTERS, (3, 3), "down")
        layer = layers.GatedResidualBlock(FILTERS, (3, 3), "unshifted")
        with self.assertRaisesRegex(ValueError, "Expected 4 channels.*Received"):
            layer(normal(1, 4, 4, FILTERS + 1))
        projection = layers.Projection(FILTERS)
        projection([normal(2, 6), normal(2, 4)])
        with self.assertRaisesRegex(ValueError, r"\[6, 4\] channels.*\(2, 6\)"):
            projection([normal(2, 6)])
