"""Particle filters: draws of images given known pixels, weighted by the later ones of these.

Each pixel is drawn given earlier pixels. Several images of each request, its particles, are drawn side by
side. Where a value is known, or known to lie in an interval, the weight of a particle is multiplied by its
probability given the particle's earlier pixels. Copies of heavy particles replace light ones, and the result
is one particle. The more particles, the closer it is to a draw given all known pixels.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from pixelcnn_aux import batches
from pixelcnn_aux.base import arrays
from pixelcnn_aux.sampling import philox
from pixelcnn_aux.scanning.requests import DrawRequest

MAX_PARTICLES = 1024  # of a request
_LEAST = -1e30  # the log-weight of impossible particles


def weighed(draw: Callable[..., Any], count: int, request: DrawRequest, *rows: Any) -> Any:
    """Calls `draw` with `count` particles of a request and other rows [B, ...]; returns one of each."""
    particles = Particles(request.seeds, count)
    rows = batches.by_leaf(particles.each, (request._replace(particles=particles), *rows))
    drawn = draw(*rows)
    index = particles.drawn()
    return arrays.mapped(lambda x: x[index], drawn)


class Particles:
    """`count` weighted images of each of B requests: rows of arrays [B * count, ...], request by request.

    A scan calls `weigh` after each decision, and then `resample` if they `are_few`.
    """

    def __init__(self, seeds: np.ndarray, count: int):
        self._seeds, self._count = seeds, count
        self._log_weights = np.zeros((len(seeds), count))
        self._draws = np.zeros(len(seeds), np.int64)  # of random numbers, so far
        self.images: list[np.ndarray] = []  # the particles' images of earlier factors

    def each(self, x: np.ndarray) -> np.ndarray:
        """Rows [B, ...] of requests as rows of particles: [B * count, ...]."""
        return np.repeat(x, self._count, axis=0)

    def streams(self, stream: int) -> np.ndarray:
        """The stream of noise of each particle, int64 [B * count]: `stream` for the first ones."""
        return stream + np.tile(np.arange(self._count, dtype=np.int64) << 32, len(self._seeds))

    def weigh(self, nats: np.ndarray) -> None:
        """Adds log-probabilities [B * count] to the log-weights."""
        total = self._log_weights + nats.reshape(self._log_weights.shape)
        self._log_weights = np.maximum(total, _LEAST)

    def effective(self) -> np.ndarray:
        """Effective sample sizes: float [B], from 1 to `count`."""
        weights = self._weights()
        return 1 / np.square(weights).sum(axis=1)

    def are_few(self) -> bool:
        """Whether the effective sample size of some request is less than half."""
        return bool(self._is_depleted().any())

    def resample(self, state: list[np.ndarray]) -> None:
        """Resamples the particles of requests with a low effective sample size by their weights.

        `state` are the arrays [B * count, ...] with the complete state of each image, changed in place.
        Copies replace rows that are not drawn; all other rows stay in their places.
        """
        is_depleted = self._is_depleted()
        # Systematic resampling: equidistant points on the concatenation of all weights.
        ends = np.cumsum(self._weights(), axis=1) * self._count
        points = np.ceil(ends - self._uniforms(is_depleted)).clip(0, self._count)
        points[:, -1] = self._count  # despite rounding errors
        counts = np.where(is_depleted[:, np.newaxis], np.diff(points, prepend=0), 1)
        counts = counts.astype(int).ravel()
        copies = np.repeat(np.arange(counts.size), np.maximum(counts - 1, 0))
        for x in (*state, *self.images):
            x[counts == 0] = x[copies]
        self._log_weights[is_depleted] = 0

    def drawn(self) -> np.ndarray:
        """The row of one particle of each request, drawn by the weights: int [B]."""
        ends, requests = np.cumsum(self._weights(), axis=1), np.arange(len(self._seeds))
        index = (ends < self._uniforms(requests >= 0)).sum(axis=1)
        return requests * self._count + np.minimum(index, self._count - 1)

    def _is_depleted(self):
        return 2 * self.effective() < self._count

    def _weights(self):
        weights = np.exp(self._log_weights - self._log_weights.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    def _uniforms(self, is_used):
        """A number in [0, 1) for each request: the next one of its seed where it is used."""
        self._draws += is_used
        return philox.uniforms(self._seeds, -self._draws, (1, 1, 1), "float64")[:, 0, 0]
