"""How well a score separates two sets of images, with confidence intervals."""

import sys
from typing import NamedTuple

import numpy as np

from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.arguments import ArrayLike
from pixelcnn_aux.base.errors import expect

ACCEPTED = 0.95  # share of belonging images that the threshold for false positives accepts
INTERVAL = 0.95  # coverage of bootstrap intervals
RESAMPLES = 1000


class Detection(NamedTuple):
    """How well a score separates other images from images that belong.

    Intervals are percentiles of bootstrap resamples of both sets (Efron, 1979): (low, high).
    """

    auroc: float  # area under the ROC curve: 1 if all others score higher, 0.5 by chance
    auroc_interval: tuple[float, float]
    # Share of others below the threshold that accepts 95 % of the images that belong.
    false_positives: float
    false_positives_interval: tuple[float, float]


def detect(belonging: ArrayLike, others: ArrayLike, seed: int = 0) -> Detection:
    """`Detection` by a score that should be higher for `others`. Ties count half.

    Args:
      belonging, others: float [N] and [M], scores.
      seed: int, 0 or more, of the resamples.

    Raises ValueError for empty sets, and scores that are NaN.
    """
    sets = []
    for name, values in (("belonging", belonging), ("others", others)):
        scores = np.asarray(values, np.float64)
        fits = scores.ndim == 1 and len(scores) and not np.isnan(scores).any()
        expected = f"scores of {name} as float [N], at least one number"
        received = f"{arguments.short_repr(scores)}, of shape {list(scores.shape)}"
        expect(fits, expected, received, "Score images, and leave out those without a score")
        sets.append(scores)
    # Only the order of scores matters.
    unique, indices = np.unique(np.concatenate(sets), return_inverse=True)
    ranks = np.split(indices, [len(sets[0])])

    def areas(ranks):
        """AUROC and false positives."""
        belonging, others = (np.bincount(x, minlength=len(unique)) for x in ranks)
        until, other_until = np.cumsum(belonging), np.cumsum(others)
        below = until - belonging / 2
        threshold = np.searchsorted(until, ACCEPTED * until[-1])
        area = others @ below / (until[-1] * other_until[-1])
        return float(area), float(other_until[threshold] / other_until[-1])

    random = np.random.default_rng(arguments.whole("seed", seed, 0, sys.maxsize))
    resampled = [areas([random.choice(x, len(x)) for x in ranks]) for _ in range(RESAMPLES)]
    ends = np.quantile(resampled, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], axis=0)
    (low, low_share), (high, high_share) = ends.tolist()
    area, share = areas(ranks)
    return Detection(area, (low, high), share, (low_share, high_share))
