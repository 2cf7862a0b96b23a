"""Tests of folders of images: broken files, splits, the crop, labels, and one image file."""

import errno
import hashlib
import os
import pathlib
from unittest import mock

import numpy as np
import tensorflow as tf
from absl import logging
from PIL import Image

from pixelcnn_aux import data
from pixelcnn_aux.base import resizing
from pixelcnn_aux.data import decoding, files, image_folder
from tests.data.helpers import FilesTest, encoded, everything, noise, taken


class LoadTest(FilesTest):
    def load(self, split="train", splits_of=lambda names: ["train"] * len(names)):
        """All files of the folder, cropped to 8 x 8."""
        how = {"image_dir": self.folder, "cache_dir": self.cache, "kind": "of a kind"}
        how |= {"fit": lambda image: resizing.fit(image, (8, 8)), "splits_of": splits_of}
        return files.load("tests", split, (8, 8), **how)

    def load_logged(self, *arguments):
        """(Images, lines of warnings)."""
        with self.assertLogs(logging.get_absl_logger(), "WARNING") as logs:
            return self.load(*arguments), logs.output

    def write_png(self, name, pixels=None):
        return self.write(name, encoded(noise(8, 8, 3) if pixels is None else pixels, "PNG"))

    def test_broken_files_are_named_counted_and_left_out(self):
        png, jpeg = encoded(noise(64, 64, 3), "PNG"), encoded(noise(64, 64, 3), "JPEG")
        broken = {"a/truncated.png": png[:-200], "empty.jpg": b"", "no_end.jpg": jpeg[:-1]}
        broken |= {"gif.png": encoded(noise(8, 8, 3), "GIF"), "text.png": b"this is a text"}
        for name, contents in {**broken, "good.png": png, "good.jpg": jpeg}.items():
            self.write(name, contents)
        os.mkfifo(self.folder / "pipe.png")
        (self.folder / "dangling.png").symlink_to(self.folder / "nowhere.png")
        (self.folder / "folder.png").mkdir()
        with open(self.folder / "vast.png", "wb") as file:  # sparse
            file.write(png)
            file.truncate(decoding._MAX_BYTES + 1)
        images, [line] = self.load_logged()
        skipped = sorted([*broken, "pipe.png", "dangling.png", "vast.png"])
        self.assertEqual(images.skipped, tuple(skipped))
        reasons = "damaged, or no PNG.*: 'a/tr.*, 'empty.jpg', .*a broken link: 'dangling.png'"
        self.assertRegex(line, f"8 of 10.*{reasons}")
        for name in skipped:
            self.assertIn(name, line)
        self.assertLen(everything(images.batches(8)), 2)
        taken(images.training_batches(4, seed=0), 3)

    def test_losses_are_logged(self):
        """16-bit images are left out; gray images are used and counted in the log."""
        kinds = {"a.tif": ("TIFF", "L"), "b.WebP": ("WEBP", "RGB"), "c.png": ("PNG", "1")}
        for name, kind in kinds.items():
            self.write(name, encoded(noise(8, 8, 3), *kind))
        for name in ("deep.png", "deep.tiff"):
            Image.fromarray(noise(8, 8).astype(np.uint16)).save(self.folder / name)
        images, [gray, left_out] = self.load_logged()
        self.assertEqual((images.num_images, images.skipped), (3, ("deep.png", "deep.tiff")))
        self.assertIn(f"2 of 3 images of {self.folder} are gray", gray)
        self.assertRegex(left_out, "16 bits a channel, 8 are.*: 'deep.png', 'deep.tiff'")
        with mock.patch.object(decoding, "images", side_effect=AssertionError("decoded")):
            again, lines = self.load_logged()
        self.assertEqual(lines, [left_out])  # gray images are counted only while decoding
        self.assertAllEqual(again.pixels, images.pixels)

    def test_pages_are_images_with_the_label_of_their_file(self):
        for name, first in (("a/one.png", 5), ("b/two.tif", 7), ("b/three.tif", 9)):
            pages = [Image.fromarray(np.full((8, 8), first + k, np.uint8)) for k in range(3)]
            more = {"save_all": True, "append_images": pages[1:]} if name.endswith("tif") else {}
            self.write(name, b"")
            pages[0].save(self.folder / name, **more)
        splits = {"splits_of": lambda names: ["train"] * len(names), "kind": "of a kind"}
        how = {"image_dir": self.folder, "cache_dir": self.cache, "channels": 1, **splits}
        for size in (None, (8, 8), (8, 8)):  # in memory, and from the cache
            images = files.load(
                "tests", "train", size, lambda x: x, labels="folders", num_values=None, **how
            )
            self.assertEqual([x[0, 0, 0] for x in images.pixels], [5, 9, 10, 11, 7, 8, 9])
            self.assertAllEqual(images.labels, [0] + [1] * 6)

    def test_bits_are_those_of_most_files(self):
        for number in range(5):
            deep = Image.fromarray(noise(8, 8, seed=number).astype(np.uint16) + 3146)
            deep.save(self.folder / f"{number}.png")
        self.write_png("other.png")
        how = {"image_dir": self.folder, "cache_dir": self.cache, "channels": 1}
        images = data.load("folder", "train", None, num_values=None, **how)
        self.assertEqual(images.pixels[0].dtype, np.uint16)
        self.assertEqual(images.largest.bit_length(), 12)

    def test_any_change_of_the_files_shows(self):
        def colors():
            return self.load().pixels[:, 0, 0, 0].tolist()

        def write(name, color):
            return self.write_png(name, np.full((8, 8, 3), color, np.uint8))

        path = write("b.png", 10)
        write("c.png", 20)
        self.assertEqual(colors(), [10, 20])
        before = path.stat()
        write("b.png", 11)
        self.assertEqual(path.stat().st_size, before.st_size)  # only the modification time changes
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        self.assertEqual(colors(), [11, 20])
        path.rename(self.folder / "d.png")
        self.assertEqual(colors(), [20, 11])

    def test_errors_of_the_system_are_raised(self):
        """Otherwise images would be missing silently, or count as broken."""
        self.write_png("a.png")
        closed = self.write_png("closed/b.png")

        def refused(function, path):
            def failing(at, *arguments):
                if pathlib.Path(at) == path:
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
                return function(at, *arguments)

            return failing

        for patch in (
            mock.patch.object(os, "scandir", refused(os.scandir, closed.parent)),
            mock.patch.object(os, "open", refused(os.open, closed)),
        ):
            with (
                patch,
                self.assertRaisesRegex(PermissionError, "Permission denied.*Check its permissions"),
            ):
                self.load()
        exhausted = mock.patch.object(decoding, "images", side_effect=MemoryError)
        with exhausted, self.assertRaises(MemoryError):
            self.load()
        self.assertEqual(self.load().num_images, 2)

    def test_files_of_no_split_are_left_out_of_all(self):
        for name in ("a.png", "b.png", "none_1.png", "none_2.png"):
            self.write_png(name)
        self.write("c.png", b"broken")
        known = {"a.png": "train", "b.png": "test", "c.png": "train"}
        for split, skipped in (("train", ["c.png"]), ("test", [])):
            images, [line] = self.load_logged(split, lambda names: map(known.get, names))
            self.assertEqual(images.num_images, 1)
            self.assertEqual(images.skipped, (*skipped, "none_1.png", "none_2.png"))
            self.assertRegex(line, "of a kind: .*'none_1.png', 'none_2.png'")


