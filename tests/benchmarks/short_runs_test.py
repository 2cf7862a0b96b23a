"""Tests of the benchmark of short runs, and of the step that benchmarks of training time."""

import dataclasses
from unittest import mock

import pixelcnn_aux as pa
from benchmarks import short_runs, timed_runs, timing
from pixelcnn_aux import data
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.training import metrics, presets
from tests import helpers

TRAINING = pa.Training(epochs=1, steps_per_epoch=2, batch_size=4, learning_rate=1e-3, decay=0.99)
ROW = {"step": 10, "images": 40, "images_per_s": 4.0, "val_bits_per_dim": 3.0}


class ShortRunsTest(helpers.TestCase):
    """Nothing is trained."""

    def setUp(self):
        super().setUp()
        self.out = helpers.temporary_folder(self) / "out"
        training = dict.fromkeys(["grayscale", "image"], TRAINING)
        tiny = presets.Preset(
            dataset="photos", constructor=helpers.tiny_model, model={}, training=training
        )
        self.enterContext(mock.patch.dict(presets.GRAYSCALE, tiny=tiny))

        def patch(module, name, **how):
            return self.enterContext(mock.patch.object(module, name, **how))

        self.load = patch(data, "load")
        patch(metrics, "read", return_value=[ROW])
        self.train = patch(pa, "train", side_effect=self.record)
        patch(timed_runs, "step")
        self.seconds = patch(timing, "seconds_in_turn", side_effect=self.measure)
        self.a_step = 0.6

    def measure(self, functions, rounds):
        """Seconds of rounds, of which the first one counts for nothing and no other is the rule."""
        some = timed_runs.TIMED * self.a_step
        return {way: [99.0, *(rounds - 2) * [some], 9 * some] for way in functions}

    def record(self, model, settings, images, validation, folder, *, factors):
        [name] = factors
        RunFolder(folder)[name].record_training(dataclasses.asdict(settings[name]))

    def run_program(self, *arguments):
        chosen = ("--model=grayscale", "--preset=tiny", f"--out={self.out}", "--minutes=1")
        return helpers.run_program(short_runs, *chosen, *arguments)

    def trained(self):
        """The settings of the last way that was trained."""
        return self.train.call_args.args[1]["image"]

    def test_ways_are_refused_before_any_is_trained(self):
        for way, message in (
            ("block=2", r"a way that changes arguments .*'block=2' \(.*'block'"),
            ("epochs=2", "leaves epochs, .*Received: 'epochs=2'. Take epochs out"),
            ("batch_size=0", "batch_size from 1"),
            ("batch_size=8 batch_size=4", "each name once .*'batch_size=8 batch_size=4'"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                self.run_program("", way)
        self.train.assert_not_called()
        self.assertFalse(self.out.exists())

    def test_ways_have_the_steps_that_there_is_time_for(self):
        """All are measured before any is trained; the flags of images reach the data set."""
        calls = mock.Mock()
        calls.attach_mock(self.seconds, "seconds")
        calls.attach_mock(self.train, "train")
        ways = ["", "batch_size=2 blocks=2"]
        self.assertIn(ways[1], self.run_program("--data_dir=a", *ways))
        self.assertEqual([name for name, *_ in calls.mock_calls], ["seconds", "train", "train"])
        self.assertEqual(list(self.seconds.call_args.args[0]), ways)
        trained = self.trained()
        steps = {"epochs": 5, "steps_per_epoch": 20, "mixed_precision": trained.mixed_precision}
        self.assertEqual(trained, dataclasses.replace(TRAINING, batch_size=2, **steps))
        self.assertEqual(self.load.call_args.kwargs["data_dir"], "a")

    def test_a_run_goes_on_as_it_was_begun(self):
        self.run_program("batch_size=2")
        begun = self.trained()
        self.a_step = 6.0
        self.run_program("batch_size=2")
        self.assertEqual(self.trained(), begun)
        self.train.reset_mock()
        with self.assertRaisesRegex(ValueError, "Received: minutes: 2.0 instead of 1.0"):
            self.run_program("--minutes=2", "", "blocks=2")
        self.train.assert_not_called()
