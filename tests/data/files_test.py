"""Tests of folders of image files: broken ones are left out and listed, and each file is decoded once."""

import errno
import os
import pathlib
from unittest import mock

import numpy as np
from absl import logging
from PIL import Image

from pixelcnn_aux.data import decoding, files, image_folder
from tests.data.helpers import FilesTest, encoded, everything, noise, taken


class LoadTest(FilesTest):
    def load(self, split="train", split_of=lambda name: "train"):
        """All files of the folder, cropped to 8 x 8."""
        how = {"image_dir": self.folder, "cache_dir": self.cache, "kind": "of a kind"}
        how |= {"fit": lambda image: image_folder.fit(image, (8, 8)), "split_of": split_of}
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
        with open(self.folder / "vast.png", "wb") as file:  # which takes no place on the disk
            file.write(png)
            file.truncate(decoding._MAX_BYTES + 1)
        images, [line] = self.load_logged()
        skipped = sorted([*broken, "pipe.png", "dangling.png", "vast.png"])
        self.assertEqual(images.skipped, tuple(skipped))
        reasons = "damaged, or no PNG.*: 'a/tr.*, 'empty.jpg', .*a link to nowhere: 'dangling.png'"
        self.assertRegex(line, f"8 of 10.*{reasons}")
        for name in skipped:
            self.assertIn(name, line)
        self.assertLen(everything(images.batches(8)), 2)
        taken(images.training_batches(4, seed=0), 3)

    def test_losses_are_logged(self):
        """Images of 16 bits are left out; gray images are used, and a line counts them."""
        kinds = {"a.tif": ("TIFF", "L"), "b.WebP": ("WEBP", "RGB"), "c.png": ("PNG", "1")}
        for name, kind in kinds.items():
            self.write(name, encoded(noise(8, 8, 3), *kind))
        for name in ("deep.png", "deep.tiff"):
            Image.fromarray(noise(8, 8).astype(np.uint16)).save(self.folder / name)
        images, [gray, left_out] = self.load_logged()
        self.assertEqual((images.num_images, images.skipped), (3, ("deep.png", "deep.tiff")))
        self.assertIn(f"2 of 3 images of {self.folder} are gray", gray)
        self.assertRegex(left_out, "16 bits a channel, 8 are.*convert.*: 'deep.png', 'deep.tiff'")
        _, lines = self.load_logged()
        self.assertLen(lines, 1)  # gray images are told of when they are decoded

    def test_files_are_decoded_once(self):
        self.write_png("a.png", noise(9, 8, 3))
        self.write("b.png", b"broken")
        self.write("c.jpg", encoded(noise(16, 24, 3), "JPEG"))
        first = self.load()
        with mock.patch.object(decoding, "decode", side_effect=AssertionError("decoded")):
            again, [line] = self.load_logged()
        self.assertIn("Left out 1 of 3", line)
        for images in (first, again):
            self.assertEqual((images.num_images, images.skipped), (2, ("b.png",)))
            self.assertAllEqual(images.pixels, first.take(range(2)))
            self.assertIsInstance(images.pixels, np.memmap)

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
        self.assertEqual(path.stat().st_size, before.st_size)  # its time alone tells
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        self.assertEqual(colors(), [11, 20])
        path.rename(self.folder / "d.png")
        self.assertEqual(colors(), [20, 11])

    def test_errors_of_the_system_are_raised(self):
        """Images would be missing without a word otherwise, or be taken for broken."""
        self.write_png("a.png")
        closed = self.write_png("closed/b.png")
        denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        def refused(owner, name, path):
            function = getattr(owner, name)

            def failing(self, *arguments):
                if pathlib.Path(self) == path:
                    raise denied
                return function(self, *arguments)

            return mock.patch.object(owner, name, failing)

        for patch in (
            refused(os, "scandir", closed.parent),
            refused(pathlib.Path, "read_bytes", closed),
        ):
            with patch, self.assertRaisesRegex(PermissionError, "Permission denied.*the right to"):
                self.load()
        exhausted = mock.patch.object(decoding, "decode", side_effect=MemoryError)
        with exhausted, self.assertRaises(MemoryError):
            self.load()
        self.assertEqual(self.load().num_images, 2)

    def test_files_of_no_split_are_left_out_of_all(self):
        for name in ("a.png", "b.png", "none_1.png", "none_2.png"):
            self.write_png(name)
        self.write("c.png", b"broken")
        split_of = {"a.png": "train", "b.png": "test", "c.png": "train"}.get
        for split, skipped in (("train", ["c.png"]), ("test", [])):
            images, [line] = self.load_logged(split, split_of)
            self.assertEqual(images.num_images, 1)
            self.assertEqual(images.skipped, (*skipped, "none_1.png", "none_2.png"))
            self.assertRegex(line, "of a kind: .*'none_1.png', 'none_2.png'")
