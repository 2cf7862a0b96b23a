"""Tests of the metrics table and the meter of an epoch's steps."""

import math
import time
import types

import pixelcnn_aux as pa
from pixelcnn_aux.factors.inputs import Inputs
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.training import metrics
from tests import helpers

ROW = {name: float(place) for place, name in enumerate(metrics.FIELDS)}


class TableTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        self.file = self.folder / "run" / "image" / "metrics.csv"
        self.file.parent.mkdir(parents=True)

    def add(self, first, *steps):
        table = metrics.MetricsTable(RunFolder(self.folder / "run")["image"], first)
        for step in steps:
            table.add({**ROW, "epoch": step // 10, "step": step, "images": 16 * step})

    def test_rows_of_steps_that_are_taken_again_are_written_once(self):
        self.assertEqual(metrics.read(self.file), [])
        self.add(0, 10, 20)
        self.assertEqual(metrics.read(self.file)[0], {**ROW, "epoch": 1, "step": 10, "images": 160})
        self.add(10, 20, 30)
        self.assertEqual([row["step"] for row in metrics.read(self.file)], [10, 20, 30])

    def test_a_damaged_table_is_named(self):
        self.add(0, 10, 20)
        whole = self.file.read_text()
        for damaged in (whole.rstrip().rpartition(",")[0], whole.replace("160", "many")):
            self.file.write_text(damaged)
            with self.assertLogs("absl", "WARNING") as logged:
                self.assertEqual(metrics.read(self.file), [])
            self.assertIn(str(self.file), logged.output[0])


class EpochMeterTest(helpers.TestCase):
    def test_metrics_are_those_of_its_steps_alone(self):
        """Excludes earlier waiting, and the norm of an overflowed step."""
        batches = types.SimpleNamespace(waited=50.0)
        meter = metrics.EpochMeter(3, batches, lambda step, bits, norm: None, shows=False)
        for step, outcome in enumerate([(3.0, math.nan), (4.0, 2.0), (5.0, 4.0)]):
            meter.add(step, outcome)
        with meter.paused():  # which does not count
            time.sleep(0.2)
        batches.waited += 0.25
        meter.end()
        self.assertLess(meter.seconds, 0.2)
        means = meter.means(batch_size=8)
        self.assertEqual((means["bits_per_dim"], means["gradient_norm"]), (4.0, 3.0))
        self.assertAllClose(means["images_per_s"], 3 * 8 / meter.seconds)
        self.assertAllClose(means["waiting"], 0.25 / meter.seconds)


class MeanBitsTest(helpers.TestCase):
    def test_every_image_counts_once_in_a_ragged_last_batch_too(self):
        factor = helpers.shared_model().factors["image"]
        images = helpers.pictures(5)
        grays = pa.auxiliary.Grayscale()(images)
        images[4] = 255 - images[4] // 2  # unlike its gray, and far from the others
        batches = [Inputs(images[at : at + 2], grays[at : at + 2]) for at in (0, 2, 4)]
        dimensions = math.prod(helpers.SIZE) * 3
        bits = -factor.log_prob(images, grays) / (dimensions * math.log(2))
        self.assertGreater(abs(bits[4] - bits[:4].mean()), 1e-2)
        self.assertAllClose(metrics.mean_bits(factor, batches), bits.mean(), rtol=1e-6)
