"""Tests of pictures of any size, in float64 so that what should be equal is equal to the last pixel."""

import functools
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux import sampling
from pixelcnn_aux.auxiliary import Grayscale, HalfResolution
from pixelcnn_aux.inputs import DrawRequest
from tests import helpers

HALVES = HalfResolution()
SEEDS = np.array([[0, 0], [0, 1]], np.int32)
PICTURES = helpers.pictures(2, size=(9, 11))  # rows of windows from 0, 3, 6; columns from 0, 4, 8


@functools.cache
def colors():
    model = helpers.tiny_model(exact=True, dtype="float64")
    helpers.randomize(model.factors["image"])
    return model


@functools.cache
def pyramid():
    """Images of 2 x 2, 4 x 4 and 8 x 8."""
    return helpers.random_chain([HALVES, HALVES], (8, 8), names=["2x2", "4x4", "8x8"])


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
    """A picture of the model's size is drawn as by `sample`."""

    def test_colors(self):
        images, how = helpers.pictures(2), {"log_scale_shift": [-1.0, 0.0], "mode": "map"}
        given = {"grayscale": Grayscale()(images)}
        expected = colors().sample(SEEDS, given=given, **how)["image"]
        self.assertAllEqual(colors().colorize(images, **how), expected)
        self.assertNotAllEqual(colors().colorize(images, SEEDS[::-1], **how), expected)

    @parameterized.parameters(2, 4)
    def test_enlargements(self, times):
        images = halved(helpers.pictures(2, size=(8, 8)), times)
        given = {f"{8 // times}x{8 // times}": images}
        expected = pyramid().sample(SEEDS, given=given)["8x8"]
        self.assertAllEqual(pyramid().enlarge(images, times), expected)

    def test_completions(self):
        images = helpers.pictures(2)
        how = {"known": images, "mask": mask_of(images)}
        expected = colors().sample(SEEDS, **how)["image"]
        self.assertAllEqual(colors().complete(images, how["mask"]), expected)


class AnySizeTest(helpers.TestCase):
    """Exact models draw what agrees with what they are given."""

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


class WindowsTest(helpers.TestCase):
    def test_each_window_is_drawn_given_what_those_before_it_added(self):
        """As all windows of a picture in raster order, one after another."""
        model = helpers.random_chain([HALVES], (8, 12), names=["4x6", "8x12"], exact=False)
        # Here the last windows end: 18 x 22 pixels are returned.
        whole = np.pad(PICTURES, [(0, 0), (0, 1), (0, 3), (0, 0)], mode="edge")
        factor = model.factors["8x12"]
        noise = sampling.noise(factor, tf.constant(SEEDS), 1, (20, 28))
        pixels, mask = np.zeros((2, 20, 28, 3), np.uint8), np.zeros((2, 20, 28, 1), np.uint8)
        for top, height in ((0, 8), (6, 8), (12, 8)):
            for left, width in ((0, 10), (8, 10), (16, 12)):  # without the last columns drawn
                here = np.s_[:, top : top + 8, left : left + 12]
                above = np.s_[:, top // 2 : top // 2 + 4, left // 2 : left // 2 + 6]
                request = DrawRequest(
                    log_scale_shift=np.zeros(2, np.float32),
                    size=(8, 12),
                    auxiliary=whole[above],
                    completed=(pixels[here], mask[here]),
                    noise=noise[here],
                )
                drawn = factor.draw(request)
                body = np.s_[:, top : top + height, left : left + width]
                pixels[body], mask[body] = drawn[:, :height, :width], 1
        self.assertAllEqual(model.enlarge(PICTURES), pixels[:, :18, :22])

    def test_windows_that_do_not_wait_for_each_other_are_drawn_at_once(self):
        complete, unknown = colors().complete, np.zeros_like(PICTURES[..., :1])
        spied = mock.patch.object(pa.Factor, "draw", autospec=True, side_effect=pa.Factor.draw)
        with spied as draw:
            drawn = complete(PICTURES, unknown)
            sizes = [len(call.args[1].noise) for call in draw.call_args_list]
            self.assertEqual(sizes, 2 * [2, 2, 4, 2, 4, 2, 2])  # of grays and images
            # Nothing is drawn where all is known.
            draw.reset_mock()
            complete(PICTURES, np.ones_like(unknown))
            draw.assert_not_called()
        for b in range(2):
            alone = complete(PICTURES[b : b + 1], unknown[b : b + 1], SEEDS[b : b + 1])
            self.assertAllEqual(alone, drawn[b : b + 1])


class WrongArgumentsTest(helpers.TestCase):
    @parameterized.parameters(
        ({"images": PICTURES.astype(np.float32)}, r"images as uint8 .*Received: float32"),
        ({"images": PICTURES[..., :2]}, r"B, H, W, 1 or 3\]. Received: shape \[2, 9, 11, 2\]"),
        ({"images": PICTURES[:, :0]}, "height and width of 1 or more"),
        ({"seeds": SEEDS[:1]}, r"seeds as int32 \[2, 2\].*Received: \[1, 2\]"),
        ({"log_scale_shift": float("nan")}, "log_scale_shift as a finite number"),
        ({"mode": "argmax"}, "'sample', 'map'"),
    )
    def test_colors(self, arguments, message):
        with self.assertRaisesRegex(ValueError, message):
            colors().colorize(**{"images": PICTURES, **arguments})

    def test_others(self):
        complete = functools.partial(colors().complete, PICTURES)
        for ask, message in (
            (lambda: pyramid().colorize(PICTURES), r"grays. .*\['2x2', '4x4', '8x8'\]"),
            (lambda: colors().enlarge(PICTURES), "none: it has no .* such as photographs"),
            (lambda: pyramid().enlarge(PICTURES, 3), r"\[2, 4\] times. Received: 3"),
            (
                lambda: complete(mask_of(PICTURES)[:1]),
                r"of shape \[2, 9, 11, 1\]. Received: \[1, 9",
            ),
            (lambda: complete(2 * mask_of(PICTURES)), "mask with pixel values from 0 to 1"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                ask()
