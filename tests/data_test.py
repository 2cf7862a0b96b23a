"""Tests of the data sets: what they contain, their order, and what they do with broken input."""

import importlib.util
import io
import itertools
import os
import pathlib
import shutil
import struct
import tempfile
import unittest
from unittest import mock

import numpy as np
import requests
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging
from PIL import Image

from pixelcnn_aux import auxiliary, data

# Beside the repository, where there is one: official aligned JPEGs, whose faces are not to go into it.
CELEB_A = pathlib.Path(__file__).parents[2] / "shared" / "data" / "img_align_celeba"


def encoded(pixels, kind, mode="RGB", **options):
    """The bytes of an image file."""
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode, palette=Image.Palette.ADAPTIVE).save(
        file, kind, **options
    )
    return file.getvalue()


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def everything(dataset):
    return np.concatenate(list(dataset.as_numpy_iterator()))


def taken(dataset, count):
    return np.stack(list(dataset.take(count).as_numpy_iterator()))


def numbered(count):
    """Images whose left upper corner is their number, and whose right upper corner is 255."""
    pixels = np.zeros((count, 2, 3, 3), np.uint8)
    pixels[:, 0, 0] = np.arange(count)[:, None]
    pixels[:, 0, 2] = 255
    return pixels


def numbers_and_flips(batches):
    """Of `numbered` images [..., 2, 3, 3]: (their numbers, which are flipped)."""
    flips = batches[..., 0, 0, 0] == 255
    return np.where(flips, batches[..., 0, 2, 0], batches[..., 0, 0, 0]), flips


class ImagesTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.images = data._in_memory(numbered(50))

    def test_batches_hold_every_image_once_in_order(self):
        dataset = self.images.batches(16)
        self.assertEqual([len(batch) for batch in dataset], [16, 16, 16, 2])
        self.assertAllEqual(everything(dataset), numbered(50))
        self.assertEqual(dataset.element_spec, tf.TensorSpec([None, 2, 3, 3], tf.uint8))

    def test_batches_stop_after_num_images(self):
        self.assertAllEqual(everything(self.images.batches(16, num_images=17)), numbered(17))
        self.assertLen(everything(self.images.batches(16, num_images=99)), 50)

    def test_training_batches_repeat_nothing_within_an_epoch(self):
        dataset = self.images.training_batches(8, seed=3)  # 8 does not divide 50
        self.assertEqual(dataset.element_spec, tf.TensorSpec([8, 2, 3, 3], tf.uint8))
        self.assertEqual(dataset.cardinality(), tf.data.INFINITE_CARDINALITY)
        numbers, _ = numbers_and_flips(taken(dataset, 25))
        epochs = numbers.reshape(4, 50)
        for epoch in epochs:
            self.assertAllEqual(np.sort(epoch), np.arange(50))
        for other in epochs[1:]:
            self.assertLess(np.mean(epochs[0] == other), 0.2)
        self.assertLess(np.mean(epochs[0] == np.arange(50)), 0.2)

    def test_flips_are_horizontal_and_per_image(self):
        batches = taken(self.images.training_batches(50, seed=0), 40)  # an epoch each
        numbers, flips = numbers_and_flips(batches)
        plain = numbered(50)[numbers]
        self.assertAllEqual(
            batches, np.where(flips[..., None, None, None], plain[..., ::-1, :], plain)
        )
        self.assertAllClose(flips.mean(), 0.5, atol=0.05)  # 2000 throws: 4.5 deviations
        by_image = np.take_along_axis(flips, np.argsort(numbers, axis=1), axis=1)
        self.assertAllInRange(by_image.mean(axis=0), 0.1, 0.9)  # not the same ones every epoch
        self.assertAllInRange(flips.mean(axis=0), 0.1, 0.9)  # nor the same places in a batch
        self.assertAllInRange(flips.mean(axis=1), 0.1, 0.9)  # nor whole batches

    def test_seeds_differ(self):
        first, second = (taken(self.images.training_batches(50, seed), 1) for seed in (0, 1))
        for one, other in zip(numbers_and_flips(first), numbers_and_flips(second)):
            self.assertNotAllEqual(one, other)

    def test_any_first_step_goes_on_where_a_run_stopped(self):
        whole = taken(self.images.training_batches(7, seed=5), 40)
        for step in (1, 7, 8, 29):  # within the first epoch, around its end, in the fifth
            resumed = self.images.training_batches(7, seed=5, first_step=step)
            self.assertAllEqual(taken(resumed, 40 - step), whole[step:])

    def test_a_batch_may_be_larger_than_the_split(self):
        images = data._in_memory(numbered(3))
        numbers, _ = numbers_and_flips(taken(images.training_batches(7, seed=0), 3))
        self.assertAllEqual(np.sort(numbers.reshape(7, 3)), np.tile(np.arange(3), [7, 1]))
        resumed, _ = numbers_and_flips(taken(images.training_batches(7, 0, first_step=2), 1))
        self.assertAllEqual(resumed, numbers[2:])

    def test_resuming_reads_nothing_of_what_is_skipped(self):
        read = []

        def counting(index):
            tf.py_function(lambda i: read.append(int(i)), [index], [])
            return tf.zeros([1, 1, 3], tf.uint8)

        images = data.Images(1000, (1, 1), counting)
        taken(images.training_batches(10, seed=0, first_step=10**12 + 99), 1)
        self.assertLess(len(read), 500)  # what it reads ahead; an epoch is 1000


