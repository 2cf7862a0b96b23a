"""Tests of the race: the comparison of learning curves."""

from benchmarks import race
from tests import helpers


class RaceTest(helpers.TestCase):
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
