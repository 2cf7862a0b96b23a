"""Tests of what images take as PNG and WebP files."""

import io
import types

import numpy as np
import tensorflow as tf
from PIL import Image

from evaluate import image_files
from tests import helpers


class ImageFilesTest(tf.test.TestCase):
    def test_codecs_count_the_smallest_whole_files_that_lose_nothing(self):
        noise = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
        for images in (noise, helpers.pictures(3, size=(16, 16)), noise[..., :1]):
            for codec, settings in image_files.FORMATS.items():
                sizes = [[file_size(image, setting) for setting in settings] for image in images]
                bits = image_files.bits_per_dim(codec, images)
                self.assertAllClose(bits, 8 * np.min(sizes, axis=1) / images[0].size)
        bits = image_files.bits_per_dim("PNG", noise)
        self.assertAllGreater(bits, 8.0)  # noise does not compress, and there are headers

    def test_codecs_are_for_bytes_alone(self):
        def of(channels, values):
            return types.SimpleNamespace(num_channels=channels, num_values=values)

        for channels, values in ((1, 256), (3, 256)):
            self.assertTrue(image_files.can_hold(of(channels, values)))
        for channels, values in ((1, 16), (3, 8), (2, 256)):
            self.assertFalse(image_files.can_hold(of(channels, values)))


def file_size(image, settings):
    """Bytes of an image's file, once it is known to hold the same pixels."""
    file, mode = io.BytesIO(), "RGB" if image.shape[-1] == 3 else "L"
    Image.fromarray(image.squeeze()).save(file, **settings)
    found = np.asarray(Image.open(file).convert(mode)).reshape(image.shape)
    np.testing.assert_array_equal(found, image)
    return len(file.getvalue())


if __name__ == "__main__":
    tf.test.main()
