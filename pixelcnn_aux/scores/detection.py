"""How well a score tells two sets apart, and how sure that is of so many images."""

import sys
from typing import NamedTuple

import numpy as np

from pixelcnn_aux import arguments
from pixelcnn_aux.arguments import ArrayLike

ACCEPTED = (
    0.95  # the share of what belongs that a detector accepts whose false positives are counted
)
INTERVAL = 0.95  # that which a bootstrap interval covers
RESAMPLES = 1000


class Detection(NamedTuple):
    """How well a score tells images that do not belong from those that do.

    Intervals are percentiles of bootstrap resamples of both sets (Efron, 1979): (low, high).
    """

    auroc: float  # the area under the ROC curve: 1 where all others score higher, .5 by chance
    auroc_interval: tuple[float, float]
    # The share of others that a threshold accepts which accepts 95 % of those that belong.
    false_positives: float
    false_positives_interval: tuple[float, float]


def detect(belonging: ArrayLike, others: ArrayLike, seed: int = 0) -> Detection:
    """`Detection` of a score that is to be higher for others. Ties count half.

    Args:
      belonging, others: float [N] and [M], scores.
      seed: int, 0 or more, of the resamples.

    Raises ValueError for scores of no images, or that are NaN.
    """
    sets = [_checked(name, x) for name, x in (("belonging", belonging), ("others", others))]
    # Scores only count by their order.
    values, places = np.unique(np.concatenate(sets), return_inverse=True)
    ranks = np.split(places, [len(sets[0])])

    def found(ranks):
        return _areas(*(np.bincount(x, minlength=len(values)) for x in ranks))

    random = np.random.default_rng(arguments.whole("seed", seed, 0, sys.maxsize))
    resampled = [found([random.choice(x, len(x)) for x in ranks]) for _ in range(RESAMPLES)]
    areas, accepted = map(_interval, zip(*resampled))
    area, share = found(ranks)
    return Detection(area, areas, share, accepted)


def _interval(resampled):
    low, high = np.quantile(resampled, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    return float(low), float(high)


def _areas(belonging, others):
    """The AUROC and the false positives, of how many of each set have each value, in ascending order."""
    until, other_until = np.cumsum(belonging), np.cumsum(others)
    below = until - belonging / 2
    threshold = np.searchsorted(until, ACCEPTED * until[-1])
    area = others @ below / (until[-1] * other_until[-1])
    return float(area), float(other_until[threshold] / other_until[-1])


def _checked(name, scores):
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1 or not len(scores) or np.isnan(scores).any():
        raise ValueError(
            f"Expected scores of {name} as float [N], one number at least for each of them. Received: "
            f"{arguments.short_repr(scores)}, of shape {list(scores.shape)}. Score images, and leave out "
            "those without a score."
        )
    return scores
