"""Wrong inputs: images, labels and files that do not fit, each with one clear error."""

import functools
import io

import numpy as np
import tensorflow as tf
import tifffile
from absl import logging
from absl.testing import parameterized
from PIL import Image

import pixelcnn_aux as pa
from pixelcnn_aux import conditions, data
from pixelcnn_aux.networks import topology
from tests import helpers
from tests.data.decoding_test import png
from tests.data.helpers import FilesTest, encoded, noise, saved

# Expected what. Received: what. What to do.
FORM = r"^Expected [^\n]+\. Received: [^\n]+\. [A-Z][^\n]+\.$"
FLAT = {"topology": topology.flat(1), "filters": 2}
SEEDS = [[0, 0], [0, 1]]
RGB, GRAY = helpers.pictures(3), helpers.pictures(3)[..., :1]
DEEP = GRAY.astype(np.uint16) * 4  # of 1,024 values
LABELS = [0, -1, 9]
TEN, PAIRS = conditions.Classes(10), conditions.Vector(2)
FLOATS = RGB.astype(np.float32)


@functools.cache
def model(channels=3, bits=8, condition=None):
    kind = {"channels": channels, "bits": bits}
    return pa.chain([], helpers.SIZE, FLAT, num_components=1, condition=condition, **kind)


@functools.cache
def exact():
    return helpers.random_chain([pa.auxiliary.HalfResolution()], (4, 6), dtype="float32")


def log_prob(images, condition=None, kind=None, channels=3, bits=8):
    return lambda test: model(channels, bits, kind).log_prob(images, condition)


def inputs(kind):
    """Of training, where a condition that is missing is a mistake."""
    return lambda test: model(condition=kind).inputs(RGB)


def density(images):
    return lambda test: model().log_density(images)


def file_of(contents, channels=1, num_values=4096, name="a.png"):
    """A folder of this one file, which is in the training split."""

    def load(test):
        test.write(name, contents)
        kind = {"channels": channels, "num_values": num_values, "image_dir": test.folder}
        return data.load("folder", "train", (8, 8), **kind)

    return load


def npz(num_values=256, **arrays):
    def load(test):
        np.savez(test.folder / "images.npz", **arrays)
        file = test.folder / "images.npz"
        return data.load("arrays", "train", helpers.SIZE, image_file=file, num_values=num_values)

    return load


def table(rows):
    def load(test):
        for name in ("a.png", "5.png"):  # both of the training split
            test.write(name, encoded(noise(8, 8, 3), "PNG"))
        labels = test.write("labels.csv", rows)
        return data.load("folder", "train", (8, 8), image_dir=test.folder, labels=labels)

    return load


def png_of(array):
    return saved(Image.fromarray(array), "PNG")


def tiff(array, photometric="minisblack"):
    tifffile.imwrite(file := io.BytesIO(), array, photometric=photometric)
    return file.getvalue()


SCAN = np.random.default_rng(0).integers(0, 4096, (8, 8)).astype(np.uint16)
DAMAGED = bytearray(png_of(SCAN))
DAMAGED[-20] ^= 1
FOUR = np.stack([SCAN] * 4, axis=-1)

