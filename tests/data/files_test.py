"""Tests of image files: every kind is decoded, upright, broken ones are left out, and each is read once."""

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
    def load(self):
        """All files of the folder, cropped to 8 x 8."""

        def fit(image):
            return image_folder.fit(image, (8, 8))

        return self.load_split("train", lambda name: "train", fit)

    def load_split(self, split, split_of, fit=np.copy):
        how = {"image_dir": self.folder, "cache_dir": self.cache, "kind": "of a kind"}
        return files.load("tests", split, (8, 8), fit=fit, split_of=split_of, **how)

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
        with self.assertLogs(logging.get_absl_logger(), "WARNING") as logs:
            images = self.load()
        skipped = sorted([*broken, "pipe.png", "dangling.png", "vast.png"])
        self.assertEqual(images.skipped, tuple(skipped))
        self.assertIn("8 of 10", logs.output[0])
        self.assertRegex(
            logs.output[0],
            "damaged, or no PNG.*: 'a/tr.*, 'empty.jpg', .*a link to nowhere: 'dangling.png'; ",
        )
        for name in skipped:
            self.assertIn(name, logs.output[0])
        self.assertLen(everything(images.batches(8)), 2)
        taken(images.training_batches(4, seed=0), 3)

    def test_what_would_be_lost_is_told(self):
        """16 bits are no image of this data set; gray images are, and a line counts them."""
        for name, kind, mode in (
            ("a.tif", "TIFF", "L"),
            ("b.WebP", "WEBP", "RGB"),
            ("c.png", "PNG", "1"),
        ):
            self.write(name, encoded(noise(8, 8, 3), kind, mode))
        deep = Image.fromarray(noise(8, 8).astype(np.uint16))
        deep.save(self.folder / "deep.png")
        deep.save(self.folder / "deep.tiff")
        with self.assertLogs(logging.get_absl_logger(), "WARNING") as logs:
            images = self.load()
        self.assertEqual((images.num_images, images.skipped), (3, ("deep.png", "deep.tiff")))
        gray, left_out = logs.output
        self.assertIn(f"2 of 3 images of {self.folder} are gray", gray)
        self.assertRegex(left_out, "16 bits a channel, 8 are.*convert.*: 'deep.png', 'deep.tiff'")
        with self.assertLogs(logging.get_absl_logger(), "WARNING") as logs:
            self.load()
        self.assertLen(logs.output, 1)  # the gray ones were told of when they were decoded

    def test_files_are_decoded_once(self):
        self.write("a.png", encoded(noise(9, 8, 3), "PNG"))
        self.write("b.png", b"broken")
        self.write("c.jpg", encoded(noise(16, 24, 3), "JPEG"))
        first = self.load()
        with mock.patch.object(decoding, "decode", side_effect=AssertionError("decoded")):
            with self.assertLogs(logging.get_absl_logger(), "WARNING") as logs:
                again = self.load()
        self.assertIn("Left out 1 of 3", logs.output[0])
        for images in (first, again):
            self.assertEqual((images.num_images, images.skipped), (2, ("b.png",)))
            self.assertAllEqual(images.pixels, first.take(range(2)))
            self.assertIsInstance(images.pixels, np.memmap)

    def test_any_change_of_the_files_shows(self):
        def colors():
            return self.load().pixels[:, 0, 0, 0].tolist()

        def write(name, color):
            return self.write(name, encoded(np.full((8, 8, 3), color, np.uint8), "PNG"))

        path = write("b.png", 10)
        write("c.png", 20)
        self.assertEqual(colors(), [10, 20])
        write("a.png", 30)
        self.assertEqual(colors(), [30, 10, 20])
        write("c.png", 25)
        self.assertEqual(colors(), [30, 10, 25])
        before = path.stat()
        write("b.png", 11)
        self.assertEqual(path.stat().st_size, before.st_size)  # its time alone tells
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        self.assertEqual(colors(), [30, 11, 25])
        (self.folder / "a.png").unlink()
        self.assertEqual(colors(), [11, 25])
        path.rename(self.folder / "d.png")
        self.assertEqual(colors(), [25, 11])

    def test_what_the_system_refuses_is_an_error(self):
        """Images would be missing without a word otherwise, or be taken for broken."""
        self.write("a.png", encoded(noise(8, 8, 3), "PNG"))
        closed = self.write("closed/b.png", encoded(noise(8, 8, 3), "PNG"))
        denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        scandir, read_bytes = os.scandir, pathlib.Path.read_bytes

        def refused(function, path):
            def failing(self, *arguments):
                if pathlib.Path(self) == path:
                    raise denied
                return function(self, *arguments)

            return failing

        for patch in (
            mock.patch.object(os, "scandir", refused(scandir, closed.parent)),
            mock.patch.object(pathlib.Path, "read_bytes", refused(read_bytes, closed)),
        ):
            with patch, self.assertRaisesRegex(PermissionError, "Permission denied.*the right to"):
                self.load()
        exhausted = mock.patch.object(decoding, "decode", side_effect=MemoryError)
        with exhausted, self.assertRaises(MemoryError):
            self.load()
        self.assertEqual(self.load().num_images, 2)

    def test_files_of_no_split_are_left_out_of_all(self):
        for name in ("a.png", "b.png", "none_1.png", "none_2.png"):
            self.write(name, encoded(noise(8, 8, 3), "PNG"))
        self.write("c.png", b"broken")
        split_of = {"a.png": "train", "b.png": "test", "c.png": "train"}.get
        for split, skipped in (("train", ["c.png"]), ("test", [])):
            with self.assertLogs(logging.get_absl_logger(), "WARNING") as logs:
                images = self.load_split(split, split_of)
            self.assertEqual(images.num_images, 1)
            self.assertEqual(images.skipped, (*skipped, "none_1.png", "none_2.png"))
            self.assertRegex(logs.output[0], "of a kind: .*'none_1.png', 'none_2.png'")
