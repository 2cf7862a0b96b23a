"""Tests of colored photographs, in float64 so that equal pictures agree in every pixel."""

import functools
import itertools
from unittest import mock

import numpy as np
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux.auxiliary import Grayscale
from pixelcnn_aux.sampling import as_seen_whole, colors
from tests import helpers

SEEDS = np.array([[0, 0], [-1, 7]], np.int32)
PICTURES = np.random.default_rng(0).integers(0, 256, (2, 9, 11, 3), np.uint8)
BROWN, BLUE = np.array([[110, 80, 60], [150, 190, 250]])  # of lumas 86 and 184


@functools.cache
def tiny_model():
    """A model of 4 x 6 pixels; its draws are confetti, with some colors too strong for their gray."""
    model = helpers.tiny_model(exact=True, dtype="float64")
    model.factors["image"] = helpers.randomize(model.factors["image"])
    return model


def two_halves(step):
    """A picture of 90 x 120 pixels, brown left of a column and blue right of it."""
    return (
        np.where(np.arange(120)[:, None] < step, BROWN, BLUE)[None].repeat(90, 0).astype(np.uint8)
    )


def drawing(noise):
    """Mocks draws: brown at grays of 5, blue at 11, linear in between; plus noise [32, 1, 1, 3]."""

    def sample(model, request, given, known, mask):
        [grays] = given.values()
        assert len(np.unique(request.seeds, axis=0)) == len(grays) == 32
        return {"image": BROWN + (grays - 5.0) / 6 * (BLUE - BROWN) + noise}

    return mock.patch.object(colors, "sample", sample)


class PicturesTest(helpers.TestCase):
    @parameterized.parameters((1, 1), (3, 17), (4, 32), (9, 11), (5, 6), (60, 7))
    def test_their_grays_are_the_photographs_own(self, *size):
        images = np.random.default_rng(1).integers(0, 256, (1, *size, 3), np.uint8)
        images[0, 0, 0], images[0, -1, -1] = 255, 0
        drawn, of_grays = map(tiny_model().colorize, (images, Grayscale(8)(images)))
        self.assertEqual((drawn.dtype, drawn.shape), (np.uint8, images.shape))
        is_reduced = size[0] > 4 and size[1] > 6
        gray = Grayscale(8 if is_reduced else 4)
        self.assertAllEqual(gray(drawn), gray(images))
        self.assertAllEqual(of_grays, drawn)
        if drawn[0].size > 3:
            self.assertGreater(np.ptp(drawn.astype(int), axis=-1).max(), 20)

    @parameterized.parameters(30, 53, 100)
    def test_colors_change_where_the_gray_does(self, step):
        picture = two_halves(step)
        with drawing(0), mock.patch.object(colors, "_STRENGTH", 1):
            found = tiny_model().with_image_size((24, 32)).colorize(picture)
        far = abs(np.arange(120) + 0.5 - step) > 2
        self.assertAllClose(found[:, far], picture[:, far], rtol=0, atol=5)

    def test_colors_are_those_of_a_mean_twice_as_strong(self):
        """Noise that cancels out in the mean makes no difference."""
        noise = np.random.default_rng(0).integers(-40, 40, (16, 1, 1, 3))
        found = []
        for each in (0, np.concatenate([noise, -noise])):
            with drawing(each):
                found.append(tiny_model().colorize(two_halves(60)[None]))
        self.assertAllEqual(*found)
        self.assertAllClose(found[0][0, 0, 0] - 86, 2 * (BROWN - 86), rtol=0, atol=3)

    @parameterized.parameters(None, 2)
    def test_each_depends_on_its_seed_alone(self, num):
        shifts, colorize = [-0.5, 0.1], functools.partial(tiny_model().colorize, num=num)
        drawn = colorize(PICTURES, SEEDS, log_scale_shift=shifts)
        for b, shift in enumerate(shifts):
            alone = colorize(PICTURES[b], SEEDS[b], log_scale_shift=shift)
            self.assertAllEqual(alone, drawn[b])
        self.assertNotAllEqual(colorize(PICTURES, SEEDS[::-1]), drawn)
        self.assertEqual(colorize(PICTURES[:0]).shape, (0, *drawn.shape[1:]))


