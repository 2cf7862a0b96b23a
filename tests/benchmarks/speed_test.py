"""Tests of the program that times sampling: what it leaves, and what it refuses. No real time is tested."""

import json
import os
import types
from unittest import mock

import numpy as np
import tensorflow as tf
from absl import flags

import pixelcnn_aux as pa
from benchmarks import rival, speed, timing
from pixelcnn_aux.runs.folder import RunFolder
from tests import helpers

CANDIDATES = ["full", "incremental", "incremental_xla", "forward_pass"]


class SpeedTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.runs = helpers.temporary_folder(self) / "runs"
        model = helpers.shared_model()
        helpers.make_run(self.runs / "tiny", model, model.factors)

    def run_program(self, *arguments):
        with mock.patch.object(RunFolder, "RUNS", self.runs):
            return helpers.run_program(speed, *arguments)

    def test_the_newest_run(self):
        self.run_program("--batch_sizes=1", "--runs=1", "--sizes")
        self.assertTrue((self.runs / "tiny" / "speed.png").exists())
        found = json.loads((self.runs / "tiny" / "speed.json").read_text())
        self.assertEqual((found["measured"], found["runs"]), ("tiny", 1))
        for name, factor in found["factors"].items():
            network = helpers.shared_model().factors[name].network
            self.assertEqual(factor["parameters"], network.count_params())
            state = factor["state_bytes"]
            self.assertEqual(state["256"], 8 * state["32"])  # rows, and nothing but rows
            timed, ratios = (factor["batches"]["1"][key] for key in ("candidates", "ratios"))
            self.assertEqual(list(timed), CANDIDATES + ["tfp_pixelcnn"] * (name == "image"))
            for candidate, row in timed.items():
                self.assertAllClose(row["seconds_per_image"], 24 * row["seconds_per_pixel"])
                self.assertEqual(row["extrapolated"], candidate in ("full", "tfp_pixelcnn"))
                self.assertEqual(row["pixels"], 16 if row["extrapolated"] else 24)
            for ratio, value in ratios.items():
                over, under = (timed[x]["seconds_per_pixel"] for x in ratio.split(" / "))
                self.assertAllClose(value, over / under)
        self.assertAllClose(factor["tfp_parameters"], factor["parameters"], rtol=0.2)

    def test_times_are_medians_after_a_first_run(self):
        """By a clock that says how long each of four runs takes: of two images at once, 8 pixels of 4 x 6."""
        times = iter([0.0, 100.0, 200.0, 203.0, 300.0, 309.0, 400.0, 404.0])
        clock = types.SimpleNamespace(perf_counter=lambda: next(times))
        with (
            mock.patch.object(timing, "time", clock),
            mock.patch.object(speed, "FLAGS", types.SimpleNamespace(runs=3)),
        ):
            row = speed.measure({"full": (lambda: tf.zeros([]), (4, 6), 8)}, batch=2)["full"]
        expected = {"seconds_per_image": 6.0, "seconds_per_pixel": 0.25, "compile_s": 96.0}
        self.assertEqual(row, {**expected, "pixels": 8, "extrapolated": True})

    def test_a_conditional_model_and_xla(self):
        factor = helpers.tiny_model(condition=pa.conditions.Classes(2)).factors["image"]
        timed = speed.candidates(factor, helpers.SIZE, 1, None)
        for name, compiled in (("incremental", False), ("incremental_xla", True)):
            request, _ = timed[name][0].args
            self.assertEqual((request.jit_compile, request.condition), (compiled, [-1]))
        self.assertEqual(timed["forward_pass"][0]().shape, [1, factor.likelihood.num_params])

    def test_the_rivals_draws_by_hand(self):
        means = np.zeros([1, 1, 2, 2, 3], np.float32)  # [B, H, W, K, 3]
        means[..., 1, :] = [[0.5, 0.25, -0.5], [3.0, -0.75, 0.1]]
        coefficients = np.broadcast_to(np.float32([-1.0, 0.5, 2.0]), means.shape)
        logits = np.broadcast_to(np.float32([-1e3, 0.0]), means.shape[:-1])
        drawn = rival.draw(logits, means, np.full(means.shape, 1e-6, np.float32), coefficients)
        # Of 1 for red, green has a mean of -1.75; blue one of 0.1 + 0.5 - 2.
        self.assertAllClose(drawn, [[[[0.5, -0.25, -0.75], [1, -1, -1]]]], atol=1e-4)

    def test_files(self):
        """A network has a folder of its own, where it is measured again; other files stay."""
        one = {"batches": {1: {"candidates": {"full": {"seconds_per_image": 1.0}}}}}
        network = {"pyramid": lambda: helpers.shared_model().factors["image"]}
        self.enterContext(mock.patch.object(speed, "measure_factor", return_value=one))
        with mock.patch.dict(speed.NETWORKS, network):
            for _ in range(2):
                self.run_program("--network=pyramid")
            self.run_program("--network=pyramid", f"--out={self.runs / 'figure.pdf'}")
        self.assertCountEqual(os.listdir(self.runs / "speed-pyramid"), ["speed.json", "speed.png"])
        before = helpers.contents(self.runs)
        arguments = f"--workdir={self.runs / 'tiny'}", f"--out={self.runs / 'figure.pdf'}"
        with self.assertRaisesRegex(ValueError, "Expected new files.*of tiny.*figure.pdf"):
            self.run_program(*arguments)
        self.assertEqual(helpers.contents(self.runs), before)

    def test_refusals_before_anything_is_measured(self):
        self.enterContext(mock.patch.object(speed, "measure_factor", side_effect=AssertionError))
        missing, no_picture = (f"--out={self.runs / x}" for x in ("missing/a.png", "speed.json"))
        for error, message, *arguments in (
            (flags.IllegalFlagValueError, "Expected whole numbers above 0", "--batch_sizes=1,0"),
            (flags.IllegalFlagValueError, "Expected whole numbers above 0", "--batch_sizes="),
            (flags.IllegalFlagValueError, "--runs=0", "--runs=0"),
            (flags.IllegalFlagValueError, "pyramid.pixelcnn_pp", "--network=large"),
            (flags.IllegalFlagValueError, "At most one", "--network=pyramid", "--workdir=here"),
            (flags.IllegalFlagValueError, "At most one", "--network=pyramid", "--exact"),
            (ValueError, "Expected --out as a name.*missing/a.png", missing),
            (ValueError, "Expected --out as a name.*speed.json", no_picture),
        ):
            with self.assertRaisesRegex(error, message):
                self.run_program(*arguments)
        self.runs = file = self.runs / "tiny" / "config.json"
        with self.assertRaisesRegex(OSError, f"Expected a folder {file}/speed-pyramid that"):
            self.run_program("--network=pyramid")
