"""Every image that an exact chain draws agrees with the auxiliary image that it was drawn from."""

import functools

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux import likelihoods, sampling
from pixelcnn_aux.auxiliary import Grayscale, HalfResolution
from pixelcnn_aux.networks import topology
from pixelcnn_aux.sums import FixedSum
from tests import helpers

FLAT = {"topology": topology.flat(1), "filters": 4}
TWO_RESOLUTIONS = {"topology": topology.pixelcnn_pp(1, 2), "filters": 4}
LARGER = {"topology": topology.super_resolution(1, 1), "filters": 4}
# The transforms from the full image down, the image's size, and networks and embeddings for them.
CHAINS = {
    "colors": ([Grayscale(2)], (4, 6), [TWO_RESOLUTIONS], [TWO_RESOLUTIONS]),
    "halves": ([HalfResolution()], (4, 6), [FLAT], [LARGER]),
    "halves_with_grays_between": (
        [HalfResolution(), Grayscale(8), HalfResolution()],
        (8, 4),
        [FLAT, FLAT, FLAT],
        [LARGER, FLAT, LARGER],
    ),
}
chains = parameterized.parameters(*CHAINS)
SEEDS = np.random.default_rng(0).integers(-(2**31), 2**31, (16, 2)).astype(np.int32)


@functools.cache
def model(name, exact=True):
    """A chain in float64, so that what is equal but for rounding gives equal pixels."""
    transforms, size, networks, embeddings = CHAINS[name]
    result = pa.chain(
        transforms,
        size,
        [FLAT, *reversed(networks)],
        embedding=[None, *reversed(embeddings)],
        names=[str(i) for i in range(len(transforms) + 1)],
        num_components=2,
        exact=exact,
        dtype="float64",
    )
    for seed, factor in enumerate(result.factors.values()):
        helpers.randomize(factor, seed)
    return result


@functools.cache
def drawn(name, **kwargs):
    return {k: v.numpy() for k, v in model(name).sample(SEEDS, **kwargs).items()}