WRONG = (
    # Conditions of a model.
    (inputs(TEN), "int .3., since.*10 classes. Received: none"),
    (log_prob(RGB, [0, 1, 10], TEN), "from 0 to 9, or -1.*Received: 10"),
    (log_prob(RGB, [0, 1, -2], TEN), "from 0 to 9, or -1.*Received: -2"),
    (log_prob(RGB, np.array([0, 1, 2**32]), TEN), "Received: 4294967296"),
    (log_prob(RGB, [0.0, 1.0, 1.0], TEN), "int .3..*Received: float64 .3."),
    (log_prob(RGB, [True, False, True], TEN), "int .3..*Received: bool .3."),
    (log_prob(RGB, ["a", "b", "c"], TEN), "a class of class 0, .* Received: a"),
    (log_prob(RGB, [0, 1], TEN), "int .3..*Received: int32 .2."),
    (log_prob(RGB, [[0], [1], [2]], TEN), r"int32 \[3, 1\]"),
    (log_prob(RGB, LABELS), "Expected no condition"),
    (inputs(PAIRS), "or zeros for an unknown one"),
    (log_prob(RGB, [[0.0]] * 3, PAIRS), r"float \[3, 2\].*float64 \[3, 1\]"),
    (log_prob(RGB, [[np.nan, 0.0]] * 3, PAIRS), "finite vectors"),
    (lambda test: model(condition=PAIRS).class_log_probs(RGB), "Classes.*vectors of 2"),
    (lambda test: model(condition=TEN).sample(SEEDS, condition=LABELS), "int .2..*: int32 .3."),
    (lambda test: data.from_arrays(RGB, [0, -2, 1]), "labels from 0 to .*Received: .-2."),
    (
        lambda test: data.from_arrays(RGB, [0, 2**40, 1]),
        "labels from 0 to .*Received: .1099511627776.",
    ),
    # Arguments that are neither.
    (lambda test: model().sample(2, log_scale_shift=True), "a finite number.*Received: True"),
    (lambda test: model().with_exact("yes"), "exact of True or False"),
    (lambda test: model().log_prob(RGB, by=""), "by of 'numpy', 'graph'"),
    (lambda test: model().computing("np"), "by of 'numpy', 'graph'"),
    (lambda test: pa.load("photographs", best=None), "best of True or False"),
    # Images of a model.
    (log_prob(RGB.astype(np.uint16)), "as uint8 .*Received: uint16"),
    (log_prob(GRAY, None, None, 1, 10), "as uint16 .*Received: uint8"),
    (log_prob(DEEP + np.uint16(1023), None, None, 1, 10), "0 to 1023. Rec"),
    (log_prob(FLOATS), "float32 .*Give whole numbers, uint8 from 0 to 255, .*or ask log_density"),
    (log_prob(RGB > 9), r"bool .*\. Give whole numbers, uint8"),
    (log_prob(RGB + np.int64(300)), "int64 .*Give whole.* 255, or a model of more bits"),
    (lambda test: model().log_prob(tf.data.Dataset.from_tensors(RGB)), "pa.data.as_images"),
    (log_prob(GRAY / 255, None, None, 1, 10), "Give whole numbers, uint16 from 0 to 1023"),
    (lambda test: data.from_arrays(FLOATS / 255), "Give whole numbers as uint8"),
    (log_prob(GRAY), r"3 channels.*shape \[3, 4, 6, 1\]"),
    (log_prob(RGB, None, None, 1), r"1 channel\. .*\[3, 4, 6, 3\]"),
    (log_prob(RGB[..., 0]), r"3 channels.*\[1, 3, 4, 6\].*grays .* images\[\.\.\., None\]"),
    (log_prob(RGB[0, ..., 0]), r"\[B, H, W, 3\].*uint8 \[4, 6\]"),
    (log_prob(RGB[:, :0]), "height and width of 1 or more"),
    (lambda test: exact().log_prob(RGB[:, :, :5]), "multiples of 2.*4 x 5"),
    (lambda test: exact().auxiliaries(RGB[:, :, :5]), "multiples of 2.*4 x 5"),
    (lambda test: exact().sample(2, image_size=(4, 5)), "multiples of 2.*4 x 5"),
    (lambda test: exact().enlarge(RGB, [2]), r"times to enlarge by, one of 2. Received: \[2\]"),
    (density(RGB), "as float32 or float64 .*Received: uint8"),
    (density(FLOATS + 300), "from 0 to 255. Received: .*of more bits"),
    (density(FLOATS - 300), "from 0 to 255. Received: a value of -"),
    (density(FLOATS * np.nan), "from 0 to 255. Received: a value of nan"),
    (lambda test: exact().log_density(FLOATS), r"not exact.*Use model.with_exact\(False\)"),
    (lambda test: model(17), "channels from 1 to 16"),
    (lambda test: model(1, 17), "bits from 1 to 16"),
    (
        lambda test: helpers.random_chain([pa.auxiliary.HighBits(8)], (4, 4), channels=1, bits=10),
        "of 65,536 values, for HighBits.*num_values=1,024",
    ),
    # Files of images.
    (file_of(png(16, 3, noise(128), (b"PLTE", bytes(48)))), r"\(1: damaged, or no PNG"),
    (file_of(bytes(DAMAGED)), r"\(1: damaged, or no PNG"),
    (file_of(png(16, 2, noise(384))), "RGB, one channel of 16 bits is expected"),
    (file_of(encoded(noise(8, 8, 3), "PNG"), 3), "8 bits a channel, 16 are expected"),
    (file_of(png_of(SCAN), 1, 256), "16 bits a channel, 8 are expected"),
    (file_of(png_of(SCAN + 4096)), "value of .* 4,095 at most"),
    (file_of(tiff(FOUR), 2, name="a.tif"), "page of 1 channels of 16 bits, 2 of 16 are exp"),
    (file_of(tiff(FOUR, "separated"), 3, name="a.tif"), "CMYK, RGB of 16 bits is expected"),
    (file_of(png_of(SCAN), 2), "Expected TIFF files.*in all 1 .png"),
    # Arrays and labels of data sets.
    (npz(train=RGB.astype(np.int32)), r"int32 \[3, 4, 6, 3\]"),
    (npz(train=np.repeat(GRAY, 17, -1)), "up to 16 channels"),
    (npz(train=RGB.astype(np.uint16)), "3 channels, uint8.*3 of uint16"),
    (npz(1000, train=np.repeat(DEEP, 3, -1) + np.uint16(1000)), "from 0 to 999, .*: a value of"),
    (npz(train=RGB, train_labels=np.arange(4)), r"labels as int \[3\].*int64 \[4\]"),
    (npz(train=RGB, train_labels=np.ones(3)), r"labels as int \[3\].*float64 \[3\]"),
    (lambda test: data.from_arrays(RGB).condition(TEN), "images with labels.*10 classes"),
    (lambda test: data.from_arrays(RGB, [0, 1, 12]).condition(TEN), "0 to 9, or -1.*: 12"),
    (table(b"file,label\na.png,7"), "each image file.*none for 5.png"),
    (table(b"file,label\na.png,7\n5.png,1\nc.png,0"), "csv. Received: c.png, which is not there"),
    (table(b"file,label\na.png,7\na.png,1"), "a.png twice"),
    (table(b"file,label\na.png,cat"), "whole numbers.*cat"),
    (table(b"a.png,2"), "the columns.*a.png"),
    (lambda test: data.load("photos", "train", labels="folders"), "no labels for .*'photos'"),
)


