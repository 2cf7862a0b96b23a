"""Tests of batches: the order of images, which ones are read, and arrays as a data set."""

import hashlib
import zlib
from unittest import mock

import numpy as np
import tensorflow as tf

from pixelcnn_aux import conditions, data
from tests.data.helpers import everything, noise, taken


def numbered(count):
    """Images with their number in the upper left corner, and 255 in the upper right."""
    pixels = np.zeros((count, 2, 3, 3), np.uint8)
    pixels[:, 0, 0] = np.arange(count)[:, None]
    pixels[:, 0, 2] = 255
    return pixels


def numbers_and_flips(batches):
    """(numbers of `numbered` images [..., 2, 3, 3], whether each is flipped)."""
    flips = batches[..., 0, 0, 0] == 255
    return np.where(flips, batches[..., 0, 2, 0], batches[..., 0, 0, 0]).astype(int), flips


class ImagesTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.images = data.from_arrays(numbered(50))

    def train(self, steps, batch_size=8, seed=3, **how):
        return taken(self.images.training_batches(batch_size, seed, **how), steps)

    def test_batches_hold_every_image_once_in_order(self):
        batches = list(self.images.batches(16))
        self.assertEqual([len(batch) for batch in batches], [16, 16, 16, 2])
        self.assertAllEqual(everything(batches), numbered(50))
        batches[0][:] = 0  # copies, not views
        found = everything(self.images.batches(16, num_images=17))
        self.assertAllEqual(found, numbered(50)[:17])
        self.assertEmpty(list(self.images.batches(16, num_images=0)))
        for arguments in ((0,), (2.5,), (16, -1)):
            with self.assertRaisesRegex(ValueError, "(batch_size|num_images) from [01] to"):
                self.images.batches(*arguments)

    def test_conditions_go_with_their_images(self):
        """Training hides some, drawn for each image in every epoch by the seed, also when resumed."""
        kind, order = conditions.Classes(50), {"batch_size": 8, "seed": 3}
        images = data.from_arrays(numbered(50), labels=np.arange(50))
        self.assertAllEqual(images.condition(kind, [3, 1]), [3, 1])
        self.assertIsNone(images.condition(None))
        numbers, _ = numbers_and_flips(self.train(100))
        dropped = taken(images.training_conditions(kind, 0.1, **order), 100)
        self.assertAllEqual(dropped, np.where(dropped == -1, -1, numbers))
        self.assertBetween(np.mean(dropped == -1), 0.06, 0.14)
        order["first_step"] = 50
        every = taken(images.training_conditions(kind, 0.0, **order, rows=slice(2, 5)), 50)
        self.assertAllEqual(every, numbers[50:, 2:5])
        later = taken(images.training_conditions(kind, 0.1, **order), 50)
        self.assertAllEqual(later, dropped[50:])
        for labels in (np.arange(49), np.zeros(50), np.zeros((50, 2, 2)), ["a"] * 50):
            with self.assertRaisesRegex(ValueError, "Expected labels"):
                data.from_arrays(numbered(50), labels)

    def test_squares_of_images_of_several_sizes(self):
        sizes = [(4, 9), (5, 5), (7, 4)]
        pixels = [np.full((*size, 1), k, np.uint8) for k, size in enumerate(sizes)]
        for image in pixels:
            image[:] += 10 * np.arange(image.shape[1], dtype=np.uint8)[:, np.newaxis]
        images = data.Images(pixels)
        self.assertIsNone(images.image_size)
        self.assertEqual([x.shape for x in images.batches(2)], [(1, *size, 1) for size in sizes])
        how = {"batch_size": 3, "seed": 5, "flip": False, "crop": 4}
        batches = taken(images.training_batches(**how), 50)[..., 0]
        later = taken(images.training_batches(**how, first_step=20), 30)[..., 0]
        self.assertAllEqual(later, batches[20:])
        self.assertAllEqual(np.sort(batches[:, :, 0, 0] % 10), [[0, 1, 2]] * 50)
        self.assertAllEqual(np.diff(batches.astype(int)), np.full((50, 3, 4, 3), 10))
        left = batches[..., 0, 0][batches[..., 0, 0] % 10 == 0] // 10  # of the first image
        self.assertEqual(set(left.tolist()), set(range(6)))
        self.assertAllEqual(images.centers(4).pixels[0, 0, :, 0], [30, 40, 50, 60])
        with self.assertRaisesRegex(ValueError, "squares of 5 x 5.*Received: one of 4 x 9"):
            images.centers(5)
        with self.assertRaisesRegex(ValueError, "images of one size"):
            images.take([0])

    def test_squares_that_are_varied(self):
        pixels = np.random.default_rng(0).integers(0, 256, (6, 40, 50, 3), np.uint8)
        for images in (data.from_arrays(pixels), data.from_arrays(pixels[..., :1])):
            how = {"batch_size": 4, "seed": 5, "crop": 16}
            plain, varied = (
                taken(images.training_batches(**how, vary=x), 30) for x in (False, True)
            )
            self.assertEqual((varied.dtype, varied.shape), (plain.dtype, plain.shape))
            later = taken(images.training_batches(**how, vary=True, first_step=20), 10)
            self.assertAllEqual(later, varied[20:])
            grays = np.ptp(varied.astype(int), axis=-1).max(axis=(-2, -1)) == 0
            if images.pixels.shape[-1] == 3:
                self.assertBetween(grays.mean(), 0.02, 0.25)  # of 120, one in ten
        for wrong in ({"crop": None}, {}):
            images = data.from_arrays(np.repeat(pixels, 2, -1) if wrong == {} else pixels)
            with self.assertRaisesRegex(ValueError, "squares .*to be varied. Received: crop="):
                next(images.training_batches(**{**how, **wrong}, vary=True))

    def test_training_batches_repeat_nothing_within_an_epoch(self):
        batches = self.train(25)  # 8 does not divide 50
        self.assertEqual((batches.dtype, batches.shape), (np.uint8, (25, 8, 2, 3, 3)))
        epochs = numbers_and_flips(batches)[0].reshape(4, 50)
        self.assertAllEqual(np.sort(epochs), [np.arange(50)] * 4)
        for other in (np.arange(50), *epochs[1:]):
            self.assertLess(np.mean(epochs[0] == other), 0.2)
        self.images = data.from_arrays(numbered(3))  # fewer than a batch
        numbers, _ = numbers_and_flips(self.train(3, batch_size=7))
        self.assertAllEqual(np.sort(numbers.reshape(7, 3)), [np.arange(3)] * 7)

    def test_flips_are_horizontal_and_per_image(self):
        batches = self.train(40, batch_size=50, seed=0)  # one epoch each
        numbers, flips = numbers_and_flips(batches)
        plain = numbered(50)[numbers]
        expected = np.where(flips[..., None, None, None], plain[..., ::-1, :], plain)
        self.assertAllEqual(batches, expected)
        self.assertAllClose(flips.mean(), 0.5, atol=0.05)  # 2000 throws: 4.5 deviations
        by_image = np.take_along_axis(flips, np.argsort(numbers, axis=1), axis=1)
        for shares in (by_image.mean(axis=0), flips.mean(axis=0), flips.mean(axis=1)):
            self.assertAllInRange(shares, 0.1, 0.9)  # of images, places in a batch, and batches
        unflipped = self.train(40, batch_size=50, seed=0, flip=False)  # in the same order
        self.assertAllEqual(unflipped, plain)

    def test_batches_of_a_seed_are_pinned(self):
        self.images = data.from_arrays(noise(10, 4, 6, 3))
        batches = self.train(10, batch_size=4)
        pinned = "4c905eab625ae0a4ad6fd5079b2e6eeadb29c510ae2396c7c25f1d13ec10dbcd"
        self.assertEqual(hashlib.sha256(batches.tobytes()).hexdigest(), pinned)
        self.assertNotAllEqual(batches, self.train(10, batch_size=4, seed=4))

    def test_batches_from_any_step_on_and_any_of_their_rows(self):
        whole = self.train(40, batch_size=7)
        for step in (1, 7, 8, 29):  # within the first epoch, around its end, in the fifth
            resumed = self.train(40 - step, batch_size=7, first_step=step)
            self.assertAllEqual(resumed, whole[step:])
        self.images = data.from_arrays(noise(5, 4, 6, 3))  # batches span two and three epochs
        whole = self.train(20, batch_size=7)
        for rows in (slice(0, 3), slice(3, 7), slice(1, None, 2), slice(4, 4)):
            self.assertAllEqual(self.train(20, batch_size=7, rows=rows), whole[:, rows])

    def test_nothing_is_read_that_was_not_asked_for(self):
        read = []

        class Counting(np.ndarray):
            def __getitem__(self, indices):
                read.extend(indices)
                return np.asarray(self)[indices]

        images = data.Images(np.zeros((1000, 2, 3, 3), np.uint8).view(Counting))
        batches = images.training_batches(10, 0, first_step=10**12 + 99, rows=slice(2, 5))
        self.assertEmpty(read)
        taken(batches, 2)
        self.assertLen(read, 6)
        images.take([999, 3])
        self.assertEqual(read[6:], [999, 3])
        images.spread(4)
        self.assertEqual(read[8:], [0, 250, 500, 750])
        self.assertLen(images.spread(9999), 1000)

    def test_the_checksum_is_of_the_images_in_their_order(self):
        pixels = noise(3000, 4, 6, 3)
        crc32 = data.Images(pixels).crc32
        self.assertEqual(crc32, zlib.crc32(pixels))
        self.assertEqual(data.Images(np.asfortranarray(pixels)).crc32, crc32)
        self.assertNotEqual(data.Images(pixels[::-1]).crc32, crc32)
        several = [pixels[0], pixels[1, :2]]
        self.assertEqual(data.Images(several).crc32, zlib.crc32(b"".join(x.data for x in several)))
        with mock.patch.object(data.images, "_MOST_CHECKED", pixels.nbytes // 2):
            self.assertEqual(data.Images(pixels).crc32, zlib.crc32(pixels[::2].copy()))

    def test_images_are_taken_by_index(self):
        self.assertAllEqual(self.images.take([49, 0, 7, 7]), numbered(50)[[49, 0, 7, 7]])
        self.assertEmpty(self.images.take([]))
        for index in (-1, 50, 1.5):
            with self.assertRaisesRegex(ValueError, rf"from 0 to 49\. Received: \[{index}\]\."):
                self.images.take([3, index])


class FromArraysTest(tf.test.TestCase):
    def test_arrays_are_copied_and_images_are_not(self):
        pixels = noise(5, 4, 6, 3)
        before = pixels.copy()
        for given in (tf.constant(pixels), list(pixels), pixels):
            images = data.from_arrays(given)
            self.assertEqual((images.num_images, images.image_size), (5, (4, 6)))
            self.assertEqual(images.source, dict.fromkeys(("dataset", "image_dir", "image_file")))
            pixels[:] *= given is not pixels
            self.assertAllEqual(everything(images.batches(2)), before)
        self.assertIs(data.as_images(images), images)

    def test_other_pixels_are_refused(self):
        for pixels, received in (
            (np.zeros([2, 4, 6, 3], np.float32), r"float32 \[2, 4, 6, 3\]"),
            (noise(4, 6), r"uint8 \[4, 6\]"),
            (noise(2, 3, 32, 32), r"uint8 \[2, 3, 32, 32\]"),
            ([[1], [1, 2]], r"\[\[1\], \[1, 2\]\] \(setting .*\)"),
        ):
            with self.assertRaisesRegex(ValueError, rf"pixels as .* {received}\. Give .*uint8"):
                data.from_arrays(pixels)
