"""Tests of the sizes of lossless files."""

import io
import types

import numpy as np
import tensorflow as tf
from PIL import Image

from pixelcnn_aux.codec import lossless_files
from tests.data import helpers


class LosslessFilesTest(tf.test.TestCase):
    def test_codecs_count_the_smallest_whole_files_that_lose_nothing(self):
        noise, every = helpers.noise(3, 8, 8, 3), list(lossless_files.FORMATS)
        deep = noise[..., :2].copy().view(np.uint16)
        others = [x for x in every if x != "WebP"]
        for images, num_values, expected in (
            *((noise, 256, every), (noise[..., :1], 256, every), (deep, 1024, others)),
            *((deep, 16, []), (noise, 8, []), (noise[..., :2], 256, []), (noise, 1024, [])),
        ):
            kind = types.SimpleNamespace(num_channels=images.shape[3], num_values=num_values)
            self.assertEqual(lossless_files.holding(kind), expected)
            for codec in expected:
                settings = lossless_files.FORMATS[codec]
                sizes = [[file_size(image, setting) for setting in settings] for image in images]
                bits = lossless_files.bits_per_dim(codec, images)
                self.assertAllClose(bits, 8 * np.min(sizes, axis=1) / images[0].size)
        bits = lossless_files.bits_per_dim("PNG", noise)
        self.assertAllGreater(bits, 8.0)  # noise does not compress, and there are headers


def file_size(image, settings):
    """Size in bytes of an image's file, checked to decode to the same pixels."""
    file, mode = io.BytesIO(), "RGB" if image.shape[-1] == 3 else "L"
    Image.fromarray(image.squeeze()).save(file, **settings)
    found = Image.open(file)
    found = np.asarray(found if image.itemsize > 1 else found.convert(mode)).reshape(image.shape)
    np.testing.assert_array_equal(found, image)
    return len(file.getvalue())
