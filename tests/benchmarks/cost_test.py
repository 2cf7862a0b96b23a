"""Tests of training cost: FLOPs and kept activations against counts by hand, and the program."""

import dataclasses
from unittest import mock

import numpy as np
import tensorflow as tf
from absl import flags

import pixelcnn_aux as pa
from benchmarks import cost
from pixelcnn_aux.factors.inputs import Inputs
from pixelcnn_aux.networks import topology
from pixelcnn_aux.training import Training, presets
from tests import helpers

BATCH, HEIGHT, WIDTH, FILTERS, OUT = 2, 4, 6, 5, 7
PIXELS = BATCH * HEIGHT * WIDTH
CHEAP = Training(epochs=1, steps_per_epoch=7, batch_size=2, learning_rate=1e-3, decay=1.0)
COSTLY = dataclasses.replace(CHEAP, epochs=2, steps_per_epoch=5, batch_size=3)


class NetworkTest(helpers.TestCase):
    """An unconditional network with one block per stream and dropout."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        network = pa.networks.PixelCNN(topology.flat(1), FILTERS, OUT, dropout=0.5)
        network = pa.layers.ModuleLayer(network)
        network(np.zeros([1, HEIGHT, WIDTH, 3], np.float32))
        weights = [weight.value for weight in network.trainable_variables]
        spec = tf.TensorSpec([BATCH, HEIGHT, WIDTH, 3])

        def loss(x):
            return tf.reduce_sum(network(x, training=True))

        cls.trace = cost.trace(loss, weights, spec)

    def test_arithmetic(self):
        f = FILTERS
        streams = 6 * (2 * f * f + 2 * f * 2 * f) + 4 * (2 * f * f + 2 * f * 2 * f) + 2 * f * f
        first = (6 + 3 + 2) * 4 * f
        self.assertEqual(cost.flops(self.trace.in_blocks()), 2 * PIXELS * streams)
        every = 2 * PIXELS * (first + streams + f * OUT)
        self.assertEqual(cost.flops(self.trace.forward), every)

    def by_hand(self):
        """Numbers of floats outside of blocks, in the vertical and horizontal block, and of their inputs."""
        f, padded = FILTERS, BATCH * (HEIGHT + 1)
        # A normalized layer keeps 1 / |v| and g / |v|, and its kernel if its input has a gradient.
        # Of the three first layers, which see the image, and the last.
        outside = 2 * 3 * f + f * OUT + 2 * OUT
        # The first layers' inputs, four channels with the ones, in their margins.
        outside += 4 * (padded * (WIDTH + 2) + BATCH * HEIGHT * (WIDTH + 2) + padded * WIDTH)
        # concat_elu of three activations, two of the vertical stream, and the ELU before the last layer.
        outside += PIXELS * (2 * f + 2 * f + 2 * f + f)
        # The ELU's output, a and sigmoid(b).
        pixelwise = PIXELS * (2 * f + f + f)

        def convolutions(taps, width):
            kernels = taps * (2 * f * f + 2 * f * 2 * f) + 2 * (f + 2 * f)
            return kernels + 2 * padded * width * 2 * f

        vertical = pixelwise + convolutions(6, WIDTH + 2)
        projection = 2 * f * f + 2 * f
        horizontal = pixelwise + convolutions(4, WIDTH + 1) + projection
        return outside, vertical, horizontal, 2 * PIXELS * f

    def test_kept_and_rematerialized(self):
        outside, vertical, horizontal, inputs = self.by_hand()
        masks = PIXELS * 2 * FILTERS  # of dropout: one byte per value
        floats = outside + vertical + horizontal
        self.assertEqual(cost.num_bytes(self.trace.kept()), 4 * floats + 2 * masks)
        self.assertGreater(vertical, horizontal)
        always, once = self.trace.rematerialized()
        seeds = 2 * 2 * 8  # of the masks, which are drawn again: two int64 each
        self.assertEqual(cost.num_bytes(always), 4 * (outside + inputs) + seeds)
        self.assertEqual(cost.num_bytes(once), 4 * vertical + masks)


def forward_flops(factor, image, auxiliary=None):
    """FLOPs of a factor's forward pass for images of these shapes."""
    shapes = (shape and tf.TensorSpec(shape, tf.uint8) for shape in (image, auxiliary))
    keras_model = factor.keras_model()
    forward = tf.function(lambda inputs: keras_model(inputs, training=False), autograph=False)
    graph = forward.get_concrete_function(Inputs(*shapes)).graph
    return cost.flops(graph.get_operations())