class SeveralTest(helpers.TestCase):
    """Colorings of gray pictures by draws of four uniform colors, 24 of each, with a little noise."""

    LUMA, TINTS = 120, np.array([[20, -8], [-25, 12], [-60, 35], [80, -60]])  # of red and blue
    PICTURE = np.full((8, 12, 1), LUMA, np.uint8)

    def colored(self, nats=lambda reds: -abs(reds), tints=TINTS, noise=1, **how):
        """Red and blue of three colorings minus their luma, [3, 2], and the colorings.

        `nats` are the log-likelihoods of uniform pictures by their red tint.
        """
        generator, model = np.random.default_rng(0), tiny_model()
        tints = generator.permutation(tints.repeat(96 // len(tints), axis=0))[:, None, None]
        tints = tints + generator.uniform(-noise, noise, (96, *model.image_size, 2))
        green = -(tints @ [299, 114]) / 587
        drawn = self.LUMA + np.stack([tints[..., 0], green, tints[..., 1]], axis=-1)

        def log_prob(inputs):
            return nats(inputs.images[:, 0, 0, 0].astype(float) - self.LUMA)

        with (
            mock.patch.object(colors, "sample", lambda *_: {"image": drawn}),
            mock.patch.object(model.factors["image"], "log_prob", log_prob),
        ):
            found = model.colorize(self.PICTURE, num=3, **how)
        self.assertEqual(found.shape, (3, 8, 12, 3))
        return found[:, 4, 5, ::2].astype(float) - self.LUMA, found

    def test_colorings_are_clusters_of_draws(self):
        """Closest to the mean first, for equal hues and likelihoods."""
        for seeds in (None, [3, 4]):
            tints, _ = self.colored(seeds=seeds)
            self.assertAllClose(tints, self.TINTS[:3], rtol=0, atol=2)

    def test_the_likelier_come_earlier(self):
        for order in ([1, 3, 0, 2], [2, 0, 3, 1], [3, 2, 1, 0]):
            reds = self.TINTS[order, 0]
            tints, _ = self.colored(lambda x, reds=reds: -abs(x[:, None] - reds).argmin(axis=1))
            self.assertAllClose(tints, self.TINTS[order[:3]], rtol=0, atol=2)

    def test_brown_comes_before_green_that_is_nearer(self):
        brown, green = [22, -14], [-20, -16]
        tints, _ = self.colored(tints=np.array([brown, green, [-70, 10], [24, -70]]))
        self.assertAllClose(tints[:2], [brown, green], rtol=0, atol=2)

    def test_the_same_for_a_seed(self):
        generator = np.random.default_rng(1)
        how = {"tints": generator.integers(-40, 40, (96, 2)), "noise": 30}
        first, again, other = (self.colored(**how, seeds=x)[1] for x in ([3, 4], [3, 4], [3, 5]))
        self.assertAllEqual(first, again)
        self.assertNotAllEqual(first, other)

    def test_identical_draws(self):
        tints, _ = self.colored(tints=self.TINTS[:1], noise=0)
        self.assertAllClose(tints, self.TINTS[[0, 0, 0]], rtol=0, atol=1)

    def test_one_is_the_first_of_three(self):
        one, three = (tiny_model().colorize(PICTURES, SEEDS, num=x) for x in (1, 3))
        self.assertAllEqual(one, three[:, :1])
        four = tiny_model().colorize(PICTURES, SEEDS, num=4)
        self.assertAllEqual(Grayscale(8)(four[:, 3]), Grayscale(8)(PICTURES))
        self.assertEqual(four.dtype, np.uint8)
        for pair in itertools.combinations(four[0], 2):
            self.assertNotAllEqual(*pair)

    def test_pictures_that_are_not_reduced(self):
        """Single draws, the likeliest first."""
        model, images = tiny_model(), PICTURES[:, :4, :6]
        drawn = model.colorize(images, SEEDS, num=3)
        self.assertEqual(drawn.shape, (2, 3, 4, 6, 3))
        for image, pictures in zip(images, drawn):
            nats = model.log_prob(pictures)
            self.assertAllEqual(np.argsort(-nats), [0, 1, 2])
            grays = Grayscale()(np.stack([image, *pictures]))
            self.assertAllEqual(grays[1:], grays[[0, 0, 0]])
        self.assertEqual(model.colorize(images[0, :3, :5], num=2).shape, (2, 3, 5, 3))


class AsSeenWholeTest(helpers.TestCase):
    @parameterized.parameters(
        ((1, 1), (8, 8)),
        ((8, 8), (8, 8)),
        ((3, 21), (8, 22)),  # padded
        ((9, 9), (8, 8)),
        ((90, 60), (12, 8)),
        ((70, 500), (8, 58)),
    )
    def test_sizes(self, size, expected):
        """Sides are multiples of 2, as the network needs."""
        network = {"topology": pa.networks.topology.pixelcnn_pp(1, 2), "filters": 4}
        model = helpers.random_chain([Grayscale()], (8, 8), network)
        images = helpers.pictures(1, size=size)
        seen = as_seen_whole(model, images)
        self.assertEqual(seen.shape, (1, *expected, 3))
        self.assertAllClose(seen.mean((1, 2)), images.mean((1, 2)), rtol=0, atol=2)
        self.assertEqual(model.colorize(images).shape, images.shape)
