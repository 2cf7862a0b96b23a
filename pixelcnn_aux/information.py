"""Mutual information of measurements and measured objects: an upper bound, in bits.

    pa.information.estimate(model, counts, pa.information.Poisson()).information.per_pixel

With X the object and Y its measurement, I(X; Y) = H(Y) - H(Y | X). The model's cross-entropy bounds the first
term from above; noise that is independent at each pixel determines the second one.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.arguments import ArrayLike
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.scores.detection import INTERVAL, RESAMPLES

if TYPE_CHECKING:
    from pixelcnn_aux.model import AuxiliaryModel

SMALLEST_SIGMA = 0.1  # in steps of values: rounding hides smaller noise
_REACH = 10  # standard deviations, beyond which noise is neglected
_TOLERANCE = 3e-4  # bits, the error of entropies interpolated between means
_MOST_SATURATED = 1e-3  # share of saturated, or too dark, values without clean means
# Weights in the least squares of `_unbiased`: of the distance from the entropy at the mean y, for low
# variance, and of means with overestimated entropies relative to others.
_RIDGE, _TOO_LARGE = 0.03, 1e4


@dataclasses.dataclass(frozen=True)
class Noise:
    """Noise that is independent at each pixel: `Poisson()`, `Gaussian(...)`, or `Poisson() + Gaussian(...)`.

    A measurement is y = clip(round(gain * n + offset + sigma * z), 0, num_values - 1), with normal z, and n
    from a Poisson distribution of mean x, or x itself.
    """

    counts: bool  # whether n is drawn
    sigma: float = 0.0
    gain: float = 1.0
    offset: float = 0.0

    def __add__(self, other: "Noise") -> "Noise":
        kinds = [(x.counts, x.sigma > 0) for x in (self, other) if isinstance(x, Noise)]
        fits = sorted(kinds) == [(False, True), (True, False)]
        remedy = "Give Poisson() + Gaussian(sigma, gain, offset)"
        expect(fits, "Poisson and Gaussian noise, one of each", f"{self} + {other}", remedy)
        return dataclasses.replace(other if self.counts else self, counts=True)

    def _checked(self, name, means):
        """Means as float64: finite, and nonnegative for counts."""
        means = np.asarray(arguments.array(name, means), np.float64)
        fits = np.isfinite(means).all() and (not self.counts or means.min(initial=0) >= 0)
        expected = f"{name} as finite numbers{', 0 or more, of counts' * self.counts}"
        remedy = "Give them in the units before the gain"
        expect(fits, expected, arguments.short_repr(means), remedy)
        return means

    def _locations(self, means):
        return self.gain * means + self.offset

    def _means(self, values):
        return np.maximum((values - self.offset) / self.gain, 0.0 if self.counts else -np.inf)

    def _spreads(self, means):
        return np.sqrt(self.counts * self.gain**2 * means + self.sigma**2)

    def draw(self, means: ArrayLike, num_values: int, seed: int = 0) -> np.ndarray:
        """Measurements of clean means: uint8, or uint16 above 256 values, of the shape of `means`.

        Raises ValueError for means that are not finite, negative counts, fewer than two values, or a negative
        seed.
        """
        num_values = arguments.whole("num_values", num_values, 2, arguments.MAX_VALUES)
        random = np.random.default_rng(arguments.whole("seed", seed, 0, 2**63))
        drawn = self._checked("means", means)
        noisy = self._locations(random.poisson(drawn) if self.counts else drawn)
        noisy = np.rint(noisy + self.sigma * random.standard_normal(drawn.shape))
        return np.clip(noisy, 0, num_values - 1).astype(arguments.pixel_dtype(num_values))

    def _probabilities(self, means, num_values):
        """Yields probabilities, float64 [m, n], and clipped values, int [m, n], of chunks of sorted means."""
        # The Fourier transform of the characteristic function, which rounding multiplies by a step's and
        # aliases.
        while len(means):
            rows = max(1, int(2**15 / (2 * _REACH * self._spreads(means[0]) + 24)))
            x, means = means[:rows, np.newaxis], means[rows:]
            size = 2 ** math.ceil(math.log2(2 * _REACH * float(self._spreads(x[-1, 0])) + 24))
            first = np.rint(self._locations(x)).astype(int) - size // 2
            turns = math.ceil(9 / (2 * np.pi * self.sigma)) if self.sigma else 0
            total = np.zeros([len(x), size], np.complex128)
            for turn in range(-turns, turns + 1):
                t = 2 * np.pi * (np.fft.fftfreq(size) + turn)
                log = 1j * t * (self.offset - first) - (self.sigma * t) ** 2 / 2
                log += x * (np.exp(1j * self.gain * t) - 1 if self.counts else 1j * self.gain * t)
                total += np.exp(log) * (np.sinc(t / (2 * np.pi)) if self.sigma else 1.0)
            values = np.clip(first + np.arange(size), 0, num_values - 1)
            yield np.maximum(np.fft.fft(total).real / size, 0.0), values

    def entropies(self, means: np.ndarray, num_values: int) -> np.ndarray:
        """H(Y | x) in bits, float64 [M], for means x in ascending order."""
        chunks = [np.zeros(0)]
        for probs, values in self._probabilities(means, num_values):
            ends = values == 0, values == num_values - 1
            outer = [(probs * end).sum(axis=1, keepdims=True) for end in ends]
            probs = np.concatenate([np.where(ends[0] | ends[1], 0.0, probs), *outer], axis=1)
            chunks.append(-(probs * np.log2(np.maximum(probs, 1e-300))).sum(axis=1))
        return np.concatenate(chunks)

    def _curve(self, ends, num_values):
        """Means between two ends, and their entropies, dense enough for linear interpolation."""
        means = [float(ends[0])]
        while means[-1] < ends[1]:
            step = max(self._spreads(np.float64(means[-1])), SMALLEST_SIGMA) / self.gain
            means.append(min(means[-1] + step, float(ends[1])))
        x, left = np.array(means), np.arange(len(means) - 1)
        y = self.entropies(x, num_values)
        while len(left):  # halves these intervals
            middle = (x[left] + x[left + 1]) / 2
            entropies = self.entropies(middle, num_values)
            off = np.abs(entropies - (y[left] + y[left + 1]) / 2) > _TOLERANCE
            x, y = np.insert(x, left + 1, middle), np.insert(y, left + 1, entropies)
            left = (left + np.arange(len(left)))[off]
            left = np.sort(np.concatenate([left, left + 1]))
        return x, y


def Poisson() -> Noise:
    """Counting noise: a Poisson distribution whose mean is the clean value."""
    return Noise(counts=True)


def Gaussian(sigma: float, gain: float = 1.0, offset: float = 0.0) -> Noise:
    """Detector noise: round(gain * x + offset + sigma * z), with normal z, clipped to the range of values.

    All are floats in steps of the values, at most `arguments.MAX_VALUES`: `sigma` of at least
    `SMALLEST_SIGMA`, `gain` above 0 per unit of x, `offset` of 0 or more. Raises ValueError for others.
    """
    sigma = arguments.positive("sigma", sigma, arguments.MAX_VALUES)
    gain = arguments.positive("gain", gain, arguments.MAX_VALUES)
    expected, remedy = f"sigma of at least {SMALLEST_SIGMA}", "Leave out noise that rounding hides"
    expect(sigma >= SMALLEST_SIGMA, expected, sigma, remedy)
    return Noise(False, sigma, gain, arguments.rate("offset", offset, arguments.MAX_VALUES))


class Bits(NamedTuple):
    """A mean over images in bits, and its 95 % bootstrap intervals over images, (low, high)."""

    per_pixel: float  # of all its channels
    per_pixel_interval: tuple[float, float]
    per_image: float
    per_image_interval: tuple[float, float]


class Information(NamedTuple):
    """The result of `estimate`. Intervals are of the bounds, not of the true values below them."""

    information: Bits  # an upper bound on I(X; Y): the difference of the other two
    entropy: Bits  # an upper bound on H(Y): the model's cross-entropy
    # An estimate of H(Y | X); without clean means, its expectation is less by at most `noise_bias`.
    noise_entropy: Bits
    noise_bias: float  # bits per pixel


def estimate(
    model: "AuxiliaryModel",
    measurements: ArrayLike,
    noise: Noise | Callable[[np.ndarray, ArrayLike], ArrayLike],
    clean: ArrayLike | None = None,
    *,
    seed: int = 0,
) -> Information:
    """An upper bound on the mutual information I(X; Y) of measurements Y and their objects X, in bits.

    Without clean means, the noise entropy is the mean of a function of measured values whose expectation is
    at most the true entropy, for every possible mean; so the bound holds. Means are assumed to be within the
    range of values.

    Args:
      model: `AuxiliaryModel`, trained on other measurements of the same kind. Its cross-entropy on its own
        training images is no bound.
      measurements: uint8 or uint16 [N, H, W, C], N >= 2 independent images, as the model takes them.
      noise: `Poisson()`, `Gaussian(...)` or their sum; or a function (measurements, clean) -> float [N],
        log p(y | x) in nats, whose mean estimates H(Y | X).
      clean: float [N, H, W, C], the means x without noise: counts, or in the units that `gain` multiplies; in
        any form for a function. None if unknown.
      seed: int, 0 or more, of the resamples.

    Raises ValueError as `AuxiliaryModel.log_prob`; for fewer than two images, clean means of another shape or
    negative counts; without clean means, for measurements that are saturated or too dark for the offset; and
    for a function without clean means, or with results other than log-probabilities.
    """
    images = np.asarray(model.checked(measurements))
    expect(len(images) >= 2, "two images or more, to resample them", len(images), "Give more")
    random = np.random.default_rng(arguments.whole("seed", seed, 0, 2**63))
    bits, bias = _noise_bits(noise, images, clean, model.likelihood.num_values)
    own = -np.asarray(model.log_prob(images), np.float64) / math.log(2.0)
    columns = np.stack([own - bits, own, bits], axis=1)  # [N, 3], of each image
    picks = (random.integers(len(images), size=len(images)) for _ in range(RESAMPLES))
    means = np.array([columns.mean(axis=0), *(columns[pick].mean(axis=0) for pick in picks)])
    ends = np.quantile(means[1:], [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], axis=0)
    n = math.prod(images.shape[1:3])
    intervals = zip(means[0].tolist(), *ends.tolist())
    information, entropy, noise_entropy = (
        Bits(x / n, (a / n, b / n), x, (a, b)) for x, a, b in intervals
    )
    return Information(information, entropy, noise_entropy, bias)


def _noise_bits(noise, images, clean, num_values):
    """H(Y | X) of each image, or an estimate: float64 [N]; and the bias per pixel."""
    if not isinstance(noise, Noise):
        expected = "noise as pa.information.Poisson(), Gaussian(...), their sum, or a function"
        fits, received = callable(noise), arguments.short_repr(noise)
        expect(fits and noise not in (Poisson, Gaussian), expected, received, "Give one of these")
        expect(clean is not None, "clean means for a function of them", "none", "Give clean")
        nats = np.asarray(noise(images, clean), np.float64)
        fits, expected = nats.shape == (len(images),), f"log-probabilities of {len(images)} images"
        expect(fits, expected, arguments.short_repr(nats), "Sum over the pixels of an image")
        wrong, expected = ~(np.isfinite(nats) & (nats <= 0)), f"{expected}, finite and at most 0"
        received, remedy = f"{nats[wrong][:1]}", "Give nats, of probabilities and not of densities"
        expect(not wrong.any(), expected, received, remedy)
        return -nats / math.log(2.0), 0.0
    if clean is None:
        table, bias = _unbiased(noise, images, num_values)
        return table[images].sum(axis=(1, 2, 3)), bias * images.shape[3]
    means = noise._checked("clean means", clean)
    expected = f"clean means of the shape of the measurements, {list(images.shape)}"
    expect(means.shape == images.shape, expected, list(means.shape), "Give the mean of each value")
    ends = noise._means(np.array([0.0, num_values - 1.0]))  # beyond, all values are clipped
    means = means.clip(*(ends + 4 * _REACH * noise._spreads(ends) / noise.gain * [-1, 1]))
    curve = noise._curve((means.min(), means.max()), num_values)
    return np.interp(means, *curve).sum(axis=(1, 2, 3)), 0.0


def _unbiased(noise, images, num_values):
    """A table g of values with E[g(Y) | x] <= H(Y | x) at all possible means, and the bias.

    It is piecewise linear and close, by least squares, to the entropies at the means y; it ends at the last
    likely value.
    """
    lowest = noise._locations(0.0) - _REACH * noise._spreads(0.0) if noise.counts else 0
    for wrong, where, remedy in (
        (images == num_values - 1, f"at {num_values - 1}, the largest one", "a shorter exposure"),
        (images < lowest, f"below {lowest:g}, which the offset rules out", "another offset"),
    ):
        share, expected = float(wrong.mean()), f"at most {_MOST_SATURATED:.1%} of values {where}"
        remedy = f"Give clean means, or measurements with {remedy}"
        expect(share <= _MOST_SATURATED, expected, f"{share:.1%}", remedy)
    seen = noise._means(np.array([images.min(), images.max()], np.float64))
    ends = seen + 2 * noise._spreads(seen) / noise.gain * [-1, 1]
    ends = ends.clip(*noise._means(np.array([0.0, num_values - 1.0])))
    means, bits = noise._curve(ends, num_values)
    reach = noise._locations(ends) + (_REACH * noise._spreads(ends) + 12) * [-1, 1]
    low, high = reach.round().clip(0, num_values - 1).astype(int).tolist()
    knots = [low]
    while knots[-1] < high:
        step = int(noise._spreads(noise._means(np.float64(knots[-1]))) / 2)
        knots.append(min(knots[-1] + max(step, 1), high))
    chances = _chances(noise, means, knots, num_values)
    first = np.interp(noise._means(np.array(knots)), means, bits)
    missing, weights = bits - chances @ first, np.ones(len(means))
    for _ in range(15):  # enough to find the overestimated means
        weighted = chances.T * weights
        system = weighted @ chances + _RIDGE**2 * np.eye(len(knots))
        correction = np.linalg.solve(system, weighted @ missing)
        excess = chances @ correction - missing
        weights = np.where(excess > 0, _TOO_LARGE, 1.0)
    table = np.interp(np.arange(high + 1), knots, first + correction - excess.max())
    return table, float(excess.max() - excess.min())


def _chances(noise, means, knots, num_values):
    """The matrix [M, K] that maps g at the knots to its expectations at means."""
    count, chunks = len(knots), []
    for probs, values in noise._probabilities(means, num_values):
        place = np.interp(values, knots, np.arange(count))
        low = np.minimum(place.astype(int), count - 2)
        index = low + count * np.arange(len(probs))[:, np.newaxis]
        both = ((index, probs * (low + 1 - place)), (index + 1, probs * (place - low)))
        sums = (np.bincount(x.ravel(), w.ravel(), count * len(probs)) for x, w in both)
        chunks.append(sum(sums).reshape(-1, count))
    return np.concatenate(chunks)
