"""Images that `sample` draws come as often as `log_prob` says: chi-square tests of many of them."""

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from tests import helpers
from tests.helpers import chi_square_p_value, in_log_scales, in_pixels, probabilities, without

SEEDS = np.random.default_rng(0).integers(-(2**31), 2**31, (20_000, 2)).astype(np.int32)
VALUES = np.arange(256)
NETWORK = {"topology": pa.networks.topology.flat(1), "filters": 4}


def draw(model):
    """dict, name -> int [20000, H, W, C]."""
    return {name: images.numpy().astype(int) for name, images in model.sample(SEEDS).items()}


def counts_of(shape, *indices):
    """How often each combination of indices, int [20000] each, was drawn."""
    counts = np.zeros(shape)
    np.add.at(counts, indices, 1)
    return counts


def pixel_probabilities(factor, images):
    """[B, H, W], each pixel's given those before it, of an unconditional factor."""
    return np.exp(factor.likelihood.log_prob(factor.params(images), images))


def information(joint):
    """Of one of two variables about the other, in nats."""
    independent = joint.sum(axis=0) * joint.sum(axis=1, keepdims=True)
    return np.sum(joint * np.log(joint / independent))


def make_dependent(factor, seed):
    """Draws weights with which params depend much on the pixels before, and on those given."""
    helpers.randomize(factor, seed)
    factor.network.last.g.assign(6.0 * factor.network.last.g)


def set_first_pixel(factor, params, *grays):
    """Changes the bias of the last layer so that the first of two pixels has these params."""
    images = np.zeros([1, 1, 2, 3], np.uint8)
    factor.network.last.b.assign_add(params - factor.params(images, *grays)[0, 0, 0])


def grays():
    """A chain of one gray factor, and what it draws."""
    likelihood = pa.likelihoods.Categorical(16)
    network = pa.networks.PixelCNN(num_params=likelihood.num_params, **NETWORK)
    model = pa.AuxiliaryModel([pa.Factor(likelihood, network, name="grayscale")], [], (2, 2))
    make_dependent(model.factors["grayscale"], seed=3)
    return model.factors["grayscale"], draw(model)["grayscale"]


def pairs():
    """A chain of two factors, and what it draws."""
    transforms = [pa.auxiliary.Grayscale()]
    paper = {"exact": False, "centered": False}
    model = pa.chain(transforms, (1, 2), NETWORK, embedding=NETWORK, num_components=2, **paper)
    grayscale, image = model.factors.values()
    make_dependent(grayscale, seed=3)
    make_dependent(image, seed=0)
    # Components apart from each other, so that noise shared with a gray would show.
    params = helpers.mixture_params([0.0, 0.0], in_pixels([80.0, 180.0]), in_log_scales(12.0), 0.5)
    set_first_pixel(image, params, np.full([1, 1, 2, 1], 7, np.uint8))
    return model, draw(model)


class DistributionTest(tf.test.TestCase):
    def test_a_gray_and_the_next_and_the_one_below(self):
        factor, images = grays()
        choices = np.pad(helpers.all_images(16, 1, 3, 1), ((0, 0), (0, 0), (0, 1), (0, 0)))
        p = pixel_probabilities(factor, choices.reshape(-1, 2, 2, 1))
        joint = (p[:, 0, 0] * p[:, 0, 1] * p[:, 1, 0]).reshape(16, 16, 16)
        self.assertAllClose(joint.sum(), 1.0, rtol=1e-4)
        for other, axis in ((images[:, 0, 1, 0], 2), (images[:, 1, 0, 0], 1)):
            expected = joint.sum(axis=axis)
            self.assertGreater(information(expected), 0.1)
            counts = counts_of([16, 16], images[:, 0, 0, 0], other)
            self.assertGreater(chi_square_p_value(counts, expected), 1e-4)

    def test_a_gray_and_r_given_all_grays(self):
        model, drawn = pairs()
        grayscale, image = model.factors.values()
        grays = helpers.all_images(16, 1, 2, 1)
        p_grays = pixel_probabilities(grayscale, grays)[:, 0].prod(axis=1)
        params = image.params(np.zeros([256, 1, 2, 3], np.uint8), grays)[:, 0, 0]
        # Cells of 16 values of r.
        p_r = probabilities(
            image.likelihood, without(params, 1, 2)[:, np.newaxis], np.tile(VALUES, [256, 1]), 0, 0
        )
        p_r = p_r.reshape(256, 16, 16).sum(axis=2)
        joint = (p_grays[:, np.newaxis] * p_r).reshape(16, 16, 16)  # [gray, next gray, cell of r]
        self.assertAllClose(joint.sum(), 1.0, rtol=1e-4)
        first, following = drawn["grayscale"][:, 0, :, 0].T
        for axis, gray in ((1, first), (0, following)):
            expected = joint.sum(axis=axis)
            counts = counts_of([16, 16], gray, drawn["image"][:, 0, 0, 0] // 16)
            self.assertGreater(information(expected), 0.1)
            self.assertGreater(chi_square_p_value(counts, expected), 1e-4)
