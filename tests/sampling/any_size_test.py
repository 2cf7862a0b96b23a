"""Tests of pictures of any size, in float64 so that equal pictures agree in every pixel."""

import functools
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from pixelcnn_aux import sampling
from pixelcnn_aux.auxiliary import Grayscale, HalfResolution
from pixelcnn_aux.networks import topology
from pixelcnn_aux.sampling import any_size
from pixelcnn_aux.scanning.requests import DrawRequest
from tests import helpers

HALVES = HalfResolution()
SEEDS = np.array([[0, 0], [0, 1]], np.int32)
PICTURES = helpers.pictures(2, size=(9, 11))


@functools.cache
def colors():
    model = helpers.tiny_model(exact=True, dtype="float64")
    model.factors["image"] = helpers.randomize(model.factors["image"])
    return model


@functools.cache
def pyramid(exact=True):
    """Images of 2 x 2, 4 x 4 and 8 x 8."""
    how = {"names": ["2x2", "4x4", "8x8"], "exact": exact, "centered": exact}
    return helpers.random_chain([HALVES, HALVES], (8, 8), **how)


def halved(images, times):
    for _ in range(times.bit_length() - 1):
        images = HALVES(images)
    return images


def mask_of(images):
    """Holes in pictures, uint8 [B, H, W, 1]."""
    mask = np.ones((*images.shape[:3], 1), np.uint8)
    mask[:, images.shape[1] // 3 :, images.shape[2] // 4 : -1] = 0
    return mask


class ModelsSizeTest(helpers.TestCase):
    """A picture of the model's size is the draw of `sample`."""

    def test_colors(self):
        images, how = helpers.pictures(2), {"log_scale_shift": [-1.0, 0.0], "mode": "map"}
        given = {"grayscale": Grayscale()(images)}
        expected = colors().sample(SEEDS, given=given, **how)["image"]
        self.assertAllEqual(colors().colorize(images, **how), expected)
        self.assertNotAllEqual(colors().colorize(images, SEEDS[::-1], **how), expected)

    @parameterized.parameters(2, 4)
    def test_enlargements(self, times):
        """Intermediate scales have lower log-scales."""
        images, shifts = halved(helpers.pictures(2, size=(8, 8)), times), np.array([0.5, -1.0])
        given = {f"{8 // times}x{8 // times}": images}
        if times == 4:
            between = pyramid().sample(SEEDS, given=given, log_scale_shift=shifts - 0.7)
            given = {"4x4": between["4x4"]}
        expected = pyramid().sample(SEEDS, given=given, log_scale_shift=shifts)["8x8"]
        self.assertAllEqual(pyramid().enlarge(images, times, log_scale_shift=shifts), expected)


class AnySizeTest(helpers.TestCase):
    """Draws of exact models agree with given images."""

    @parameterized.parameters((1, 1), (3, 17), (9, 11))
    def test_completions(self, *size):
        images = helpers.pictures(2, size=size)
        mask = mask_of(images)
        completed = colors().complete(images, mask)
        self.assertEqual((completed.dtype, completed.shape), (tf.uint8, images.shape))
        self.assertAllEqual(np.where(mask, completed, 0), np.where(mask, images, 0))

    @parameterized.parameters((1, 1, 2), (1, 1, 4), (7, 10, 2), (5, 3, 4))
    def test_enlargements(self, height, width, times):
        images = helpers.pictures(2, size=(height, width))
        self.assertAllEqual(halved(pyramid().enlarge(images, times), times), images)

    def test_no_pictures(self):
        nothing = colors().complete(PICTURES[:0], mask_of(PICTURES)[:0])
        self.assertEqual(nothing.shape, (0, 9, 11, 3))
        self.assertEqual(pyramid().enlarge(PICTURES[:0]).shape, (0, 18, 22, 3))


class WholeTest(helpers.TestCase):
    """A model draws larger pictures like a model of the larger size."""

    def test_enlargements(self):
        whole = pyramid().with_image_size((20, 24))  # PICTURES, padded to whole blocks
        given = np.pad(PICTURES, [(0, 0), (0, 1), (0, 1), (0, 0)], mode="edge")
        expected = whole.sample(SEEDS, given={"4x4": given})["8x8"]
        self.assertAllEqual(pyramid().enlarge(PICTURES), expected[:, :18, :22])

    @parameterized.parameters(1, 3)
    def test_completions(self, particles):
        mask, how = mask_of(PICTURES), {"particles": particles, "log_scale_shift": -0.5}
        whole = colors().with_image_size(PICTURES.shape[1:3])
        expected = whole.sample(SEEDS, known=PICTURES, mask=mask, **how)["image"]
        self.assertAllEqual(colors().complete(PICTURES, mask, **how), expected)


@functools.cache
def scenes():
    """Images of 4 x 4 pixels, in multiples of 2."""
    network = {"topology": topology.pixelcnn_pp(1, 2), "filters": 4}
    return helpers.random_chain([], (4, 4), network, names=["image"])


@functools.cache
def photographs():
    """Images of any size, with a half and a quarter of it."""
    return helpers.tiny_parallel(halvings=2)


class ScenesTest(helpers.TestCase):
    """Another model draws the small picture around a hole."""

    def completed(self, images, mask, model=None, **how):
        """The completions, the calls that drew small pictures, and the calls that enlarged them."""
        model = model or photographs()
        spied = mock.patch.object(any_size, "draw", side_effect=any_size.draw)
        with spied as draw:
            found = model.complete(images, mask, scenes=scenes(), **how)
        self.assertAllEqual(np.where(mask, found, 0), np.where(mask, images, 0))
        self.assertNotAllEqual(found, images)
        return found, draw.call_args_list[::2], draw.call_args_list[1::2]

    def sizes(self, hole, size=(40, 37), **how):
        images, mask = helpers.pictures(1, size=size), np.ones((1, *size, 1), np.uint8)
        for rows, columns in [hole] if isinstance(hole[0], slice) else hole:
            mask[:, rows, columns] = 0
        _, [small], [large] = self.completed(images, mask, **how)
        return small.args[1].size, large.args[1].size

    def test_the_part_around_a_hole(self):
        """The hole takes at most half of what scenes see, as far as the model enlarges."""
        rows = slice(20, 24)
        self.assertEqual(self.sizes(np.s_[20:24, 20:22]), ((4, 4), (8, 8)))
        self.assertEqual(self.sizes(np.s_[20:25, 20:22]), ((4, 4), (16, 16)))
        self.assertEqual(self.sizes(np.s_[39:40, 36:37]), ((4, 4), (8, 8)))
        self.assertEqual(self.sizes(np.s_[15:32, 20:21]), ((8, 4), (32, 16)))
        self.assertEqual(self.sizes(np.s_[:, rows]), ((10, 4), (40, 16)))
        self.assertEqual(self.sizes(np.s_[2:3, 1:2], (3, 5)), ((2, 4), (4, 8)))
        # Several holes count as one.
        self.assertEqual(self.sizes([np.s_[5:6, 20:22], np.s_[20:22, 23:24]]), ((8, 4), (32, 16)))
        # A model of one size takes larger pictures.
        self.assertEqual(self.sizes(np.s_[20:24, 20:22], model=pyramid()), ((4, 4), (8, 8)))

    @parameterized.parameters(True, False)
    def test_small_picture_agrees_with_known_pixels(self, exact):
        """Scenes draw it within their bounds, and the model enlarges it."""
        images, mask = helpers.pictures(1, size=(8, 8)), np.ones((1, 8, 8, 1), np.uint8)
        mask[:, 3:6, 3:7] = 0
        how = {"model": pyramid(exact), "log_scale_shift": -0.5, "particles": 4}
        found, [small], [large] = self.completed(images, mask, **how)
        [given] = large.args[2].values()
        [own] = small.args[3].values()
        if exact:
            low, high = own["within"]
            self.assertTrue(np.all((low <= given) & (given <= high)))
            self.assertTrue(np.all(low >= HALVES(np.where(mask, images, 0))))
            self.assertAllEqual(HALVES(found), given)
        else:
            pixels, known = own["completed"]
            self.assertAllEqual(np.where(known, given, 0), np.where(known, pixels, 0))
        request = DrawRequest([[0, 0]], -0.5)
        rows = sampling.checked(scenes(), request)._replace(size=(4, 4)), {}, {"image": own}
        self.assertAllEqual(sampling.draw(scenes(), *rows, 4)["image"], given)

    def test_draws_join_their_surroundings(self):
        """At every scale: pixels off the grid of blocks do not compensate for others."""
        images, mask = np.full((1, 8, 8, 3), 100, np.uint8), np.ones((1, 8, 8, 1), np.uint8)
        mask[:, 3:6, 3:8] = 0
        steps = np.array([[1, 1, 1, 1, 1], [1, 2, 2, 2, 2], [1, 1, 1, 1, 1]])[..., np.newaxis]
        for model in (pyramid(), photographs()):
            found, _, [large] = self.completed(images, mask, model)
            self.assertAllInRange(found[0, 3:6, 3:8] - 100.0 - 12 * steps, -1000, 0)
            self.assertAllInRange(found[0, 3:6, 3:8] - 100.0 + 12 * steps, 0, 1000)
            [given] = large.args[2].values()
            self.assertAllEqual(halved(found, 8 // given.shape[1]), given)

    def shifts(self, images, mask, model=None, **how):
        """The shifts of log-scales of the full pictures, [B, H, W]."""
        _, _, calls = self.completed(images, mask, model, **how)
        return np.concatenate([call.args[3]["image"]["log_scale_shift"] for call in calls])

    def test_draws_vary_like_their_surroundings(self):
        """Like nearby pixels of the same brightness; unknown pixels do not matter."""
        random = np.random.default_rng(0)
        noise = random.integers(-30, 31, (1, 32, 64, 3))
        noise[:, :, 32:] = 0
        images, mask = (100 + noise).astype(np.uint8), np.ones((1, 32, 64, 1), np.uint8)
        mask[:, 9:15, 9:15] = mask[:, 9:15, 49:55] = 0
        [shifts] = self.shifts(images, mask, log_scale_shift=-0.5)
        self.assertAllClose(shifts[9:15, 9:15], np.full((6, 6), -0.3))
        self.assertAllClose(shifts[9:15, 49:55], np.full((6, 6), -1.2))
        others = np.where(mask, images, random.integers(0, 256, images.shape)).astype(np.uint8)
        both, seeds = np.concatenate([images[:, :, ::-1], others]), [[0, 0], [0, 0]]
        mirrored, same = self.shifts(both, mask.repeat(2, axis=0), seeds=seeds)
        self.assertAllClose(same - 0.5, np.minimum(shifts, -0.5))  # not above 0
        self.assertAllClose(mirrored[9:15, 9:15], np.full((6, 6), -0.7))
        self.assertAllClose(mirrored[9:15, 49:55], np.zeros((6, 6)))

    def test_one_particle_without_known_pixels_after_the_first_drawn_one(self):
        for known, count in (((4, 0), 1), ((5, 0), 4), ((4, 1), 4)):
            images, mask = helpers.pictures(1, size=(8, 8)), np.zeros((1, 8, 8, 1), np.uint8)
            mask[:, : known[0]], mask[:, -1, : known[1]] = 1, 1
            _, [small], _ = self.completed(images, mask, particles=4)
            self.assertEqual(small.args[4], count)

    def test_seeds_decide_whatever_the_batch(self):
        images = helpers.pictures(3, size=(11, 9))[[0, 1, 0]]
        mask = np.repeat(mask_of(images)[:1], 3, axis=0)
        mask[1, 2:5] = 0
        seeds, how = np.array([[1, 2], [3, 4], [1, 3]], np.int32), {"particles": 2}
        found, *_ = self.completed(images, mask, seeds=seeds, **how)
        for k, seed in enumerate(seeds):
            alone = photographs().complete(images[k], mask[k], seed, scenes=scenes(), **how)
            self.assertAllEqual(alone, found[k])
        self.assertNotAllEqual(found[2], found[0])
        nothing = np.ones_like(mask)
        self.assertAllEqual(photographs().complete(images, nothing, scenes=scenes()), images)

    def test_scenes_that_do_not_fit(self):
        images = helpers.pictures(1, size=(8, 8))
        grays = helpers.random_chain([], (4, 4), names=["image"], channels=1)
        for model, others, message in (
            (
                photographs(),
                colors(),
                r"scenes of one factor .* 3 channels.*\['grayscale', 'image'\]",
            ),
            (
                photographs(),
                grays,
                r"3 channels.*Mixture of 1 channels of 256.*4\). Take .*-pixelcnn",
            ),
            (photographs(), "cifar10-pixelcnn", "scenes of class AuxiliaryModel, or None"),
            (
                colors(),
                scenes(),
                r"model that enlarges.*\['grayscale', 'image'\]. Take .*scenes=None",
            ),
        ):
            with self.assertRaisesRegex(ValueError, message):
                model.complete(images, mask_of(images), scenes=others)


class WrongArgumentsTest(helpers.TestCase):
    @parameterized.parameters(
        ({"images": PICTURES.astype(np.float32)}, r"images as uint8 .*Received: float32"),
        ({"images": PICTURES[..., :2]}, r"B, H, W, 1 or 3\]. Received: shape \[2, 9, 11, 2\]"),
        ({"num": 0}, "num from 1 to 64.* Received: num=0"),
    )
    def test_colors(self, arguments, message):
        with self.assertRaisesRegex(ValueError, message):
            colors().colorize(**{"images": PICTURES, **arguments})

    def test_others(self):
        complete = functools.partial(colors().complete, PICTURES)
        for ask, message in (
            (lambda: pyramid().colorize(PICTURES), r"grays. .*\['2x2', '4x4', '8x8'\]"),
            (lambda: colors().enlarge(PICTURES), "none: the model has no .* such as photographs"),
            (
                lambda: pyramid().enlarge(PICTURES, 3),
                "times to enlarge by, one of 2, 4. Received: 3",
            ),
            (
                lambda: complete(mask_of(PICTURES)[:1]),
                r"of shape \[2, 9, 11, 1\]. Received: \[1, 9",
            ),
            (lambda: complete(2 * mask_of(PICTURES)), "mask with pixel values from 0 to 1"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                ask()