def random_images(count, size, seed=0):
    """Full images with many of the smallest and the largest values, which leave least room for others."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *size, 3))
    extreme = rng.random((count, *size, 1)) < 0.5
    return np.where(extreme, rng.choice([0, 255], (count, 1, 1, 1)), images).astype(np.uint8)


def random_masks(count, size, seed=0):
    """From next to nothing known to next to all."""
    rng = np.random.default_rng(seed)
    shares = rng.uniform(0.05, 0.95, (count, 1, 1, 1))
    return (rng.random((count, *size, 1)) < shares).astype(np.uint8)


class ExactTestCase(parameterized.TestCase, tf.test.TestCase):
    def assertAgree(self, name, images):
        images = list(images.values())
        transforms = CHAINS[name][0][: len(images) - 1]
        for transform, image, auxiliary in zip(transforms, images[::-1], images[-2::-1]):
            self.assertAllEqual(transform(image), auxiliary)

    def assertSameImages(self, images, expected):
        self.assertEqual(list(images), list(expected))
        for name, image in expected.items():
            self.assertAllEqual(images[name], image)


class SampleTest(ExactTestCase):
    @chains
    def test_draws_agree(self, name):
        self.assertAgree(name, drawn(name))
        shifts = np.linspace(-1.0, 0.0, len(SEEDS))
        for mode in likelihoods.MODES:
            images = model(name).sample(SEEDS, log_scale_shift=shifts, mode=mode)
            self.assertAgree(name, images)
            self.assertNotAllEqual(images[list(images)[-1]], drawn(name)[list(images)[-1]])
        for images in drawn(name).values():
            self.assertGreater(len(np.unique(images)), 3)

    @chains
    def test_draws_agree_with_whatever_is_given(self, name):
        rng = np.random.default_rng(0)
        for given, images in list(drawn(name).items())[:-1]:
            num_values = model(name).factors[given].likelihood.num_values
            auxiliary = rng.integers(0, num_values, images.shape).astype(np.uint8)
            auxiliary[0], auxiliary[1] = 0, num_values - 1
            result = model(name).sample(SEEDS, given={given: auxiliary})
            self.assertAllEqual(result[given], auxiliary)
            names = list(result)
            self.assertAgree(name, {k: result[k] for k in names[names.index(given) :]})

    @chains
    def test_every_pixel_is_drawn_given_those_before_it(self, name):
        """The images drawn, seen by each factor all at once, decide on themselves again."""
        given = None
        for position, (key, image) in enumerate(drawn(name).items()):
            factor = model(name).factors[key]
            noise = sampling.noise(factor, tf.constant(SEEDS), position, image.shape[1:3])
            params = factor.params(image, given)
            bounds = factor.fixed_sum and factor.fixed_sum.channel_bounds(image, given)
            self.assertAllEqual(factor.likelihood.draw(params, noise, bounds=bounds), image)
            given = image

    def test_centered_alone_is_not_restricted(self):
        centered = model("halves", exact=False)
        images = centered.sample(SEEDS)
        self.assertNotAllEqual(HalfResolution()(images["1"]), images["0"])
        self.assertSameImages(centered.sample(SEEDS, method="full"), images)


class ParametersTest(ExactTestCase):
    """Networks see how far pixels are from their centers, which other pixels of a block decide."""

    def inputs(self, name):
        *_, auxiliary, images = drawn(name).values()
        return list(model(name).factors.values())[-1], images, auxiliary

    @parameterized.parameters("colors", "halves")
    def test_they_depend_on_earlier_pixels_alone(self, name):
        factor, images, auxiliary = self.inputs(name)
        self.assertTrue(factor.likelihood.centered)
        pixels = list(np.ndindex(*CHAINS[name][1]))
        images, auxiliary = (np.repeat(x[:1], len(pixels), axis=0) for x in (images, auxiliary))
        changed = images.copy()
        for n, pixel in enumerate(pixels):
            changed[(n, *pixel)] ^= 64
        change = factor.params(changed, auxiliary) - factor.params(images, auxiliary)
        differs = np.any(np.abs(change) > 1e-9, axis=-1).reshape(len(pixels), -1)
        for n in range(len(pixels)):
            self.assertFalse(differs[n, : n + 1].any())
            self.assertEqual(differs[n, n + 1 :].any(), n + 1 < len(pixels))

    def test_they_are_those_met_on_the_way_through_given_images(self):
        factor, images, auxiliary = self.inputs("halves")
        full = factor.params(images, auxiliary)
        incremental = factor.params(images, auxiliary, method="incremental")
        self.assertAllClose(incremental, full, rtol=1e-9, atol=1e-9)


class CompletionTest(ExactTestCase):
    def complete(self, name, **kwargs):
        """Completions of images that no model draws: (images, known, mask)."""
        size = CHAINS[name][1]
        known, mask = random_images(len(SEEDS), size), random_masks(len(SEEDS), size)
        return model(name).sample(SEEDS, known=known, mask=mask, **kwargs), known, mask

    @chains
    def test_completions_agree_and_keep_what_is_known(self, name):
        for mode in likelihoods.MODES:
            images, known, mask = self.complete(name, mode=mode)
            self.assertAgree(name, images)
            full = images[list(images)[-1]]
            self.assertAllEqual(np.where(mask, known, full), full)
            self.assertNotAllEqual(full, known)

    def test_every_way_to_draw_agrees(self):
        images, *_ = self.complete("halves_with_grays_between")
        full, known, mask = self.complete("halves_with_grays_between", method="full")
        self.assertSameImages(full, images)
        # Given what the known pixels allow.
        again = model("halves_with_grays_between").sample(
            SEEDS, given={"1": images["1"]}, known=known, mask=mask
        )
        self.assertSameImages(again, {k: images[k] for k in "123"})
        images, *_ = self.complete("halves")
        given = {"0": images["0"]}  # so that the last factor alone is compiled
        compiled, *_ = self.complete("halves", given=given, jit_compile=True)
        self.assertSameImages(compiled, images)

    def test_nothing_known_is_no_completion(self):
        known, mask = (x * 0 for x in self.complete("colors")[1:])
        self.assertSameImages(
            model("colors").sample(SEEDS, known=known, mask=mask), drawn("colors")
        )

    def test_centered_alone_keeps_what_is_known_and_no_more(self):
        """Known pixels leave intervals for the sums of their blocks, which nothing has to agree with."""
        centered = model("halves", exact=False)
        known = random_images(len(SEEDS), CHAINS["halves"][1])
        mask = np.ones_like(known[..., :1])
        mask[:, 1::2, 1::2] = 0  # one pixel of each block
        images = centered.sample(SEEDS, known=known, mask=mask)
        self.assertAllEqual(images["0"], centered.sample(SEEDS)["0"])
        self.assertAllEqual(np.where(mask, known, images["1"]), images["1"])

    def test_given_what_they_contradict(self):
        images, known, mask = self.complete("halves")
        mask[2, 2:4, :2] = [[[1], [1]], [[0], [1]]]
        known[2, 2:4, :2] = [[[9] * 3, [0, 20, 30]], [[9] * 3, [1, 2, 4]]]  # sums of 10, 31, 43
        images = model("halves").sample(SEEDS, known=known, mask=mask)
        for value, refused in ((2, True), (3, False), (66, False), (67, True)):
            given = images["0"].numpy()
            given[2, 1, 0, 0] = value

            sample = functools.partial(
                model("halves").sample, SEEDS, given={"0": given}, known=known, mask=mask
            )
            if refused:
                message = rf"'0'\] to agree .* image 2, row 1, column 0, 3 to 66. .*: {value}"
                with self.assertRaisesRegex(ValueError, message):
                    sample()
            else:
                self.assertAgree("halves", sample())

    def test_sums_that_known_pixels_may_leave_out_of_reach(self):
        sparse = model("halves", exact=False)
        before = sparse.factors["1"].fixed_sum
        self.addCleanup(setattr, sparse.factors["1"], "fixed_sum", before)
        sparse.factors["1"].fixed_sum = FixedSum([[5, 1], [1, 1]], step=4)
        _, known, mask = self.complete("halves")
        with self.assertRaisesRegex(ValueError, "sums of '1' with a step .*Received: step=4"):
            sparse.sample(SEEDS, known=known, mask=mask)
        self.assertFalse(sampling.can_complete(sparse))
