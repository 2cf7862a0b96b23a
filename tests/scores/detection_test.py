"""Tests of detection: areas by hand, and the coverage of intervals."""

from unittest import mock

import numpy as np
import tensorflow as tf

from pixelcnn_aux import scores
from pixelcnn_aux.scores import detection


class DetectionTest(tf.test.TestCase):
    def test_by_hand(self):
        # 95 of the 100 that belong are at most 94, as are 4 of the 10 others.
        others = [93.0, 94.0, 94.0, 2.0, 94.5, 95.0, 99.0, 99.0, 200.0, np.inf]
        found = scores.detect(np.random.default_rng(0).permutation(100), others)
        self.assertAllClose(found.false_positives, 0.4)
        found = scores.detect([0.0, 1.0], [2.0, 3.0, 4.0])
        self.assertEqual(found, (1.0, (1.0, 1.0), 0.0, (0.0, 0.0)))

    def test_agrees_with_all_pairs(self):
        random = np.random.default_rng(0)
        belonging, others = random.integers(0, 9, 50), random.integers(3, 12, 70)
        higher = np.mean(others[:, None] > belonging) + np.mean(others[:, None] == belonging) / 2
        found = scores.detect(belonging, others)
        self.assertAllClose(found.auroc, higher)
        self.assertAllClose(scores.detect(others, belonging).auroc, 1 - higher)
        low, high = found.auroc_interval
        self.assertTrue(low < found.auroc < high)
        self.assertEqual(scores.detect(belonging, others), found)
        self.assertNotEqual(scores.detect(belonging, others, seed=1), found)

    def test_coverage_of_intervals(self):
        """The AUROC of normal distributions one standard deviation apart is 0.760."""
        random, covered = np.random.default_rng(0), 0
        with mock.patch.object(detection, "RESAMPLES", 200):
            for seed in range(60):
                sets = random.normal(size=50), random.normal(1.0, size=50)
                low, high = scores.detect(*sets, seed).auroc_interval
                covered += low <= 0.7602 <= high
        self.assertBetween(covered, 51, 60)

    def test_wrong_scores_are_refused(self):
        for wrong in ([], [np.nan, 1.0], [[1.0]]):
            with self.assertRaisesRegex(ValueError, "Expected scores of others .*Received.*Score"):
                scores.detect([1.0], wrong)
