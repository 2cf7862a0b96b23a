"""Tests of the race: what each contestant is given, what is said of them, and that TFP's training goes on."""

import dataclasses
import shutil
from unittest import mock

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from benchmarks import race, tfp_training, timed_runs, timing
from pixelcnn_aux import data
from pixelcnn_aux.runs import disk
from pixelcnn_aux.training import metrics, presets
from tests import helpers

TRAINING = pa.Training(epochs=1, steps_per_epoch=10, batch_size=4, learning_rate=1e-3)


class FakeRun:
    """A contestant of two factors, the second one with twice the steps, with some bits once it is trained."""

    network, parameters = {"filters": 4}, {"8x8": 10, "16x16": 20}
    training = {"8x8": TRAINING, "16x16": dataclasses.replace(TRAINING, epochs=2)}

    def __init__(self, bits):
        self.bits_once_trained, self.trained = bits, None

    def step(self, name):
        return lambda: 0

    def train(self, training, images, validation):
        self.trained = training

    def bits(self):
        return self.bits_once_trained if self.trained else []


class RaceTest(tf.test.TestCase):
    """Nothing is trained."""

    def setUp(self):
        super().setUp()
        self.out = helpers.temporary_folder(self) / "out"
        falling = np.linspace(1, 0, race.POINTS)
        ends = {"tfp": 5.0, "openai": 4.0, "pixelcnn": 3.5, "grayscale": 4.0, "pyramid": 4.5}
        ends["parallel"] = 4.2
        self.runs = {name: FakeRun(list(end + falling)) for name, end in ends.items()}
        self.seconds = mock.Mock(side_effect=self.measure)
        for module, name, new in (
            (race, "contestants", mock.Mock(return_value=self.runs)),
            (data, "load", mock.Mock(return_value=helpers.images(3))),
            (timing, "seconds_in_turn", self.seconds),
        ):
            self.enterContext(mock.patch.object(module, name, new))

    def measure(self, functions, rounds):
        """A step takes 0.1 s, and one of the factors 16x16 a second."""
        some = timed_runs.TIMED * 0.1
        return {run: rounds * [(1 + 9 * ("16x16" in run)) * some] for run in functions}

    def run_program(self, *arguments):
        return helpers.run_program(race, f"--out={self.out}", *arguments)

    def test_factors_share_the_minutes_as_in_the_preset(self):
        self.run_program("--minutes=10.5", "pyramid")
        trained = self.runs["pyramid"].trained
        # 10 steps of 0.1 s and 20 of a second were 21 s, of which there are 30 times as many.
        for name, steps in (("8x8", 10), ("16x16", 20)):
            expected = dataclasses.replace(TRAINING, epochs=race.POINTS, steps_per_epoch=steps)
            self.assertEqual(trained[name], expected)

    def test_pieces(self):
        """All are measured before the first one is trained, once; the table has those that are done."""
        output = self.run_program("--minutes=15", "tfp", "pixelcnn")
        [call] = self.seconds.mock_calls
        self.assertLen(call.args[0], 2 * len(race.TITLES))
        self.assertIn("     15             5.0000             3.5000\n", output)
        self.assertNotIn("ratio", output)
        self.assertIsNone(self.runs["openai"].trained)
        output = self.run_program("--minutes=15")
        [_, second] = self.seconds.mock_calls
        self.assertEmpty(second.args[0])
        for line in (
            "same bits, 4.0000, the others' fewest at the end",
            "PixelCNN++         1.94 (7.75 minutes); ahead of both from minute 0.5 on",
            "Grayscale PixelCNN 1.00 (15 minutes)\n",
            "Pyramid PixelCNN   not reached\n",
        ):
            self.assertIn(line, output)
        self.assertTrue((self.out / "race.png").exists())

    def test_other_settings_than_the_race_was_begun_with(self):
        self.run_program("tfp")
        self.runs["pyramid"].training = {"8x8": dataclasses.replace(TRAINING, batch_size=8)}
        with self.assertRaisesRegex(ValueError, "pyramid.training.8x8.batch_size: 8 instead of 4"):
            self.run_program("tfp")
        with self.assertRaisesRegex(ValueError, "'tfp', 'openai', .*Received: .*theano"):
            self.run_program("theano")

    def test_minutes_to_the_same_bits(self):
        for bits, target, points in (
            ([5.0, 4.0, 3.0], 3.25, 2.75),
            ([5.0, 4.0, 3.0], 4.0, 2.0),
            ([5.0, 3.0, 4.0], 3.5, 1.75),
            ([5.0, 4.0, 3.0], 5.5, 1.0),
            ([5.0, 4.0, 3.0], 2.9, None),
        ):
            self.assertEqual(race.points_to(bits, target), points)

    def test_ahead(self):
        for bits, others, first in (
            ([3.0, 3.0], ([4.0, 4.0], [5.0, 5.0]), 1),
            ([3.0, 2.0], ([4.0, 4.0], [3.0, 5.0]), 2),
            ([3.0, 4.0], ([4.0, 4.0], [5.0, 5.0]), None),
        ):
            self.assertEqual(race.ahead_from(bits, others), first)


class ContestantsTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self)

    def test_bits_are_of_the_full_image(self):
        """Of the three channels of an image a gray is one; an epoch counts once all factors have it."""
        training = dict.fromkeys(["grayscale", "image"], TRAINING)
        preset = presets.Preset(
            dataset="photos", constructor=helpers.shared_model, model={}, training=training
        )
        tables = {"grayscale": [3.0, 1.5], "image": [4.0, 3.5, 3.0]}

        def read(file):
            return [{"val_bits_per_dim": bits} for bits in tables[file.parent.name]]

        with mock.patch.object(metrics, "read", side_effect=read):
            self.assertAllClose(race.ChainRun(preset, self.folder).bits(), [5.0, 4.0])

    def test_openais_recipe_is_for_our_network(self):
        small, other = presets.find("pixelcnn", "small"), race.openai()
        self.assertEqual(other.model, {**small.model, "dropout": 0.5})
        self.assertEqual(other.training["image"].decay, 0.999995)

    def test_tfps_training_goes_on(self):
        """With the same images, weights and optimizer; what was not saved yet is evaluated again."""
        network = {**tfp_training.NETWORK, "num_hierarchies": 1, "num_filters": 2}
        network |= {"num_logistic_mix": 1, "dropout_p": 0.0}
        self.enterContext(mock.patch.object(tfp_training, "NETWORK", network))
        images, validation = helpers.images(6), helpers.images(3, seed=1)

        def train(run, epochs):
            settings = dataclasses.replace(TRAINING, epochs=epochs, steps_per_epoch=2)
            with helpers.eagerly():
                run.train({"image": settings}, images, validation)
            return run.bits()

        here, copy = (self.folder / name for name in ("here", "copy"))
        run = tfp_training.TFPRun(here, helpers.SIZE)
        [first] = train(run, 1)
        shutil.copytree(here, copy)
        disk.write_json(copy / "bits.json", [first, 9.0])
        both = train(run, 2)
        self.assertEqual(both[0], first)
        self.assertLess(both[1], first)
        self.assertAllClose(train(tfp_training.TFPRun(copy, helpers.SIZE), 2), both, rtol=1e-6)
