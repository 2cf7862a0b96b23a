"""Tests of what training costs: arithmetic and kept activations against counts by hand, and the program."""

import dataclasses
import json
import math
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


class DenseTest(tf.test.TestCase):
    """Two products of matrices with an ELU between them: [2, 3] -> [2, 4] -> [2, 1]."""

    def trace(self, between=tf.identity):
        first, last = tf.Variable(tf.ones([3, 4])), tf.Variable(tf.ones([4, 1]))

        def loss(x):
            return tf.reduce_sum(between(tf.nn.elu(x @ first)) @ last)

        return cost.trace(loss, [first, last], tf.TensorSpec([2, 3]))

    def test_arithmetic(self):
        self.assertEqual(cost.flops(self.trace().forward), 2 * (2 * 4 * 3 + 2 * 1 * 4))

    def test_kept(self):
        """The input and what ELU gives, which is the second product's input and the ELU's own gradient's."""
        kept = self.trace().kept()
        self.assertCountEqual([tensor.shape for tensor in kept], [[2, 3], [2, 4]])
        for between, floats in (
            (tf.identity, 6 + 8),
            # Another shape of the same memory does not count again, and another tensor does.
            (lambda x: tf.reshape(tf.reshape(x, [4, 2]), [2, 4]), 6 + 8),
            (tf.square, 6 + 8 + 8),
            # The sum is needed, and what exp gives for no gradient.
            (lambda x: x + tf.stop_gradient(tf.exp(x)), 6 + 8 + 8),
        ):
            self.assertEqual(cost.num_bytes(self.trace(between).kept()), 4 * floats)

    def test_a_loop_is_refused(self):
        def looped(x):
            return tf.while_loop(lambda y: tf.reduce_sum(y) < 9.0, lambda y: [y + y], [x])[0]

        with self.assertRaisesRegex(ValueError, "Expected a graph without calls.*While"):
            cost.flops(self.trace(looped).forward)


class NetworkTest(tf.test.TestCase):
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


class TrainingStepTest(tf.test.TestCase):
    """Factors with a likelihood, and an embedding where it is of the image."""

    def trace(self, dtype=None, shape=None):
        factor = helpers.tiny_model(dropout=0.5, dtype=dtype, topology=shape).factors["image"]
        return cost.training_step(factor, (2, *helpers.SIZE, 3), (2, *helpers.SIZE, 1))

    def test_blocks_are_found(self):
        trace = self.trace(shape=topology.pixelcnn_pp(1, 2))
        blocks = {trace.block(op) for op in trace.in_blocks()}
        self.assertLen(blocks, 3 * 5)
        for block in blocks:
            self.assertRegex(block, r"(vertical|horizontal|stream)(_\d+)?/\d_block(_\d+)?$")

    def test_mixed_precision_halves_what_blocks_keep(self):
        """But for the masks of dropout, a byte a value."""

        def in_blocks(dtype):
            trace = self.trace(dtype)
            kept = [tensor for tensor in trace.kept() if trace.block(tensor.op)]
            masks = [tensor for tensor in kept if tensor.dtype == tf.bool]
            # Of images, or of their pixels one below the other.
            shapes = [(4, 2), (2, 2 * math.prod(helpers.SIZE))]
            values = [
                x for x in kept if (x.shape.rank, x.shape[0]) in shapes and x.dtype != tf.bool
            ]
            return cost.num_bytes(values), cost.num_bytes(masks)

        (full, masks), (half, same_masks) = in_blocks("float32"), in_blocks("mixed_bfloat16")
        self.assertEqual((half, same_masks), (full / 2, masks))
        self.assertGreater(masks, 0)


def small(dropout=0.5):
    return helpers.tiny_model(dropout=dropout)


class ProgramTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        training = {"grayscale": CHEAP, "image": COSTLY}
        preset = presets.Preset(dataset="photos", constructor=small, model={}, training=training)
        cls.enterClassContext(mock.patch.dict(presets.GRAYSCALE, tiny=preset))
        cls.out = helpers.temporary_folder(cls) / "cost.json"
        cls.output, cls.result = cls.run_program()

    @classmethod
    def run_program(cls, *arguments):
        """(what it prints, what it writes)."""
        output = helpers.run_program(cost, "--preset=tiny", f"--out={cls.out}", *arguments)
        return output, json.loads(cls.out.read_text())

    def test_every_figure(self):
        result, model = self.result, small()
        self.assertEqual((result["model"], result["preset"]), ("grayscale", "tiny"))
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
            self.check_memory(found["bytes"], parameters)
            for hardware, hours in found["hours"].items():
                peak = cost.HARDWARE[hardware]
                self.assertAllClose(hours * 3600 * 0.3 * peak, found["training_flops"], rtol=1e-9)
        factors, sums = list(result["factors"].values()), result["total"]
        for key in ("parameters", "training_flops"):
            self.assertEqual(sums[key], factors[0][key] + factors[1][key])
        for name, hours in sums["hours"].items():
            self.assertAllClose(hours, sum(f["hours"][name] for f in factors), atol=0)
        lines = {line[:36].strip(): line[36:].split() for line in self.output.splitlines()}
        self.assertEqual(lines["steps"], ["7", "10"])
        for label, figures in {
            "TFLOP a step": [f["step_flops"] / 1e12 for f in factors],
            "EFLOP of all steps": [f["training_flops"] / 1e18 for f in (*factors, sums)],
            "activations, float32": [f["bytes"]["activations, float32"] / 1e9 for f in factors],
            "NVIDIA V100, fp16": [f["hours"]["NVIDIA V100, fp16"] for f in (*factors, sums)],
        }.items():
            self.assertAllClose([float(x) for x in lines[label]], figures, rtol=6e-3, atol=0)

    def check_memory(self, found, parameters):
        weights = [found[x] for x in ("weights", "gradients", "Adam and average")]
        self.assertEqual(weights, [4 * parameters, 4 * parameters, 12 * parameters])
        kept = {name: found[f"activations, {name}"] for name in ("float32", "bfloat16")}
        self.assertBetween(kept["bfloat16"], kept["float32"] // 2 + 1, kept["float32"] - 1)
        for precision, size in kept.items():
            less = f"{precision}, rematerialized"
            self.assertBetween(found[f"activations, {less}"], 1, size - 1)
            for name in (precision, less):
                expected = 20 * parameters + found[f"activations, {name}"]
                self.assertEqual(found[f"in all, {name}"], expected)

    def test_another_batch_size_and_share_of_the_peak(self):
        output, result = self.run_program("--batch_size=4", "--efficiency=0.5")
        self.assertIn("if 0.5 of the peak is reached", output)
        for name, steps in (("grayscale", 4), ("image", 8)):  # 3.5 and 7.5 see the same images
            one, other = self.result["factors"][name], result["factors"][name]
            self.assertEqual((other["batch_size"], other["steps"]), (4, steps))
            per_image = one["step_flops"] // one["batch_size"]
            self.assertEqual(other["step_flops"], 4 * per_image)
            for hardware, peak in cost.HARDWARE.items():
                seconds = steps * 4 * per_image / (0.5 * peak)
                self.assertAllClose(other["hours"][hardware], seconds / 3600, rtol=1e-9, atol=0)

    def test_digits(self):
        found = {0.01234: "0.0123", 2.0: "2.00", 34.56: "34.6", 0: "0", 12345.6: "12,346"}
        self.assertEqual({x: cost.digits(x) for x in found}, found)

    def test_refusals_before_anything_is_computed(self):
        self.enterContext(mock.patch.object(cost, "factors_costs", side_effect=AssertionError))
        out = self.out.parent / "missing" / "cost.json"
        for error, argument, message in (
            (ValueError, f"--out={out}", f"Expected --out as a name.*{out}"),
            (ValueError, "--preset=large", "Expected --preset demo, .*tiny for .*: large"),
            (ValueError, "--model=pixelcnn", "for --model pixelcnn. Received: tiny"),
            (flags.IllegalFlagValueError, "--efficiency=0", "Expected a share of the peak"),
            (flags.IllegalFlagValueError, "--efficiency=1.1", "Expected a share of the peak"),
            (flags.IllegalFlagValueError, "--batch_size=0", "--batch_size=0"),
            (flags.IllegalFlagValueError, "--model=large", "grayscale.pyramid.pixelcnn"),
        ):
            with self.assertRaisesRegex(error, message):
                self.run_program(argument)
