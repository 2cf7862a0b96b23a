"""Tests of what the images of factors take as lossless files, and of the record of that."""

import json
from unittest import mock

import numpy as np
import tensorflow as tf

from pixelcnn_aux.commands import bpd
from pixelcnn_aux.data import lossless_files
from tests import helpers


class MeansTest(tf.test.TestCase):
    def test_means_are_over_all_batches(self):
        images = helpers.pictures(3)
        batches = [images[:2], images[2:]]
        found = bpd.mean_file_bits(helpers.shared_model(), ["image"], batches, mock.Mock())
        expected = {
            x: np.mean(lossless_files.bits_per_dim(x, images)) for x in lossless_files.FORMATS
        }
        self.assertAllClose(found, {"image": expected})


class RecordsTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.file = helpers.temporary_folder(self) / "codecs.json"

    def test_one_record_for_each_images_and_settings(self):
        self.assertIsNone(bpd.recorded(self.file, 1))
        for count, crc32, bits in ((6, 1, 5.0), (7, 2, 4.0), (6, 1, 3.0), (8, 3, 2.0), (8, 4, 1.0)):
            bpd.record(self.file, {"num_images": count}, crc32, {"image": {"PNG": bits}})
        # Other images of the same name have taken the place of those before.
        for crc32, bits in ((1, 3.0), (2, 4.0), (4, 1.0)):
            self.assertEqual(bpd.recorded(self.file, crc32), {"image": {"PNG": bits}})
        self.assertLen(json.loads(self.file.read_text()), 3)
        # Bits of other settings are not its own.
        with mock.patch.dict(lossless_files.FORMATS, PNG=[]):
            self.assertIsNone(bpd.recorded(self.file, 2))

    def test_a_damaged_file_is_named(self):
        record = '[{"crc32": 1, "settings": %s, "bits": %s}]'
        settings = json.dumps(lossless_files.FORMATS)
        bits = [record % (settings, x) for x in ("3", '{"image": 3}', '{"image": {"PNG": NaN}}')]
        for damaged in ("[", "3", "[3]", '[{"bits": {}}]', 100_000 * "[", *bits):
            self.file.write_text(damaged)
            with self.assertRaisesRegex(ValueError, "codecs.json. Received: a damaged"):
                bpd.recorded(self.file, 1)
