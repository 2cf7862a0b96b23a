"""Tests of the race's planned steps and curves, without training."""

from unittest import mock

import pixelcnn_aux as pa
from benchmarks import race, tools
from pixelcnn_aux.training import presets
from tests import helpers

TRAINING = pa.Training(epochs=1, steps_per_epoch=2, batch_size=4, learning_rate=1e-3, decay=0.99)


class PlanTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        training = {"grayscale": TRAINING, "image": TRAINING}
        tiny = presets.Preset(
            dataset="photos", constructor=helpers.tiny_model, model={}, training=training
        )
        self.runs = {"tiny": race.ChainRun(tiny, self.folder / "tiny")}
        self.seconds = self.enterContext(mock.patch.object(tools, "medians_in_turn"))
        self.seconds.return_value = {"tiny/grayscale": 0.1, "tiny/image": 0.3}

    def plan(self, minutes):
        with mock.patch.object(race, "FLAGS", mock.Mock(minutes=minutes)):
            return race.plan(self.runs, self.folder / "seconds.json")["tiny"]

    def test_factors_share_the_minutes_as_their_preset_does(self):
        for name, training in self.plan(2.0).items():
            self.assertEqual(list(self.seconds.call_args.args[0]), list(self.seconds.return_value))
            self.assertEqual((training.epochs, training.steps_per_epoch), (race.POINTS, 10))
            self.assertEqual(training.batch_size, 4)
            self.assertEqual(self.runs["tiny"].training[name].steps, 2)

    def test_a_race_goes_on_as_it_was_begun(self):
        begun = self.plan(2.0)
        self.seconds.return_value = {"tiny/grayscale": 1.0, "tiny/image": 3.0}
        self.assertEqual(self.plan(2.0), begun)
        with self.assertRaisesRegex(ValueError, "Expected --minutes 2, .* Received: 3.0"):
            self.plan(3.0)


class CurvesTest(helpers.TestCase):
    def test_points_to_bits(self):
        for bits, target, points in (
            ([5.0, 4.0, 3.0], 3.25, 2.75),
            ([5.0, 3.0, 4.0], 3.5, 1.75),
            ([5.0, 4.0, 3.0], 5.5, 1.0),
            ([5.0, 4.0, 3.0], 2.9, None),
        ):
            self.assertEqual(race.points_to(bits, target), points)
