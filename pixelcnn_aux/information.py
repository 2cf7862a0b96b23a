"""How many bits measurements tell of what was measured: an upper bound on the mutual information.

    noise = pa.information.Poisson()
    found = pa.information.estimate(model, counts, noise)  # counts: uint8 or uint16 [N, H, W, C]
    found.information.per_pixel, found.information.per_pixel_interval

With X the object and Y its measurement, I(X; Y) = H(Y) - H(Y | X). The model's cross-entropy bounds the first
term from above; noise that is independent at each pixel gives the second one.
"""

import dataclasses
import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pixelcnn_aux import arguments
from pixelcnn_aux.arguments import ArrayLike
from pixelcnn_aux.errors import expect
from pixelcnn_aux.scores.detection import INTERVAL, RESAMPLES

if TYPE_CHECKING:
    from pixelcnn_aux.factor_chain import FactorChain

SMALLEST_SIGMA = 0.1  # in steps of values: rounding hides what is below
_REACH = 10  # standard deviations, outside of which noise has no probability
_TOLERANCE = 3e-4  # bits, of entropies interpolated between means
# Weights of the least squares of `_unbiased`: of the distance from the entropy at the mean y, which keeps its
# variance low, and of means whose entropy comes out too large, over others.
_RIDGE, _TOO_LARGE = 0.03, 1e4
_MOST_SATURATED = 1e-3  # of the values of measurements without clean means


