"""Tests of pictures of images: any number of channels, and of pixel values."""

import contextlib
import io

import numpy as np
from PIL import Image

from pixelcnn_aux import image_grid
from tests import helpers


class RgbTest(helpers.TestCase):
    def test_channels_and_values(self):
        for num_values, pixel, expected in (
            (256, [100], [100] * 3),
            (3, [1], [128] * 3),
            (1, [0], [0] * 3),
            (16, [15], [255] * 3),
            (16, [0, 2], [17] * 3),
            (16, [1, 2, 15], [17, 34, 255]),
            (16, [0, 0, 3, 1], [17] * 3),
        ):
            found = image_grid.to_rgb(np.array([[pixel]], np.uint8), num_values)
            self.assertAllEqual(found, [[expected]])
            self.assertEqual(found.dtype, np.uint8)

    def test_a_window_of_many_values(self):
        values = np.arange(1001, dtype=np.uint16).reshape(7, 143, 1)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            window = image_grid.window("image", [values], 4096)
            self.assertEqual(image_grid.window("image", [values], 256), (0, 255))
        expected = "image: shown from 5 to 995 of 4,095, percentiles 0.5 and 99.5\n"
        self.assertEqual(printed.getvalue(), expected)
        found = image_grid.to_rgb(values, 4096, window)[..., 0].ravel()
        self.assertAllEqual(found[[0, 5, 500, 995, 1000]], [0, 0, 128, 255, 255])
        self.assertEqual(image_grid.to_rgb(values * 0, 4096, (0, 0)).max(), 0)


class LabeledTest(helpers.TestCase):
    def test_rows_of_several_sizes_and_numbers(self):
        large, small = helpers.pictures(3), helpers.pictures(2, seed=1, size=(2, 3))
        scale, (height, width) = image_grid.SIDE // 6, helpers.SIZE
        rows = [("some\nlarge", large), ("a longer label", small)]
        picture = np.asarray(image_grid.labeled(rows))
        left = picture.shape[1] - 3 * (width + 2) * scale
        images = picture[:, left:].reshape(2, height + 2, scale, 3, width + 2, scale, 3)
        self.assertAllEqual(images, np.broadcast_to(images[:, :, :1, :, :, :1], images.shape))
        images = images[:, :, 0, :, :, 0].swapaxes(1, 2)  # [rows, columns, H + 2, W + 2, 3]
        expected = np.full_like(images, 255)
        expected[0, :, 1:-1, 1:-1] = large
        expected[1, :2, 1:-1, 1:-1] = small.repeat(2, axis=1).repeat(2, axis=2)
        self.assertAllEqual(images, expected)
        # Labels stand at the middle of their rows, and end at the same distance from the images.
        for label in np.split(picture[:, :left, 0] < 128, 2):
            [ys, xs] = np.nonzero(label)
            self.assertAllClose((ys.min() + ys.max()) / 2, len(label) / 2, atol=4)
            self.assertBetween(left - xs.max(), 8, 11)
            self.assertGreater(xs.min(), 4)

    def test_large_images_are_not_enlarged(self):
        picture = image_grid.labeled([("", helpers.pictures(2, size=(256, 300)))])
        self.assertEqual(picture.height, 258)

    def test_formats(self):
        picture = image_grid.labeled([("label", helpers.pictures(2))])
        for suffix, beginning in zip(
            image_grid.SUFFIXES, (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"%PDF"), strict=True
        ):
            for name in (f"a{suffix}", f"a{suffix.upper()}"):
                image_grid.write(self.folder / name, picture)
                self.assertStartsWith((self.folder / name).read_bytes(), beginning)
        for name in ("a.png", "a.webp"):
            self.assertAllEqual(Image.open(self.folder / name), picture)

    def test_whole_or_as_it_was(self):
        picture = image_grid.labeled([("label", helpers.pictures(2))])
        image_grid.write(self.folder / "a.png", picture)
        before = helpers.contents(self.folder)
        with helpers.files_of_at_most(50):
            with self.assertRaisesRegex(OSError, "Expected to write .*a.png. Received: "):
                image_grid.write(self.folder / "a.png", picture)
        self.assertEqual(helpers.contents(self.folder), before)
