"""Tests of sample pictures and traces, which do not affect a run."""

import contextlib
import io
import types
import zlib
from unittest import mock

import numpy as np
import tensorflow as tf
from PIL import Image

from pixelcnn_aux import image_grid, training
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.training import Training, loop, sample_pictures
from tests import helpers

SETTINGS = Training(epochs=2, steps_per_epoch=4, batch_size=4, learning_rate=1e-2, decay=0.99)
SIDE = image_grid.SIDE // max(helpers.SIZE)  # of a pixel, enlarged


def train(folder, **options):
    """(averaged weights of a factor with dropout, output)."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        average = helpers.train(
            helpers.tiny_model(dropout=0.5),
            "image",
            helpers.images(10),
            helpers.images(20, seed=1),
            SETTINGS,
            folder,
            seed=3,
            **options,
        )
    return average, output.getvalue()


def tiles(file):
    """The images of a picture: [rows, columns, H, W, 3]."""
    (height, width), picture = helpers.SIZE, np.asarray(Image.open(file))[::SIDE, ::SIDE]
    rows, columns = picture.shape[0] // (height + 2), picture.shape[1] // (width + 2)
    framed = picture.reshape(rows, height + 2, columns, width + 2, 3).swapaxes(1, 2)
    return framed[:, :, 1:-1, 1:-1]


class RunTest(helpers.TestCase):
    """Compares a run with samples after each epoch and a trace with one without."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(helpers.eagerly())
        cls.folder = helpers.temporary_folder(cls)
        cls.without, _ = train(cls.folder / "without")
        unlimited = mock.patch.multiple(sample_pictures, _FIRST=0.0, MAX_SHARE=float("inf"))
        with unlimited, mock.patch.object(loop.Profile, "WARM_UP", 5):
            cls.average, cls.output = train(cls.folder / "with", profile=True)

    def test_the_weights_are_the_same(self):
        np.testing.assert_equal(self.average.weights, self.without.weights)

    def test_pictures_show_draws_from_the_averaged_weights_given_validation_images(self):
        folder = RunFolder(self.folder / "with")["image"].samples
        self.assertCountEqual(
            [file.name for file in folder.iterdir()], ["epoch-0001.png", "epoch-0002.png"]
        )
        model = helpers.tiny_model().with_factor(self.average)
        originals = helpers.pictures(20, seed=1)[[0, 2, 5, 7, 10, 12, 15, 17]]
        grays = model.auxiliaries(originals)["grayscale"]
        seeds = [[zlib.crc32(b"3/image") % 2**31, index] for index in range(8)]
        expected = model.sample(seeds, given={"grayscale": grays})["image"]
        first, last = (tiles(folder / f"epoch-000{epoch}.png") for epoch in (1, 2))
        self.assertAllEqual(last[0], originals)
        self.assertAllEqual(last[1], np.repeat(17 * grays, 3, axis=-1))
        self.assertAllEqual(last[2], expected)
        self.assertAllEqual(first[:2], last[:2])
        self.assertNotAllEqual(first[2], last[2])

    def test_tensorboard_shows_them_and_a_trace(self):
        logs = RunFolder(self.folder / "with")["image"].logs
        steps = []
        for file in logs.glob("samples/events.*"):
            for event in tf.compat.v1.train.summary_iterator(str(file)):
                for value in event.summary.value:
                    self.assertEqual(value.metadata.plugin_data.plugin_name, "images")
                    steps.append(event.step)
        self.assertEqual(steps, [4, 8])
        traces = logs / "plugins" / "profile"
        self.assertIn(f"Traced steps 6 to 8 of this factor into {traces}; tensor", self.output)
        [trace] = traces.glob("*/*.xplane.pb")
        for name in (b"train", b"step_num"):  # labels of steps in the trace
            self.assertIn(name, trace.read_bytes())
        # A finished run has nothing to trace, and traces are optional.
        _, output = train(self.folder / "without", profile=True)
        self.assertIn("image: no steps are left to trace\n", output)
        self.assertFalse((RunFolder(self.folder / "without")["image"].logs / "plugins").exists())


