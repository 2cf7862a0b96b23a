"""Tests of the sums that auxiliary images fix: their bounds, and the likelihoods and draws within them."""

import collections
import itertools

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux import likelihoods, sums
from pixelcnn_aux.factors import checks
from pixelcnn_aux.sums import FixedSum
from tests import helpers
from tests.helpers import chi_square_p_value
from tests.likelihoods.helpers import NUM_DRAWS, random_params

HALVES = pa.auxiliary.HalfResolution()
# Sums as small as can be told apart: (the sum, channels of an image of one block).
SMALL = {
    "halves": (HALVES.fixed_sum(3), 1),
    "halves_of_two_channels": (HALVES.fixed_sum(2), 2),
    "gray": (FixedSum([[[3, 5, 1]]], step=4, num_values=5), 3),
    "narrow": (FixedSum([[[6, 3, 1]]], step=1, first=2, num_values=4), 3),
    "block_and_channels": (FixedSum([[[3, 1], [2, 1]]] * 2, step=5, first=-2, num_values=2), 2),
}
small = parameterized.named_parameters((name, *sizes) for name, sizes in SMALL.items())


def random_images(*shape, num_values=256, seed=0):
    return np.random.default_rng(seed).integers(0, num_values, shape).astype(np.uint8)


def all_images(fixed_sum, channels):
    """Every image of one block, uint8 [N, ratio, ratio, C], and what the sum makes of them."""
    size = (fixed_sum.ratio, fixed_sum.ratio, channels)
    images = helpers.all_images(fixed_sum.num_values, *size)
    return images, fixed_sum.auxiliary(images)


def draw_block(fixed_sum, likelihood, params, auxiliary):
    """Draws images of one block, [B, ratio, ratio, C], pixel by pixel given auxiliary values [B, c]."""
    batch, ratio = len(params), fixed_sum.ratio
    shape = (batch, ratio, ratio, likelihood.bounded_noise_size)
    uniforms = np.random.default_rng(1).random(shape).astype(params.dtype)
    noise = likelihood.noise(uniforms, bounded=True)
    remainder, pixels = fixed_sum.start(auxiliary), []
    for row, column in np.ndindex(ratio, ratio):
        position = fixed_sum.at(row, column)
        bounds = position.bounds(remainder)
        here = params[:, row, column], noise[:, row, column]
        pixels.append(likelihood.draw(*here, bounds=bounds))
        remainder -= position.contribution(pixels[-1])
    return np.stack(pixels, axis=1).reshape(batch, ratio, ratio, -1).astype(np.uint8)


