"""Tests of weight-normalized layers against TensorFlow's operations."""

from unittest import mock

import keras
import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux import layers, likelihoods
from pixelcnn_aux.factors.inputs import Inputs
from pixelcnn_aux.networks import Embedding, PixelCNN, topology
from pixelcnn_aux.networks.array_layers import Dense, Fitting, Layers
from tests import helpers

CONVOLUTIONS = (layers.WeightNormConv2D, layers.DownShiftedConv2D, layers.DownRightShiftedConv2D)
TRANSPOSED = (
    layers.WeightNormConv2DTranspose,
    layers.DownShiftedConv2DTranspose,
    layers.DownRightShiftedConv2DTranspose,
)
# Convolutions that see columns on both sides, or only on the left; and their transposed ones.
DOWN = (layers.DownShiftedConv2D, layers.DownShiftedConv2DTranspose)
DOWN_RIGHT = (layers.DownRightShiftedConv2D, layers.DownRightShiftedConv2DTranspose)
IMAGE = (2, 6, 4, 2)


def every_layer(**kwargs):
    """One layer of each class, the convolutions at both strides."""
    return [
        layers.WeightNormDense(3, **kwargs),
        *(kind(3, (2, 3), strides, **kwargs) for kind in CONVOLUTIONS for strides in (1, 2)),
        *(kind(3, (2, 3), **kwargs) for kind in TRANSPOSED),
    ]


def kernel(layer):
    """The normalized kernel of a layer that was called: [..., in, out]."""
    return Layers(layer.by_path).made(layer.module).layer.kernel


def transposed_kernel(layer):
    """In the order of `tf.nn.conv2d_transpose`: [height, width, out, in]."""
    return tf.transpose(kernel(layer), [0, 1, 3, 2])


def images(*shape, seed=0):
    return np.random.default_rng(seed).normal(1.0, 3.0, size=shape).astype("float32")


class KernelTest(tf.test.TestCase):
    def test_norm_is_g_for_each_output_channel(self):
        for layer in every_layer():
            layer(images(*IMAGE))
            layer.g.assign([0.5, 1.0, 2.0])
            weights = kernel(layer)
            norms = np.sqrt(np.sum(np.square(weights), axis=tuple(range(len(weights.shape) - 1))))
            self.assertAllClose(norms, [0.5, 1.0, 2.0], msg=layer.name)

    def test_padding_is_that_of_tensorflow(self):
        # TensorFlow's SAME at stride 2 pads even sides only after the image.
        x = images(*IMAGE)
        for kernel_size in (2, 2), (3, 3), (2, 3), (4, 5), (1, 1):
            for strides in (1, 2):
                layer = layers.WeightNormConv2D(3, kernel_size, strides)
                y = layer(x)
                self.assertAllClose(y, tf.nn.conv2d(x, kernel(layer), strides, "SAME"))
            if min(kernel_size) > 1:
                layer = layers.WeightNormConv2DTranspose(3, kernel_size)
                y = layer(x)
                expected = tf.nn.conv2d_transpose(
                    x, transposed_kernel(layer), [2, 12, 8, 3], 2, "SAME"
                )
                self.assertAllClose(y, expected)

    def test_shifted_convolutions_see_nothing_below_or_on_the_right(self):
        """Transposed ones reach nothing above, and down-right-shifted ones nothing on the left either."""
        x = images(*IMAGE)
        for height, width in (2, 3), (3, 3), (2, 1):
            side = (width - 1) // 2
            for kinds, left, right in ((DOWN, side, side), (DOWN_RIGHT, width - 1, 0)):
                shifted, transposed = kinds
                padded = np.pad(x, [(0, 0), (height - 1, 0), (left, right), (0, 0)])
                for strides in (1, 2):
                    layer = shifted(3, (height, width), strides)
                    y = layer(x)
                    self.assertAllClose(y, tf.nn.conv2d(padded, kernel(layer), strides, "VALID"))
                if width > 1:
                    layer = transposed(3, (height, width))
                    y, whole = layer(x), [2, 10 + height, 6 + width, 3]
                    stamps = tf.nn.conv2d_transpose(x, transposed_kernel(layer), whole, 2, "VALID")
                    self.assertAllClose(y, stamps[:, :12, right : right + 8])

    def test_channels_come_last_in_any_data_format_of_keras(self):
        x = images(*IMAGE)
        every = every_layer()
        expected = [layer(x) for layer in every]
        self.addCleanup(keras.config.set_image_data_format, keras.config.image_data_format())
        keras.config.set_image_data_format("channels_first")
        for layer, outputs in zip(every, expected):
            self.assertAllEqual(layer(x), outputs)

    def test_kernels_that_leave_out_pixels_are_refused(self):
        # Every other row or column of the output would get no tap.
        for kind in TRANSPOSED:
            for kernel_size in (1, 3), (3, 1):
                with self.assertRaisesRegex(ValueError, "at least 2 x 2.*Received"):
                    kind(3, kernel_size)(images(*IMAGE))
        for kind in DOWN:
            with self.assertRaisesRegex(ValueError, "odd kernel width.*Received"):
                kind(1, (2, 2))(images(*IMAGE))


class InitializationFromDataTest(tf.test.TestCase):
    def assertNormalized(self, y, scale):
        y = np.reshape(y, (-1, y.shape[-1])).astype("float64")
        self.assertAllClose(y.mean(axis=0), np.zeros(y.shape[1]), atol=1e-4)
        self.assertAllClose(y.std(axis=0), np.full(y.shape[1], scale), atol=1e-4)

    def test_one_pass_normalizes_a_conditional_network(self):
        shape = topology.pixelcnn_pp(1, 2)
        parts = PixelCNN(shape, 4, 20, dropout=0.5), Embedding(shape, 4, dropout=0.5)
        kind, below = likelihoods.LogisticMixture(2), likelihoods.Categorical(2)
        factor = pa.Factor(kind, *parts, auxiliary_likelihood=below)
        pixels, auxiliary = helpers.pictures(4, size=(8, 6)), np.arange(192).reshape(4, 8, 6, 1) % 2
        inputs = Inputs(pixels, auxiliary.astype(np.uint8))
        factor = factor.fitted_to(inputs)
        outputs = {}
        biased = Dense.biased

        def record(layer, y):
            y = biased(layer, y)
            outputs[layer.path] = y.copy()
            return y

        with mock.patch.object(Dense, "biased", record):
            factor.batch_params(inputs)
        # Downward blocks of the embedding have no skip, and their projections no weights.
        self.assertCountEqual(outputs, {path[:-2] for path in factor.shapes})
        for path, y in outputs.items():
            self.assertNormalized(y, factor.shapes[f"{path}/g"].first)

    def test_constant_channel_keeps_its_scale(self):
        # The first channel sees only a constant input, the second one also a varying input.
        x = images(8, 2)
        x[:, 0] = 1 / 3
        x[::2, 0] = np.nextafter(x[::2, 0], 1)  # up to rounding, as after a convolution
        weights = {"layer/v": [[1, 1], [0, 1]], "layer/g": [0.5, 0.5], "layer/b": [0, 0]}
        fitting = Fitting({path: np.float32(weight) for path, weight in weights.items()})
        layer = fitting.dense("layer", 2, init_scale=0.5)
        y = layer(x)
        self.assertEqual(fitting.weights["layer/g"][0], 0.5)
        self.assertAllClose(y[:, 0], np.zeros(8), atol=1e-6)
        self.assertNormalized(y[:, 1:], 0.5)