@dataclasses.dataclass(frozen=True)
class Noise:
    """Noise that is independent at each pixel: `Poisson()`, `Gaussian(...)`, or `Poisson() + Gaussian(...)`.

    A measurement is y = clip(round(gain * n + offset + sigma * z), 0, num_values - 1), where z is normal, and
    n is drawn from a Poisson distribution of mean x, or is x itself.
    """

    counts: bool  # whether n is drawn
    sigma: float = 0.0
    gain: float = 1.0
    offset: float = 0.0

    def __add__(self, other: "Noise") -> "Noise":
        fits = isinstance(other, Noise) and self.counts != other.counts
        remedy = "Give Poisson() + Gaussian(sigma, gain, offset)"
        expect(fits, "Poisson and Gaussian noise, one of each", f"{self} + {other}", remedy)
        counted, read = (self, other) if self.counts else (other, self)
        expect(not counted.sigma, "Gaussian noise once", f"{self} + {other}", remedy)
        return dataclasses.replace(read, counts=True)

    def locations(self, means: np.ndarray) -> np.ndarray:
        """The expectation of values before they are rounded and clipped, of the means x."""
        return self.gain * means + self.offset

    def means(self, values: np.ndarray) -> np.ndarray:
        """The means x whose `locations` are nearest to some values."""
        found = (values - self.offset) / self.gain
        return np.maximum(found, 0.0) if self.counts else found

    def spreads(self, means: np.ndarray) -> np.ndarray:
        """The standard deviations of values before they are rounded and clipped."""
        return np.sqrt(self.counts * self.gain**2 * means + self.sigma**2)

    def draw(self, means: ArrayLike, num_values: int, seed: int = 0) -> np.ndarray:
        """Measurements of clean means: uint8, or uint16 above 256 values, of the shape of `means`."""
        random = np.random.default_rng(arguments.whole("seed", seed, 0, sys.maxsize))
        drawn = np.asarray(means, np.float64)
        if self.counts:
            drawn = random.poisson(drawn)
        noisy = self.locations(drawn) + self.sigma * random.standard_normal(drawn.shape)
        return np.clip(np.rint(noisy), 0, num_values - 1).astype(arguments.pixel_dtype(num_values))

    def _probabilities(self, means, num_values):
        """Of the values of a few means: probabilities float64 [M, n], and the values, clipped, int [M, n].

        They are a Fourier transform of the characteristic function, which is a product for a sum. Rounding
        multiplies it by that of a step, and adds all frequencies that whole numbers do not tell apart.
        """
        size = 2 ** math.ceil(math.log2(2 * _REACH * float(self.spreads(means).max()) + 24))
        first = np.rint(self.locations(means)).astype(int)[:, np.newaxis] - size // 2
        angles = 2 * np.pi * np.fft.fftfreq(size)
        most = math.ceil(9 / (2 * np.pi * self.sigma)) if self.sigma else 0
        total = np.zeros([len(means), size], np.complex128)
        for turn in range(-most, most + 1):
            t, x = angles + 2 * np.pi * turn, means[:, np.newaxis]
            log = 1j * t * (self.offset - first) - (self.sigma * t) ** 2 / 2
            log += x * (np.exp(1j * self.gain * t) - 1) if self.counts else 1j * self.gain * t * x
            total += np.exp(log) * (np.sinc(t / (2 * np.pi)) if self.sigma else 1.0)
        found = np.maximum(np.fft.fft(total).real / size, 0.0)
        return found, np.clip(first + np.arange(size), 0, num_values - 1)

    def _batches(self, means, num_values):
        """`_probabilities` of many means, in ascending order, as many at once as fit a cache."""
        start = 0
        while start < len(means):
            rows = max(1, int(2**15 / (2 * _REACH * self.spreads(means[start]) + 24)))
            yield self._probabilities(means[start : start + rows], num_values)
            start += rows

    def entropies(self, means: np.ndarray, num_values: int) -> np.ndarray:
        """H(Y | x) in bits, float64 [M], of means x in ascending order."""
        found = [np.zeros(0)]
        for probs, values in self._batches(means, num_values):
            ends = [values == 0, values == num_values - 1]
            inner = np.where(ends[0] | ends[1], 0.0, probs)
            outer = [(probs * end).sum(axis=1, keepdims=True) for end in ends]
            probs = np.concatenate([inner, *outer], axis=1)
            found.append(-(probs * np.log2(np.maximum(probs, 1e-300))).sum(axis=1))
        return np.concatenate(found)

    def _curve(self, ends, num_values):
        """Means from one to another, and their entropies, between which a line is within the tolerance."""
        means = [float(ends[0])]
        while means[-1] < ends[1]:
            step = max(self.spreads(np.float64(means[-1])), SMALLEST_SIGMA)
            means.append(min(means[-1] + step / self.gain, float(ends[1])))
        x, left = np.array(means), np.arange(len(means) - 1)
        y = self.entropies(x, num_values)
        while len(left):  # of intervals that are halved
            middle = (x[left] + x[left + 1]) / 2
            found = self.entropies(middle, num_values)
            off = np.abs(found - (y[left] + y[left + 1]) / 2) > _TOLERANCE
            x, y = np.insert(x, left + 1, middle), np.insert(y, left + 1, found)
            left = (left + np.arange(len(left)))[off]
            left = np.sort(np.concatenate([left, left + 1]))
        return x, y

    def _at_most(self, means, num_values):
        """Means within those that noise takes to values that are not all clipped."""
        ends = self.means(np.array([0.0, num_values - 1.0]))
        return np.clip(means, *(ends + 4 * _REACH * self.spreads(ends) / self.gain * [-1, 1]))


def Poisson() -> Noise:  # noqa: N802
    """Noise of counts: a value is drawn from a Poisson distribution, whose mean is the clean value."""
    return Noise(counts=True)


def Gaussian(sigma: float, gain: float = 1.0, offset: float = 0.0) -> Noise:  # noqa: N802
    """Noise of a detector: round(gain * x + offset + sigma * z), z normal, clipped to the values there are.

    Args:
      sigma: float, in steps of the values, at least `SMALLEST_SIGMA`.
      gain: float above 0, steps of the values per unit of the clean values.
      offset: float, in steps of the values.

    Raises ValueError for others.
    """
    sigma, gain = arguments.positive("sigma", sigma), arguments.positive("gain", gain)
    expected = f"sigma of at least {SMALLEST_SIGMA} steps of the values"
    remedy = "Leave this noise out, which rounding hides"
    expect(sigma >= SMALLEST_SIGMA, expected, sigma, remedy)
    fits = isinstance(offset, (int, float, np.number)) and math.isfinite(offset)
    expect(fits, "offset as a finite number", arguments.short_repr(offset), "Give such a value")
    return Noise(counts=False, sigma=sigma, gain=gain, offset=float(offset))