class BoundsTest(helpers.TestCase):
    def assertComplete(self, images, auxiliary, low, high):
        """Each value's interval, given the earlier ones, has exactly the values of the images."""
        possible = collections.defaultdict(set)
        values, low, high = (np.reshape(x, (len(images), -1)) for x in (images, low, high))
        for q, image in zip(auxiliary, values):
            for i, value in enumerate(image):
                possible[(*q.ravel(), *image[:i])].add(value)
        for q, image, lows, highs in zip(auxiliary, values, low, high):
            for i in range(len(image)):
                expected = possible[(*q.ravel(), *image[:i])]
                self.assertEqual(set(range(lows[i], highs[i] + 1)), expected)

    @small
    def test_bounds_are_what_can_be_completed(self, fixed_sum, channels):
        images, auxiliary = all_images(fixed_sum, channels)
        low, high, _ = fixed_sum.bounds(images, auxiliary)
        for x in (low, high):
            self.assertEqual((x.shape, x.dtype), (images.shape, np.int32))
        self.assertComplete(images, auxiliary, low, high)

    @parameterized.parameters(
        (HALVES.fixed_sum(4), 1),
        (FixedSum([[[3, 5, 1]]], step=5, num_values=6), 3),
        (SMALL["block_and_channels"][0], 2),
    )
    def test_bounds_are_what_can_be_completed_within_others(self, fixed_sum, channels):
        """Also where each value is known to lie in its own interval, perhaps of one value."""
        self.assertTrue(fixed_sum.dense)
        (images, _), rng = all_images(fixed_sum, channels), np.random.default_rng(0)
        for _ in range(4):
            ends = rng.integers(0, fixed_sum.num_values, (2, *images.shape[1:]))
            ends[1] = np.where(rng.random(ends[1].shape) < 0.3, ends[0], ends[1])
            low, high = np.sort(ends, axis=0)[:, np.newaxis]
            inside = images[((low <= images) & (images <= high)).all(axis=(1, 2, 3))]
            auxiliary = fixed_sum.auxiliary(inside)
            # Every auxiliary image from that of the least to that of the most values, and no other.
            least, most = (fixed_sum.auxiliary(x)[0, 0, 0] for x in (low, high))
            found = np.unique(auxiliary[:, 0, 0], axis=0)
            self.assertLen(found, np.prod(most - least + 1))
            self.assertAllEqual([found.min(axis=0), found.max(axis=0)], [least, most])
            slack = fixed_sum.slack(*(np.broadcast_to(x, inside.shape) for x in (low, high)))
            bounds = fixed_sum.channel_bounds(inside, auxiliary, slack)
            values = np.moveaxis(inside, -1, 0)
            found = [bounds(i, list(values[:i])) for i in range(channels)]
            least, most = (np.stack([x[end] for x in found], axis=-1) for end in (0, 1))
            ends = np.maximum(least, low), np.minimum(most, high)
            self.assertComplete(inside, auxiliary, *ends)

    @parameterized.product(name=[*SMALL], kind=((False, None), (True, 4)), size=((4, 6), (3, 5)))
    def test_numpy_and_tensors_agree(self, name, kind, size):
        """For whole images, pixels, and groups, without changing the inputs."""
        fixed_sum, channels = SMALL[name]
        how = dict(zip(("exact", "center_units"), kind))
        fixed_sum = FixedSum(**{**fixed_sum.get_config(), **how})
        images = random_images(2, *size, channels, num_values=fixed_sum.num_values)
        low, high = np.sort([images, random_images(*images.shape, num_values=2)], axis=0)

        def computed(kind):
            given, within = kind(images), (kind(low), kind(high))
            auxiliary, slack = fixed_sum.auxiliary(given), fixed_sum.slack(*within)
            found = [auxiliary, *slack, fixed_sum.sums(given)]
            of_channel = fixed_sum.channel_bounds(given, auxiliary, slack)
            earlier = [given[..., i] for i in range(channels)]
            known = [of_channel(i, earlier[:i]) for i in range(channels)]
            expected = [np.stack(x, axis=-1) for x in zip(*known)]
            ratio, where = fixed_sum.ratio, (fixed_sum, auxiliary, size, within)
            remainders, pixels = sums.Remainders(*where), []
            for row, column in np.ndindex(size):
                here = remainders.at_pixels(*np.array([[row], [column]], np.int32))
                earlier = [given[:, row, column, i][:, None] for i in range(channels)]
                bounds = here.bounds()
                pixels.append([bounds(i, earlier[:i]) for i in range(channels)])
                here.decided(given[:, row, column][:, None])
            received = [np.stack(x, axis=-1) for x in zip(*itertools.chain(*pixels))]
            received = [np.reshape(x, (2, *images.shape[1:])) for x in received]
            self.assertAllEqual(received, expected)
            blocks, places = sums.Remainders(*where), sums.by_place(given, ratio)
            for place, values in enumerate(places):
                earlier = [values[..., i] for i in range(channels)]
                here = blocks.at_place(place)
                bounds = here.bounds()
                found += [x for i in range(channels) for x in bounds(i, earlier[:i])]
                here.decided(values)
            return [*found, *expected, sums.from_places(places, ratio, size)]

        before = images.copy(), low.copy(), high.copy()
        for one, other in zip(computed(np.array), computed(tf.constant), strict=True):
            self.assertIsInstance(one, np.ndarray)
            self.assertEqual(one.dtype, other.dtype)
            self.assertAllEqual(one, other)
        self.assertAllEqual((images, low, high), before)

    def test_by_hand(self):
        image = np.array([[90, 100], [110, 100]], np.uint8).reshape(1, 2, 2, 1)
        bounds = HALVES.fixed_sum(256).bounds(image, HALVES(image))  # a sum of 398 .. 401
        low, high, center = (np.ravel(x) for x in bounds)
        self.assertAllEqual([low, high], [[0, 0, 0, 98], [255, 255, 211, 101]])
        self.assertAllClose(center, [399.5 / 4, 309.5 / 3, 209.5 / 2, 99.5], rtol=1e-6)

    def test_the_center_of_a_gray_is_its_levels_middle(self):
        for bits in (1, 4, 8):
            grayscale = pa.auxiliary.Grayscale(bits)
            images = random_images(2, 4, 6, 3)
            grays = grayscale(images)
            *_, center = grayscale.fixed_sum(256).bounds(images, grays)
            width = 256 // 2**bits
            middle = grays * width + (1000 * width - 1) / 2000
            self.assertAllClose(center, np.repeat(middle, 3, axis=-1), rtol=1e-6)

    def test_centers_are_values(self):
        """Also where earlier values leave less or more than the range of values."""
        images = np.zeros([2, 2, 2, 1], np.uint8)
        images[0, 0] = 255
        *_, center = HALVES.fixed_sum(256).bounds(images, [[[[10]]], [[[200]]]])
        self.assertAllInRange(center, 0, 255)
        self.assertAllClose(center[:, 1, 1, 0], [0, 255])