class WrongInputsTest(FilesTest):
    @parameterized.parameters(*WRONG)
    def test_one_clear_error(self, ask, message):
        with self.assertRaisesRegex(ValueError, message) as caught:
            ask(self)
        self.assertRegex(str(caught.exception), FORM)


class Foreign:
    """An array of another package, as those of h5py and zarr are."""

    dtype, shape = np.dtype(np.uint8), RGB.shape

    def __array__(self, *_, **__):
        return RGB


class SameInputsTest(helpers.TestCase):
    def test_all_methods_take_the_same(self):
        """Pixels in uint8 and wider dtypes, lists, tensors, and arrays of other packages."""
        made, mask = exact(), np.ones_like(GRAY)
        mask[:, 1:] = 0
        methods = {
            "log_prob": made.log_prob,
            "auxiliaries": lambda x: made.auxiliaries(x)["x0"],
            "params": lambda x: made.params(x)["x1"],
            "enlarge": made.enlarge,
            "complete": lambda x: made.complete(x, mask == 1),
            "sample": lambda x: made.sample(3, known=x, mask=mask == 1)["x1"],
        }
        for name, method in methods.items():
            expected = method(RGB)
            for same in (RGB.astype(np.int64), RGB.tolist(), tf.constant(RGB), Foreign()):
                self.assertAllEqual(method(same), expected, name)

    def test_other_sizes_than_the_models_are_told_once_each(self):
        for made, sizes in ((model(), ["4 x 4", "2 x 6"]), (helpers.tiny_parallel(), [])):
            with self.assertLogs(level="WARNING") as logged:
                logging.warning("at least one")
                for images in (RGB, RGB[:, :, :4], RGB[:, :2], RGB[:, :, :4]):
                    made.log_prob(images)
            self.assertLen(logged.output, 1 + len(sizes))
            for line, size in zip(logged.output[1:], sizes):
                self.assertIn(
                    f"images of 4 x 6, on which the model was trained. Received: {size}", line
                )