class Bits(NamedTuple):
    """A mean over images, in bits, and 95 % percentiles of bootstrap resamples of the images: (low, high)."""

    per_pixel: float  # of all its channels
    per_pixel_interval: tuple[float, float]
    per_image: float
    per_image_interval: tuple[float, float]


class Information(NamedTuple):
    """What `estimate` returns. Intervals are of the bounds; they do not say how far the truth is below."""

    information: Bits  # an upper bound on I(X; Y): the difference of the other two
    entropy: Bits  # an upper bound on H(Y): the model's cross-entropy
    # H(Y | X), but for chance; without clean means its expectation is less, by at most `noise_bias`.
    noise_entropy: Bits
    noise_bias: float  # bits per pixel


def estimate(
    model: "FactorChain",
    measurements: ArrayLike,
    noise: Noise | Callable[[np.ndarray, np.ndarray], ArrayLike],
    clean: ArrayLike | None = None,
    *,
    seed: int = 0,
) -> Information:
    """How many bits measurements tell of their objects: an upper bound on the mutual information I(X; Y).

    Without clean means, the entropy of noise is a mean over measured values of a function whose expectation
    is it, or a little less, at every mean that these can have: so the bound stays one. Means are assumed to
    be within the range of values.

    Args:
      model: `AuxiliaryModel` or `engine.Model`, trained on other measurements of the same kind: on those that
        it was trained on its cross-entropy bounds nothing.
      measurements: uint8 or uint16 [N, H, W, C], N >= 2 independent images, as the model takes them.
      noise: `Noise`: `Poisson()`, `Gaussian(...)` or their sum; or a function (measurements, clean) -> float
        [N], log p(y | x) in nats, whose mean estimates H(Y | X).
      clean: float [N, H, W, C], the means x without noise, in its units: counts, or what `gain` multiplies.
        A function may have them in any form. None if they are not known.
      seed: int, 0 or more, of the resamples.

    Returns:
      `Information`.

    Raises:
      ValueError: as `AuxiliaryModel.log_prob`, for fewer than two images, clean means of another shape or
        negative counts, saturated measurements without clean means, or a function without them.
    """
    images = np.asarray(model.checked(measurements))
    pixels, remedy = math.prod(images.shape[1:3]), "Give more"
    expect(len(images) >= 2, "two images or more, to resample them", len(images), remedy)
    num_values, bias = model.likelihood.num_values, 0.0
    random = np.random.default_rng(arguments.whole("seed", seed, 0, sys.maxsize))
    if not isinstance(noise, Noise):
        bits = _bits_by_function(noise, images, clean)
    elif clean is None:
        known = _unbiased(noise, images, num_values)
        bits, bias = known.of(images), known.bias * images.shape[3]
    else:
        means = noise._at_most(_checked_means(clean, images, noise), num_values)
        curve = noise._curve((means.min(), means.max()), num_values)
        bits = np.interp(means, *curve).reshape(len(images), -1).sum(axis=1)
    own = -np.asarray(model.log_prob(images), np.float64) / math.log(2.0)
    every = np.stack([own - bits, own, bits], axis=1)
    resampled = [
        every[random.integers(len(every), size=len(every))].mean(0) for _ in range(RESAMPLES)
    ]
    ends = np.quantile(resampled, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], axis=0)
    found = (_bits(x, interval, pixels) for x, interval in zip(every.mean(axis=0), ends.T))
    return Information(*found, noise_bias=bias)


def _bits(mean, interval, pixels):
    (low, high), mean = interval.tolist(), float(mean)
    return Bits(mean / pixels, (low / pixels, high / pixels), mean, (low, high))


def _bits_by_function(log_prob, images, clean):
    """-log2 p(y | x) of each image, by a function of one's own: float64 [N]."""
    expected = "noise as pa.information.Poisson(), Gaussian(...), their sum, or a function"
    expect(callable(log_prob), expected, arguments.short_repr(log_prob), "Give one of these")
    expected, remedy = "clean means for noise that is a function of them", "Give clean"
    expect(clean is not None, expected, "none", remedy)
    nats = np.asarray(log_prob(images, clean), np.float64)
    fits = nats.shape == (len(images),) and np.isfinite(nats).all()
    expected = f"finite log-probabilities of noise as float [{len(images)}]"
    received, remedy = (
        f"{arguments.short_repr(nats)}, of shape {list(nats.shape)}",
        "Sum over pixels",
    )
    expect(fits, expected, received, remedy)
    return -nats / math.log(2.0)


