"""Tests of completions by particles: their distribution, resampled state, and wrong arguments."""

import functools
from unittest import mock

import numpy as np
from absl.testing import parameterized

from benchmarks import particles
from pixelcnn_aux import sampling
from pixelcnn_aux.auxiliary import Grayscale
from pixelcnn_aux.networks import topology
from pixelcnn_aux.sampling.particles import Particles
from pixelcnn_aux.scanning.diagonals import DiagonalScan
from tests import custom, helpers
from tests.agreement_test import build, labels

tiny = functools.cache(particles.tiny)
SEEDS = np.array([[1, 2], [3, 4], [1, 2]], np.int32)


@functools.cache
def parallel():
    """A pyramid that decides groups of pixels, of the size of `particles.tiny`."""
    how = {"channels": 1, "bits": particles.BITS, "base_parts": None}
    made = helpers.tiny_parallel(particles.SIZE, **how)
    for name, factor in made.factors.items():
        made.factors[name] = helpers.altered(factor, lambda g: 2.0 * g, "/g")
    return made


@functools.cache
def several_resolutions():
    down, up, block = (topology.Step(kind) for kind in ("down", "up", "block"))
    shape = topology.Topology((block, down, block, down, block, up, block, up, block), (9, 7, 5))
    network = {"topology": shape, "filters": 4}
    made = helpers.random_chain([Grayscale(2)], (8, 8), network)
    return helpers.with_last_lengths(made, 4.0)


