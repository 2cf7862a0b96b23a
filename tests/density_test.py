"""Tests of densities between whole images: what they equal, what they add up to, and their gradients."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux import likelihoods
from pixelcnn_aux.networks import topology
from tests import custom, helpers

FLAT = {"topology": topology.flat(1), "filters": 2}
GRAY, HALVES = pa.auxiliary.Grayscale(), pa.auxiliary.HalfResolution()
HIGH, CLASSES = pa.auxiliary.HighBits(3, of=10), pa.conditions.Classes(2)


@pa.serialization.register(package="tests")
class Red(pa.auxiliary.Transform):
    """Red in four values, of which no sum is declared."""

    channels, num_values = 1, 4

    def __call__(self, images):
        return images[..., :1] // 64


def random_images(model, count=3):
    """Whole images as floats, of which the first two have the first and the last values too."""
    likelihood, random = model.likelihood, np.random.default_rng(0)
    last = likelihood.num_values - 1
    images = random.integers(0, last + 1, (count, *model.image_size, likelihood.num_channels))
    images[0, :2], images[1, 1:3] = 0, last
    return images.astype(float)


def gradient(model, images, *condition):
    images = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        nats = model.log_density(images, *condition)
    return tape.gradient(nats, images).numpy()


class DensityTest(helpers.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(helpers.eagerly())

    @parameterized.named_parameters(
        ("grays", [GRAY], {}),
        ("no_declared_sum", [Red()], {}),
        ("half_of_high_bits", [HIGH, HALVES], {"channels": 2, "bits": 10, "condition": CLASSES}),
    )
    def test_log_prob_of_whole_images_and_gradients_between_them(self, transforms, how):
        model = helpers.random_chain(transforms, (4, 4), exact=False, **how)
        images, condition = random_images(model), [[0, 1, -1]] * ("condition" in how)
        dtype = "uint16" if "bits" in how else "uint8"
        expected = model.log_prob(images.astype(dtype), *condition)
        self.assertAllClose(model.log_density(images, *condition), expected, rtol=1e-12)
        last = model.likelihood.num_values - 1
        random = np.random.default_rng(1)
        # All in one direction, so that no auxiliary image is close to a whole one, where a line has a corner.
        moves = random.uniform(0.1, 0.4, images.shape) * np.reshape([1, -1, 1], (3, 1, 1, 1))
        images = np.clip(images + moves, 0.1, last - 0.1)
        # Large beside the rounding of centers to float32.
        step = last / 1e5 * random.normal(size=images.shape)
        ahead, behind = (model.log_density(images + x, *condition).numpy() for x in (step, -step))
        along = gradient(model, images, *condition) * 2 * step
        self.assertAllClose(along.sum(axis=(1, 2, 3)), ahead - behind, rtol=0.02, atol=2e-5)

    @parameterized.parameters((1, 10), (2, 5))
    def test_the_bins_of_equal_shifts_add_up_to_one(self, channels, num_values):
        """Bins around values one apart cover everything once, also between whole numbers."""
        every = np.indices([num_values] * channels).reshape(channels, -1).T
        for centered in (False, True):
            likelihood = likelihoods.LogisticMixture(
                3, centered, 4.0, num_channels=channels, num_values=num_values
            )
            params = np.random.default_rng(0).normal(size=likelihood.num_params)
            params = np.tile(params, (len(every), 1))
            center = np.full(every.shape, 4.0) if centered else None
            for shift in (-0.45, 0.0, 0.3):
                nats = likelihood.log_density(params, tf.constant(every + shift), center)
                self.assertAllClose(np.exp(nats).sum(), 1.0, rtol=1e-12)

    def test_a_categorical_is_linear_between_two_values(self):
        likelihood = likelihoods.Categorical(4, 2)
        params = np.random.default_rng(0).normal(size=likelihood.num_params)
        every = helpers.all_images(4, 1, 1, 2)[:, 0, 0]
        nats = likelihood.log_prob(np.tile(params, (16, 1)), every).reshape(4, 4)
        for first, second, expected in (
            (1, 3, nats[1, 3]),
            (2, 0.25, 0.75 * nats[2, 0] + 0.25 * nats[2, 1]),
        ):
            pixel = tf.constant([first, second], tf.float64)
            self.assertAllClose(likelihood.log_density(params, pixel), expected)

    def test_a_likelihood_without_a_density(self):
        coins = pa.chain([custom.Bright()], helpers.SIZE, FLAT, embedding=FLAT)
        with self.assertRaisesRegex(NotImplementedError, "Coin. Define _log_density"):
            coins.log_density(helpers.pictures(2).astype(np.float32))
