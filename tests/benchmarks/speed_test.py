"""Tests of the program that times sampling: what it leaves, and what it refuses. No real time is tested."""

import json
import os
import types
from unittest import mock

import numpy as np
import tensorflow as tf
from absl import flags
from PIL import Image

import pixelcnn_aux as pa
from benchmarks import rival, speed, timing
from pixelcnn_aux import machine
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

    def test_all_numbers_of_the_newest_run(self):
        output = self.run_program("--batch_sizes=1", "--runs=1", "--sizes")
        found = json.loads((self.runs / "tiny" / "speed.json").read_text())
        self.assertEqual((found["measured"], found["runs"]), ("tiny", 1))
        self.assertEqual(found["machine"], machine.describe())
        self.assertEqual(list(found["factors"]), ["grayscale", "image"])
        for name, factor in found["factors"].items():
            self.check_factor(name, factor)
        for expected in ("image: 4 x 6 pixels", "from 16 pixels", "No tfp_pixelcnn", "full / incr"):
            self.assertIn(expected, output)
        self.check_picture(found["factors"])

    def check_picture(self, factors):
        """A panel for each factor has a line for each candidate, and the file shows them."""
        for factor in factors.values():
            factor["batches"] = {int(batch): row for batch, row in factor["batches"].items()}
        figure = speed.draw(factors)
        for axes, (name, factor) in zip(figure.axes, factors.items(), strict=True):
            self.assertEqual(axes.get_title(), name)
            timed = factor["batches"][1]["candidates"]
            expected = {x: [[1.0, row["seconds_per_image"]]] for x, row in timed.items()}
            lines = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
            self.assertEqual(lines, expected)
        self.assertEqual(Image.open(self.runs / "tiny" / "speed.png").format, "PNG")

    def check_factor(self, name, factor):
        network = helpers.shared_model().factors[name].network
        self.assertEqual(factor["size"], list(helpers.SIZE))
        self.assertEqual(factor["parameters"], network.count_params())
        state = factor["state_bytes"]
        self.assertEqual(list(state), ["6", "32", "256"])
        self.assertEqual(state["256"], 8 * state["32"])  # rows, and nothing but rows
        [batch], [measured] = factor["batches"], factor["batches"].values()
        timed, ratios = measured["candidates"], measured["ratios"]
        self.assertEqual(batch, "1")
        self.assertEqual(list(timed), CANDIDATES + ["tfp_pixelcnn"] * (name == "image"))
        for candidate, row in timed.items():
            self.assertGreater(row["seconds_per_pixel"], 0)
            self.assertAllClose(row["seconds_per_image"], 24 * row["seconds_per_pixel"])
            self.assertGreaterEqual(row["compile_s"], 0)
            self.assertEqual(row["extrapolated"], candidate in ("full", "tfp_pixelcnn"))
            self.assertEqual(row["pixels"], 16 if row["extrapolated"] else 24)
        self.assertLen(ratios, 4)
        for ratio, value in ratios.items():
            over, under = (timed[name]["seconds_per_pixel"] for name in ratio.split(" / "))
            self.assertAllClose(value, over / under)
        seconds = [factor["sizes"][size]["seconds_per_pixel"] for size in ("64", "16")]
        self.assertAllClose(factor["sizes"]["ratio"], seconds[0] / seconds[1])
        self.assertEqual(factor["sizes"]["64"]["pixels"], 64 * 64)
        if name == "image":
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

    def test_which_one_xla_compiles(self):
        factor = helpers.tiny_model(condition=pa.conditions.Classes(2)).factors["image"]
        timed = speed.candidates(factor, helpers.SIZE, 1, None)
        for name, compiled in (("incremental", False), ("incremental_xla", True)):
            how = {"jit_compile": compiled, "condition": [-1]}
            self.assertEqual(timed[name][0].keywords, how)
        self.assertEqual(timed["forward_pass"][0]().shape, [1, factor.likelihood.num_params])

    def test_the_rivals_draws_by_hand(self):
        means = np.zeros([1, 1, 2, 2, 3], np.float32)  # [B, H, W, K, 3]
        means[..., 1, :] = [[0.5, 0.25, -0.5], [3.0, -0.75, 0.1]]
        coefficients = np.broadcast_to(np.float32([-1.0, 0.5, 2.0]), means.shape)
        logits = np.broadcast_to(np.float32([-1e3, 0.0]), means.shape[:-1])
        drawn = rival.draw(logits, means, np.full(means.shape, 1e-6, np.float32), coefficients)
        # Of 1 for red, green has a mean of -1.75; blue one of 0.1 + 0.5 - 2.
        self.assertAllClose(drawn, [[[[0.5, -0.25, -0.75], [1, -1, -1]]]], atol=1e-4)

    def test_a_network_of_its_own_has_a_folder_of_its_own(self):
        one = {"batches": {1: {"candidates": {"full": {"seconds_per_image": 1.0}}}}}
        network = {"pyramid": lambda: helpers.shared_model().factors["image"]}
        with (
            mock.patch.dict(speed.NETWORKS, network),
            mock.patch.object(speed, "measure_factor", return_value=one) as measured,
        ):
            for _ in range(2):  # Measuring the same again is no reason to refuse.
                self.run_program("--network=pyramid")
            self.run_program("--network=pyramid", f"--out={self.runs / 'figure.pdf'}")
        self.assertStartsWith((self.runs / "figure.pdf").read_bytes(), b"%PDF")
        self.assertTrue((self.runs / "figure.json").exists())
        self.assertEqual(measured.call_args.args[2], (32, 32))
        folder = self.runs / "speed-pyramid"
        self.assertCountEqual(os.listdir(folder), ["speed.json", "speed.png"])
        self.assertEqual(json.loads((folder / "speed.json").read_text())["measured"], "pyramid")

    def test_other_files_are_kept(self):
        out = self.runs / "mine.png"
        out.with_suffix(".json").write_text('{"measured": "another"}')
        before = helpers.contents(self.runs)
        with self.assertRaisesRegex(ValueError, "Expected new files.*of tiny.*mine.png"):
            self.run_program(f"--out={out}")
        self.assertEqual(helpers.contents(self.runs), before)

    def test_where_no_file_can_be_is_found_out_before_anything_is_measured(self):
        file = self.runs / "tiny" / "config.json"
        with mock.patch.object(speed, "measure_factor", side_effect=AssertionError):
            for out in ("missing/speed.png", "speed.json"):
                with self.assertRaisesRegex(ValueError, f"Expected --out as a name.*{out}"):
                    self.run_program(f"--out={self.runs / out}")
            self.runs = file
            with self.assertRaisesRegex(OSError, f"Expected a folder {file}/speed-pyramid that"):
                self.run_program("--network=pyramid")

    def test_wrong_flags_are_refused(self):
        for arguments, message in (
            (["--batch_sizes=1,0"], "Expected whole numbers above 0"),
            (["--batch_sizes="], "Expected whole numbers above 0"),
            (["--runs=0"], "--runs=0"),
            (["--network=large"], "pyramid.pixelcnn_pp"),
            (["--network=pyramid", "--workdir=here"], "At most one of .workdir, network."),
            (["--network=pyramid", "--exact"], "At most one of .network, exact."),
        ):
            with self.assertRaisesRegex(flags.IllegalFlagValueError, message):
                self.run_program(*arguments)
