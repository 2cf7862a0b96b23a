"""Tests of the program that times sampling: what it leaves, and what it refuses. No real time is tested."""

import json
import os
from unittest import mock

from absl import flags

from benchmarks import speed
from pixelcnn_aux.runs.folder import RunFolder
from tests import helpers

CANDIDATES = ["full", "incremental", "incremental_xla", "forward_pass"]


class SpeedTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        self.runs = helpers.temporary_folder(self) / "runs"
        model = helpers.shared_model()
        helpers.make_run(self.runs / "tiny", model)

    def run_program(self, *arguments):
        with mock.patch.object(RunFolder, "RUNS", self.runs):
            return helpers.run_program(speed, *arguments)

    def test_the_newest_run(self):
        self.run_program("--batch_sizes=1", "--runs=1")
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
        missing = f"--out={self.runs / 'missing' / 'a.png'}"
        for error, message, *arguments in (
            (flags.IllegalFlagValueError, "Expected whole numbers above 0", "--batch_sizes=1,0"),
            (flags.IllegalFlagValueError, "At most one", "--network=pyramid", "--workdir=here"),
            (ValueError, "Expected --out as a name.*missing/a.png", missing),
        ):
            with self.assertRaisesRegex(error, message):
                self.run_program(*arguments)
        self.runs = file = self.runs / "tiny" / "config.json"
        with self.assertRaisesRegex(OSError, f"Expected a folder {file}/speed-pyramid that"):
            self.run_program("--network=pyramid")
