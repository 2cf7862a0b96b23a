"""Tests of what images take as lossless files."""

import io
import types

import numpy as np
import tensorflow as tf
from PIL import Image

from pixelcnn_aux.data import lossless_files
from tests import helpers


class LosslessFilesTest(tf.test.TestCase):
    def test_codecs_count_the_smallest_whole_files_that_lose_nothing(self):
        noise = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
        deep = noise[..., :2].copy().view(np.uint16)
        for images in (noise, helpers.pictures(3, size=(16, 16)), noise[..., :1], deep):
            for codec in holding(images.shape[3], 1 << 8 * images.itemsize):
                settings = lossless_files.FORMATS[codec]
                sizes = [[file_size(image, setting) for setting in settings] for image in images]
                bits = lossless_files.bits_per_dim(codec, images)
                self.assertAllClose(bits, 8 * np.min(sizes, axis=1) / images[0].size)
        bits = lossless_files.bits_per_dim("PNG", noise)
        self.assertAllGreater(bits, 8.0)  # noise does not compress, and there are headers

    def test_what_files_hold(self):
        for channels, values, expected in (
            *((1, 256, list(lossless_files.FORMATS)), (3, 256, list(lossless_files.FORMATS))),
            *((1, 16, []), (3, 8, []), (2, 256, []), (3, 1024, [])),
        ):
            self.assertEqual(holding(channels, values), expected)
        self.assertEqual(holding(1, 1024)[0], "PNG")
        self.assertNotIn("WebP", holding(1, 1024))


def holding(channels, num_values):
    return lossless_files.holding(
        types.SimpleNamespace(num_channels=channels, num_values=num_values)
    )


def file_size(image, settings):
    """Bytes of an image's file, once it is known to hold the same pixels."""
    file, mode = io.BytesIO(), "RGB" if image.shape[-1] == 3 else "L"
    Image.fromarray(image.squeeze()).save(file, **settings)
    found = Image.open(file)
    found = np.asarray(found if image.itemsize > 1 else found.convert(mode)).reshape(image.shape)
    np.testing.assert_array_equal(found, image)
    return len(file.getvalue())