def _hash(name):
    return int(hashlib.sha256(name.encode()).hexdigest(), 16)


def splits_of(names, validation=2, test=5):
    return image_folder.split_by_hash(names, validation, test)


class FolderTest(FilesTest):
    def load(self, split="train", image_size=(8, 8), **shares):
        return data.load("folder", split, image_size, image_dir=str(self.folder), **shares)

    def write_pictures(self, *names):
        for name in names:
            self.write(name, encoded(noise(8, 8, 3), "PNG"))

    def fill_other_splits(self):
        for name in ("000002.jpg", "000030.jpg"):  # of test and of validation
            self.write(name, b"damaged")

    def counts(self, **shares):
        return [self.load(split, **shares).num_images for split in data.SPLITS]

    def test_split_is_pinned(self):
        names = ["000001.jpg", "000002.jpg", "000030.jpg", "a.png", "é.png"]
        expected = ["train", "test", "validation", "train", "train"]
        self.assertEqual(splits_of(names), expected)
        splits = splits_of([f"{i:06}.jpg" for i in range(20000)])
        found = hashlib.sha256(" ".join(splits).encode()).hexdigest()
        pinned = "9a31aad376cb255ab0fa5d7bd3b93e485c42a2af337ce9ab9b7ab5dbfd25c2ba"
        self.assertEqual(found, pinned)
        shares = [splits.count(split) / len(splits) for split in ("train", "validation", "test")]
        self.assertAllClose(shares, [0.93, 0.02, 0.05], atol=0.005)

    def test_three_files_have_one_in_each_split(self):
        """A folder of 92 keeps its splits, except for the lowest hash."""
        names = [f"brick{i}.png" for i in range(92)]
        one_by_one = [splits_of([name])[0] for name in names]  # by each hash alone
        self.assertEqual([one_by_one.count(split) for split in data.SPLITS], [89, 0, 3])
        moved = [i for i, x in enumerate(splits_of(names)) if x != one_by_one[i]]
        lowest = min((_hash(x) % 100, i) for i, x in enumerate(names) if one_by_one[i] == "train")
        self.assertEqual(moved, [lowest[1]])
        self.assertEqual(splits_of(names)[lowest[1]], "validation")
        for count in range(3, 40):
            some = splits_of(names[:count])
            self.assertEqual({*some}, {*data.SPLITS})
            if {*one_by_one[:count]} == {*data.SPLITS}:
                self.assertEqual(some, one_by_one[:count])
        self.assertCountEqual(splits_of(["000002.jpg"] * 3), data.SPLITS)  # all of the test split
        self.write_pictures("a.png", "c.png")
        message = (
            "three files one each at least.*split 'test'. Received: 2 train, 0 val.*Add images"
        )
        with self.assertRaisesRegex(ValueError, message):
            self.load("test")
        self.write_pictures("d.png")
        self.assertEqual(self.counts(), [1, 1, 1])

    def test_shares_of_the_splits(self):
        self.write_pictures(*(f"{i}.png" for i in range(60)))
        hashes = [_hash(f"{i}.png") % 100 for i in range(60)]
        test, others = (sum(x < most for x in hashes) for most in (25, 40))
        shares = {"validation_share": 0.15, "test_share": 0.25}
        self.assertEqual(self.counts(**shares), [60 - others, others - test, test])
        source = self.load(**shares).source
        self.assertEqual({name: source[name] for name in shares}, shares)
        for wrong, message in (
            ({"test_share": 0}, "test_share above 0"),
            ({"test_share": "a"}, "test_share above 0"),
            ({"test_share": 0.99}, "below 1 in all.*Received: .*0.99"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                self.load(**wrong)
        with self.assertRaisesRegex(
            ValueError, "no test_share for the data set 'photos'.*: folder"
        ):
            data.load("photos", "test", test_share=0.1)
        for split in data.SPLITS:
            self.write_pictures(f"{split}/a.png")
        with self.assertRaisesRegex(
            ValueError, "a folder for each split. Received: .*'test_share'"
        ):
            self.load(test_share=0.1)

    def test_split_and_order_depend_on_names_alone(self):
        names = [f"{i % 3}/{i:03}.{suffix}" for i, suffix in enumerate(["png", "PNG", "Jpeg"] * 40)]
        for i in np.random.default_rng(0).permutation(len(names)):
            kind = "JPEG" if names[i].endswith("Jpeg") else "PNG"
            self.write(names[i], encoded(np.full((8, 8, 3), i, np.uint8), kind))
        for split in data.SPLITS:
            in_split = [name for name in names if splits_of([name[2:]]) == [split]]
            expected = [names.index(name) for name in sorted(in_split)]
            self.assertNotEmpty(expected)
            self.assertAllEqual(self.load(split).pixels[:, 0, 0, 0], expected)

    def test_center_crop_and_area_resize(self):
        pixels = noise(6, 10, 3)
        for size, expected in (
            ((2, 10), pixels[2:4]),
            ((3, 5), pixels.reshape(3, 2, 5, 2, 3).mean(axis=(1, 3))),
            ((12, 12), pixels[:, 2:8].repeat(2, 0).repeat(2, 1)),
        ):
            self.assertAllEqual(resizing.fit(pixels, size), np.round(expected))

    def test_scans_of_16_bits(self):
        """Decoded, cropped and kept whole; one with values out of range is skipped by name."""
        self.fill_other_splits()
        scans = np.random.default_rng(0).integers(0, 4096, (3, 8, 10)).astype(np.uint16)
        scans[2, 4, 4] = 5000
        for name, scan in zip(("a.png", "000001.png", "c.tif"), scans):
            Image.fromarray(scan).save(self.folder / name)
        kind = {"image_dir": self.folder, "channels": 1, "num_values": 4096}
        for _ in range(2):  # decoded, and from the cache
            found = data.load("folder", "train", (8, 8), **kind)
            self.assertEqual((found.pixels.dtype, found.skipped), (np.uint16, ("c.tif",)))
            self.assertAllEqual(np.sort(found.pixels[..., 0], 0), np.sort(scans[:2, :, 1:9], 0))
        half = data.load("folder", "train", (4, 4), **kind).pixels
        expected = scans[:2, :, 1:9].reshape(2, 4, 2, 4, 2).mean(axis=(2, 4))
        self.assertAllClose(np.sort(half[..., 0], 0), np.sort(expected, 0), atol=0.51)

    def test_labels_are_folders_or_a_table(self):
        self.fill_other_splits()
        for name in ("b/1.png", "a/x/3.png", "b/4.png", "5.png"):
            self.write(name, encoded(noise(8, 8, 3), "PNG"))
        self.write("c/6.png", b"damaged")  # a class without usable images
        self.write("aa/notes.txt", b"")  # none
        where = {"image_dir": self.folder, "image_size": (8, 8)}
        images = data.load("folder", "train", labels="folders", **where)
        self.assertAllEqual(images.labels, [-1, 0, 1, 1])  # in the order of the paths
        self.assertEqual(images.source["labels"], "folders")
        table = self.write(
            "labels.csv", b"\xef\xbb\xbffile,label\nb/1.png,7\na/x/3.png,5\n5.png,2\nb/4.png,0\n"
        )
        images = data.load("folder", "train", labels=table, **where)
        self.assertAllEqual(images.labels, [2, 5, 7, 0])

    def test_nothing_to_read(self):
        with self.assertRaisesRegex(FileNotFoundError, "missing, which is no folder"):
            data.load("folder", "train", image_dir=self.folder / "missing")
        with self.assertRaisesRegex(ValueError, "Received: 0 train, .* 0 test .*in all no files"):
            self.load()
        for name in ("a.bmp", "b.BMP", "c.bmp", "x.txt", "x/y.txt", "README"):
            self.write(name, b"")
        with self.assertRaisesRegex(ValueError, "in all 3 .bmp, 2 .txt, 1 without a suffix. Add"):
            self.load()
        self.write("good.png", encoded(noise(8, 8, 3), "PNG"))
        with self.assertRaisesRegex(ValueError, "5 % test.*'test'.*1 train, .* 0 test files, 0 l"):
            self.load("test")
        self.write("good.png", b"")
        with self.assertRaisesRegex(ValueError, r"1 train, .*, 1 left out \(1: damaged, or no"):
            self.load()

    def test_one_file_is_read_as_those_of_the_data_set(self):
        path = self.write("good.png", encoded(noise(9, 16, 3), "PNG"))
        self.assertAllEqual(data.read_image(path, (8, 8))[None], self.load().take([0]))
        with self.assertRaisesRegex(FileNotFoundError, r"to read .*/none\.png\. Received: No such"):
            data.read_image(self.folder / "none.png", (8, 8))
        path.write_bytes(b"no image at all")
        message = rf"whole PNG, JPEG, TIFF or WebP.*Received: {path} \("
        with self.assertRaisesRegex(ValueError, message):
            data.read_image(str(path), (8, 8))


class ResizeTest(tf.test.TestCase):
    def test_pixels_are_tensorflows(self):
        random = np.random.default_rng(0)
        sizes = [(1, 1, 5, 3), (7, 9, 7, 9), (64, 48, 32, 24), (218, 178, 64, 64)]
        sizes += random.integers(1, 120, (40, 4)).tolist()
        for height, width, *size in sizes:
            image = noise(height, width, 3, seed=height)
            expected = tf.round(tf.image.resize(image, size, "area"))
            received = resizing.resize(image, size)
            self.assertEqual(received.dtype, np.uint8)
            self.assertAllEqual(received, expected, f"{height} x {width} to {size}")
