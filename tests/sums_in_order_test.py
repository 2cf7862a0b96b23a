"""Tests that results do not depend on which thread is done first: sums are added up in one order.

The suite's graphs are not optimized; these are, as users' are.
"""

import contextlib
import functools
from unittest import mock

import tensorflow as tf
from tensorflow.python.eager import context

from pixelcnn_aux import sampling, training
from pixelcnn_aux.base import backend
from pixelcnn_aux.scanning.requests import DrawRequest
from pixelcnn_aux.training import steps
from tests import helpers

SEEDS = tf.constant([[0, 1], [2, 3]])


@contextlib.contextmanager
def optimized():
    """Within it, graphs are optimized. Yields a list, to which it adds how many terms each sum has."""
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({**before, "disable_meta_optimizer": False})
    context.context().enable_run_metadata()
    terms = []
    try:
        yield terms
        graphs = context.context().export_run_metadata().partition_graphs
        sums = (node for graph in graphs for node in graph.node if node.op in ("AddV2", "AddN"))
        terms.extend(sum(not name.startswith("^") for name in node.input) for node in sums)
    finally:
        context.context().disable_run_metadata()
        tf.config.optimizer.set_experimental_options(before)


class SumsInOrderTest(helpers.TestCase):
    def assert_in_order(self, terms):
        self.assertEqual({*terms}, {2})

    def test_a_sum_of_many_terms_stays_as_it_is_written(self):
        def add(rows):
            first, *others = tf.unstack(rows)
            return sum(others, start=first)

        rows = tf.random.stateless_normal([9, 1000], seed=[0, 0])
        with optimized() as terms:
            tf.function(add)(rows)
        self.assertEqual(terms, [9])
        with optimized() as terms:
            total = tf.function(backend.sums_in_order()(add))(rows)
        self.assertEqual(terms, [2] * 8)
        expected = rows[0].numpy()
        for row in rows.numpy()[1:]:
            expected += row
        self.assertAllEqual(total, expected)

    def test_likelihoods_and_draws(self):
        model = helpers.tiny_model(exact=True, centered=True)
        self.enter_context(mock.patch("pixelcnn_aux.batches.GRAPH_BREAK_EVEN", 0))

        @functools.partial(tf.function, autograph=False)
        def drawn(seeds, shifts):
            return sampling.draw(model, DrawRequest(seeds, shifts))

        for compute in (
            lambda: model.log_prob(helpers.pictures(2)),
            lambda: drawn(SEEDS, tf.zeros(2)),
        ):
            with optimized() as terms:
                compute()
            self.assert_in_order(terms)

    def test_training_steps(self):
        model = helpers.tiny_model(dropout=0.5)
        how = {"epochs": 1, "steps_per_epoch": 1, "batch_size": 2, "accumulate": 2}
        settings = training.Training(**how, learning_rate=1e-3)
        here = tf.distribute.get_strategy()
        step = steps.make(model, model.factors["image"], settings, strategy=here, remat=True)
        with optimized() as terms:
            step(helpers.pictures(2))
        self.assert_in_order(terms)
