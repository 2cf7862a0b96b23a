"""Incremental evaluation is exact: a network computes for each pixel what it computes for whole images."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from pixelcnn_aux.conditions import Classes
from pixelcnn_aux.factor import Factor
from pixelcnn_aux.inputs import Inputs
from pixelcnn_aux.likelihoods import Categorical, LogisticMixture
from pixelcnn_aux.networks import Embedding, PixelCNN, topology
from tests import helpers

RGB, GRAY = LogisticMixture(num_components=1), Categorical(num_values=16)
OF_CLASSES = ((2, 3), (2, 2)), Classes(3)


def pixelcnn(shape, head, vertical, horizontal):
    kernels = {"vertical_kernel": vertical, "horizontal_kernel": horizontal}
    return PixelCNN(shape, 4, head.num_params, **kernels)


def pixelcnn_pp(head, given=None, resolutions=1, kernels=((2, 3), (2, 2)), condition=None):
    """PixelCNN++, given an image of the same resolution or nothing."""
    shape = topology.pixelcnn_pp(1, resolutions)
    parts = (pixelcnn(shape, head, *kernels), given and Embedding(shape, 4))
    return Factor(head, *parts, auxiliary_likelihood=given, condition=condition)


def down_twice(head):
    """A network that goes down again after it has come up, and in between to a quarter."""
    down, up, block = (topology.Step(kind) for kind in ("down", "up", "block"))
    steps = (down, block, up, block, down, down, block, up, block, up, block)
    shape = topology.Topology(steps, (11, 9, 7))
    return Factor(head, pixelcnn(shape, head, (2, 3), (2, 4)))


def flat(head, given=None, kernels=((3, 3), (3, 3))):
    """Blocks at one resolution, given an image of half the resolution or nothing."""
    network = pixelcnn(topology.flat(2), head, *kernels)
    embedding = given and Embedding(topology.super_resolution(1, 1), 4)
    return Factor(head, network, embedding, auxiliary_likelihood=given)


def random_inputs(factor, height, width):
    """`Inputs` of two images, with all that the factor is given."""
    rng, ratio = np.random.default_rng(0), factor.auxiliary_ratio
    kinds = [(factor.likelihood, height, width)]
    if factor.auxiliary_likelihood is not None:
        kinds.append((factor.auxiliary_likelihood, height // ratio, width // ratio))
    images, *auxiliary = (
        rng.integers(kind.num_values, size=(2, *size, kind.num_channels)).astype(np.uint8)
        for kind, *size in kinds
    )
    condition = factor.condition and np.array([-1, 2], factor.condition.dtype)
    return Inputs(images, *auxiliary or [None], condition)


class ExactnessTest(parameterized.TestCase, tf.test.TestCase):
    def assertExact(self, factor, inputs):
        with helpers.eagerly():
            full = factor.params(inputs).numpy()
        incremental = factor.params(inputs, method="incremental").numpy()
        self.assertEqual(full.dtype, np.float32)
        self.assertEqual((incremental.dtype, incremental.shape), (full.dtype, full.shape))
        # If pixels hardly differed, it would not show which of them a parameter was computed from.
        self.assertGreater(np.std(full, axis=(1, 2)).mean(), 0.1)
        error = np.abs(incremental - full) / np.maximum(1.0, np.abs(full))
        self.assertLess(error.max(), 1e-4)

    @parameterized.named_parameters(
        # A width of 7 or 3 is none of those at which several columns are taken at a time.
        ("flat_rgb", (5, 7), flat, RGB),
        ("flat_gray_given_rgb", (8, 12), flat, GRAY, RGB),
        ("flat_rgb_seeing_a_row", (3, 8), flat, RGB, None, ((1, 3), (1, 2))),
        ("flat_gray_seeing_a_column", (6, 3), flat, GRAY, None, ((4, 1), (3, 1))),
        ("pixelcnn_pp_1_rgb_given_gray", (8, 8), pixelcnn_pp, RGB, GRAY, 1, ((3, 5), (3, 4))),
        ("pixelcnn_pp_2_gray", (8, 12), pixelcnn_pp, GRAY, None, 2, ((4, 3), (5, 2))),
        ("pixelcnn_pp_2_rgb_given_gray", (8, 16), pixelcnn_pp, RGB, GRAY, 2, ((3, 3), (3, 3))),
        (
            "pixelcnn_pp_3_rgb_given_gray_of_classes",
            (16, 16),
            pixelcnn_pp,
            RGB,
            GRAY,
            3,
            *OF_CLASSES,
        ),
        ("down_twice_gray", (8, 12), down_twice, GRAY),
    )
    def test_the_parameters_met_on_the_way_through_given_images(self, size, make, *arguments):
        factor = make(*arguments)
        helpers.randomize(factor)
        self.assertExact(factor, random_inputs(factor, *size))

    def test_after_training(self):
        factor = flat(GRAY)
        images = random_inputs(factor, 4, 5).images
        factor.initialize_from_data(images)
        # Before training too, since what was traced then must not keep the weights of then.
        self.assertExact(factor, images)
        before = factor.get_weights()
        factor.compile(
            keras.optimizers.Adam(1e-2), factor.likelihood.bits_per_dim, run_eagerly=True
        )
        factor.fit(tf.data.Dataset.from_tensors((images, images)), epochs=3, verbose=0)
        for weight, old in zip(factor.get_weights(), before, strict=True):
            self.assertNotAllClose(weight, old)
        self.assertExact(factor, images)
