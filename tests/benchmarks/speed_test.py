"""Tests of the program that times sampling: its table and errors, with fake times."""

import re
from unittest import mock

from absl import flags

from benchmarks import speed, tools
from pixelcnn_aux.run_files.folder import RunFolder
from tests import helpers

WAYS = {"full": 16, "incremental": 24, "incremental_xla": 24, "forward_pass": 24}


def fake_seconds(functions, rounds):
    """Stands in for `tools.seconds_in_turn`: runs each function once, but for XLA, which compiles long."""
    for way, run in functions.items():
        if way != "incremental_xla":
            run()
    return {way: [9.0] + [0.5 + n] * (rounds - 1) for n, way in enumerate(functions)}


class SpeedTest(helpers.TestCase):
    def test_the_newest_run(self):
        runs, model = self.folder / "runs", helpers.shared_model()
        helpers.make_run(runs / "tiny", model)
        fake = mock.patch.object(tools, "seconds_in_turn", fake_seconds)
        with mock.patch.object(RunFolder, "RUNS", runs), fake:
            output = helpers.run_program(speed, "--batch_sizes=1", "--runs=1")
        for name, table in zip(model.factors, output.strip().split("\n\n"), strict=True):
            first, *lines = table.splitlines()
            parameters = tools.network_parameters(model.factors[name])
            self.assertEqual(first, f"{name}: 4 x 6 pixels, {parameters:,} parameters")
            rows = [line.split() for line in lines if line.startswith("    1 ")]
            pixels = {way: int(cells[-1]) for _, way, *cells in rows}
            self.assertEqual(pixels, WAYS | ({"tfp_pixelcnn": 16} if name == "image" else {}))
            for _, way, *cells in rows:
                image, pixel, passes, compilation, _ = map(float, cells)
                self.assertAllClose(image, 24 * pixel / 1000, atol=2e-3)
                self.assertEqual(way == "forward_pass", passes == 1.0)
                [number] = [n for n, x in enumerate(pixels) if x == way]
                self.assertAllClose(pixel * pixels[way], 1000 * (0.5 + number), rtol=1e-3)
                self.assertAllClose(compilation, 9 - 0.5 - number)
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
