"""Tests of what images take as PNG and WebP files, and of the file that keeps that."""

import io
import json
import types
from unittest import mock

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

    def test_means_are_over_all_batches(self):
        images = helpers.pictures(3)
        batches = [images[:2], images[2:]]
        found = image_files.mean_bits(helpers.shared_model(), ["image"], batches, mock.Mock())
        expected = {x: np.mean(image_files.bits_per_dim(x, images)) for x in image_files.FORMATS}
        self.assertAllClose(found, {"image": expected})

    def test_codecs_are_for_bytes_alone(self):
        def of(channels, values):
            return types.SimpleNamespace(num_channels=channels, num_values=values)

        for channels, values in ((1, 256), (3, 256)):
            self.assertTrue(image_files.can_hold(of(channels, values)))
        for channels, values in ((1, 16), (3, 8), (2, 256)):
            self.assertFalse(image_files.can_hold(of(channels, values)))


class RecordsTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.file = helpers.temporary_folder(self) / "codecs.json"

    def records(self, count, crc32=1):
        return image_files.Records(self.file, {"num_images": count}, crc32)

    def test_one_record_for_each_images_and_settings(self):
        self.assertIsNone(self.records(6).bits)
        for count, bits in ((6, 5.0), (7, 4.0), (6, 3.0)):
            self.records(count).store({"image": {"PNG": bits}})
        self.assertEqual(self.records(6).bits, {"image": {"PNG": 3.0}})
        self.assertEqual(self.records(7).bits, {"image": {"PNG": 4.0}})
        self.assertLen(json.loads(self.file.read_text()), 2)
        # Bits of other settings are not its own.
        with mock.patch.dict(image_files.FORMATS, PNG=[]):
            self.assertIsNone(self.records(7).bits)

    def test_other_images_of_the_same_name_have_bits_of_their_own(self):
        settings = json.loads(json.dumps(image_files.FORMATS))
        record = {"measured": {"num_images": 6}, "settings": settings, "bits": {}}
        self.file.write_text(json.dumps([record]))
        for crc32 in (1, 2):  # The record of before there were checksums is of no images known.
            self.assertIsNone(self.records(6, crc32).bits)
            self.records(6, crc32).store({"image": {"PNG": crc32}})
            self.assertEqual(self.records(6, crc32).bits, {"image": {"PNG": crc32}})
        self.assertLen(json.loads(self.file.read_text()), 1)

    def test_a_damaged_file_is_named(self):
        record = '[{"measured": {}, "settings": {}, "bits": %s}]'
        figures = ['{"image": {"PNG": ' + x + "}}" for x in ('"x"', "NaN", "Infinity", 400 * "9")]
        bits = [record % x for x in ("3", '{"image": 3}', *figures)]
        for damaged in ("[", "3", "[3]", '[{"bits": {}}]', 100_000 * "[", *bits):
            self.file.write_text(damaged)
            with self.assertRaisesRegex(ValueError, "codecs.json. Received: a damaged.*Remove it"):
                self.records(6)


def file_size(image, settings):
    """Bytes of an image's file, once it is known to hold the same pixels."""
    file, mode = io.BytesIO(), "RGB" if image.shape[-1] == 3 else "L"
    Image.fromarray(image.squeeze()).save(file, **settings)
    found = np.asarray(Image.open(file).convert(mode)).reshape(image.shape)
    np.testing.assert_array_equal(found, image)
    return len(file.getvalue())


if __name__ == "__main__":
    tf.test.main()