class SamplesTest(helpers.TestCase):
    """Without training, by a fake clock."""

    def setUp(self):
        super().setUp()
        self.now = 0.0
        clock = types.SimpleNamespace(monotonic=lambda: self.now)
        self.enterContext(mock.patch.object(sample_pictures, "time", clock))
        self.model = helpers.shared_model()
        config = helpers.run_config(self.model, self.folder, validation_images=helpers.images(3))
        folder = config.folder["grayscale"]
        state = {"config": config, "name": "grayscale", "folder": folder, "seed": 5, "step": 10}
        state["validation_images"] = config.validation_images
        average = self.model.factors["grayscale"]
        self.samples = sample_pictures.Samples(types.SimpleNamespace(average=average, **state))
        self.pictures = folder.samples
        self.pictures.parent.mkdir()

    def draw_each_minute(self, epochs):
        """(epochs with pictures, output)."""
        with contextlib.redirect_stdout(io.StringIO()) as output:
            for epoch in range(1, epochs + 1):
                self.now = 60.0 * epoch
                self.samples.draw(epoch)
        names = [file.stem for file in self.pictures.glob("*.png")]
        return sorted(int(name.removeprefix("epoch-")) for name in names), output.getvalue()

    def test_a_first_factor_draws_freely(self):
        expected = self.model.sample([[5, index] for index in range(8)])["grayscale"]
        self.samples._write(self.samples.picture(), 1)
        [found] = tiles(self.pictures / "epoch-0001.png")
        self.assertAllEqual(found, np.repeat(17 * expected, 3, axis=-1))

    def test_pictures_take_a_small_share_of_the_time(self):
        def picture():
            self.now += 8.0
            return np.zeros([4, 4, 3], np.uint8)

        with mock.patch.object(self.samples, "picture", picture):
            drawn, output = self.draw_each_minute(9)
        # 8 s are a twentieth of 160, 16 s of 320, and 24 s of 480.
        self.assertEqual(drawn, [1, 3, 6, 8])
        self.assertEqual(output, "No samples this time: they take 5% of all time at most\n")

    def test_an_error_ends_the_pictures_and_not_the_run(self):
        failing = mock.Mock(side_effect=NotImplementedError("no draw"))
        with mock.patch.object(self.samples, "picture", failing):
            with self.assertLogs("absl", "WARNING") as logged:
                self.assertEqual(self.draw_each_minute(3), ([], ""))
        [warning] = logged.output
        self.assertIn(
            "samples of factor 'grayscale'. Received: NotImplementedError: no dr", warning
        )
        failing.assert_called_once()

    def test_a_signal_is_not_taken_for_an_error(self):
        with mock.patch.object(self.samples, "picture", side_effect=training.Stopped):
            with self.assertRaises(training.Stopped):
                self.draw_each_minute(1)


class ProfileTest(helpers.TestCase):
    def test_a_run_that_ends_before_the_trace_begins_or_ends(self):
        few = "Expected more than 10 steps, to trace the later ones. Received: "
        for count, expected, number in (
            (4, f"{few}4\n", 0),
            (10, f"{few}10\n", 2),
            (12, "Traced steps 11 to 12 of this factor into ", 2),
        ):
            toggles = []
            with (
                mock.patch.object(loop, "_start_trace", toggles.append),
                mock.patch.object(loop, "_stop_trace", lambda: toggles.append("stop")),  # noqa: B023
                contextlib.redirect_stdout(io.StringIO()) as output,
                loop.Profile(helpers.temporary_folder(self)) as traced,
            ):
                for step in range(count):
                    with traced.step(step):
                        pass
                    if traced.is_due:
                        traced.toggle()
            self.assertStartsWith(output.getvalue(), expected)
            self.assertLen(toggles, number)
