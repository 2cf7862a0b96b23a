"""Tests of the learning curves of runs: what is read, the table, and the picture."""

import csv
from unittest import mock

import numpy as np
import tensorflow as tf
from PIL import Image

from evaluate import curves
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.training import metrics
from tests import helpers

IMAGE, GRAYS = (4.5, 4.0, 3.5, 3.75), (2.5, 2.25)  # bits in validation, epoch by epoch


class CurvesTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self)

    def make_run(self, name, model=None, **bits):
        """The folder of a run whose factors had these bits in validation: empty for none so far."""
        folder = self.folder / name
        factors = [{"config": {"name": factor}} for factor in bits]
        description = model.description() if model else {"config": {"factors": factors}}
        RunFolder(folder).create({"model": description})
        for factor, values in bits.items():
            rows = [
                {
                    **dict.fromkeys(metrics.FIELDS, 0.5),
                    **{"epoch": epoch, "step": 10 * epoch, "images": 80_000 * epoch},
                    **{"seconds": 1800.0 * epoch, "bits_per_dim": x - 0.125, "val_bits_per_dim": x},
                }
                for epoch, x in enumerate(values, start=1)
            ]
            if rows:
                (folder / factor).mkdir()
                with open(RunFolder(folder)[factor].metrics, "w", newline="") as opened:
                    writer = csv.DictWriter(opened, metrics.FIELDS)
                    writer.writeheader()
                    writer.writerows(rows)
        return folder

    def run_program(self, *folders, **options):
        first, *others = folders
        arguments = [f"--workdir={first}", *others]
        arguments += [f"--{name}={value}" for name, value in options.items()]
        return helpers.run_program(curves, *arguments)

    def test_the_table_has_the_last_and_the_best_figures(self):
        one = self.make_run("one", grayscale=GRAYS, image=IMAGE)
        other = self.make_run("other", grayscale=(), image=IMAGE[:1])
        output = self.run_program(one, other, out=self.folder / "both.png")
        _, *rows, wrote = [line.split() for line in output.splitlines()]
        self.assertEqual(
            rows,
            [
                ["one", "grayscale", "2", "160,000", "1.00", "2.1250", "2.2500", "2.2500", "2"],
                ["one", "image", "4", "320,000", "2.00", "3.6250", "3.7500", "3.5000", "3"],
                ["other", "image", "1", "80,000", "0.50", "4.3750", "4.5000", "4.5000", "1"],
            ],
        )
        self.assertEqual(wrote, ["Wrote", str(self.folder / "both.png")])
        self.assertAllGreater(np.array(Image.open(self.folder / "both.png").size), 300)
        self.run_program(other, one)
        self.assertTrue((other / "curves.png").exists())
        self.assertFalse((one / "curves.png").exists())

    def test_the_curves(self):
        runs = {
            "one": curves.read(self.make_run("one", grayscale=GRAYS, image=IMAGE)),
            "other": curves.read(self.make_run("other", image=IMAGE[:1])),
        }
        drawn = curves.draw(runs)
        images_panel, hours_panel = drawn.axes[2:]  # of the second factor
        self.assertEqual(drawn.axes[0].get_ylabel(), "grayscale: bits per dimension")
        self.assertEqual(images_panel.get_ylabel(), "image: bits per dimension")
        panels = (images_panel, "images seen", 8e4), (hours_panel, "hours of train", 0.5)
        for panel, label, unit in panels:
            self.assertStartsWith(panel.get_xlabel(), label)
            training, validation, lowest, *others = panel.get_lines()
            for line, bits in ((training, np.array(IMAGE) - 0.125), (validation, IMAGE)):
                self.assertAllClose(line.get_xdata(), unit * np.arange(1, 5))
                self.assertAllClose(line.get_ydata(), bits)
            self.assertLess(training.get_linewidth(), validation.get_linewidth())
            self.assertAllClose(lowest.get_xydata(), [[3 * unit, 3.5]])
            self.assertLen(others, 3)
            self.assertNotEqual(others[0].get_color(), validation.get_color())
        [legend] = drawn.legends
        self.assertEqual([text.get_text() for text in legend.get_texts()], ["one", "other"])

    def test_the_whole_of_a_chain(self):
        """Rows are of the ends of epochs, from where all factors have figures."""
        run = curves.read(self.make_run("one", grayscale=GRAYS, image=IMAGE))
        rows = curves.whole(run, {"grayscale": 0.5, "image": 1.0}, {"image": 80_000})
        found = {key: [row[key] for row in rows] for key in rows[0]}
        # After 1/2, 3/4 and all of their epochs, of which they had 2 and 4.
        self.assertAllClose(found["images"], [240_000, 360_000, 480_000])
        self.assertAllClose(found["seconds"], [5400, 8100, 10800])
        self.assertAllClose(found["val_bits_per_dim"], [5.25, 4.6875, 4.875])
        self.assertAllClose(found["bits_per_dim"], [5.0625, 4.5, 4.6875])
        alone = curves.whole({"image": run["image"]}, {"image": 1.0}, {})
        for row, expected in zip(alone, run["image"], strict=True):
            self.assertEqual(row, {key: expected[key] for key in row})

    def test_the_whole_of_a_chain_that_is_still_trained(self):
        """Of the image 2 of 4 epochs are done, and of the grays all."""
        run = curves.read(self.make_run("one", grayscale=GRAYS, image=IMAGE[:2]))
        images = {"grayscale": 160_000, "image": 320_000}
        [row] = curves.whole(run, {"grayscale": 0.5, "image": 1.0}, images)
        self.assertAllClose(row["images"], 240_000)
        self.assertAllClose(row["val_bits_per_dim"], GRAYS[0] / 2 + IMAGE[1])
        with self.assertRaisesRegex(
            ValueError, "--whole. Received: grayscale 100%, image 20%. Tra"
        ):
            curves.whole(run, {"grayscale": 0.5, "image": 1.0}, {"image": 800_000})

    def test_the_program_draws_the_whole(self):
        model = helpers.tiny_model()
        run = self.make_run("going_on", model=model, grayscale=GRAYS, image=IMAGE)
        for name, epochs in (("grayscale", 1), ("image", 8)):
            settings = {"epochs": epochs, "steps_per_epoch": 10_000, "batch_size": 8}
            RunFolder(run)[name].record_training(settings)
        with mock.patch.object(curves, "draw", wraps=curves.draw) as draw:
            self.assertIn("going_on  grayscale", self.run_program(run, whole=True))
        [[drawn]] = [call.args for call in draw.mock_calls]
        # After a half of the training of each. Of three channels a gray is one.
        [row] = drawn["going_on"]["full image"]
        self.assertAllClose(row["val_bits_per_dim"], 2.5 / 3 + 3.75)
        half = self.make_run("half", model=model, image=IMAGE)
        with self.assertRaisesRegex(ValueError, "all factors for --whole. Received: none of grays"):
            self.run_program(half, whole=True)

    def test_first_epochs_do_not_flatten_the_others(self):
        for name, bits, low, high in (
            ("falling", (8.0, 6.0, *np.linspace(3.5, 3.0, 18)), 3.5, 3.8),
            ("rising", (3.0, 3.5, 4.0), 4.0, 5.0),  # as of overfitting
        ):
            panel = curves.draw({name: curves.read(self.make_run(name, image=bits))}).axes[0]
            self.assertBetween(panel.get_ylim()[1], low, high)

    def test_runs_of_one_name_are_told_apart_by_their_paths(self):
        folders = [self.make_run(f"{place}/run", image=IMAGE) for place in "ab"]
        self.assertEqual(curves.labels(folders), list(map(str, folders)))
        self.assertEqual(curves.labels(folders[:1]), ["run"])

    def test_a_damaged_table_is_named_and_left_out(self):
        folder = self.make_run("one", grayscale=GRAYS, image=IMAGE)
        file = RunFolder(folder)["grayscale"].metrics
        file.write_text(file.read_text().replace("160000", "many"))
        with self.assertLogs("absl", "WARNING") as logged:
            self.assertEqual(list(curves.read(folder)), ["image"])
        self.assertIn(f"metrics in {file}. Received: a damaged one", logged.output[0])

    def test_refusals(self):
        folder = self.make_run("one", grayscale=(), image=())
        damaged = []
        for index, names in enumerate((None, [], [3], ["../one"], ["a\x1b"])):
            factors = [{"config": {"name": name}} for name in names or ()]
            description = {"stages": []} if names is None else {"config": {"factors": factors}}
            damaged.append(self.folder / str(index))
            RunFolder(damaged[-1]).create({"model": description})
        for folders, options, error, message in (
            ([folder], {}, ValueError, "one epoch .* as .*grays.*metrics.csv. Received: none"),
            ([folder, folder], {}, ValueError, "each --workdir once. Received: .*one, .*one"),
            ([self.folder / "none"], {}, FileNotFoundError, "Expected the folder of a run"),
            ([folder], {"out": "missing/a.png"}, ValueError, "Expected --out as a name.*a.png"),
            ([folder], {"out": "a.foo"}, ValueError, "Expected --out as a name.*a.foo"),
            *(([x], {}, ValueError, f"{x}. Received: one without names of fac") for x in damaged),
        ):
            with self.assertRaisesRegex(error, message):
                self.run_program(*folders, **options)
        self.assertEqual(list(self.folder.rglob("*.png")), [])
