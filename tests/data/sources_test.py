"""Tests of other libraries' containers: the same pixels in the same order, or an error."""

import io

import numpy as np
import tensorflow as tf
from absl import logging
from absl.testing import parameterized
from PIL import Image

from pixelcnn_aux import data
from tests.data.helpers import encoded, noise, saved

PIXELS = noise(10, 4, 6, 3)
LABELS = np.arange(10)
PILLOW = [Image.fromarray(x) for x in PIXELS]
tensors = tf.data.Dataset.from_tensor_slices
TENSORS = tensors(PIXELS)
FLOATS = PIXELS.astype(np.float32)
DEEP = Image.open(io.BytesIO(saved(Image.fromarray(noise(4, 6).astype(np.uint16)), "TIFF")))


class Sequence:
    """Like data sets of PyTorch and Hugging Face: no iterator, and no error past the end."""

    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, number):
        return self.items[number % len(self.items)]


UNLABELED = {
    "images": TENSORS,
    "batches": TENSORS.batch(4),
    "dicts": tensors({"image": PIXELS, "depth": PIXELS}).batch(4),
    "of_unknown_number": TENSORS.filter(lambda image: True),
    "arrays": list(PIXELS),
    "lists": PIXELS.tolist(),
    "int64": Sequence(*PIXELS.astype(np.int64)),
    "pillow": Sequence(*PILLOW),
}
LABELED = {
    "batches_with_labels": tensors((PIXELS, LABELS)).batch(4),
    "floats": tensors((FLOATS, LABELS)).batch(3),
    "dicts_with_labels": tensors({"image": PIXELS, "label": LABELS}),
    "dicts_beside_labels": tensors(({"x": PIXELS}, LABELS)),
    "pillow_with_labels": Sequence(*zip(PILLOW, LABELS.tolist())),
    "rows": Sequence(*({"img": x, "label": y} for x, y in zip(PILLOW, LABELS))),
    "batches_in_a_row": Sequence(*zip(np.split(PIXELS, 2), np.split(LABELS, 2))),
    "tensors_with_labels": [(tf.constant(x), tf.constant(y)) for x, y in zip(PIXELS, LABELS)],
    "vectors": tensors((PIXELS, LABELS[:, np.newaxis] / 2)).batch(4),
}


class SourcesTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.named_parameters(({**UNLABELED, **LABELED}).items())
    def test_gathered(self, source):
        images = data.as_images(source)
        self.assertEqual((images.pixels.dtype, images.labels), (np.uint8, None))
        self.assertAllEqual(images.pixels, PIXELS)

    @parameterized.named_parameters(LABELED.items())
    def test_labels(self, source):
        images = data.as_images(source, with_labels=True)
        self.assertAllEqual(images.pixels, PIXELS)
        vectors = images.labels.ndim == 2
        self.assertAllEqual(2 * images.labels[:, 0] if vectors else images.labels, LABELS)

    def test_no_labels(self):
        none = "a label for each image.*Received: none for {} in element 0. Give .image, label"
        for source, message in (
            (TENSORS, none.format(1)),
            ([{"img": PILLOW[0], "fine_label": 3}], none.format(1)),
            ([(PIXELS, LABELS[:5])], r"labels \[5\] for 10 in element 0"),
            ([(PIXELS[0], "cat")], "labels as an array of numbers.*cat"),
            ([(PIXELS[0], 1), (PIXELS[1], [1.0])], "of one shape.*as many numbers, for each"),
        ):
            self.assertLen(data.as_images(source).pixels.shape, 4)
            with self.assertRaisesRegex(ValueError, message):
                data.as_images(source, with_labels=True)

    def test_pillow_images_are_converted_as_files(self):
        picture = Image.fromarray(noise(4, 6, 4), "RGBA")
        gray, clear = picture.convert("L"), picture.quantize(4)
        clear.info["transparency"] = 0
        with self.assertLogs(logging.get_absl_logger(), "WARNING") as logs:
            found = data.as_images([picture, gray, clear]).pixels
        expected = [encoded(noise(4, 6, 4), "PNG", "RGBA"), encoded(np.asarray(gray), "PNG", "L")]
        self.assertAllEqual(found[:2], [data.decoding.decode(x) for x in expected])
        self.assertAllEqual(found[2], np.asarray(clear.convert("RGBA"))[..., :3])
        self.assertEqual(clear.info["transparency"], 0)  # the caller's picture is unchanged
        self.assertIn("1 of 3 images of a list are gray", logs.output[0])

    @parameterized.named_parameters(
        ("without_end", TENSORS.repeat(), r"that ends.*Leave out its repeat\(\)"),
        ("of_two_sizes", PILLOW[:1] + [Image.new("RGB", (7, 4))], r"6\), and \(4, 7\) in elem.* 1"),
        ("scaled", tensors(FLOATS / 255), "float32 from .* in element 0. Give values"),
        ("scaled_binary", list((PIXELS > 9) / 1.0), "0 and 1 alone, as floats. Give values"),
        (
            "halves",
            tensors(FLOATS / 2),
            r"whole numbers.*float32 from .*as files have them.*folder",
        ),
        ("16_bits", list(PIXELS[:1].astype(np.uint16) * 257), "8 bits a channel. Received: uint16"),
        ("16_bits_pillow", [DEEP], r"8 bits a channel. .*more than 8 bits a channel, I;16\)"),
        ("not_finite", [np.full([4, 6, 3], np.nan)], "float64 from nan"),
        ("channels_first", [x.transpose(2, 0, 1) for x in FLOATS], r"\[3, 4, 6\].*channels last"),
        ("one_channel", [x[..., :1] for x in PIXELS], r"uint8 \[4, 6, 1\].*each channel thrice"),
        ("two_in_rows", [{"a": PILLOW[0], "b": PILLOW[0]}], r"elements of a, b\. Give the column"),
        ("splits", {"train": PILLOW}, "Received: a dict.*one of several splits"),
        ("iterator", iter(PILLOW), r"Received: a list_iterator.* np.stack\(images\)"),
        ("path", "images/", "Received: a str.*data.load"),
        ("texts", ["a", "b"], r"Received: str[0-9]+ \[\] in element 0.*np.stack\(images\)"),
        ("objects", np.array([None]), r"Received: object \[1\].*np.stack\(images\)"),
        ("nothing", [], r"Received: none, of \[\]"),
    )
    def test_refused(self, source, message):
        with self.assertRaisesRegex(ValueError, f"Expected .*{message}"):
            data.as_images(source)