class ProgramTest(helpers.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        training = {"grayscale": CHEAP, "image": COSTLY}
        cls.preset = presets.Preset(
            dataset="photos",
            constructor=helpers.tiny_model,
            model={"dropout": 0.5},
            training=training,
        )
        cls.enterClassContext(mock.patch.dict(presets.GRAYSCALE, tiny=cls.preset))

    def test_every_figure(self):
        result, model = cost.factors_costs(self.preset, None, 0.3), helpers.tiny_model(dropout=0.5)
        self.assertEqual(list(result), ["grayscale", "image"])
        for name, batch, steps in (("grayscale", 2, 7), ("image", 3, 10)):
            factor, figures = model.factors[name], result[name]
            self.assertEqual((figures["batch_size"], figures["steps"]), (batch, steps))
            parameters = sum(weight.size for weight in factor.weights.values())
            self.assertEqual(figures["parameters"], parameters)
            shapes = [(batch, *helpers.SIZE, 3), (batch, *helpers.SIZE, 1)]
            forward = forward_flops(factor, *shapes[name == "grayscale" :])
            self.assertEqual(figures["step_flops"], 3 * forward)
            self.assertEqual(figures["training_flops"], steps * 3 * forward)
            self.assertBetween(figures["rematerialized_step_flops"], 3 * forward + 1, 4 * forward)
            memory = figures["bytes"]
            self.assertEqual(memory["Adam and average"], 12 * parameters)
            full, half = (memory[f"activations, {x}"] for x in ("float32", "bfloat16"))
            self.assertBetween(half, full // 2 + 1, full - 1)
            self.assertBetween(memory["activations, float32, rematerialized"], 1, full - 1)
            self.assertEqual(memory["in all, float32"], 20 * parameters + full)
            for hardware, hours in figures["hours"].items():
                peak = cost.HARDWARE[hardware]
                self.assertAllClose(hours * 3600 * 0.3 * peak, figures["training_flops"], rtol=1e-9)
        output = helpers.run_program(cost, "--preset=tiny")
        lines = {line[:36].strip(): line[36:].split() for line in output.splitlines()}
        self.assertEqual(lines["steps"], ["7", "10"])
        for label, key, unit in (
            ("parameters", "parameters", 1),
            ("EFLOP of all steps", "training_flops", 1e18),
        ):
            printed = [float(x.replace(",", "")) for x in lines[label]]
            figures = [factor[key] / unit for factor in result.values()]
            self.assertAllClose(printed, [*figures, sum(figures)], rtol=6e-3, atol=0)
        for hardware in cost.HARDWARE:
            printed, figures = lines[hardware], [x["hours"][hardware] for x in result.values()]
            self.assertEqual(printed, list(map(cost.digits, [*figures, sum(figures)])))

    def test_refusals_before_anything_is_computed(self):
        self.enterContext(mock.patch.object(cost, "factors_costs", side_effect=AssertionError))
        for error, argument, message in (
            (ValueError, "--preset=huge", "Expected --preset demo, .*tiny for .*: huge"),
            (flags.IllegalFlagValueError, "--efficiency=1.1", "Expected a share of the peak"),
        ):
            with self.assertRaisesRegex(error, message):
                helpers.run_program(cost, argument)
