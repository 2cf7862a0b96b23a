"""Tests of the benchmark of short runs: what it refuses, and that nothing that it is told is dropped."""

import dataclasses
from unittest import mock

import tensorflow as tf

import pixelcnn_aux as pa
from benchmarks import common, short_runs, timed_runs, timing
from pixelcnn_aux import data
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.training import metrics, presets
from tests import helpers

TRAINING = pa.Training(epochs=1, steps_per_epoch=2, batch_size=4, learning_rate=1e-3, decay=0.99)
ROW = {"step": 10, "images": 40, "images_per_s": 4.0, "val_bits_per_dim": 3.0}


def preset(constructor, factors):
    training = dict.fromkeys(factors, TRAINING)
    return presets.Preset(dataset="photos", constructor=constructor, model={}, training=training)


class StepTest(tf.test.TestCase):
    def test_images_are_of_the_size_that_is_trained_on(self):
        model = helpers.shared_model()
        for crop, size in ((None, helpers.SIZE), (2, (2, 2))):
            training = dataclasses.replace(TRAINING, crop=crop)
            with mock.patch.object(common, "training_step", return_value=lambda images: images):
                images = timed_runs.step(model, "image", training)()
            self.assertEqual(images.shape, (4, *size, 3))


class ShortRunsTest(tf.test.TestCase):
    """Nothing is trained."""

    def setUp(self):
        super().setUp()
        self.out = helpers.temporary_folder(self) / "out"
        tiny = preset(helpers.tiny_model, ["grayscale", "image"])
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

    def record(self, model, settings, images, validation, folder, names):
        RunFolder(folder)[names[0]].record_training(dataclasses.asdict(settings[names[0]]))

    def run_program(self, *arguments):
        chosen = ("--model=grayscale", "--preset=tiny", f"--out={self.out}")
        return helpers.run_program(short_runs, *chosen, *arguments)

    def trained(self):
        """The settings of the last way that was trained."""
        return self.train.call_args.args[1]["image"]

    def test_what_is_wrong_in_a_way_is_found_before_any_is_trained(self):
        for way, message in (
            ("block=2", r"a way that changes arguments .*'block=2' \(.*'block'"),
            ("epochs=2", "leaves epochs, .*Received: 'epochs=2'. Take epochs out"),
            ("blocks=2 epochs=1 mixed_precision=True", "Take epochs, mixed_precision out"),
            ("steps_per_epoch=9", "Take steps_per_epoch out"),
            ("batch_size=0", "batch_size from 1"),
            ("accumulate=3", "a batch_size that is a multiple of 3"),
            ("blocks", "Write NAME=VALUE"),
            ("batch_size=8 batch_size=4", "each name once .*'batch_size=8 batch_size=4'"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                self.run_program("", way)
        self.train.assert_not_called()
        self.assertFalse(self.out.exists())

    def test_ways_of_other_factors(self):
        def scales(image_size=(4, 4)):
            networks = {"filters": 2, "blocks": 1, "embedding_blocks": 1}
            return pa.pyramid(image_size, (2, 2), depth=1, num_components=1, **networks)

        presets.GRAYSCALE["tiny"] = preset(scales, ["2x2", "4x4", "8x8"])
        with self.assertRaisesRegex(ValueError, "last factor is the same. Received: 4x4, 8x8. Ch"):
            self.run_program("", "image_size=(8,8)")
        with self.assertRaisesRegex(ValueError, "Received: '4x4'"):
            self.run_program("--factor=4x4", "image_size=(2,2)")
        self.train.assert_not_called()
        self.assertFalse(self.out.exists())

    def test_ways_have_the_steps_that_there_is_time_for(self):
        output = self.run_program("--minutes=1", "", "batch_size=2 blocks=2")
        trained = self.trained()
        steps = {"epochs": 5, "steps_per_epoch": 20, "mixed_precision": trained.mixed_precision}
        self.assertEqual(trained, dataclasses.replace(TRAINING, batch_size=2, **steps))
        self.assertIn("batch_size=2 blocks=2", output)

    def test_all_are_measured_before_any_is_trained(self):
        calls = mock.Mock()
        calls.attach_mock(self.seconds, "seconds")
        calls.attach_mock(self.train, "train")
        self.run_program("--minutes=1", "", "blocks=2")
        names = [name for name, *_ in calls.mock_calls]
        self.assertEqual(names, ["seconds", "train", "train"])
        self.assertEqual(list(self.seconds.call_args.args[0]), ["", "blocks=2"])

    def test_a_run_goes_on_as_it_was_begun(self):
        self.run_program("--minutes=1", "batch_size=2")
        begun = self.trained()
        self.a_step = 6.0
        self.run_program("--minutes=1", "batch_size=2")
        self.assertEqual(self.trained(), begun)
        changed = dict.fromkeys(["image"], dataclasses.replace(TRAINING, learning_rate=0.5))
        with mock.patch.dict(presets.GRAYSCALE["tiny"].training, changed):
            with self.assertRaisesRegex(ValueError, "learning_rate: 0.5 instead of 0.001"):
                self.run_program("--minutes=1", "batch_size=2")

    def test_other_flags_than_a_run_was_begun_with(self):
        self.run_program("--minutes=1", "")
        self.train.reset_mock()
        for flag, message in (
            ("--minutes=2", "out were begun with. Received: minutes: 2.0 instead of 1.0"),
            ("--factor=grayscale", "Received: .*factor: .grayscale. instead of .image."),
        ):
            with self.assertRaisesRegex(ValueError, message):
                self.run_program("--minutes=1", flag, "", "blocks=2")
        self.train.assert_not_called()

    def test_where_images_are(self):
        self.run_program("--data_dir=a", "--image_dir=b", "--cache_dir=c", "")
        for call in self.load.call_args_list:
            places = {"data_dir": "a", "image_dir": "b", "cache_dir": "c"}
            self.assertEqual(call.kwargs, {**places, "image_file": None, "labels": None})
