"""Tests of colored photographs, in float64 so that what should be equal is equal to the last pixel."""

import functools
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
    """Of 4 x 6 pixels; its draws are confetti, some of whose colors are too strong for their gray."""
    model = helpers.tiny_model(exact=True, dtype="float64")
    helpers.randomize(model.factors["image"])
    return model


def two_halves(step):
    """A picture of 90 x 120 pixels, left of a column brown and right of it blue."""
    return (
        np.where(np.arange(120)[:, None] < step, BROWN, BLUE)[None].repeat(90, 0).astype(np.uint8)
    )


def drawing(noise):
    """Draws brown where grays are 5, blue where they are 11, between them between; plus [32, 1, 1, 3]."""

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
        """Whatever all draws together have none of."""
        noise = np.random.default_rng(0).integers(-40, 40, (16, 1, 1, 3))
        found = []
        for each in (0, np.concatenate([noise, -noise])):
            with drawing(each):
                found.append(tiny_model().colorize(two_halves(60)[None]))
        self.assertAllEqual(*found)
        self.assertAllClose(found[0][0, 0, 0] - 86, 2 * (BROWN - 86), rtol=0, atol=3)

    def test_each_depends_on_its_seed_alone(self):
        how = {"log_scale_shift": [-0.5, 0.1]}
        drawn = tiny_model().colorize(PICTURES, SEEDS, **how)
        for b, shift in enumerate(how["log_scale_shift"]):
            alone = tiny_model().colorize(PICTURES[b], SEEDS[b], log_scale_shift=shift)
            self.assertAllEqual(alone, drawn[b])
        self.assertNotAllEqual(tiny_model().colorize(PICTURES, SEEDS[::-1]), drawn)
        self.assertEqual(tiny_model().colorize(PICTURES[:0]).shape, (0, 9, 11, 3))


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
        """They are multiples of 2, as the network needs."""
        network = {"topology": pa.networks.topology.pixelcnn_pp(1, 2), "filters": 4}
        model = helpers.random_chain([Grayscale()], (8, 8), network)
        images = helpers.pictures(1, size=size)
        seen = as_seen_whole(model, images)
        self.assertEqual(seen.shape, (1, *expected, 3))
        self.assertAllClose(seen.mean((1, 2)), images.mean((1, 2)), rtol=0, atol=2)
        self.assertEqual(model.colorize(images).shape, images.shape)
