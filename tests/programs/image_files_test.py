"""Tests of what images take as lossless files, and of the file that keeps that."""

import io
import json
import types
from unittest import mock

import numpy as np
import tensorflow as tf
from PIL import Image

from pixelcnn_aux.programs import image_files
from tests import helpers


class ImageFilesTest(tf.test.TestCase):
    def test_codecs_count_the_smallest_whole_files_that_lose_nothing(self):
        noise = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
        deep = noise[..., :2].copy().view(np.uint16)
        for images in (noise, helpers.pictures(3, size=(16, 16)), noise[..., :1], deep):
            for codec in holding(images.shape[3], 1 << 8 * images.itemsize):
                settings = image_files.FORMATS[codec]
                sizes = [[file_size(image, setting) for setting in settings] for image in images]
                bits = image_files.bits_per_dim(codec, images)
                self.assertAllClose(bits, 8 * np.min(sizes, axis=1) / images[0].size)
        bits = image_files.bits_per_dim("PNG", noise)
        self.assertAllGreater(bits, 8.0)  # noise does not compress, and there are headers

    def test_means_are_over_all_batches(self):
        images = helpers.pictures(3)
        batches = [images[:2], images[2:]]
        found = image_files.mean_bits(helpers.shared_model(), ["image"], batches, mock.Mock())
        expected = {x: np.mean(image_files.bits_per_dim(x, images)) for x in image_files.FORMATS}
        self.assertAllClose(found, {"image": expected})

    def test_what_files_hold(self):
        for channels, values, expected in (
            *((1, 256, list(image_files.FORMATS)), (3, 256, list(image_files.FORMATS))),
            *((1, 16, []), (3, 8, []), (2, 256, []), (3, 1024, [])),
        ):
            self.assertEqual(holding(channels, values), expected)
        self.assertEqual(holding(1, 1024)[0], "PNG")
        self.assertNotIn("WebP", holding(1, 1024))


class RecordsTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.file = helpers.temporary_folder(self) / "codecs.json"

    def test_one_record_for_each_images_and_settings(self):
        self.assertIsNone(image_files.recorded(self.file, 1))
        for count, crc32, bits in ((6, 1, 5.0), (7, 2, 4.0), (6, 1, 3.0), (8, 3, 2.0), (8, 4, 1.0)):
            image_files.record(self.file, {"num_images": count}, crc32, {"image": {"PNG": bits}})
        # Other images of the same name have taken the place of those before.
        for crc32, bits in ((1, 3.0), (2, 4.0), (4, 1.0)):
            self.assertEqual(image_files.recorded(self.file, crc32), {"image": {"PNG": bits}})
        self.assertLen(json.loads(self.file.read_text()), 3)
        # Bits of other settings are not its own.
        with mock.patch.dict(image_files.FORMATS, PNG=[]):
            self.assertIsNone(image_files.recorded(self.file, 2))

    def test_a_damaged_file_is_named(self):
        record = '[{"crc32": 1, "settings": %s, "bits": %s}]'
        settings = json.dumps(image_files.FORMATS)
        bits = [record % (settings, x) for x in ("3", '{"image": 3}', '{"image": {"PNG": NaN}}')]
        for damaged in ("[", "3", "[3]", '[{"bits": {}}]', 100_000 * "[", *bits):
            self.file.write_text(damaged)
            with self.assertRaisesRegex(ValueError, "codecs.json. Received: a damaged"):
                image_files.recorded(self.file, 1)


def holding(channels, num_values):
    return image_files.holding(types.SimpleNamespace(num_channels=channels, num_values=num_values))


def file_size(image, settings):
    """Bytes of an image's file, once it is known to hold the same pixels."""
    file, mode = io.BytesIO(), "RGB" if image.shape[-1] == 3 else "L"
    Image.fromarray(image.squeeze()).save(file, **settings)
    found = Image.open(file)
    found = np.asarray(found if image.itemsize > 1 else found.convert(mode)).reshape(image.shape)
    np.testing.assert_array_equal(found, image)
    return len(file.getvalue())
