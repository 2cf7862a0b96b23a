"""Causality through gradients: what the parameters of each pixel depend on, for every network."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from pixelcnn_aux.auxiliary import Grayscale, HalfResolution
from pixelcnn_aux.factor import Factor
from pixelcnn_aux.likelihoods import Categorical, LogisticMixture
from pixelcnn_aux.networks import Embedding, PixelCNN, topology
from tests import helpers

FILTERS = 4
RGB, GRAY = LogisticMixture(num_components=1), Categorical(num_values=16)


def pixelcnn_pp(resolutions, likelihood, given=None):
    """PixelCNN++, given an image of the same resolution or nothing."""
    shape = topology.pixelcnn_pp(1, resolutions)
    network = PixelCNN(shape, FILTERS, likelihood.num_params)
    return Factor(
        likelihood, network, given and Embedding(shape, FILTERS), auxiliary_likelihood=given
    )


def flat(likelihood, given=None):
    """The network of Pyramid PixelCNN, given an image of half the resolution or nothing."""
    kernels = {"vertical_kernel": (3, 3), "horizontal_kernel": (3, 3)}
    network = PixelCNN(topology.flat(3), FILTERS, likelihood.num_params, **kernels)
    embedding = given and Embedding(topology.super_resolution(1, 2), FILTERS)
    return Factor(likelihood, network, embedding, auxiliary_likelihood=given)


def random_images(likelihood, *shape):
    images = np.random.default_rng(0).integers(
        likelihood.num_values, size=(*shape, likelihood.num_channels)
    )
    return images.astype("uint8")


def influences(factor, image, auxiliary):
    """How much the parameters of each pixel depend on the image and on the features.

    Args:
      factor: `Factor`.
      image: uint8 [1, H, W, C].
      auxiliary: uint8 [1, h, w, c], or None.

    Returns:
      float32 [H W, H, W], the size of the gradient of pixel n's parameters with respect to each
      pixel, n counted in raster order, and a list of float32 [H W, h, w], with respect to features.
    """
    height, width = image.shape[1:3]
    num_pixels = height * width
    features = []
    if auxiliary is not None:
        features = factor.embedding(factor.scaled(auxiliary, factor.auxiliary_likelihood))
    # A copy of the image for each pixel: one backward pass gives all the gradients.
    x, *features = (tf.repeat(t, num_pixels, axis=0) for t in [factor.scaled(image), *features])
    with tf.GradientTape() as tape:
        tape.watch([x, *features])
        params = tf.reshape(factor.network(x, features), [num_pixels, num_pixels, -1])
        params = tf.gather(params, tf.range(num_pixels), batch_dims=1)  # [H W, P], copy n's pixel n
        # Random weights: no two parameters' gradients cancel.
        weights = np.random.default_rng(1).normal(size=params.shape)
        total = tf.reduce_sum(params * weights.astype("float32"))
    gradients = tape.gradient(total, [x, *features])
    of_image, *of_features = (tf.reduce_sum(tf.abs(g), axis=-1).numpy() for g in gradients)
    return of_image, of_features


class CausalityTest(parameterized.TestCase, tf.test.TestCase):
    def assertCausal(self, factor, image, auxiliary):
        pixels = list(np.ndindex(image.shape[1:3]))
        of_image, of_features = influences(factor, image, auxiliary)
        for n, (i, j) in enumerate(pixels):
            self.assertFalse(of_image[n].ravel()[n:].any(), (i, j))  # of itself and later ones
            self.assertTrue(i == 0 or of_image[n, i - 1, j] > 0, (i, j))
            self.assertTrue(j == 0 or of_image[n, i, j - 1] > 0, (i, j))
        if auxiliary is not None:
            self.assertLen(of_features, len(factor.embedding.topology.outputs))
            for level, of_level in enumerate(of_features):
                # Features may be seen everywhere, and are at least at the pixel itself.
                for n, (i, j) in enumerate(pixels):
                    self.assertGreater(of_level[n, i >> level, j >> level], 0, (level, i, j))

    @parameterized.named_parameters(
        ("pixelcnn_pp_1_gray_conditional", (8, 9), pixelcnn_pp, 1, GRAY, GRAY),
        ("pixelcnn_pp_2_rgb_conditional", (8, 10), pixelcnn_pp, 2, RGB, GRAY),
        ("pixelcnn_pp_3_rgb", (8, 12), pixelcnn_pp, 3, RGB),
        ("pixelcnn_pp_3_rgb_conditional", (12, 8), pixelcnn_pp, 3, RGB, GRAY),
        ("flat_rgb", (9, 11), flat, RGB),
        ("flat_gray_conditional", (16, 8), flat, GRAY, GRAY),
    )
    def test_pixels_depend_on_earlier_pixels_and_on_features(self, size, make, *arguments):
        keras.utils.set_random_seed(0)
        factor = make(*arguments)
        likelihood, given = factor.likelihood, factor.auxiliary_likelihood
        images, auxiliary = random_images(likelihood, 2, *size), None
        if given is not None:
            auxiliary = random_images(given, 2, *(side // factor.auxiliary_ratio for side in size))

        def check():
            self.assertCausal(factor, images[:1], None if given is None else auxiliary[:1])

        with self.subTest("freshly built"):
            check()
        with self.subTest("after a training step"):
            # A mask that only holds for initial weights would be gone by now.
            before = [variable.numpy() for variable in factor.trainable_variables]
            factor.compile(
                keras.optimizers.Adam(0.01), factor.likelihood.bits_per_dim, run_eagerly=True
            )
            factor.fit(images if given is None else (images, auxiliary), images, verbose=0)
            for variable, old in zip(factor.trainable_variables, before, strict=True):
                self.assertNotAllEqual(variable, old)
            check()

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
