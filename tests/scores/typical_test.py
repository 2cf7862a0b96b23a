"""Tests of typicality: distances and densities of known vectors."""

import importlib.util
from unittest import mock

import numpy as np
import tensorflow as tf

from pixelcnn_aux import scores


def normal(count, seed=0):
    """`scores.bits` of two correlated factors, with scales that differ by a factor of 100."""
    random = np.random.default_rng(seed)
    x, noise = random.normal(size=(count, 2)), random.normal(size=(count, 2))
    bits = np.stack([3 + x[:, 0], 5 + 0.01 * (x[:, 0] + x[:, 1])], axis=1)
    return {
        name: {"first": x[:, 0], "second": x[:, 1], "total": x.sum(axis=1)}
        for name, x in (("bits", bits), ("bits_less_entropy", 0.1 * noise))
    }


class TypicalTest(tf.test.TestCase):
    def test_of_normal_vectors(self):
        typical = scores.Typical(normal(20_000))
        others = normal(5, seed=1)
        received = typical.scores(others)
        first, second = (others["bits"][x] - mean for x, mean in (("first", 3), ("second", 5)))
        alone, rest = np.abs(first), second / 0.01 - first
        together = np.hypot(first, rest)
        self.assertAllClose(received["typicality"]["first"], alone, rtol=0.05)
        self.assertAllClose(received["typicality"]["total"], together, rtol=0.05)
        # The density of normal vectors, up to the width of the kernels.
        for name, distance, size in (("first", alone, 1), ("total", together, 2)):
            nats = distance**2 / 2 + size * np.log(2 * np.pi) / 2
            self.assertAllClose(received["density_of_states"][name], nats, atol=0.2)

    def test_bits_less_entropy_detect_changes_that_bits_do_not(self):
        typical, others = scores.Typical(normal(500)), normal(20, seed=1)
        for by_factor in others["bits_less_entropy"].values():
            by_factor += 5.0
        received = typical.scores(others)
        for name in ("first", "second", "total"):
            self.assertAllLess(received["typicality"][name], 10.0)
            self.assertAllGreater(received["typicality_with_entropy"][name], 40.0)
            self.assertAllGreater(received["density_of_states_with_entropy"][name], 100.0)

    def test_too_few_images_are_refused(self):
        for count in (1, 4):
            with self.assertRaisesRegex(ValueError, rf"which differ. Received: those of {count}\."):
                scores.Typical(normal(count))
        same = normal(30)
        same["bits"]["second"] = 2 * same["bits"]["first"]
        with self.assertRaisesRegex(ValueError, "scores of more than 2 images, which differ"):
            scores.Typical(same)

    def test_another_model_is_refused(self):
        typical, others = scores.Typical(normal(30)), normal(2)
        del others["bits"]["first"]
        with self.assertRaisesRegex(ValueError, r"scores of \['first'.*Received.*'second'"):
            typical.scores(others)

    def test_without_scikit_learn(self):
        with (
            mock.patch.object(importlib.util, "find_spec", return_value=None),
            self.assertRaisesRegex(ImportError, "Expected scikit-learn.*Run pip install"),
        ):
            scores.Typical(normal(30))
