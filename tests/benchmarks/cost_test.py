"""Tests of what training costs: arithmetic and kept activations against counts by hand, and the program."""

import dataclasses
import json
from unittest import mock

import numpy as np
import tensorflow as tf
from absl import flags

import pixelcnn_aux as pa
from benchmarks import cost
from pixelcnn_aux.networks import topology
from pixelcnn_aux.training import Training, presets
from tests import helpers

BATCH, HEIGHT, WIDTH, FILTERS, OUT = 2, 4, 6, 5, 7
PIXELS = BATCH * HEIGHT * WIDTH
CHEAP = Training(epochs=1, steps_per_epoch=7, batch_size=2, learning_rate=1e-3, decay=1.0)
COSTLY = dataclasses.replace(CHEAP, epochs=2, steps_per_epoch=5, batch_size=3)


class NetworkTest(helpers.TestCase):
    """An unconditional network of one block a stream, with dropout."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        network = pa.networks.PixelCNN(topology.flat(1), FILTERS, OUT, dropout=0.5)
        network(np.zeros([1, HEIGHT, WIDTH, 3], np.float32))
        weights = [weight.value for weight in network.trainable_variables]
        spec = tf.TensorSpec([BATCH, HEIGHT, WIDTH, 3])

        def loss(x):
            return tf.reduce_sum(network(x, training=True))

        cls.trace = cost.trace(loss, weights, spec, block_names=["0_block"])

    def test_arithmetic(self):
        f = FILTERS
        streams = 6 * (2 * f * f + 2 * f * 2 * f) + 4 * (2 * f * f + 2 * f * 2 * f) + 2 * f * f
        first = (6 + 3 + 2) * 4 * f
        self.assertEqual(cost.flops(self.trace.in_blocks()), 2 * PIXELS * streams)
        every = 2 * PIXELS * (first + streams + f * OUT)
        self.assertEqual(cost.flops(self.trace.forward), every)

    def by_hand(self):
        """Numbers of floats: outside of blocks, in the vertical and the horizontal one, and of both's x."""
        f, padded = FILTERS, BATCH * (HEIGHT + 1)
        # A normalized layer keeps 1 / |v| and g / |v|, and its kernel if its input has a gradient.
        # Of the three first layers, which see the image, and the last.
        outside = 2 * 3 * f + f * OUT + 2 * OUT
        # The first layers' inputs, four channels with the ones, in their margins.
        outside += 4 * (padded * (WIDTH + 2) + BATCH * HEIGHT * (WIDTH + 2) + padded * WIDTH)
        # concat_elu of three activations, two of the vertical stream, and the ELU before the last layer.
        outside += PIXELS * (2 * f + 2 * f + 2 * f + f)
        # What ELU gives, a and sigmoid(b).
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
        masks = PIXELS * 2 * FILTERS  # of dropout: a byte a value
        floats = outside + vertical + horizontal
        self.assertEqual(cost.num_bytes(self.trace.kept()), 4 * floats + 2 * masks)
        self.assertGreater(vertical, horizontal)
        always, once = self.trace.rematerialized()
        self.assertEqual(cost.num_bytes(always), 4 * (outside + inputs))
        self.assertEqual(cost.num_bytes(once), 4 * vertical + masks)


class ProgramTest(helpers.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        training = {"grayscale": CHEAP, "image": COSTLY}
        preset = presets.Preset(
            dataset="photos",
            constructor=helpers.tiny_model,
            model={"dropout": 0.5},
            training=training,
        )
        cls.enterClassContext(mock.patch.dict(presets.GRAYSCALE, tiny=preset))
        cls.out = helpers.temporary_folder(cls) / "cost.json"

    def run_program(self, *arguments):
        return helpers.run_program(cost, "--preset=tiny", f"--out={self.out}", *arguments)

    def test_every_figure(self):
        output, model = self.run_program(), helpers.tiny_model(dropout=0.5)
        result = json.loads(self.out.read_text())
        self.assertEqual(list(result["factors"]), ["grayscale", "image"])
        for name, batch, steps in (("grayscale", 2, 7), ("image", 3, 10)):
            factor, found = model.factors[name], result["factors"][name]
            self.assertEqual((found["batch_size"], found["steps"]), (batch, steps))
            parameters = sum(int(np.prod(w.shape)) for w in factor.trainable_variables)
            self.assertEqual(found["parameters"], parameters)
            shapes = [(batch, *helpers.SIZE, 3), (batch, *helpers.SIZE, 1)]
            forward = cost.forward_flops(factor, *shapes[name == "grayscale" :])
            self.assertEqual(found["step_flops"], 3 * forward)
            self.assertEqual(found["training_flops"], steps * 3 * forward)
            self.assertBetween(found["rematerialized_step_flops"], 3 * forward + 1, 4 * forward)
            memory = found["bytes"]
            self.assertEqual(memory["Adam and average"], 12 * parameters)
            full, half = (memory[f"activations, {x}"] for x in ("float32", "bfloat16"))
            self.assertBetween(half, full // 2 + 1, full - 1)
            self.assertBetween(memory["activations, float32, rematerialized"], 1, full - 1)
            self.assertEqual(memory["in all, float32"], 20 * parameters + full)
            for hardware, hours in found["hours"].items():
                peak = cost.HARDWARE[hardware]
                self.assertAllClose(hours * 3600 * 0.3 * peak, found["training_flops"], rtol=1e-9)
        factors, sums = list(result["factors"].values()), result["total"]
        for key in ("parameters", "training_flops"):
            self.assertEqual(sums[key], factors[0][key] + factors[1][key])
        for name, hours in sums["hours"].items():
            self.assertAllClose(hours, sum(f["hours"][name] for f in factors), atol=0)
        lines = {line[:36].strip(): line[36:].split() for line in output.splitlines()}
        self.assertEqual(lines["steps"], ["7", "10"])
        printed = [float(x) for x in lines["EFLOP of all steps"]]
        figures = [f["training_flops"] / 1e18 for f in (*factors, sums)]
        self.assertAllClose(printed, figures, rtol=6e-3, atol=0)

    def test_refusals_before_anything_is_computed(self):
        self.enterContext(mock.patch.object(cost, "factors_costs", side_effect=AssertionError))
        out = self.out.parent / "missing" / "cost.json"
        for error, argument, message in (
            (ValueError, f"--out={out}", f"Expected --out as a name.*{out}"),
            (ValueError, "--preset=huge", "Expected --preset demo, .*tiny for .*: huge"),
            (flags.IllegalFlagValueError, "--efficiency=1.1", "Expected a share of the peak"),
        ):
            with self.assertRaisesRegex(error, message):
                self.run_program(argument)