class LoadTest(tf.test.TestCase):
    def test_wrong_arguments(self):
        for arguments, message in (
            (("mnist", "train"), "photos, cifar10, celeb_a, folder.*'mnist'"),
            (("photos", "valid"), "train, validation, test.*'valid'"),
            (("folder", "train"), "image_dir"),
            (("photos", "train", (32, 32), None, "here"), "no image_dir.*here"),
            (("photos", "train", (129, 32)), "128 x 128.*129"),
            (("cifar10", "train", (64, 64)), r"\(32, 32\).*\(64, 64\)"),
            (("celeb_a", "train", (48, 48)), r"\(128, 128\), \(64, 64\), .*, \(1, 1\).*\(48, 48\)"),
            (("celeb_a", "train", (64, 32), None, "here"), r"\(64, 64\).*received \(64, 32\)"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                data.load(*arguments)


class PhotosTest(tf.test.TestCase):
    def test_sizes(self):
        for split, count in (("train", 8832), ("validation", 120), ("test", 120)):
            images = data.load("photos", split)
            self.assertEqual((images.num_images, images.image_size), (count, (32, 32)))
            self.assertEqual(images.skipped, ())
        images = data.load("photos", "test", image_size=(16, 64))
        self.assertEqual(next(iter(images.batches(2))).shape, (2, 16, 64, 3))

    def test_scenes_are_held_out(self):
        files = [name for split in data.SPLITS for name in data._PHOTOS[split]]
        self.assertLen(set(files), len(files))
        motorcycles = {name for name in files if name.startswith("motorcycle")}
        self.assertLen(motorcycles, 2)
        self.assertContainsSubset(motorcycles, data._PHOTOS["train"])

    def test_crops_are_those_of_the_photographs(self):
        crops = everything(data.load("photos", "test").batches(64))
        self.assertLen(np.unique(crops.reshape(len(crops), -1), axis=0), len(crops))
        # The astronaut, 512 x 512, comes first in training: 29 rows of 29 crops, 8 pixels apart.
        folder = importlib.util.find_spec("skimage").submodule_search_locations[0]
        photo = np.asarray(Image.open(f"{folder}/data/astronaut.png").convert("RGB"))
        half = photo.reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
        crops = everything(data.load("photos", "train").batches(512, num_images=29**2))
        self.assertAllEqual(crops[4 * 29 + 3], np.round(half[32:64, 24:56]))

    def test_without_scikit_image(self):
        with (
            mock.patch("importlib.util.find_spec", return_value=None),
            self.assertRaisesRegex(ImportError, r"pip install 'pixelcnn_aux\[photos\]'"),
        ):
            data.load("photos", "train")


class FilesTest(tf.test.TestCase):
    """With a folder to write image files to."""

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))

    def enter_context(self, manager):
        result = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return result

    def write(self, name, contents):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
        return path


