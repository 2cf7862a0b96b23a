"""Tests of the learning curves of runs: what is read, the table, and the picture."""

from unittest import mock

from pixelcnn_aux.commands import curves
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.training import metrics
from tests import helpers

IMAGE, GRAYS = (4.5, 4.0, 3.5, 3.75), (2.5, 2.25)  # bits in validation, epoch by epoch


class CurvesTest(helpers.TestCase):
    def make_run(self, name, model=None, **bits):
        """The folder of a run whose factors had these validation bits, perhaps none yet."""
        folder = self.folder / name
        factors = [{"config": {"name": factor}} for factor in bits]
        description = model.description() if model else {"config": {"factors": factors}}
        RunFolder(folder).create({"model": description})
        for factor, values in bits.items():
            table = values and metrics.MetricsTable(RunFolder(folder)[factor], 0)
            for epoch, x in enumerate(values, start=1):
                row = {"epoch": epoch, "step": 10 * epoch, "images": 80_000 * epoch}
                row |= {"seconds": 1800.0 * epoch}
                row |= {"bits_per_dim": x - 0.125, "val_bits_per_dim": x}
                table.add({**dict.fromkeys(metrics.FIELDS, 0.5), **row})
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
        self.run_program(other, one)
        self.assertTrue((other / "curves.png").exists())
        self.assertFalse((one / "curves.png").exists())

    def test_the_whole_of_a_chain(self):
        """Rows are ends of epochs, once all factors have figures."""
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

    def test_refusals(self):
        folder = self.make_run("one", grayscale=(), image=())
        damaged = [self.folder / x for x in "ab"]
        RunFolder(damaged[0]).create({"model": {"stages": []}})
        factors = [{"config": {"name": "../one"}}]
        RunFolder(damaged[1]).create({"model": {"config": {"factors": factors}}})
        for folders, options, error, message in (
            ([folder], {}, ValueError, "one epoch .* in .*grays.*metrics.csv. Received: none"),
            ([folder, folder], {}, ValueError, "each --workdir once. Received: .*one, .*one"),
            ([self.folder / "none"], {}, FileNotFoundError, "Expected the folder of a run"),
            *(
                ([folder], {"level": x}, ValueError, f"NAME=BITS. Received: {x}")
                for x in ("2.92x", "a=", "a=nan", "a=0")
            ),
            ([folder], {"out": "missing/a.png"}, ValueError, "Expected --out as a name.*a.png"),
            *(([x], {}, ValueError, f"{x}. Received: one without factor na") for x in damaged),
        ):
            with self.assertRaisesRegex(error, message):
                self.run_program(*folders, **options)
        self.assertEqual(list(self.folder.rglob("*.png")), [])
