"""Tests of pictures of images: any number of channels, and of pixel values."""

import numpy as np

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


class GridTest(helpers.TestCase):
    def test_smaller_images_below_larger_ones(self):
        large = helpers.pictures(3)
        small = large[:, ::2, ::2]
        found = image_grid.grid([list(tile) for tile in zip(large, small)], columns=2, enlarged=3)
        height, width = helpers.SIZE
        self.assertEqual(found.shape, (3 * 4 * (height + 2), 3 * 2 * (width + 2), 3))
        found = found[::3, ::3]
        self.assertAllEqual(found[1 : height + 1, 1 : width + 1], large[0])
        below = found[height + 3 : 2 * height + 3, width + 3 : 2 * width + 3]
        self.assertAllEqual(below, small[1].repeat(2, axis=0).repeat(2, axis=1))
        self.assertTrue((found[2 * (height + 2) :, width + 2 :] == 255).all())
