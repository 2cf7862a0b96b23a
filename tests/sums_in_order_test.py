"""Tests that results do not depend on which thread is done first: sums are added up in one order.

The suite's graphs are not optimized; these are, as users' are.
"""

import contextlib

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

from pixelcnn_aux import backend
from pixelcnn_aux.codec.codec import Codec
from tests import helpers

SEEDS = tf.constant([[0, 1], [2, 3]])


@contextlib.contextmanager
def optimized():
    """Within it, graphs are optimized: yields a list, to which it adds the operations that were to run."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
    context.context().enable_run_metadata()
    kinds = []
    try:
        yield kinds
        graphs = context.context().export_run_metadata().partition_graphs
        kinds.extend(node.op for graph in graphs for node in graph.node)
    finally:
        context.context().disable_run_metadata()
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


class SumsInOrderTest(tf.test.TestCase):
    def assert_in_order(self, kinds):
        self.assertIn("AddV2", kinds)
        self.assertNotIn("AddN", kinds)

    def test_a_sum_of_many_terms_stays_as_it_is_written(self):
        def add(terms):
            return sum(tf.unstack(terms), start=tf.zeros([terms.shape[1]]))

        terms = tf.random.stateless_normal([9, 1000], seed=[0, 0])
        with optimized() as kinds:
            tf.function(add)(terms)
        self.assertIn("AddN", kinds)
        with optimized() as kinds:
            total = tf.function(backend.sums_in_order()(add))(terms)
        self.assert_in_order(kinds)
        expected = np.zeros(1000, np.float32)
        for term in terms.numpy():
            expected += term
        self.assertAllEqual(total, expected)

    def test_likelihoods(self):
        model = helpers.tiny_model(exact=True, centered=True)
        with optimized() as kinds:
            model.log_prob(helpers.pictures(2))
        self.assert_in_order(kinds)

    def test_draws(self):
        model = helpers.tiny_model(exact=True, centered=True)
        for method in ("full", "incremental"):
            with optimized() as kinds:
                model.sample(SEEDS, method=method)
            self.assert_in_order(kinds)

    def test_forced_parameters(self):
        factor = helpers.tiny_model().factors["grayscale"]
        with optimized() as kinds:
            factor.params(np.zeros([2, *helpers.SIZE, 1], np.uint8), method="incremental")
        self.assert_in_order(kinds)

    def test_the_codec(self):
        codec = Codec(helpers.tiny_model(exact=True, centered=True))
        with optimized() as kinds:
            codec.compress(helpers.pictures(2))
        self.assert_in_order(kinds)


if __name__ == "__main__":
    tf.test.main()
