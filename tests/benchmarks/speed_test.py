"""Tests of the program that times sampling: its table and errors, with fake times."""

import re
from unittest import mock

from absl import flags

from benchmarks import speed
from pixelcnn_aux.runs.folder import RunFolder
from tests import helpers

WAYS = {"full": 16, "incremental": 24, "incremental_xla": 24, "forward_pass": 24}


class SpeedTest(helpers.TestCase):
    def test_the_newest_run(self):
        runs, model = self.folder / "runs", helpers.shared_model()
        helpers.make_run(runs / "tiny", model)
        with mock.patch.object(RunFolder, "RUNS", runs):
            output = helpers.run_program(speed, "--batch_sizes=1", "--runs=1")
        for name, table in zip(model.factors, output.strip().split("\n\n"), strict=True):
            first, *lines = table.splitlines()
            parameters = model.factors[name].network.count_params()
            self.assertEqual(first, f"{name}: 4 x 6 pixels, {parameters:,} parameters")
            rows = [line.split() for line in lines if line.startswith("    1 ")]
            pixels = {way: int(cells[-1]) for _, way, *cells in rows}
            self.assertEqual(pixels, WAYS | ({"tfp_pixelcnn": 16} if name == "image" else {}))
            for _, way, *cells in rows:
                image, pixel, passes, *_ = map(float, cells)
                self.assertAllClose(image, 24 * pixel / 1000, atol=2e-3)
                self.assertEqual(way == "forward_pass", passes == 1.0)
        [other] = re.findall(r"tfp_pixelcnn: ([\d,]+) parameters", output)
        self.assertAllClose(int(other.replace(",", "")), parameters, rtol=0.2)

    def test_refusals_before_anything_is_measured(self):
        self.enterContext(mock.patch.object(speed, "measure", side_effect=AssertionError))
        for message, *arguments in (
            ("Expected whole numbers above 0", "--batch_sizes=1,0"),
            ("At most one", "--network=pyramid", "--workdir=here"),
        ):
            with self.assertRaisesRegex(flags.IllegalFlagValueError, message):
                helpers.run_program(speed, *arguments)
