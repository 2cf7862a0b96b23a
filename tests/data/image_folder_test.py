"""Tests of folders of images: the splits, the crop, and one image file."""

import hashlib

import numpy as np
import tensorflow as tf
from PIL import Image

from pixelcnn_aux import data
from pixelcnn_aux.data import image_folder
from tests.data.helpers import FilesTest, encoded, noise


class FolderTest(FilesTest):
    def load(self, split="train", image_size=(8, 8)):
        return data.load("folder", split, image_size, image_dir=str(self.folder))

    def test_split_is_pinned(self):
        names = ["000001.jpg", "000002.jpg", "000030.jpg", "a.png", "é.png"]
        expected = ["train", "test", "validation", "train", "train"]
        self.assertEqual(list(map(image_folder.split_of, names)), expected)
        splits = [image_folder.split_of(f"{i:06}.jpg") for i in range(20000)]
        found = hashlib.sha256(" ".join(splits).encode()).hexdigest()
        pinned = "9a31aad376cb255ab0fa5d7bd3b93e485c42a2af337ce9ab9b7ab5dbfd25c2ba"
        self.assertEqual(found, pinned)
        shares = [splits.count(split) / len(splits) for split in ("train", "validation", "test")]
        self.assertAllClose(shares, [0.93, 0.02, 0.05], atol=0.005)

    def test_split_and_order_depend_on_names_alone(self):
        names = [f"{i % 3}/{i:03}.{suffix}" for i, suffix in enumerate(["png", "PNG", "Jpeg"] * 40)]
        for i in np.random.default_rng(0).permutation(len(names)):
            kind = "JPEG" if names[i].endswith("Jpeg") else "PNG"
            self.write(names[i], encoded(np.full((8, 8, 3), i, np.uint8), kind))
        for split in data.SPLITS:
            in_split = [name for name in names if image_folder.split_of(name[2:]) == split]
            expected = [names.index(name) for name in sorted(in_split)]
            self.assertNotEmpty(expected)
            self.assertAllEqual(self.load(split).pixels[:, 0, 0, 0], expected)

    def test_center_crop_and_area_resize(self):
        pixels = noise(6, 10, 3)
        for size, expected in (
            ((3, 3), pixels[:, 2:8].reshape(3, 2, 3, 2, 3).mean(axis=(1, 3))),
            ((2, 10), pixels[2:4]),
            ((3, 5), pixels.reshape(3, 2, 5, 2, 3).mean(axis=(1, 3))),
            ((12, 12), pixels[:, 2:8].repeat(2, 0).repeat(2, 1)),
        ):
            actual = image_folder.fit(pixels, size)
            self.assertEqual(actual.dtype, np.uint8)
            self.assertAllClose(actual, np.round(expected), atol=0 if size != (3, 3) else 1)

    def test_scans_of_16_bits(self):
        """Decoded, cropped and kept as they are; one of too many values is left out and named."""
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
        for name in ("b/1.png", "a/x/3.png", "b/4.png", "5.png"):
            self.write(name, encoded(noise(8, 8, 3), "PNG"))
        self.write("c/6.png", b"damaged")  # a class of which no image is left
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
        with self.assertRaisesRegex(FileNotFoundError, "missing"):
            data.load("folder", "train", image_dir=self.folder / "missing")
        with self.assertRaisesRegex(ValueError, "Received: 0 train, .* 0 test .*in all no files"):
            self.load()
        for name in ("a.bmp", "b.BMP", "c.bmp", "notes.txt", "x/y.txt", "README"):
            self.write(name, b"")
        with self.assertRaisesRegex(ValueError, "in all 3 .bmp, 2 .txt, 1 without a suffix. Add"):
            self.load()
        self.write("good.png", encoded(noise(8, 8, 3), "PNG"))
        with self.assertRaisesRegex(ValueError, "5 % test.*'test'.*1 train, .* 0 test files, 0 l"):
            self.load("test")
        self.write("good.png", b"")
        with self.assertRaisesRegex(ValueError, r"1 train, .*, 1 left out \(1: damaged, or no"):
            self.load()
        with self.assertRaisesRegex(FileNotFoundError, "good.png, which is no folder"):
            data.load("folder", "train", image_dir=self.folder / "good.png")

    def test_one_file_is_read_as_those_of_the_data_set(self):
        path = self.write("good.png", encoded(noise(9, 16, 3), "PNG"))
        self.assertAllEqual(data.read_image(path, (8, 8))[None], self.load().take([0]))
        with self.assertRaisesRegex(FileNotFoundError, r"to read .*/none\.png\. Received: No such"):
            data.read_image(self.folder / "none.png", (8, 8))
        path.write_bytes(b"no image at all")
        with self.assertRaisesRegex(
            ValueError, rf"whole PNG, JPEG, TIFF or WebP.*Received: {path} \("
        ):
            data.read_image(str(path), (8, 8))


class ResizeTest(tf.test.TestCase):
    def test_pixels_are_tensorflows(self):
        random = np.random.default_rng(0)
        sizes = [(1, 1, 5, 3), (7, 9, 7, 9), (64, 48, 32, 24), (218, 178, 64, 64)]
        sizes += random.integers(1, 120, (40, 4)).tolist()
        for height, width, *size in sizes:
            image = noise(height, width, 3, seed=height)
            expected = tf.round(tf.image.resize(image, size, "area"))
            received = image_folder.resize(image, size)
            self.assertEqual(received.dtype, np.uint8)
            self.assertAllEqual(received, expected, f"{height} x {width} to {size}")
