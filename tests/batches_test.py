"""Tests of batches of any number of images."""

from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux import batches, engine, sampling
from tests import helpers

SIZES = (1, 3, 16, 17)
IMAGES = helpers.pictures(max(SIZES))
GRAYS = pa.auxiliary.Grayscale()(IMAGES)


def at_most(images):
    """Within it a batch has so many images of `helpers.SIZE`."""
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
            found = batches.in_batches(double, {"x": rows}, helpers.SIZE, jit_compile)
        self.assertEqual(sizes, expected)
        self.assertAllEqual(found["y"], 2 * rows)
        self.assertAllEqual(found["z"][0], rows[:, 0])

    def test_a_graph_has_them_whole(self):
        shapes = []

        def noted(x):
            shapes.append(x.shape.as_list())
            return x

        with at_most(1):
            traced = tf.function(lambda x: batches.in_batches(noted, x, helpers.SIZE))
            self.assertAllEqual(traced(tf.constant(GRAYS)), GRAYS)
            list(tf.data.Dataset.from_tensor_slices(GRAYS).batch(5).map(traced))
        self.assertEqual(shapes, [[17, 4, 6, 1], [None, 4, 6, 1]])


class WorkTest(helpers.TestCase):
    def asked(self, side, radius, *shapes):
        """Whether each of some requests of images is worth a graph."""
        factor = mock.Mock(radius=radius)
        factor.network.side = side
        work = batches.Work([factor, factor])
        with mock.patch.object(batches, "MUCH", 300):
            return [work.is_much(np.zeros((*shape, 3), np.uint8)) for shape in shapes]

    def test_sizes_that_share_a_graph_are_added_up(self):
        shapes = [(1, 8, 8), (1, 12, 12), (1, 12, 8), (1, 4, 4)]
        self.assertEqual(self.asked(2, 3, *shapes), [False, False, True, True])

    def test_changing_sizes_make_no_graphs(self):
        """Each of which takes memory that TensorFlow does not give back."""
        sizes = [(10, 10 + k) for k in range(300)] + [(30, 31)]
        for side, radius in ((2, 3), (1, None)):
            self.assertNotIn(True, self.asked(side, radius, *((1, *size) for size in sizes)))
            again = [(1, *sizes[0])] * 4 + [(1, *sizes[1]), (5, *sizes[2])]
            found = self.asked(side, radius, *again)
            self.assertEqual(found, [False, False, False, True, False, True], radius)


class AnyNumberTest(helpers.TestCase):
    def test_a_wrong_value_is_found_before_any_image_is_evaluated(self):
        factor = helpers.shared_model().factors["grayscale"]
        wrong = np.concatenate([GRAYS, GRAYS[:1] * 0 + 16])
        with (
            at_most(1),
            mock.patch.object(pa.Factor, "_evaluated", side_effect=AssertionError),
            self.assertRaisesRegex(ValueError, "a value of 16"),
        ):
            factor.log_prob(wrong)

    def test_one_graph_for_any_number_and_no_warnings(self):
        model, other = helpers.tiny_model(), helpers.shared_model("float64")
        with (
            self.assertNoLogs("tensorflow", "WARNING"),
            mock.patch.object(batches, "MUCH", 0),
            mock.patch.object(pa.Factor, "call", autospec=True, side_effect=pa.Factor.call) as call,
            mock.patch.object(engine.Factor, "traced", side_effect=engine.Factor.traced) as traced,
        ):
            for size in SIZES:
                model.log_prob(IMAGES[:size])
                model.sample([[0, index] for index in range(size)])
            self.assertEqual((call.call_count, traced.call_count), (2, 0))
            for size in SIZES[:2]:
                other.log_prob(IMAGES[:size])
                seeds = tf.zeros([size, 2], tf.int32)
                sampling.noise(other.factors["image"], seeds, 1, (size, size))
