"""Tests of completions by particles: their distribution, the state that follows particles, and refusals."""

import functools
from unittest import mock

import numpy as np
from absl.testing import parameterized

import pixelcnn_aux as pa
from benchmarks import particles
from pixelcnn_aux import likelihoods
from tests import custom, helpers
from tests.agreement_test import build, labels

HALVES = pa.auxiliary.HalfResolution()
tiny = functools.cache(particles.tiny)


def completed(model, count, seeds=3, size=None, **how):
    """dict, name -> images, completed by so many particles."""
    height, width = size or model.image_size
    channels = model.likelihood.num_channels
    random = np.random.default_rng(0)
    known = random.integers(0, model.likelihood.num_values, (seeds, height, width, channels))
    mask = np.ones((seeds, height, width, 1), np.uint8)
    mask[:, height // 4 : height // 2 + 1, 1 : width // 2] = 0
    how = {"known": known.astype("uint8"), "mask": mask, "particles": count} | how
    return model.sample(seeds, **how)


class DistributionTest(helpers.TestCase):
    @parameterized.parameters(*particles.NAMES)
    def test_it_tends_to_that_given_all_that_is_known(self, name):
        model, condition = tiny(name)
        images, probs = particles.completions(model, condition)
        few, many = (
            particles.variation(particles.shares(model, condition, images, 1000, count), probs)
            for count in (1, 64)
        )
        self.assertGreater(few, 0.2)
        self.assertLess(many, 0.1)

    def test_grays_and_their_colors(self):
        """Of a bound: of pairs of images, which need not agree."""
        for exact in (True, False):
            how = {"channels": 3, "bits": 1, "exact": exact, "centered": exact}
            model = helpers.random_chain([custom.SmallGray()], (1, 3), **how)
            for factor in model.factors.values():
                factor.network.last.g.assign(3.0 * factor.network.last.g)
            colors = helpers.all_images(2, 1, 1, 3)
            known = np.array([[[[0, 0, 0], [1, 0, 1], [0, 1, 1]]]], np.uint8).repeat(16, 0)
            known[:, 0, 0] = colors[:, 0, 0].repeat(2, 0)
            grays = np.array(model.auxiliaries(known)["x0"])
            if not exact:
                grays[:, 0, 0, 0] = np.arange(16) % 2
            pairs = model.factors["x0"].log_prob(grays) + model.factors["x1"].log_prob(known, grays)
            probs = np.exp(np.asarray(pairs))
            probs[1::2] *= not exact
            probs /= probs.sum()
            mask = np.array([0, 1, 1], np.uint8).reshape(1, 1, 3, 1).repeat(2000, 0)
            found = []
            for count in (1, 64):
                drawn = model.sample(2000, known=known[:1].repeat(2000, 0), mask=mask, particles=count)
                index = drawn["x1"][:, 0, 0] @ [8, 4, 2] + (not exact) * drawn["x0"][:, 0, 0, 0]
                shares = np.bincount(index, minlength=16) / 2000
                found.append(particles.variation(shares, probs))
            print(exact, found)
            self.assertGreater(found[0], 0.1)
            self.assertLess(found[1], 0.05)

    def test_groups_of_pixels(self):
        print("todo")


class StateTest(helpers.ImagesTestCase):
    @parameterized.parameters("colors", "deep_chain", "classes", "bound", "low")
    def test_all_state_follows_particles(self, name):
        """A scan that knows nothing but pixels draws the same."""
        model = build(name)
        how = {key: x[:3] for key, x in labels(name).items()}
        found = completed(model, 8, **how)
        self.assertSameImages(completed(model, 8, method="full", **how), found)
        self.assertNotAllEqual(completed(model, 7, **how)[list(found)[-1]], found[list(found)[-1]])
