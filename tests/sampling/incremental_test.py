"""Incremental evaluation is exact: a network says of each pixel what it says when it sees whole images."""

import functools

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from pixelcnn_aux import scanning
from pixelcnn_aux.factor import Factor
from pixelcnn_aux.likelihoods import Categorical, LogisticMixture
from pixelcnn_aux.networks import Embedding, PixelCNN, topology
from tests import helpers

RGB, GRAY = LogisticMixture(num_components=1), Categorical(num_values=16)
SEEDS = np.random.default_rng(0).integers(-(2**31), 2**31, (16, 2)).astype(np.int32)


def pixelcnn_pp(head, given=None, resolutions=1, kernels=((2, 3), (2, 2)), blocks=1):
    """PixelCNN++, given an image of the same resolution or nothing."""
    shape = topology.pixelcnn_pp(blocks, resolutions)
    network = PixelCNN(shape, 4, head.num_params, *kernels)
    return Factor(head, network, given and Embedding(shape, 4), given)


def down_twice(head):
    """A network that goes down again after it has come up, and in between to a quarter."""
    down, up, block = (topology.Step(kind) for kind in ("down", "up", "block"))
    steps = (down, block, up, block, down, down, block, up, block, up, block)
    shape = topology.Topology(steps, (11, 9, 7))
    return Factor(head, PixelCNN(shape, 4, head.num_params, (2, 3), (2, 4)))


def flat(head, given=None, kernels=((3, 3), (3, 3))):
    """Blocks at one resolution, given an image of half the resolution or nothing."""
    network = PixelCNN(topology.flat(2), 4, head.num_params, *kernels)
    embedding = given and Embedding(topology.super_resolution(1, 1), 4)
    return Factor(head, network, embedding, given)


def random_images(head, *shape, seed=0):
    images = np.random.default_rng(seed).integers(head.num_values, size=(*shape, head.num_channels))
    return images.astype(np.uint8)


def random_inputs(factor, height, width):
    """Two images, and the auxiliary images that the factor is given, if any."""
    images = random_images(factor.likelihood, 2, height, width)
    if factor.auxiliary_likelihood is None:
        return (images,)
    ratio = factor.auxiliary_ratio
    return images, random_images(
        factor.auxiliary_likelihood, 2, height // ratio, width // ratio, seed=1
    )


class ExactnessTest(parameterized.TestCase, tf.test.TestCase):
    def assertExact(self, factor, *inputs):
        full, incremental = (
            factor.params(inputs, method=method).numpy() for method in ("full", "incremental")
        )
        self.assertEqual(full.dtype, np.float32)
        self.assertEqual(incremental.dtype, np.float32)
        self.assertEqual(incremental.shape, full.shape)
        # If pixels hardly differed, it would not show which of them a parameter was computed from.
        self.assertGreater(np.std(full, axis=(1, 2)).mean(), 0.1)
        error = np.abs(incremental - full) / np.maximum(1.0, np.abs(full))
        self.assertLess(error.max(), 1e-4)

    @parameterized.named_parameters(
        # A width of 7 or 3 is none of those at which several columns are taken at a time.
        ("flat_rgb", (5, 7), flat, RGB),
        ("flat_gray_given_rgb", (8, 12), flat, GRAY, RGB),
        ("flat_rgb_seeing_a_row", (5, 8), flat, RGB, None, ((1, 3), (1, 2))),
        ("flat_gray_seeing_a_column", (6, 5), flat, GRAY, None, ((4, 1), (3, 1))),
        ("pixelcnn_pp_1_rgb_given_gray", (8, 8), pixelcnn_pp, RGB, GRAY, 1, ((3, 5), (3, 4))),
        ("pixelcnn_pp_1_gray", (9, 3), pixelcnn_pp, GRAY, None, 1, ((2, 3), (2, 2)), 2),
        ("pixelcnn_pp_2_gray", (8, 12), pixelcnn_pp, GRAY, None, 2, ((4, 3), (5, 2))),
        ("pixelcnn_pp_2_rgb_given_gray", (32, 16), pixelcnn_pp, RGB, GRAY, 2, ((3, 3), (3, 3))),
        ("pixelcnn_pp_3_rgb_given_gray", (32, 32), pixelcnn_pp, RGB, GRAY, 3),
        ("down_twice_gray", (8, 12), down_twice, GRAY),
    )
    def test_the_parameters_met_on_the_way_through_given_images(self, size, make, *arguments):
        factor = make(*arguments)
        helpers.randomize(factor)
        self.assertExact(factor, *random_inputs(factor, *size))

    def test_after_training(self):
        factor = pixelcnn_pp(GRAY, resolutions=2)
        [images] = random_inputs(factor, 8, 4)
        factor.initialize_from_data(images)
        # Before training too, since what was traced then must not keep the weights of then.
        self.assertExact(factor, images)
        before = factor.get_weights()
        factor.compile(
            keras.optimizers.Adam(1e-2), factor.likelihood.bits_per_dim, run_eagerly=True
        )
        factor.fit(tf.data.Dataset.from_tensors((images, images)), epochs=3, verbose=0)
        for weight, old in zip(factor.get_weights(), before, strict=True):
            self.assertNotAllClose(weight, old)
        self.assertExact(factor, images)


