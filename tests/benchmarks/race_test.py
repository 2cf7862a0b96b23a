"""Tests of the race: the steps of each contestant, the comparison, and that TFP's training goes on."""

import dataclasses
from unittest import mock

import numpy as np

import pixelcnn_aux as pa
from benchmarks import race, timed_runs, timing
from pixelcnn_aux import data
from tests import helpers

TRAINING = pa.Training(epochs=1, steps_per_epoch=10, batch_size=4, learning_rate=1e-3)


class FakeRun:
    """A contestant of two factors, the second one with twice the steps, with some bits once it is trained."""

    network, parameters = {"filters": 4}, {"8x8": 10, "16x16": 20}
    training = {"8x8": TRAINING, "16x16": dataclasses.replace(TRAINING, epochs=2)}

    def __init__(self, end):
        self.curve, self.trained = list(end + np.linspace(1, 0, race.POINTS)), None

    def step(self, name):
        return lambda: 0

    def train(self, training, images, validation):
        self.trained = training

    def bits(self):
        return self.curve if self.trained else []


def seconds_in_turn(functions, rounds):
    """A step takes 0.1 s, and one of the factors 16x16 a second."""
    some = timed_runs.TIMED * 0.1
    return {run: rounds * [(1 + 9 * ("16x16" in run)) * some] for run in functions}


class RaceTest(helpers.TestCase):
    def test_a_race_in_pieces(self):
        """All are measured before the first is trained, once; the table has those that are done."""
        out = helpers.temporary_folder(self) / "out"
        ends = dict(tfp=5.0, openai=4.0, pixelcnn=3.5, grayscale=4.0, pyramid=4.5, parallel=4.2)
        runs = {name: FakeRun(end) for name, end in ends.items()}
        seconds = mock.Mock(side_effect=seconds_in_turn)
        for module, name, new in (
            (race, "contestants", mock.Mock(return_value=runs)),
            (data, "load", mock.Mock(return_value=helpers.images(3))),
            (timing, "seconds_in_turn", seconds),
        ):
            self.enterContext(mock.patch.object(module, name, new))

        def run_program(*arguments):
            return helpers.run_program(race, f"--out={out}", "--minutes=15.75", *arguments)

        output = run_program("tfp", "pyramid")
        # 10 steps of 0.1 s and 20 of a second take 21 s: there are 45 times as many, in 30 epochs.
        for name, steps in (("8x8", 15), ("16x16", 30)):
            expected = dataclasses.replace(TRAINING, epochs=race.POINTS, steps_per_epoch=steps)
            self.assertEqual(runs["pyramid"].trained[name], expected)
        self.assertIn("   15.8             5.0000             4.5000\n", output)
        self.assertIsNone(runs["openai"].trained)
        output = run_program()
        self.assertEqual([len(call.args[0]) for call in seconds.mock_calls], [12, 0])
        line = "PixelCNN++         1.94 (8.14 minutes); ahead of both from minute 0.525 on"
        self.assertIn(line, output)
        runs["pyramid"].training = {"8x8": dataclasses.replace(TRAINING, batch_size=8)}
        with self.assertRaisesRegex(ValueError, "training.8x8.batch_size: 8 instead of 4"):
            run_program("tfp")

    def test_comparisons_of_curves(self):
        for bits, target, points in (
            ([5.0, 4.0, 3.0], 3.25, 2.75),
            ([5.0, 3.0, 4.0], 3.5, 1.75),
            ([5.0, 4.0, 3.0], 5.5, 1.0),
            ([5.0, 4.0, 3.0], 2.9, None),
        ):
            self.assertEqual(race.points_to(bits, target), points)
        for bits, others, first in (
            ([3.0, 3.0], ([4.0, 4.0], [5.0, 5.0]), 1),
            ([3.0, 2.0], ([4.0, 4.0], [3.0, 5.0]), 2),
            ([3.0, 4.0], ([4.0, 4.0], [5.0, 5.0]), None),
        ):
            self.assertEqual(race.ahead_from(bits, others), first)