class FolderTest(FilesTest):
    def load(self, split="train", image_size=(8, 8)):
        return data.load("folder", split, image_size, image_dir=str(self.folder))

    def test_split_is_pinned(self):
        self.assertEqual(
            [data._percentile(name) for name in ("000001.jpg", "000002.jpg", "a.png", "é.png")],
            [90, 2, 32, 17],
        )
        shares = np.bincount([data._percentile(f"{i:06}.jpg") for i in range(20000)]) / 20000
        self.assertAllClose(shares, np.full(100, 0.01), atol=0.004)
        covered = sorted(value for split in data.SPLITS for value in data._PERCENT[split])
        self.assertEqual(covered, list(range(100)))
        self.assertLen(data._PERCENT["test"], 5)

    def test_split_and_order_depend_on_names_alone(self):
        names = [f"{i % 3}/{i:03}.{suffix}" for i, suffix in enumerate(["png", "PNG", "Jpeg"] * 40)]
        expected = {}
        for i, name in enumerate(names):
            pixels = np.full((8, 8, 3), i, np.uint8)
            kind = "JPEG" if name.endswith("Jpeg") else "PNG"
            expected[name] = encoded(pixels, kind)
        orders = []
        for shuffle in (0, 1):
            self.folder = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
            for i in np.random.default_rng(shuffle).permutation(len(names)):
                self.write(names[i], expected[names[i]])
            orders.append(
                [everything(self.load(split).batches(16))[:, 0, 0, 0] for split in data.SPLITS]
            )
        for split, one, other in zip(data.SPLITS, *orders):
            self.assertAllEqual(one, other)
            wanted = sorted(
                (name, i)
                for i, name in enumerate(names)
                if data._percentile(name.split("/")[1]) in data._PERCENT[split]
            )
            self.assertAllEqual(one, [i for _, i in wanted])
        self.assertLen(np.unique(np.concatenate(orders[0])), len(names))

    def test_every_kind_of_png_and_jpeg_becomes_rgb(self):
        # A gray gradient, which every mode can hold and JPEG keeps.
        pixels = np.tile(np.arange(0, 240, 30, dtype=np.uint8)[:, None, None], [1, 8, 3])
        self.write("1_rgb.png", encoded(pixels, "PNG"))
        self.write("2_gray.png", encoded(pixels, "PNG", "L"))
        self.write("3_alpha.png", encoded(pixels, "PNG", "RGBA"))
        self.write("4_palette.png", encoded(pixels, "PNG", "P"))
        self.write("5_gray_alpha.png", encoded(pixels, "PNG", "LA"))
        self.write("6_jpeg_named.png", encoded(pixels, "JPEG", quality=100))
        self.write("7_gray.jpeg", encoded(pixels, "JPEG", "L", quality=100))
        self.write("8_progressive.JPG", encoded(pixels, "JPEG", quality=100, progressive=True))
        frames = [Image.fromarray(noise(8, 8, 3, seed=1))]
        self.write("9_animated.png", encoded(pixels, "PNG", save_all=True, append_images=frames))
        self.write("notes.txt", b"not an image, and not named as one")
        with mock.patch.object(data, "_PERCENT", {"train": range(100)}):
            images = self.load()
        self.assertEqual((images.num_images, images.skipped), (9, ()))
        self.assertAllClose(
            everything(images.batches(9)).astype(int), np.tile(pixels, [9, 1, 1, 1]), atol=3
        )

    def test_centre_crop_and_area_resize(self):
        pixels = noise(6, 10, 3)
        for size, expected in (
            ((3, 3), pixels[:, 2:8].reshape(3, 2, 3, 2, 3).mean(axis=(1, 3))),
            ((2, 10), pixels[2:4]),
            ((3, 5), pixels.reshape(3, 2, 5, 2, 3).mean(axis=(1, 3))),
            ((12, 12), pixels[:, 2:8].repeat(2, 0).repeat(2, 1)),
        ):
            actual = data._fit(tf.constant(pixels), size)
            self.assertEqual(actual.dtype, tf.uint8)
            self.assertAllClose(actual, np.round(expected), atol=0 if size != (3, 3) else 1)

    def test_broken_files_are_named_counted_and_left_out(self):
        png, jpeg = encoded(noise(64, 64, 3), "PNG"), encoded(noise(64, 64, 3), "JPEG")
        flipped = bytearray(png)
        flipped[len(png) // 2] ^= 255
        bomb = bytearray(png)
        bomb[16:24] = struct.pack(">II", 2**14, 2**13)
        jpeg_bomb = bytearray(jpeg)
        frame = jpeg.index(b"\xff\xc0")
        jpeg_bomb[frame + 5 : frame + 9] = struct.pack(">HH", 65000, 65000)
        broken = {
            "a/truncated.png": png[:-200],
            "bitflip.png": bytes(flipped),
            "bomb.jpg": bytes(jpeg_bomb),
            "bomb.png": bytes(bomb),
            "empty.jpg": b"",
            "empty.png": b"",
            "gif.png": encoded(noise(8, 8, 3), "GIF"),
            "header.png": png[:8],
            "marker.jpg": jpeg[:3],
            "no_end.jpg": jpeg[:-1],
            "text.png": b"this is a text",
            "truncated.jpg": jpeg[:-200],
            "truncated_progressive.jpg": encoded(noise(64, 64, 3), "JPEG", progressive=True)[:-800],
        }
        for name, contents in {**broken, "good.png": png, "good.jpg": jpeg}.items():
            self.write(name, contents)
        os.mkfifo(self.folder / "pipe.png")
        (self.folder / "dangling.png").symlink_to(self.folder / "nowhere.png")
        (self.folder / "folder.png").mkdir()
        with (
            mock.patch.object(data, "_PERCENT", {"train": range(100)}),
            mock.patch.object(data, "_decode", wraps=data._decode) as decode,
            self.assertLogs(logging.get_absl_logger(), "WARNING") as logs,
        ):
            images = self.load()
        skipped = sorted([*broken, "pipe.png", "dangling.png"])
        self.assertEqual(images.skipped, tuple(skipped))
        self.assertIn("15 of 17", logs.output[0])
        for name in skipped:
            self.assertIn(name, logs.output[0])
        decoded = [call.args[0] for call in decode.call_args_list]
        self.assertNotIn(bytes(bomb), decoded)  # their size alone refuses them
        self.assertNotIn(bytes(jpeg_bomb), decoded)
        self.assertLen(everything(images.batches(8)), 2)
        taken(images.training_batches(4, seed=0), 3)

    def test_a_file_lost_or_changed_after_the_check_is_named(self):
        self.enter_context(mock.patch.object(data, "_MAX_KEPT", 0))
        path = self.write("good.png", encoded(noise(8, 8, 3), "PNG"))
        images = self.load()
        path.write_bytes(encoded(noise(8, 8, 3, seed=1), "PNG"))
        with self.assertRaisesRegex(tf.errors.InvalidArgumentError, f"another.*{path}"):
            everything(images.batches(1))
        path.write_bytes(b"no image at all")
        with self.assertRaisesRegex(tf.errors.InvalidArgumentError, f"another.*{path}"):
            taken(images.training_batches(1, seed=0), 1)
        path.unlink()
        with self.assertRaisesRegex(tf.errors.NotFoundError, str(path)):
            everything(images.batches(1))

    def test_kept_in_memory_or_read_anew(self):
        self.write("a.png", encoded(noise(9, 8, 3), "PNG"))
        self.write("b.png", b"broken")
        self.write("c.jpg", encoded(noise(16, 24, 3), "JPEG"))
        self.enter_context(mock.patch.object(data, "_PERCENT", {"train": range(100)}))
        kept = self.load()
        with mock.patch.object(data, "_MAX_KEPT", 3 * 8 * 8 * 3 - 1):  # the three files do not fit
            anew = self.load()
        for images in (kept, anew):
            self.assertEqual((images.num_images, images.skipped), (2, ("b.png",)))
            spec = tf.TensorSpec([5, 8, 8, 3], tf.uint8)
            self.assertEqual(images.training_batches(5, seed=0).element_spec, spec)
        whole = everything(anew.batches(2))
        batches = taken(anew.training_batches(5, seed=0), 3)
        shutil.rmtree(self.folder)
        self.assertAllEqual(everything(kept.batches(2)), whole)
        self.assertAllEqual(taken(kept.training_batches(5, seed=0), 3), batches)
        with self.assertRaises(tf.errors.NotFoundError):
            everything(anew.batches(2))

    def test_nothing_to_read(self):
        with self.assertRaisesRegex(FileNotFoundError, "missing"):
            data.load("folder", "train", image_dir=self.folder / "missing")
        with self.assertRaisesRegex(ValueError, "received 0 files"):
            self.load()
        self.write("good.png", encoded(noise(8, 8, 3), "PNG"))
        with self.assertRaisesRegex(
            ValueError, "'test'.*5 %.*received 1 files with 0 in that split"
        ):
            self.load("test")
        self.write("good.png", b"")
        with self.assertRaisesRegex(ValueError, "1 in that split and 1 of those left out"):
            self.load()
        with self.assertRaisesRegex(FileNotFoundError, "good.png, which is none"):
            data.load("folder", "train", image_dir=self.folder / "good.png")


def prepare(name, data_dir, splits):
    """Writes a small data set in the form of TFDS's: dict, split -> iterable of examples."""
    builder = tfds.builder(name, data_dir=data_dir)
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version=str(builder.version),
        data_dir=data_dir,
        features=builder.info.features,
        split_datasets={split: enumerate(examples) for split, examples in splits.items()},
        disable_shuffling=True,
    )


