"""Tests of the codec: images come back to the last bit, in as many bits as the model says, or not at all."""

import copy
import pathlib
from unittest import mock

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux import batches
from pixelcnn_aux.codec import codec as codec_module, coding, container, integer_mixture
from pixelcnn_aux.codec.codec import Codec
from tests import helpers
from tests.codec.helpers import image, model, shared_model
from tests.helpers import pictures, tiny_model

# Written once, and not again unless the format gets another version.
GOLDEN = pathlib.Path(__file__).parents[1] / "data" / "rounded.pxa"


class PicturesTest(tf.test.TestCase):
    """Images of any size, by a model that takes them."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = shared_model()
        cls.codec = Codec(cls.model, "tiny")

    def test_images_come_back_in_tiles_of_another_size(self):
        images = image()[np.newaxis]
        data = self.codec.compress(images)
        bits = 8 * len(data) / images.size
        expected = np.sum(self.model.bits_per_dim(images)["total"])
        self.assertBetween(bits, expected, 1.05 * expected + 0.5)  # a header, of a small image
        words = sum(map(len, container.read(data).streams))
        self.assertAllClose(sum(container.read(data).bits.values()), 32 * words, atol=96)
        back, pixel_bits = self.codec.decompress_with_bits(data)
        self.assertAllEqual(back, images)
        self.assertAllClose(pixel_bits.sum() / images.size, expected, rtol=0.02)
        with mock.patch.object(batches, "MAX_TILE_PIXELS", 48**2):
            self.assertAllEqual(self.codec.decompress(data), images)
        with mock.patch.object(coding, "AT_ONCE", 100):
            small = self.codec.compress(images)
            self.assertAllEqual(self.codec.decompress(small), images)

    def test_pixels_that_are_decided_in_waves(self):
        images, made = (
            [image(), image()[:7, :1], image()[:1, :20]],
            model(masked=1, masked_blocks=1),
        )
        codec = Codec(made)
        data = codec.compress(images)
        for found, expected in zip(codec.decompress(data), images, strict=True):
            self.assertAllEqual(found, expected)
        contents = container.read(codec.compress(images[:1]))
        expected = np.sum(made.bits_per_dim(images[0][np.newaxis])["total"]) * images[0].size
        self.assertAllClose(sum(contents.bits.values()), expected, rtol=0.02)
        self.assertAllClose(32 * len(contents.streams[0]), expected, rtol=0.02)
        with mock.patch.object(
            coding, "ROWS", 40
        ):  # each band but the first begins below known rows
            in_bands = codec.compress(images)
            self.assertNotEqual(in_bands, data)
            for found, expected in zip(codec.decompress(in_bands), images, strict=True):
                self.assertAllEqual(found, expected)
        contents.streams[0][len(contents.streams[0]) // 2] ^= 1
        with self.assertRaisesRegex(ValueError, "where decoding stops"):
            codec.decompress(container.write(contents))

    def test_weights_that_are_no_longer_whole_numbers(self):
        made, images = model(), image()[np.newaxis]
        factor = helpers.randomize(made.factors["image"])  # as training does
        with self.assertRaisesRegex(ValueError, "of whole numbers.*training leaves, in image"):
            Codec(made.with_factor(factor))
        codec = Codec(pa.rounded(made.with_factor(factor)))
        self.assertAllEqual(codec.decompress(codec.compress(images)), images)
        large = helpers.altered(factor, lambda b: 2.0**20 + 0 * b, "/b")
        with self.assertRaisesRegex(ValueError, r"less than 2 \*\* 24 units"):
            Codec(made.with_factor(large))

    def test_pictures_and_extras_that_no_file_could_hold(self):
        images = [image(), image()]
        for given, message in (
            ({"pictures": 3}, "3 as pictures"),
            ({"extras": 3}, "'int' object"),
            ({"extras": [{"alpha": b"junk"}, {}]}, "alpha of .* as a PNG file"),
            ({"extras": [{}, {"icc": b"junk"}]}, "icc of a picture, deflated"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                self.codec.compress(images, **given)

    def test_pictures_of_several_sizes(self):
        images = [image(), image()[:7, :1], image()[:1, :20]]
        images.append(np.resize(images[0], (1, 2100, 3)))  # longer than images of training may be
        images.append(np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8))
        images += [np.full((4, 4, 3), value, np.uint8) for value in (0, 255)]
        done = []
        data = self.codec.compress(images, progress=done.append)
        self.assertEqual(done, sorted(done))
        self.assertEqual(done[-1], sum(x.shape[0] * x.shape[1] for x in images))
        self.assertEqual(container.read(data).pictures[1], ["00001.png", 7, 1])
        found, bits = self.codec.decompress_with_bits(data, done.append)
        for image_found, pixel_bits, expected in zip(found, bits, images, strict=True):
            self.assertAllEqual(image_found, expected)
            self.assertEqual(pixel_bits.shape, expected.shape[:2])
        with self.assertRaisesRegex(ValueError, "with the images' sizes"):
            self.codec.compress(images[:1], pictures=[("a.png", 62, 45)])
        self.assertEqual(self.codec.decompress(self.codec.compress([])), [])

    def test_images_come_one_by_one_up_to_the_first_bad_one(self):
        images = [image()[:5, :7], image()[:4, :4], image()[:1, :2]]
        contents = container.read(self.codec.compress(images))
        other = contents._replace(checksums=contents.checksums ^ np.array([0, 1, 1], np.uint32))
        data, decode = container.write(other), coding.Coding.decode
        with mock.patch.object(coding.Coding, "decode", autospec=True) as decoding:
            decoding.side_effect = decode
            found = self.codec.decoded(data)
            self.assertEqual(decoding.call_count, 0)
            self.assertAllEqual(next(found)[0], images[0])
            self.assertEqual(decoding.call_count, 1)
            with self.assertRaisesRegex(ValueError, "where decoding stops: 00001.png[.]"):
                next(found)
            self.assertEqual(decoding.call_count, 2)
        with self.assertRaisesRegex(ValueError, "2 of 3: 00001.png, 00002.png[.]"):
            self.codec.verify(data)
        with mock.patch.object(codec_module, "_MAX_NAMED", 1):
            with self.assertRaisesRegex(ValueError, "1 of 3, where decoding stops: 00001.png[.]"):
                self.codec.verify(data)
        self.codec.verify(self.codec.compress(images))

    def test_a_file_that_another_machine_wrote(self):
        data, images = GOLDEN.read_bytes(), image()[np.newaxis]
        self.assertAllEqual(self.codec.decompress(data), images)
        words = container.read(self.codec.compress(images)).streams
        self.assertAllEqual(words, container.read(data).streams)


class ImagesTest(tf.test.TestCase):
    """Images of one size, by a model of that size."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.images = pictures(5)
        cls.codec = Codec(model((4, 6)), "tiny", batch=2)
        cls.data = cls.codec.compress(cls.images)

    def test_images_come_back_in_batches_with_a_ragged_last_one(self):
        self.assertLen(container.read(self.data).streams, 3)
        for codec in (self.codec, Codec(self.codec.model.with_exact(False), batch=4)):
            self.assertAllEqual(codec.decompress(self.data), self.images)

    def test_no_images_and_images_that_do_not_fit(self):
        data = self.codec.compress(self.images[:0])
        images, bits = self.codec.decompress_with_bits(data)
        self.assertEqual((images.shape, bits.shape), ((0, 4, 6, 3), (0, 4, 6)))
        for wrong, message in (
            (self.images[:, :2], "model's size, .4, 6.*Cut them into tiles"),
            (self.images.astype(np.float32), "uint8.*Received: float32"),
            (self.images[..., :1], "3 channels"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                self.codec.compress(wrong)

    def test_what_no_file_can_hold_is_refused_before_anything_is_coded(self):
        with (
            mock.patch.object(coding.Coding, "encode", side_effect=AssertionError),
            self.assertRaisesRegex(ValueError, "5 images for pictures of 1 tiles"),
        ):
            self.codec.compress(self.images, pictures=[("a.png", 4, 6)])

    def test_models_and_batches_that_are_refused(self):
        moved, untrained = shared_model(), copy.copy(shared_model())
        half = helpers.altered(moved.factors["half"], lambda g: g + 0.01, "0_first/g")
        moved = moved.with_factor(half)
        untrained.untrained = ("image",)
        whole = "integers.*floats in .*by pixelcnn_aux.rounded, or use .* photographs"
        for made, batch, message in (
            (tiny_model(), 1, whole),
            (moved, 1, "others, such as training leaves, in half"),
            # Weights that are not trained are drawn in each load: nobody could read what they write.
            (untrained, 1, "'image' not trained yet"),
            (None, 1, "model of class AuxiliaryModel"),
            (self.codec.model, container.MAX_BATCH + 1, "batch from 1 to 1,024"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                Codec(made, batch=batch)

    def test_files_that_are_refused(self):
        """No wrong image is returned; the error describes the machine that wrote the file."""
        other = model((4, 6))
        last = helpers.altered(other.factors["image"], lambda b: b + 2.0**-6, "0_last/b")
        other = other.with_factor(last)
        for made in (other, shared_model()):
            with self.assertRaisesRegex(ValueError, "this model, .* one of tiny, .*Give"):
                Codec(made).decompress(self.data)
        with mock.patch.object(integer_mixture, "SHARES", 12):
            for use, which in (
                (self.codec.decompress, "where decoding stops: number 0"),
                (self.codec.verify, "5 of 5: number 0, number 1, number 2, number 3, number 4"),
            ):
                message = f"fail their checksum, {which}[.] .*\nWritten by: .*numpy"
                with self.assertRaisesRegex(ValueError, message):
                    use(self.data)
