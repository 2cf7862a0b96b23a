"""Tests of `pa.information` against exact sums and closed forms."""

import math

import numpy as np
from absl.testing import parameterized

from pixelcnn_aux import information
from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.image_checks import check_images
from pixelcnn_aux.information import Gaussian, Poisson
from pixelcnn_aux.likelihoods import LogisticMixture
from tests import helpers

MEANS = np.array([0.2, 3.0, 11.0, 40.0])


class Known:
    """A model of known log p(y): nats [N] of images [N, H, W, 1]."""

    def __init__(self, log_prob, num_values):
        self.log_prob = log_prob
        self.likelihood = LogisticMixture(1, num_values=num_values, num_channels=1)

    def checked(self, images):
        return check_images(images, 1, self.likelihood.num_values)


def poisson(mean, count):
    """The probabilities of 0, 1, ..., count - 1, one by one."""
    return np.array(
        [math.exp(n * math.log(mean) - mean - math.lgamma(n + 1)) for n in range(count)]
    )


def rounded(location, sigma, num_values):
    """The probabilities of the values of a rounded and clipped normal variable."""
    ends = [-math.inf, *(np.arange(num_values - 1) + 0.5), math.inf]
    below = [0.5 * math.erfc((location - end) / (sigma * math.sqrt(2))) for end in ends]
    return np.diff(below)


def by_summation(noise, mean, num_values):
    """p(y | mean) of all values, by sums over counts."""
    counts = poisson(mean, 400)
    if not noise.sigma:
        return np.append(counts[: num_values - 1], counts[num_values - 1 :].sum())
    if not noise.counts:
        return rounded(noise.gain * mean + noise.offset, noise.sigma, num_values)
    places = noise.gain * np.arange(400) + noise.offset
    return sum(p * rounded(x, noise.sigma, num_values) for p, x in zip(counts, places) if p > 1e-18)


def entropy(probs):
    return -np.sum(probs * np.log2(np.maximum(probs, 1e-300)), axis=-1)


NOISES = (
    ("poisson", Poisson(), 128),
    ("poisson_saturated", Poisson(), 32),
    ("gaussian", Gaussian(1.5, 1.2, 8.0), 128),
    ("gaussian_saturated", Gaussian(0.3, 0.5), 16),
    ("both", Poisson() + Gaussian(1.1, 1.4, 5.0), 128),
    ("both_saturated", Gaussian(1.1, 0.7, 0.3) + Poisson(), 24),
)


class NoiseTest(helpers.TestCase):
    @parameterized.named_parameters(*NOISES)
    def test_entropies_by_summation(self, noise, num_values):
        expected = [entropy(by_summation(noise, x, num_values)) for x in MEANS]
        self.assertAllClose(noise.entropies(MEANS, num_values), expected, atol=1e-9)

    @parameterized.named_parameters(*NOISES)
    def test_draws_have_these_probabilities(self, noise, num_values):
        drawn = noise.draw(np.full([20000], 11.0), num_values)
        self.assertEqual(drawn.dtype, np.uint8)
        counts = np.bincount(drawn, minlength=num_values)
        probs = by_summation(noise, 11.0, num_values)
        self.assertGreater(helpers.chi_square_p_value(counts, probs), 1e-3)

    def test_without_means_the_entropy_is_a_little_less_in_expectation(self):
        """Between the means of the fit, and by no more than the stated bias."""
        for noise in (Poisson(), Gaussian(2.0, offset=3.0), Poisson() + Gaussian(1.5, 1.0, 3.0)):
            images = np.array([0, 200], np.uint8).reshape(2, 1, 1, 1)
            table, bias = information._unbiased(noise, images, 256)
            means = np.linspace(0.003, 195.0, 1234)
            found = information._chances(noise, means, range(len(table)), 256) @ table
            missing = noise.entropies(means, 256) - found
            self.assertGreater(missing.min(), -1e-3)  # of lines between means
            self.assertLess(missing.max(), bias + 1e-3)
            self.assertLess(bias, 0.1)
            self.assertLess(missing.mean(), 0.005)

    def test_without_means_bright_images_have_hardly_a_bias(self):
        images = np.array([40000, 60000], np.uint16).reshape(2, 1, 1, 1)
        _, bias = information._unbiased(Poisson(), images, 2**16)
        self.assertLess(bias, 1e-3)


