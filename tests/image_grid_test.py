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
