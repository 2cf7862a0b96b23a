"""Particle filters: images of which pixels are known, weighed by what the later ones of those say.

Pixels are drawn given those before them. Several images of each request, its particles, are drawn side by
side. Wherever values are known, or known to lie in an interval, a particle's weight is multiplied by their
probability given what it has drawn. Particles of little weight make room for copies of others, and one of
them is taken in the end. The more there are, the closer it is to a draw given all that is known.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from pixelcnn_aux import batches
from pixelcnn_aux.base import arrays
from pixelcnn_aux.base.inputs import DrawRequest
from pixelcnn_aux.sampling import philox

MAX_PARTICLES = 1024  # of a request
_LEAST = -1e30  # the log-weight of what is impossible


def weighed(draw: Callable[..., Any], count: int, request: DrawRequest, *rows: Any) -> Any:
    """A function of a request and other rows [B, ...], such as of images: its rows of a particle of each."""
    particles = Particles(request.seeds, count)
    rows = batches.by_leaf(particles.each, (request._replace(particles=particles), *rows))
    drawn = draw(*rows)
    index = particles.drawn()
    return arrays.mapped(lambda x: x[index], drawn)


class Particles:
    """`count` weighted images of each of B requests: rows of arrays [B * count, ...], request by request.

    A scan calls `weigh` after values are decided; and where then `are_few`, `resample`.
    """

    def __init__(self, seeds: np.ndarray, count: int):
        self._seeds, self._count = seeds, count
        self._log_weights = np.zeros((len(seeds), count))
        self._turns = np.zeros(len(seeds), np.int64)  # how often random numbers were drawn
        self.images: list[np.ndarray] = []  # those of factors before, which belong to the particles

    def each(self, x: np.ndarray) -> np.ndarray:
        """The rows [B, ...] of requests, of each particle: [B * count, ...]."""
        return np.repeat(x, self._count, axis=0)

    def streams(self, stream: int) -> np.ndarray:
        """The stream of noise of each particle, int64 [B * count]: the first one's is `stream`."""
        return stream + np.tile(np.arange(self._count, dtype=np.int64) << 32, len(self._seeds))

    def weigh(self, nats: np.ndarray) -> None:
        """Adds log-probabilities [B * count] to those of the particles."""
        total = self._log_weights + nats.reshape(self._log_weights.shape)
        self._log_weights = np.maximum(total, _LEAST)

    def effective(self) -> np.ndarray:
        """How many particles of equal weight would vary as little: float [B], from 1 to `count`."""
        weights = self._weights()
        return 1 / np.square(weights).sum(axis=1)

    def are_few(self) -> bool:
        """Whether some request has fewer effective particles than half of them."""
        return bool((2 * self.effective() < self._count).any())

    def resample(self, state: list[np.ndarray]) -> None:
        """Draws the particles of requests that have few anew by their weights, which become equal.

        `state` are arrays [B * count, ...] that hold all about each image, and are changed: what is drawn
        more than once replaces what is not drawn, and all else stays where it is.
        """
        which = 2 * self.effective() < self._count
        # Systematic resampling: weights are laid side by side, and meet points at equal distances.
        ends = np.cumsum(self._weights(), axis=1) * self._count
        points = np.ceil(ends - self._uniforms(which)).clip(0, self._count)
        points[:, -1] = self._count  # whatever rounding errors add up to
        counts = np.where(which[:, np.newaxis], np.diff(points, prepend=0), 1).astype(int).ravel()
        copies = np.repeat(np.arange(counts.size), np.maximum(counts - 1, 0))
        for x in (*state, *self.images):
            x[counts == 0] = x[copies]
        self._log_weights[which] = 0

    def drawn(self) -> np.ndarray:
        """The row of a particle of each request, drawn by the weights: int [B]."""
        ends, every = np.cumsum(self._weights(), axis=1), np.arange(len(self._seeds))
        found = (ends < self._uniforms(every >= 0)).sum(axis=1)
        return every * self._count + np.minimum(found, self._count - 1)

    def _weights(self):
        weights = np.exp(self._log_weights - self._log_weights.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    def _uniforms(self, which):
        """A number for each request, in [0, 1): the next one of its seed where it is asked for."""
        self._turns += which
        return philox.uniforms(self._seeds, -self._turns, (1, 1, 1), "float64")[:, 0, 0]