def completed(model, count, seeds=SEEDS, **how):
    """dict, name -> images, completed by `count` particles."""
    height, width = model.image_size
    shape, last = (len(SEEDS), height, width), model.likelihood.num_values - 1
    channels = model.likelihood.num_channels
    known = np.random.default_rng(0).integers(0, last + 1, (1, height, width, channels))
    mask = np.ones((*shape, 1), np.uint8)
    mask[:, height // 4 : height // 2 + 1, 1 : width - width // 4] = 0
    known = np.broadcast_to(known.astype("uint8"), (*shape, channels))
    arrays = {"known": known, "mask": mask, **how}
    arrays = {k: x[: len(seeds)] if np.ndim(x) else x for k, x in arrays.items()}
    return model.sample(seeds, **arrays, particles=count)


class DistributionTest(helpers.TestCase):
    def assertTends(self, model, condition=None):
        """Many particles draw from the distribution given all known pixels, one particle from another."""
        images, probs = particles.completions(model, condition)
        shares = (particles.shares(model, condition, images, 400, count) for count in (1, 32))
        one, many = (particles.variation(x, probs) for x in shares)
        self.assertGreater(one, 0.25)
        self.assertLess(many, 0.15)

    @parameterized.parameters(*particles.NAMES)
    def test_pixel_by_pixel(self, name):
        self.assertTends(*tiny(name))

    def test_groups_of_pixels(self):
        self.assertTends(parallel())

    @parameterized.parameters(True, False)
    def test_grays_and_their_colors(self, exact):
        """Without exactness: pairs of images, which need not agree."""
        how = {"channels": 3, "bits": 1, "exact": exact, "centered": exact}
        model = helpers.random_chain([custom.SmallGray()], (1, 3), **how)
        helpers.with_last_lengths(model, 3.0)
        known = np.array([[[[0, 0, 0], [1, 0, 1], [0, 1, 1]]]], np.uint8).repeat(16, 0)
        known[:, 0, 0] = helpers.all_images(2, 1, 1, 3)[:, 0, 0].repeat(2, 0)
        grays = np.array(model.auxiliaries(known)["x0"])
        if not exact:
            grays[:, 0, 0, 0] = np.arange(16) % 2
        gray, color = model.factors.values()
        probs = np.exp(np.asarray(gray.log_prob(grays) + color.log_prob(known, grays)))
        probs[1::2] *= not exact  # as often as they are counted
        known, mask = known[:1].repeat(400, 0), np.ones((400, 1, 3, 1), np.uint8)
        mask[:, :, 0] = 0
        found = []
        for count in (1, 32):
            drawn = model.sample(400, known=known, mask=mask, particles=count)
            index = drawn["x1"][:, 0, 0] @ [8, 4, 2] + (not exact) * drawn["x0"][:, 0, 0, 0]
            shares = np.bincount(index, minlength=16) / 400
            found.append(particles.variation(shares, probs / probs.sum()))
        self.assertGreater(found[0], 0.2)
        self.assertLess(found[1], 0.15)


class StateTest(helpers.ImagesTestCase):
    """Resampled particles keep their scan's state."""

    @parameterized.parameters("colors", "deep_chain", "classes", "bound", "several_resolutions")
    def test_as_by_a_scan_that_knows_pixels_alone(self, name):
        model, how = several_resolutions(), {}
        if name != "several_resolutions":
            model, how = build(name), labels(name)

        def row_by_row(network, features, shape, _):
            return DiagonalScan(network, features, shape, shape[2])

        # Row by row, since a diagonal scan resamples at other times.
        with mock.patch("pixelcnn_aux.factors.factor.DiagonalScan", row_by_row):
            found = completed(model, 8, **how)
        self.assertSameImages(completed(model, 8, **how, method="full"), found)
        if model.exact:
            self.assertAgree(model, found)

    def test_in_tiles(self):
        model = build("parallel").with_image_size((6, 26))
        found = completed(model, 8)
        with mock.patch("pixelcnn_aux.batches.MAX_TILE_PIXELS", 3 * 8 * 16):
            self.assertSameImages(completed(model, 8), found)
        self.assertAgree(model, found)

    @parameterized.parameters("colors", "parallel")
    def test_seeds_decide_whatever_the_batch(self, name):
        found = completed(build(name), 8)
        [*_, last] = found.values()
        self.assertAllEqual(last[2], last[0])
        self.assertNotAllEqual(last[1], last[0])
        with mock.patch("pixelcnn_aux.batches.MAX_PIXELS", 1):
            self.assertSameImages(completed(build(name), 8), found)

    @parameterized.parameters("bound", "deep_chain", "classes", "parallel")
    def test_weights_of_images_that_are_known(self, name):
        """They equal the model's probabilities."""
        model, how = build(name), labels(name)
        images = helpers.pictures(3, size=model.image_size)
        with mock.patch.object(Particles, "weigh", autospec=True) as weigh:
            completed(model, 2, known=images, mask=np.ones_like(images[..., :1]), **how)
        nats = sum(np.asarray(call.args[1]) for call in weigh.call_args_list)
        self.assertAllClose(nats[::2], model.log_prob(images, *how.values()), rtol=1e-9)
        self.assertAllClose(nats[1::2], nats[::2], rtol=1e-9)

    def test_one_particle_is_a_draw(self):
        """Nothing is weighed."""
        with mock.patch("pixelcnn_aux.sampling.particles.Particles", side_effect=AssertionError):
            self.assertEqual(list(completed(build("colors"), 1)), ["x0", "x1"])

    def test_noise(self):
        """The first particle has the noise of a draw; all particles have different noise."""
        made = Particles(SEEDS[:2], 3)
        factor, seeds = build("colors").factors["x1"], made.each(SEEDS[:2])
        found = sampling.noise(factor, seeds, made.streams(1), (2, 3))
        self.assertAllEqual(found[::3], sampling.noise(factor, SEEDS[:2], 1, (2, 3)))
        self.assertLen(set(found.ravel()), found.size)

    def test_resampling(self):
        """In proportion to weights, for depleted requests only; all state follows."""
        made, rows = Particles(SEEDS[:2], 4), np.arange(8)
        made.weigh(np.log([0.25, 1e-9, 0.5, 0.25, 1, 1, 1, 1]))
        self.assertAllClose(made.effective(), [8 / 3, 4.0])
        self.assertFalse(made.are_few())
        made.weigh(np.log([1, 1, 4, 1, 1, 1, 1, 2]))
        self.assertTrue(made.are_few())
        made.images.append(rows.reshape(8, 1).copy())
        made.resample([rows])
        self.assertAllEqual(rows[4:], [4, 5, 6, 7])
        self.assertContainsSubset([2, 2, 2], [*rows[:4]])
        self.assertNotIn(1, rows)
        self.assertAllEqual(made.images[0][:, 0], rows)
        self.assertAllClose(made.effective(), [4.0, 25 / 7])


class PicturesTest(helpers.TestCase):
    def test_any_size(self):
        made, images = parallel().with_image_size(None), np.zeros((2, 3, 5, 1), np.uint8)
        mask = np.ones_like(images)
        mask[:, 1] = 0
        found = made.complete(images, mask, particles=4)
        self.assertAllEqual(np.where(mask, images, found), found)


class WrongArgumentsTest(helpers.TestCase):
    @parameterized.parameters(0, 1025, True, 1.0, None)
    def test_numbers(self, count):
        image = np.zeros((4, 6, 3), np.uint8)
        for ask in (
            lambda: completed(build("colors"), count),
            lambda: build("colors").complete(image, image[..., :1], [0, 0], particles=count),
        ):
            with self.assertRaisesRegex(ValueError, "particles from 1 to 1,024, a whole number"):
                ask()

    def test_nothing_known_and_graphs(self):
        with self.assertRaisesRegex(ValueError, "known pixels, which .*: none. Give them, or part"):
            build("colors").sample(SEEDS, particles=2)
        for how in ({"jit_compile": True}, {"by": "graph"}):
            with self.assertRaisesRegex(ValueError, "particles=1 of draws by graphs"):
                completed(build("colors"), 2, **how)