class EstimateTest(helpers.TestCase):
    def independent(self, noise, num_values, count=2000):
        """(model, measurements, clean means, I(X; Y) and H(Y | X) of a pixel) of pixels with `MEANS`."""
        given = np.stack([by_summation(noise, x, num_values) for x in MEANS])
        probs = given.mean(axis=0)
        clean = np.random.default_rng(1).choice(MEANS, (count, 4, 4, 1))
        nats = np.log(np.maximum(probs, 1e-300))
        model = Known(lambda images: nats[images].sum(axis=(1, 2, 3)), num_values)
        remaining = entropy(given).mean()
        measured = noise.draw(clean, num_values, seed=2)
        return model, measured, clean, entropy(probs) - remaining, remaining

    def assertNear(self, bits, expected, above=0.0):
        """Within three standard errors, which are small, and `above` less."""
        low, high = bits.per_pixel_interval
        error = (high - low) / (2 * 1.96)
        self.assertLess(error, 0.03)
        self.assertGreater(bits.per_pixel, expected - 3 * error - above)
        self.assertLess(bits.per_pixel, expected + 3 * error)

    @parameterized.named_parameters(*NOISES)
    def test_independent_pixels(self, noise, num_values):
        model, measured, clean, known, remaining = self.independent(noise, num_values)
        found = information.estimate(model, measured, noise, clean)
        self.assertNear(found.information, known)
        self.assertNear(found.noise_entropy, remaining)
        self.assertNear(found.entropy, known + remaining)
        self.assertEqual(found.noise_bias, 0.0)
        self.assertAllClose(found.information.per_image, 16 * found.information.per_pixel)
        self.assertAllClose(
            found.information.per_image_interval,
            16 * np.array(found.information.per_pixel_interval),
        )

    @parameterized.named_parameters(NOISES[0], NOISES[2], NOISES[4])
    def test_independent_pixels_without_means(self, noise, num_values):
        model, measured, _, known, remaining = self.independent(noise, num_values)
        found = information.estimate(model, measured, noise)
        self.assertNear(found.noise_entropy, remaining, above=found.noise_bias)
        low, high = found.information.per_pixel_interval
        self.assertLess(low, known + found.noise_bias)
        self.assertGreater(high, known)

    def test_a_gaussian_field(self):
        """With a known spectrum, in noise of many steps: half the sum of log2(1 + signal / noise)."""
        side, sigma, random = 8, 20.0, np.random.default_rng(3)
        squares = sum(np.meshgrid(*[np.fft.fftfreq(side) ** 2] * 2))
        spectrum = 90.0**2 / (1 + 60 * squares)
        white = np.fft.fft2(random.standard_normal([1000, side, side]), norm="ortho")
        clean = 2000 + np.fft.ifft2(white * np.sqrt(spectrum), norm="ortho").real[..., np.newaxis]
        noise, total = Gaussian(sigma), spectrum + sigma**2

        def log_prob(images):
            waves = np.abs(np.fft.fft2(images[..., 0] - 2000.0, norm="ortho")) ** 2
            return -(waves / total + np.log(2 * np.pi * total)).sum(axis=(1, 2)) / 2

        measured = noise.draw(clean, 2**12)
        for known in (clean, None):
            found = information.estimate(Known(log_prob, 2**12), measured, noise, known)
            expected = np.log2(1 + spectrum / sigma**2).mean() / 2
            self.assertNear(found.information, expected)
            self.assertLess(found.noise_bias, 1e-4)

    def test_a_function_is_noise(self):
        model, measured, clean, known, _ = self.independent(Poisson(), 128)
        logs = np.log([by_summation(Poisson(), x, 128) for x in MEANS])

        def log_prob(images, clean):
            return logs[np.searchsorted(MEANS, clean), images].sum(axis=(1, 2, 3))

        found = information.estimate(model, measured, log_prob, clean)
        self.assertNear(found.information, known)
        self.assertEqual(found.noise_bias, 0.0)

    def test_intervals_are_of_images(self):
        """About 1.96 standard errors of the mean to both sides, from resamples of a seed."""
        nats = np.random.default_rng(4).normal(-100, 10, 300)
        images, clean = np.zeros([300, 2, 5, 1], np.uint8), np.zeros([300, 2, 5, 1])
        model = Known(lambda images: nats, 256)
        found = [
            information.estimate(model, images, Poisson(), clean, seed=seed).entropy
            for seed in (0, 0, 1)
        ]
        low, high = found[0].per_image_interval
        error = nats.std() / math.log(2) / math.sqrt(300)
        self.assertAllClose(found[0].per_image, -nats.mean() / math.log(2))
        self.assertAllClose((high - low) / 2, 1.96 * error, rtol=0.1)
        self.assertEqual(found[0], found[1])
        self.assertNotEqual(found[0], found[2])

    def test_a_model_of_several_channels(self):
        chain = helpers.shared_model()
        images = helpers.pictures(5)
        found = information.estimate(chain, images, Poisson(), images.astype(np.float64))
        bits = 3 * np.asarray(chain.bits_per_dim(images)["total"])
        self.assertAllClose(found.entropy.per_pixel, bits.mean(), rtol=1e-5)
        self.assertAllClose(
            found.noise_entropy.per_pixel,
            3
            * np.interp(images, np.arange(256), Poisson().entropies(np.arange(256.0), 256)).mean(),
            atol=1e-3,
        )

    @parameterized.named_parameters(
        ("floats", {"measurements": np.zeros([2, 4, 4, 1])}, "uint8"),
        ("one_image", {"measurements": np.zeros([1, 4, 4, 1], np.uint8)}, "two images or more"),
        (
            "saturated",
            {"measurements": np.full([2, 4, 4, 1], 255, np.uint8)},
            "values at 255, the largest",
        ),
        ("other_shape", {"clean": np.zeros([2, 4, 4])}, "of the shape of the measurements"),
        ("negative_counts", {"clean": np.full([2, 4, 4, 1], -1.0)}, "0 or more, of counts"),
        ("not_finite", {"clean": np.full([2, 4, 4, 1], np.nan)}, "finite numbers"),
        ("no_noise", {"noise": 3.0}, "Poisson"),
        ("a_function_alone", {"noise": lambda y, x: y}, "clean means for a function"),
        ("not_summed", {"noise": lambda y, x: y, "clean": 0}, "Sum over the pixels"),
        (
            "no_number",
            {"noise": lambda y, x: [-1, np.nan], "clean": 0},
            "at most 0. Received: .nan",
        ),
        ("impossible", {"noise": lambda y, x: [-1, -np.inf], "clean": 0}, "finite"),
        ("a_density", {"noise": lambda y, x: [-1, 1], "clean": 0}, "probabilities and not of"),
        ("a_class", {"noise": Poisson, "clean": 0}, r"Poisson\(\), Gaussian.*<function Poisson"),
        ("too_dark", {"noise": Poisson() + Gaussian(2, offset=100)}, "below 80, which the offset"),
        ("an_offset_above_all", {"noise": Poisson() + Gaussian(1, offset=300)}, "below 290"),
        ("a_seed", {"seed": -1}, "seed"),
    )
    def test_refuses(self, changes, said):
        given = {"measurements": np.zeros([2, 4, 4, 1], np.uint8), "noise": Poisson(), **changes}
        model = Known(lambda images: np.zeros(len(images)), 256)
        with self.assertRaisesRegex(ValueError, said):
            information.estimate(model, **given)

    @parameterized.parameters(-1.0, 0, "1", math.nan, 0.05, 1e7)
    def test_refuses_sigma(self, sigma):
        with self.assertRaisesRegex(ValueError, "sigma"):
            Gaussian(sigma)

    def test_refuses_other_noise(self):
        for make, said in (
            (lambda: Gaussian(1, gain=0), "gain"),
            (lambda: Gaussian(1, gain=1e300), "gain"),
            (lambda: Poisson().draw([1.0], 0), "num_values from 2"),
            (lambda: Poisson().draw([-1.0], 256), "means as finite numbers, 0 or more"),
            (lambda: Poisson().draw([1.0], 256, seed=-1), "seed from 0"),
            (lambda: Gaussian(1, offset=-1), "offset"),
            (lambda: Poisson() + Poisson(), "one of each"),
            (lambda: Gaussian(1) + Gaussian(1), "one of each"),
            (lambda: Poisson() + Gaussian(1) + Gaussian(1), "one of each"),
            (lambda: Poisson() + 1, "one of each"),
        ):
            with self.assertRaisesRegex(ValueError, said):
                make()
        self.assertEqual(Poisson() + Gaussian(2), Gaussian(2) + Poisson())
        self.assertEqual(arguments.pixel_dtype(2**12), Gaussian(2).draw([1.0], 2**12).dtype.name)