class LikelihoodTest(helpers.TestCase):
    @parameterized.parameters(False, True)
    def test_all_colors_of_a_pixel_under_its_gray_sum_to_one(self, centered):
        grayscale = pa.auxiliary.Grayscale(bits=8)
        values = np.arange(256, dtype=np.int32)
        luma = (299 * values[:, None, None] + 587 * values[:, None] + 114 * values) // 1000
        likelihood = likelihoods.LogisticMixture(3, centered=centered)
        params = random_params(num_components=3).astype(np.float32)

        def log_prob(pixels, gray):
            images = np.reshape(pixels, (-1, 1, 1, 3))
            known = grayscale.fixed_sum(256).bounds(images, np.full([len(images), 1, 1, 1], gray))
            all_params = np.broadcast_to(params, (*images.shape[:3], 30))
            return likelihood.log_prob(all_params, images, known)

        for gray in (0, 7, 131, 255):
            agreeing = np.argwhere(luma == gray)
            total = np.exp(log_prob(agreeing, gray), dtype=np.float64).sum()
            self.assertAllClose(total, 1.0, rtol=0, atol=1e-5)
            others = random_images(5000, 3)
            others = others[luma[tuple(others.T)] != gray]
            self.assertAllEqual(log_prob(others, gray) == -np.inf, np.ones([len(others), 1, 1]))


class DrawsTest(helpers.TestCase):
    @small
    def test_draws_follow_the_probabilities(self, fixed_sum, channels):
        images, auxiliary = all_images(fixed_sum, channels)
        likelihood = likelihoods.Categorical(fixed_sum.num_values, channels)
        if channels == 3:
            likelihood = likelihoods.LogisticMixture(2, centered=True)
        size = (fixed_sum.ratio, fixed_sum.ratio, likelihood.num_params)
        pixel = np.random.default_rng(0).normal(size=size)
        given, counts = np.unique(auxiliary, axis=0, return_counts=True)
        given = given[np.argmax(counts)]
        known = fixed_sum.bounds(images, np.broadcast_to(given, auxiliary.shape))
        params = np.broadcast_to(pixel, (len(images), *size))
        expected = np.exp(likelihood.log_prob(params, images, known).sum(axis=(1, 2)))
        drawn = draw_block(
            fixed_sum,
            likelihood,
            np.broadcast_to(pixel, (NUM_DRAWS, *size)),
            np.broadcast_to(given[0, 0], (NUM_DRAWS, given.shape[-1])),
        )
        places = fixed_sum.num_values ** np.arange(images[0].size)[::-1]  # of `all_images`
        index = drawn.reshape(NUM_DRAWS, -1) @ places
        counts = np.bincount(index, minlength=len(images))
        self.assertEqual(counts[expected == 0].sum(), 0)
        self.assertGreater(chi_square_p_value(counts, expected), 1e-4)


