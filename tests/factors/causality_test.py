"""Causality through gradients: what the parameters of each pixel depend on, for every network."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from pixelcnn_aux import sums
from pixelcnn_aux.auxiliary import Grayscale, HalfResolution
from pixelcnn_aux.factors.factor import Factor
from pixelcnn_aux.layers import ModuleLayer
from pixelcnn_aux.likelihoods import Categorical, LogisticMixture
from pixelcnn_aux.networks import Embedding, MaskedPixelCNN, ParallelPixelCNN, PixelCNN, topology
from tests import helpers

FILTERS = 4
RGB, GRAY = LogisticMixture(num_components=1), Categorical(num_values=16)
KERNELS = ((2, 3), (2, 2))  # vertical and horizontal


def pixelcnn(shape, likelihood, kernels):
    vertical, horizontal = kernels
    kernels = {"vertical_kernel": vertical, "horizontal_kernel": horizontal}
    return PixelCNN(shape, FILTERS, likelihood.num_params, **kernels)


def pixelcnn_pp(resolutions, likelihood, given=None, kernels=KERNELS, condition=None):
    """PixelCNN++, given an image of the same resolution or nothing."""
    shape = topology.pixelcnn_pp(1, resolutions)
    parts = pixelcnn(shape, likelihood, kernels), given and Embedding(shape, FILTERS)
    return Factor(likelihood, *parts, auxiliary_likelihood=given, condition=condition)


def flat(likelihood, given=None, kernels=((3, 3), (3, 3))):
    """The network of Pyramid PixelCNN, given an image of half the resolution or nothing."""
    network = pixelcnn(topology.flat(2), likelihood, kernels)
    embedding = given and Embedding(topology.super_resolution(1, 2), FILTERS)
    return Factor(likelihood, network, embedding, auxiliary_likelihood=given)


def masked(likelihood, given):
    """A network of masked convolutions, given an image of half the resolution."""
    network = MaskedPixelCNN(1, FILTERS, likelihood.num_params)
    embedding = Embedding(topology.flat(1), FILTERS, gated=False)
    return Factor(likelihood, network, embedding, auxiliary_likelihood=given)


def random_images(likelihood, *shape):
    images = np.random.default_rng(0).integers(
        likelihood.num_values, size=(*shape, likelihood.num_channels)
    )
    return images.astype("uint8")


def with_tensors(factor):
    """The factor with networks over tensors."""
    return factor.with_kernels(factor.tensors)


def influences(network, x, features=()):
    """The sizes of the gradients of the parameters of each pixel n, counted in raster order.

    They are with respect to each pixel of x [1, H, W, C], float32 [H W, H, W], and to each of the features
    [1, h, w, F], a list of float32 [H W, h, w].
    """
    num_pixels = x.shape[1] * x.shape[2]
    # A copy of the image for each pixel: one backward pass gives all the gradients.
    x, *features = (tf.repeat(t, num_pixels, axis=0) for t in (x, *features))
    with tf.GradientTape() as tape:
        tape.watch([x, *features])
        params = tf.reshape(network(x, features), [num_pixels, num_pixels, -1])
        params = tf.gather(params, tf.range(num_pixels), batch_dims=1)  # [H W, P], copy n's pixel n
        # Random weights: no two parameters' gradients cancel.
        weights = np.random.default_rng(1).normal(size=params.shape)
        total = tf.reduce_sum(params * weights.astype("float32"))
    gradients = tape.gradient(total, [x, *features])
    of_image, *of_features = (tf.reduce_sum(tf.abs(g), axis=-1).numpy() for g in gradients)
    return of_image, of_features


class CausalityTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        keras.utils.set_random_seed(0)

    def assertCausal(self, factor, image, auxiliary):
        pixels, features, factor = list(np.ndindex(image.shape[1:3])), (), with_tensors(factor)
        if auxiliary is not None:
            features = factor.embed(tf.constant(auxiliary))
        image = tf.constant(image)
        of_image, of_features = influences(factor.network, factor.scaled(image), features)
        for n, (i, j) in enumerate(pixels):
            self.assertFalse(of_image[n].ravel()[n:].any(), (i, j))  # of itself and later ones
            self.assertTrue(i == 0 or of_image[n, i - 1, j] > 0, (i, j))
            self.assertTrue(j == 0 or of_image[n, i, j - 1] > 0, (i, j))
        self.assertLen(of_features, len(features))
        for level, of_level in enumerate(of_features):
            # Features may be seen everywhere, and are at least at the pixel itself.
            side = factor.side << level
            for n, (i, j) in enumerate(pixels):
                self.assertGreater(of_level[n, i // side, j // side], 0, (level, i, j))

    @parameterized.named_parameters(
        ("pixelcnn_pp_1_gray_conditional", (5, 6), pixelcnn_pp, 1, GRAY, GRAY),
        ("pixelcnn_pp_3_rgb_conditional", (8, 8), pixelcnn_pp, 3, RGB, GRAY),
        ("flat_rgb", (5, 7), flat, RGB),
        ("flat_gray_conditional", (8, 8), flat, GRAY, GRAY),
        ("masked_rgb_conditional", (6, 8), masked, RGB, GRAY),
    )
    def test_pixels_depend_on_earlier_pixels_and_on_features(self, size, make, *arguments):
        factor = make(*arguments)
        likelihood, given = factor.likelihood, factor.auxiliary_likelihood
        images, auxiliary = random_images(likelihood, 2, *size), None
        if given is not None:
            auxiliary = random_images(given, 2, *(side // factor.auxiliary_ratio for side in size))

        first = images[:1], None if given is None else auxiliary[:1]
        self.assertCausal(factor, *first)
        # A mask that only holds for initial weights is gone after a training step.
        keras_model = factor.keras_model()
        keras_model.compile(keras.optimizers.Adam(0.01), likelihood.bits_per_dim, run_eagerly=True)
        keras_model.fit(images if given is None else (images, auxiliary), images, verbose=0)
        trained = keras_model.factor()
        for path, old in factor.weights.items():
            self.assertNotAllEqual(trained.weights[path], old)
        self.assertCausal(trained, *first)

    @parameterized.parameters(Grayscale(2), HalfResolution())
    def test_centers_of_exact_factors_depend_on_earlier_pixels_alone(self, transform):
        """Networks see how far pixels are from their centers, which other pixels of a block decide."""
        model = helpers.random_chain([transform], (4, 6))
        factor, image = model.factors["x1"], helpers.pictures(1)
        self.assertTrue(factor.likelihood.centered)
        pixels = list(np.ndindex(*helpers.SIZE))
        images, auxiliary = (np.repeat(x, len(pixels), axis=0) for x in (image, transform(image)))
        changed = images.copy()
        for n, pixel in enumerate(pixels):
            changed[(n, *pixel)] ^= 64
        change = factor.params(changed, auxiliary) - factor.params(images, auxiliary)
        differs = np.any(np.abs(change) > 1e-9, axis=-1).reshape(len(pixels), -1)
        for n in range(len(pixels)):
            self.assertFalse(differs[n, : n + 1].any())
            self.assertEqual(differs[n, n + 1 :].any(), n + 1 < len(pixels))

    @parameterized.parameters((1, 1, 1, 1), (2, 1, 3, 1))
    def test_groups_depend_on_earlier_groups_and_on_features(self, *parts):
        network = ModuleLayer(ParallelPixelCNN(1, FILTERS, 10, parts=parts))
        height, width = 6, 8
        random = np.random.default_rng(0)
        x = tf.constant(random.normal(size=(1, height, width, 3)), tf.float32)
        features = [tf.constant(random.normal(size=(1, 3, 4, FILTERS)), tf.float32)]
        # The number of the group of each pixel: [H, W].
        diagonals = np.add.outer(np.arange(height // 2), np.arange(width // 2))
        starts = np.cumsum([0, *parts])
        groups = [(start + diagonals % part)[np.newaxis] for start, part in zip(starts, parts)]
        group = sums.from_places(groups, 2, (height, width))[0]
        later = group[np.newaxis] >= group.reshape(-1, 1, 1)
        of_image, [of_features] = influences(network, x, features)
        self.assertFalse(of_image[later].any())
        self.assertTrue((of_features > 0).any(axis=(1, 2)).all())
        # At a block in the middle, of all earlier groups.
        for n in np.flatnonzero(np.pad(np.ones((2, 2)), ((2, 2), (2, 4)))):
            self.assertSetEqual({*group[of_image[n] > 0]}, {*range(group.ravel()[n])})
        # A planted leak is seen.
        leaking, _ = influences(lambda x, f: network(tf.roll(x, 1, axis=2), f), x, features)
        self.assertTrue(leaking[later].any())
