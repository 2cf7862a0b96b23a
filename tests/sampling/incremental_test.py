"""Tests that incremental evaluation is exact: pixel by pixel, parameters are those of whole images."""

import numpy as np
from absl.testing import parameterized

from pixelcnn_aux.conditions import Classes
from pixelcnn_aux.factors.factor import Factor
from pixelcnn_aux.factors.inputs import Inputs
from pixelcnn_aux.networks import topology
from pixelcnn_aux.scanning.requests import METHODS
from tests import helpers
from tests.factors.causality_test import (
    GRAY,
    KERNELS,
    RGB,
    flat,
    pixelcnn,
    pixelcnn_pp,
    random_images,
)


def down_twice(head):
    """A network that goes down, up, and down again, to a quarter of the resolution."""
    down, up, block = (topology.Step(kind) for kind in ("down", "up", "block"))
    steps = (down, block, up, block, down, down, block, up, block, up, block)
    shape = topology.Topology(steps, (11, 9, 7))
    return Factor(head, pixelcnn(shape, head, ((2, 3), (2, 4))))


def random_inputs(factor, height, width):
    """`Inputs` of two images, with auxiliary images and conditions as the factor needs."""
    likelihood, ratio = factor.auxiliary_likelihood, factor.auxiliary_ratio
    auxiliary = likelihood and random_images(likelihood, 2, height // ratio, width // ratio)
    condition = factor.condition and np.array([-1, 2], factor.condition.dtype)
    return Inputs(random_images(factor.likelihood, 2, height, width), auxiliary, condition)


class ExactnessTest(helpers.TestCase):
    @parameterized.named_parameters(
        ("flat_rgb", (5, 7), flat, RGB),
        ("flat_gray_given_rgb", (8, 12), flat, GRAY, RGB),
        ("flat_rgb_seeing_a_row", (3, 8), flat, RGB, None, ((1, 3), (1, 2))),
        ("flat_gray_seeing_a_column", (6, 3), flat, GRAY, None, ((4, 1), (3, 1))),
        ("pixelcnn_pp_1_rgb_given_gray", (8, 8), pixelcnn_pp, 1, RGB, GRAY, ((3, 5), (3, 4))),
        ("pixelcnn_pp_2_gray", (8, 12), pixelcnn_pp, 2, GRAY, None, ((4, 3), (5, 2))),
        ("pixelcnn_pp_3_of_classes", (16, 16), pixelcnn_pp, 3, RGB, GRAY, KERNELS, Classes(3)),
        ("down_twice_gray", (8, 12), down_twice, GRAY),
    )
    def test_parameters_of_given_images(self, size, make, *arguments):
        factor = helpers.randomize(make(*arguments))
        inputs = random_inputs(factor, *size)
        full = factor.keras_model()(inputs, training=False).numpy()  # the others in NumPy
        # If pixels hardly differed, it would not show which of them a parameter was computed from.
        self.assertGreater(np.std(full, axis=(1, 2)).mean(), 0.1)
        for method in METHODS:
            found = factor.params(inputs, method=method)
            self.assertEqual((found.dtype, found.shape), (np.float32, full.shape))
            error = np.abs(found - full) / np.maximum(1.0, np.abs(full))
            self.assertLess(error.max(), 1e-4)