class Darker(pa.auxiliary.HalfResolution):
    """A half resolution that rounds down, and still declares the one that rounds to the nearest."""

    def __call__(self, images):
        total = sums.reduce_blocks(tf.reduce_sum, tf.cast(images, tf.int32), 2)
        return tf.cast(total // 4, tf.uint8)


def declaring(transform, weights, step, first):
    """A transform with the values of another one, that declares another sum."""

    class Declares(type(transform)):
        def fixed_sum(self, num_values):
            return FixedSum(weights, step, first, num_values=num_values)

    return Declares(**transform.get_config())


class CheckTest(helpers.TestCase):
    def check(self, transform, num_values=256, channels=3):
        images = random_images(3, 4, 6, channels, num_values=num_values)
        images[0], images[1] = 0, num_values - 1
        likelihood = likelihoods.Categorical(num_values, channels)
        below = likelihoods.Categorical(
            transform.num_values or num_values, transform.channels or channels
        )
        checks.check_fixed_sum(transform, images, transform(images), likelihood, below)

    def test_other_sums_are_refused(self):
        gray = pa.auxiliary.Grayscale()
        block, luma = np.ones([2, 2]), [[[299, 587, 114]]]
        with self.assertRaisesRegex(ValueError, "Darker to give its values. Received: others for"):
            self.check(Darker())
        for transform, weights, step, first, error in (
            (HALVES, block, 4, -1, "to give its values"),
            (HALVES, block, 4, -4, "Received: windows from -4 to 1019"),
            (HALVES, [[1]], 4, 0, "blocks of side 2. Received: 1"),
            (gray, [[[3, 5]]], 16, 0, "over all of 3 channels.*Received: 2"),
            (gray, luma, 16_000, 1, "to give its values"),
        ):
            with self.assertRaisesRegex(ValueError, error):
                self.check(declaring(transform, weights, step, first))

    def test_a_sum_of_other_values_than_the_image_has_is_refused(self):
        class DeclaresFor256(pa.auxiliary.HalfResolution):
            def fixed_sum(self, num_values):
                return super().fixed_sum(256)

        network = {"topology": pa.networks.topology.flat(1), "filters": 3}
        message = "DeclaresFor256 to be of 16 values. Received: num_values=256"
        for exact in (False, True):
            with self.assertRaisesRegex(ValueError, message):
                transforms = [pa.auxiliary.Grayscale(), DeclaresFor256()]
                helpers.random_chain(transforms, (4, 4), network, exact=exact)
        factor = helpers.tiny_model(exact=True).factors["image"]
        message = "the factor 'image' to know a fixed_sum .*of 8 val"
        with self.assertRaisesRegex(ValueError, message):
            factor.with_fixed_sum(FixedSum([[[299, 587, 114]]], step=16_000, num_values=8))

    @parameterized.parameters(
        *((x, 4, 256, "whole numbers of 1 or more") for x in ([[1, 0], [1, 1]], [[-1]], [[1.5]])),
        *((x, 4, 256, "weights of shape .ratio, ratio") for x in ([1, 2], [[1, 2]], [], 3)),
        # Windows that no value reaches:
        ([[[16, 4, 1]]], 1, 3, "6 or more. Received: step=1"),
        ([[[1, 1, 5]]], 4, 256, "5 or more. Received: step=4"),
    )
    def test_weights_are_refused(self, weights, step, num_values, message):
        with self.assertRaisesRegex(ValueError, f"Expected .*{message}"):
            FixedSum(weights, step, num_values=num_values)
        FixedSum([[[16, 4, 1]]], step=1, num_values=4)
