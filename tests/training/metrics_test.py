"""Tests of the table of figures that a run leaves."""

import numpy as np
import tensorflow as tf

from pixelcnn_aux.training import metrics
from tests import helpers

ROW = {name: float(place) for place, name in enumerate(metrics.FIELDS)}


class MetricsTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self)
        self.file = self.folder / "metrics.csv"

    def add(self, first, *steps):
        table = metrics.Metrics(self.file, self.folder / "logs", first)
        for step in steps:
            table.add(**{**ROW, "epoch": step // 10, "step": step, "images": 16 * step})

    def test_rows_come_back(self):
        self.add(0, 10, 20)
        self.assertEqual([row["step"] for row in metrics.read(self.file)], [10, 20])
        self.assertEqual(metrics.read(self.file)[0], {**ROW, "epoch": 1, "step": 10, "images": 160})

    def test_steps_that_are_taken_again_are_written_once(self):
        self.add(0, 10, 20)
        self.add(10, 20, 30)
        self.assertEqual([row["step"] for row in metrics.read(self.file)], [10, 20, 30])

    def test_a_table_of_before_there_were_gradient_norms_goes_on(self):
        self.add(0, 10, 20)
        lines = self.file.read_text().splitlines()
        self.assertEndsWith(lines[0], ",gradient_norm")
        self.file.write_text("".join(f"{line.rpartition(',')[0]}\n" for line in lines))
        self.add(20, 30)
        rows = metrics.read(self.file)
        self.assertEqual([row["step"] for row in rows], [10, 20, 30])
        self.assertAllEqual(np.isnan([row["gradient_norm"] for row in rows]), [True, True, False])
        self.assertEqual(rows[0]["waiting"], ROW["waiting"])

    def test_a_row_that_is_cut_off_is_damaged(self):
        self.add(0, 10, 20)
        self.file.write_text(self.file.read_text().rstrip().rpartition(",")[0])
        with self.assertLogs("absl", "WARNING"):
            self.assertEqual(metrics.read(self.file), [])

    def test_a_damaged_table_is_named(self):
        self.add(0, 10)
        self.file.write_text(self.file.read_text().replace("160", "many"))
        with self.assertLogs("absl", "WARNING") as logged:
            self.assertEqual(metrics.read(self.file), [])
        self.assertIn(str(self.file), logged.output[0])

    def test_no_table(self):
        self.assertEqual(metrics.read(self.file), [])


if __name__ == "__main__":
    tf.test.main()