class StateTest(tf.test.TestCase):
    def test_what_goes_from_row_to_row_grows_with_the_width_alone(self):
        network = pixelcnn_pp(GRAY, resolutions=2).network

        def size(height, width, batch=1):
            scan = scanning.IncrementalScan(network, tf.identity, (height, width, 1), batch)
            tensors = tf.nest.flatten(scan.initial_state())
            return sum(tensor.dtype.size * tf.size(tensor).numpy() for tensor in tensors)

        once = size(8, 12)
        self.assertGreater(once, 0)
        self.assertEqual(size(32, 12), once)
        self.assertEqual(size(8, 36), 3 * once)
        self.assertEqual(size(8, 12, batch=5), 5 * once)


@functools.cache
def model(resolutions):
    """A chain of two factors in float64, so that what is equal but for rounding gives equal pixels."""
    shape = topology.pixelcnn_pp(blocks=1, resolutions=resolutions)
    result = helpers.tiny_model(dtype="float64", topology=shape)
    for factor in result.factors.values():
        helpers.randomize(factor)
    return result


@functools.cache
def drawn(resolutions, **kwargs):
    """The images of all seeds: dict, name -> array."""
    images = model(resolutions).sample(SEEDS, **kwargs)
    return {name: image.numpy() for name, image in images.items()}


class SampleTest(parameterized.TestCase, tf.test.TestCase):
    def assertSameImages(self, images, expected):
        self.assertEqual(list(images), list(expected))
        for name, image in expected.items():
            self.assertEqual(images[name].dtype, image.dtype)
            self.assertAllEqual(images[name], image)

    @parameterized.parameters(1, 2)
    def test_the_images_that_full_evaluation_draws(self, resolutions):
        self.assertSameImages(drawn(resolutions), drawn(resolutions, method="full"))
        for images in drawn(resolutions).values():
            self.assertGreater(len(np.unique(images)), 10)  # no image of the ends of the range

    def test_an_image_of_a_large_batch_depends_on_its_own_seed_alone(self):
        for b in (0, 7, 15):
            expected = {name: images[b : b + 1] for name, images in drawn(2).items()}
            self.assertSameImages(model(2).sample(SEEDS[b : b + 1]), expected)

    def test_compiled_by_xla(self):
        given = {"grayscale": drawn(2)["grayscale"]}  # so that the last factor alone is compiled
        compiled = model(2).sample(SEEDS, given=given, jit_compile=True)
        self.assertSameImages(compiled, drawn(2))


if __name__ == "__main__":
    tf.test.main()