def _checked_means(clean, images, noise):
    """Clean means as float64 [N, H, W, C]."""
    means = np.asarray(arguments.array("clean", clean), np.float64)
    expected = f"clean means of the shape of the measurements, {list(images.shape)}"
    expect(means.shape == images.shape, expected, list(means.shape), "Give the mean of each value")
    least = float(means.min()) if np.isfinite(means).all() else math.nan
    fits = least >= 0 or (least < 0 and not noise.counts)
    expected = f"clean means as finite numbers{', 0 or more, of counts' * noise.counts}"
    expect(fits, expected, f"one of {least:g}", "Give means in the units before the gain")
    return means


class _Unbiased(NamedTuple):
    """A function g of values, linear between knots, so that E[g(Y) | x] is H(Y | x), or less by a bias."""

    knots: np.ndarray
    bits: np.ndarray
    bias: float

    def of(self, images):
        """The sums of g over images: float64 [N]."""
        table = np.interp(np.arange(self.knots[-1] + 1), self.knots, self.bits)
        return table[images].reshape(len(images), -1).sum(axis=1)


def _unbiased(noise, images, num_values):
    """`_Unbiased` for the means that images can have: least squares near the entropies at the means y."""
    share = float((images == num_values - 1).mean())
    largest = f"{num_values - 1}, the largest value"
    expected = f"measurements of which at most {_MOST_SATURATED:.1%} are at {largest}"
    remedy = "Give clean means, or measure with a shorter exposure"
    expect(share <= _MOST_SATURATED, expected, f"{share:.1%}", remedy)
    seen = noise.means(np.array([images.min(), images.max()], np.float64))
    ends = seen + 2 * noise.spreads(seen) / noise.gain * [-1, 1]
    ends = np.clip(ends, *noise.means(np.array([0.0, num_values - 1.0])))
    means, bits = noise._curve(ends, num_values)
    knots = _knots(noise, ends, num_values)
    chances = _chances(noise, means, knots, num_values)
    first = np.interp(noise.means(knots), means, bits)
    missing, weights = bits - chances @ first, np.ones(len(means))
    for _ in range(15):  # which settles who is above
        weighted = chances * weights[:, np.newaxis]
        system = chances.T @ weighted + _RIDGE**2 * np.eye(len(knots))
        found = np.linalg.solve(system, weighted.T @ missing)
        excess = chances @ found - missing
        weights = np.where(excess > 0, _TOO_LARGE, 1.0)
    found -= excess.max()
    return _Unbiased(knots, first + found, float(excess.max() - excess.min()))


def _knots(noise, ends, num_values):
    """Values between which g is linear: every one where noise is low, half its deviation apart elsewhere."""
    reach = noise.locations(ends) + (_REACH * noise.spreads(ends) + 12) * [-1, 1]
    low, high = np.clip(np.rint(reach), 0, num_values - 1).astype(int).tolist()
    knots = [low]
    while knots[-1] < high:
        step = int(noise.spreads(noise.means(np.float64(knots[-1]))) / 2)
        knots.append(min(knots[-1] + max(step, 1), high))
    return np.array(knots)


def _chances(noise, means, knots, num_values):
    """The matrix [M, K] that takes g at the knots to its expectations at means."""
    count, found = len(knots), []
    for probs, values in noise._batches(means, num_values):
        place = np.clip(np.searchsorted(knots, values, side="right") - 1, 0, count - 2)
        share = np.clip((values - knots[place]) / (knots[place + 1] - knots[place]), 0.0, 1.0)
        place += count * np.arange(len(probs))[:, np.newaxis]
        both = ((place, probs * (1 - share)), (place + 1, probs * share))
        sums = (np.bincount(x.ravel(), w.ravel(), count * len(probs)) for x, w in both)
        found.append(sum(sums).reshape(-1, count))
    return np.concatenate(found)
