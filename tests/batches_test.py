"""Tests of batches of any number of images."""

from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux import batches, sampling
from pixelcnn_aux.base import backend
from tests import helpers

SIZES = (1, 3, 16, 17)
IMAGES = helpers.pictures(max(SIZES))
GRAYS = pa.auxiliary.Grayscale()(IMAGES)


def at_most(images):
    """Context in which a batch has at most so many images of `helpers.SIZE`."""
    return mock.patch.object(batches, "MAX_PIXELS", images * np.prod(helpers.SIZE))


class InBatchesTest(helpers.TestCase):
    @parameterized.parameters(
        (0, False, [1]),
        (150, False, [64, 64, 22]),
        (0, True, [1]),
        (2, True, [1, 1]),
        (3, True, [4]),
        (17, True, [16, 1]),
        (102, True, [64, 64]),
    )
    def test_sizes(self, count, jit_compile, expected):
        rows, sizes = np.arange(3 * count).reshape(count, 3), []

        def double(tensors):
            self.assertTrue(all(map(tf.is_tensor, tensors.values())))
            sizes.append(len(tensors["x"]))
            return {"y": 2 * tensors["x"], "z": (tensors["x"][:, 0],)}

        with at_most(100 if jit_compile else 64):
            found = batches.GRAPHS.in_batches(
                double, ({"x": rows},), helpers.SIZE, jit_compile=jit_compile
            )
        self.assertEqual(sizes, expected)
        self.assertAllEqual(found["y"], 2 * rows)
        self.assertAllEqual(found["z"][0], rows[:, 0])

    def test_a_graph_has_them_whole(self):
        shapes = []

        def noted(x):
            shapes.append(x.shape.as_list())
            return x

        with at_most(1):
            traced = tf.function(lambda x: batches.TRACED.in_batches(noted, (x,), helpers.SIZE))
            self.assertAllEqual(traced(tf.constant(GRAYS)), GRAYS)
            list(tf.data.Dataset.from_tensor_slices(GRAYS).batch(5).map(traced))
        self.assertEqual(shapes, [[17, 4, 6, 1], [None, 4, 6, 1]])


class ByGraphTest(helpers.TestCase):
    def test_who_computes_follows_from_the_call_alone(self):
        for radius, shapes in (
            (3, {(1, 10, 10): False, (301, 1, 2): True, (1, 20, 30): True, (1, 17, 31): False}),
            (None, {(1, 10, 10): False, (1, 20, 30): False, (2, 20, 30): True}),
        ):
            factor = mock.Mock(radius=radius, side=2, keras_layers={})
            with mock.patch.object(batches, "GRAPH_BREAK_EVEN", 600):
                for shape, expected in [*shapes.items(), *shapes.items()]:
                    images = np.zeros((*shape, 3), np.uint8)
                    default = batches.GRAPHS if expected else batches.NUMPY
                    for by, evaluator in (
                        (None, default),
                        ("numpy", batches.NUMPY),
                        ("graph", batches.GRAPHS),
                    ):
                        found = batches.evaluator(by, [factor], images)
                        self.assertIs(found, evaluator, (by, shape))
        with self.assertRaisesRegex(
            ValueError, "Expected by of 'numpy', 'graph'. Received: by='gpu'"
        ):
            helpers.shared_model().log_prob(IMAGES, by="gpu")

    def test_the_same_call_has_the_same_digits_after_others(self):
        helpers.make_run(self.folder, helpers.tiny_model())
        model, images = pa.load(self.folder), helpers.pictures(2)
        before = model.log_prob(images)
        self.assertIs(type(before), np.ndarray)
        by_graph = model.log_prob(images, by="graph")
        self.assertAllClose(by_graph, before, rtol=1e-6)
        self.assertAllEqual(model.log_prob(images), before)
        traced = tf.function(lambda x: [model.log_prob(x), model.params(x)], autograph=False)
        nats, params = traced(images)
        self.assertAllClose(nats, before, rtol=1e-6)
        self.assertAllClose(params, model.params(images), atol=1e-4)


class AnyNumberTest(helpers.TestCase):
    def test_a_wrong_value_is_found_before_any_image_is_evaluated(self):
        factor = helpers.shared_model().factors["grayscale"]
        wrong = np.concatenate([GRAYS, GRAYS[:1] * 0 + 16])
        with (
            at_most(1),
            mock.patch.object(pa.Factor, "batch_nats", side_effect=AssertionError),
            self.assertRaisesRegex(ValueError, "a value of 16"),
        ):
            factor.log_prob(wrong)

    def test_one_graph_for_any_number_and_no_warnings(self):
        model, other = helpers.tiny_model(), helpers.shared_model("float64")
        with (
            self.assertNoLogs("tensorflow", "WARNING"),
            mock.patch.object(batches, "GRAPH_BREAK_EVEN", 0),
            mock.patch.object(backend, "traced", wraps=backend.traced) as traced,
        ):
            for size in SIZES:
                model.log_prob(IMAGES[:size])
                model.sample([[0, index] for index in range(size)])
            self.assertEqual(traced.call_count, len(model.factors))
            for size in SIZES[:2]:
                other.log_prob(IMAGES[:size])
                seeds = tf.zeros([size, 2], tf.int32)
                sampling.noise(other.factors["image"], seeds, 1, (size, size))