def prepare_cifar10(data_dir, num_train=1010, num_test=12):
    """Image i starts with the bytes of i."""

    def examples(split, count):
        for i in range(count):
            image = np.zeros([32, 32, 3], np.uint8)
            image[0, 0, :2] = divmod(i, 256)
            yield {"id": f"{split}_{i:05}", "image": image, "label": 0}

    splits = {"train": examples("train", num_train), "test": examples("test", num_test)}
    prepare("cifar10", data_dir, splits)


class Cifar10Test(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.parent = pathlib.Path(temporary.name)
        self.data_dir = self.parent / "not" / "there"

    def numbers(self, split):
        images = data.load("cifar10", split, data_dir=str(self.data_dir))
        pixels = everything(images.batches(500)).astype(int)
        self.assertEqual(pixels.shape, (images.num_images, 32, 32, 3))
        return pixels[:, 0, 0, 0] * 256 + pixels[:, 0, 0, 1]

    def test_splits_in_the_official_order(self):
        prepare_cifar10(self.data_dir)
        self.addCleanup(logging.set_verbosity, logging.get_verbosity())
        logging.set_verbosity(logging.INFO)
        with mock.patch.object(requests, "head", side_effect=AssertionError("no need to ask")):
            self.assertAllEqual(self.numbers("train"), np.arange(10))
            self.assertAllEqual(self.numbers("validation"), np.arange(10, 1010))
            self.assertAllEqual(self.numbers("test"), np.arange(12))
        self.assertEqual(logging.get_verbosity(), logging.INFO)

    def test_no_network(self):
        failure = requests.ConnectionError("no route")
        with (
            mock.patch.object(requests, "head", side_effect=failure),
            self.assertRaises(FileNotFoundError) as caught,
        ):
            self.numbers("train")
        for part in (str(self.data_dir), "no route", "tfds build cifar10", "--data_dir", "photos"):
            self.assertIn(part, str(caught.exception))
        self.assertIs(caught.exception.__cause__, failure)
        self.assertEmpty(list(self.parent.iterdir()))

    def test_a_download_that_breaks_off_leaves_nothing(self):
        def broken(builder):
            path = pathlib.Path(builder.data_path)
            path.mkdir(parents=True)
            (path / "half").write_bytes(b"half")
            raise OSError("connection lost")

        with (
            mock.patch.object(requests, "head"),
            mock.patch.object(tfds.core.DatasetBuilder, "download_and_prepare", broken),
            self.assertRaisesRegex(FileNotFoundError, "connection lost"),
        ):
            self.numbers("train")
        self.assertEmpty(list(self.parent.iterdir()))

    def test_a_download_ends_up_in_place(self):
        elsewhere = self.parent / "elsewhere"
        prepare_cifar10(elsewhere)

        def download(builder):
            shutil.copytree(elsewhere / "cifar10", pathlib.Path(builder.data_path).parent)

        with (
            mock.patch.object(requests, "head"),
            mock.patch.object(tfds.core.DatasetBuilder, "download_and_prepare", download),
        ):
            self.assertAllEqual(self.numbers("test"), np.arange(12))
        self.assertEqual({path.name for path in self.parent.iterdir()}, {"not", "elsewhere"})
        self.assertEqual([path.name for path in self.data_dir.iterdir()], ["cifar10"])
        self.assertAllEqual(self.numbers("train"), np.arange(10))  # from the disk


def halved(pixels):
    """[..., H, W, C] -> [..., H / 2, W / 2, C], by its definition."""
    a, b, c, d = (
        pixels[..., i::2, j::2, :].astype(np.int32) for i, j in np.ndindex(2, 2)
    )  # the corners of each block
    return (a + b + c + d + 2) // 4


class CelebATest(FilesTest):
    def load(self, split="train", side=128):
        return data.load("celeb_a", split, (side, side), image_dir=self.folder)

    def test_crop_and_halvings(self):
        pixels = noise(218, 178, 3)
        self.write("good.png", encoded(pixels, "PNG"))
        expected = pixels[50:178, 25:153]
        for side in (128, 64, 32, 16, 8, 4, 2, 1):
            images = self.load(side=side)
            self.assertEqual((images.num_images, images.image_size), (1, (side, side)))
            self.assertAllEqual(everything(images.batches(1)), expected[None])
            expected = halved(expected)

    def test_splits_by_the_names_of_the_files(self):
        names = [f"{i:06}.jpg" for i in range(1, 101)]
        for i, name in enumerate(names):
            path = f"img_align_celeba/{name}"
            self.write(path, encoded(np.full((218, 178, 3), 2 * i, np.uint8), "JPEG"))
        for split in data.SPLITS:
            expected = [
                2 * i
                for i, name in enumerate(names)
                if data._percentile(name) in data._PERCENT[split]
            ]
            self.assertAllEqual(everything(self.load(split, 8).batches(9))[:, 0, 0, 0], expected)

    def test_files_of_another_size_are_named_and_left_out(self):
        good, other = encoded(noise(218, 178, 3), "JPEG"), encoded(noise(178, 218, 3), "JPEG")
        self.enter_context(mock.patch.object(data, "_PERCENT", {"train": range(100)}))
        self.write("a/turned.jpg", other)
        with self.assertRaisesRegex(ValueError, "178 x 218 pixels .*1 of those left out"):
            self.load()
        self.write("broken.jpg", good[:-200])
        self.write("good.jpg", good)
        for limit in (data._MAX_KEPT, 0):
            with (
                mock.patch.object(data, "_MAX_KEPT", limit),
                self.assertLogs(logging.get_absl_logger(), "WARNING") as logs,
            ):
                images = self.load()
            self.assertEqual(images.skipped, ("a/turned.jpg", "broken.jpg"))
            self.assertRegex(logs.output[0], "2 of 3 .*178 x 218 .*: a/turned.jpg, broken.jpg")
            self.assertAllEqual(
                everything(images.batches(2)), data._decode(good)[None, 50:178, 25:153]
            )

    def test_through_tfds(self):
        counts = {"train": 5, "validation": 3, "test": 2}
        files = {
            split: [encoded(noise(218, 178, 3, seed=(count, i)), "JPEG") for i in range(count)]
            for split, count in counts.items()
        }
        features = tfds.builder("celeb_a", data_dir=self.folder).info.features
        rest = {key: dict.fromkeys(features[key], 0) for key in features if key != "image"}
        splits = {
            split: [{"image": io.BytesIO(file), **rest} for file in files[split]] for split in files
        }
        prepare("celeb_a", self.folder, splits)
        for limit, split in itertools.product((data._MAX_KEPT, 0), data.SPLITS):
            with mock.patch.object(data, "_MAX_KEPT", limit):
                images = data.load("celeb_a", split, (64, 64), data_dir=self.folder)
            self.assertEqual((images.num_images, images.image_size), (counts[split], (64, 64)))
            whole = np.stack([data._decode(file) for file in files[split]])
            expected = halved(whole[:, 50:178, 25:153])
            self.assertAllEqual(everything(images.batches(2)), expected)
            spec = tf.TensorSpec([4, 64, 64, 3], tf.uint8)
            self.assertEqual(images.training_batches(4, seed=0).element_spec, spec)

    def test_nothing_prepared_is_not_downloaded(self):
        target = self.folder / "not" / "there"
        with (
            mock.patch.object(tfds.core.DatasetBuilder, "download_and_prepare") as download,
            mock.patch.object(requests, "head") as head,
            self.assertRaises(FileNotFoundError) as caught,
        ):
            data.load("celeb_a", "train", data_dir=target)
        download.assert_not_called()
        head.assert_not_called()
        for part in (
            f"{target}/celeb_a",
            "--image_dir",
            "img_align_celeba",
            "tfds build celeb_a",
            "--data_dir",
            "--dataset photos",
        ):
            self.assertIn(part, str(caught.exception))
        self.assertEmpty(list(self.folder.iterdir()))

    @unittest.skipUnless(CELEB_A.is_dir(), f"no images in {CELEB_A}")
    def test_official_images(self):
        self.folder = CELEB_A
        paths = sorted(CELEB_A.rglob("*.jpg"))
        self.assertEqual(sum(self.load(split, 64).num_images for split in data.SPLITS), len(paths))
        images, halves = self.load("test"), self.load("test", 64)
        self.assertEqual((images.image_size, halves.image_size), ((128, 128), (64, 64)))
        self.assertAlmostEqual(images.num_images / len(paths), 0.05, delta=0.01)
        images, halves = everything(images.batches(64)), everything(halves.batches(64))
        self.assertAllEqual(auxiliary.HalfResolution()(images), halves)
        first = next(path for path in paths if data._percentile(path.name) in data._PERCENT["test"])
        expected = np.asarray(Image.open(first).crop((25, 50, 153, 178)))
        self.assertAllClose(images[0].astype(int), expected.astype(int), atol=1)


if __name__ == "__main__":
    tf.test.main()
