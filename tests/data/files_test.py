"""Tests of image files: every kind is decoded, upright, broken ones are left out, and each is read once."""

import errno
import io
import os
import pathlib
import struct
from unittest import mock

import numpy as np
import tensorflow as tf
from absl import logging
from PIL import Image, ImageOps

from pixelcnn_aux.data import files, folder
from tests.data.helpers import FilesTest, encoded, everything, noise, taken


class LoadTest(FilesTest):
    def load(self):
        """All files of the folder, cropped to 8 x 8."""

        def fit(image):
            return folder.fit(image, (8, 8))

        arguments = "tests", "train", (8, 8), self.folder, self.cache
        return files.load(*arguments, fit, "", lambda name: "train", "")

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
        images = self.load()
        self.assertEqual((images.num_images, images.skipped), (9, ()))
        self.assertAllClose(
            everything(images.batches(9)).astype(int), np.tile(pixels, [9, 1, 1, 1]), atol=3
        )

    def test_broken_files_are_named_counted_and_left_out(self):
        png, jpeg = encoded(noise(64, 64, 3), "PNG"), encoded(noise(64, 64, 3), "JPEG")
        flipped = bytearray(png)
        flipped[len(png) // 2] ^= 255
        bomb = bytearray(png)
        bomb[16:24] = struct.pack(">II", 2**14, 2**13)
        late_bomb = png[:8] + struct.pack(">I4sIII", 8, b"abCd", 1, 1, 0) + bytes(bomb[8:])
        jpeg_bomb = bytearray(jpeg)
        frame = jpeg.index(b"\xff\xc0")
        jpeg_bomb[frame + 5 : frame + 9] = struct.pack(">HH", 65000, 65000)
        broken = {
            "a/truncated.png": png[:-200],
            "bitflip.png": bytes(flipped),
            "bomb.jpg": bytes(jpeg_bomb),
            "bomb.png": bytes(bomb),
            "bomb_after_a_chunk.png": late_bomb,
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
        with open(self.folder / "vast.png", "wb") as file:  # which takes no place on the disk
            file.write(png)
            file.truncate(files._MAX_BYTES + 1)
        with (
            mock.patch.object(files, "decode", wraps=files.decode) as decode,
            self.assertLogs(logging.get_absl_logger(), "WARNING") as logs,
        ):
            images = self.load()
        skipped = sorted([*broken, "pipe.png", "dangling.png", "vast.png"])
        self.assertEqual(images.skipped, tuple(skipped))
        self.assertIn("17 of 19", logs.output[0])
        for name in skipped:
            self.assertIn(name, logs.output[0])
        decoded = [call.args[0] for call in decode.call_args_list]
        self.assertNotIn(bytes(bomb), decoded)  # their size alone refuses them
        self.assertNotIn(late_bomb, decoded)
        self.assertNotIn(bytes(jpeg_bomb), decoded)
        self.assertLen(everything(images.batches(8)), 2)
        taken(images.training_batches(4, seed=0), 3)

    def test_orientation_is_that_which_cameras_write(self):
        # Gray blocks, each of its own value, which JPEG keeps; 8 x 16, so that sides differ.
        pixels = np.arange(0, 256, 32, dtype=np.uint8).reshape(2, 4, 1)
        pixels = pixels.repeat(8, axis=0).repeat(8, axis=1).repeat(3, axis=2)
        plain = files.decode(encoded(pixels, "JPEG"))
        for orientation in range(1, 9):
            for order in ("<", ">"):
                exif = Image.Exif()
                exif.endian = order
                exif[271] = "a camera"  # a tag before that of the orientation
                exif[274] = orientation
                file = encoded(pixels, "JPEG", exif=exif)
                image = files.decode(file)
                expected = ImageOps.exif_transpose(Image.open(io.BytesIO(file)))
                self.assertAllEqual(image, np.asarray(expected))
                if orientation == 1:
                    self.assertAllEqual(image, plain)
                elif orientation > 4:
                    self.assertEqual(image.shape, (32, 16, 3))
        self.write("lying.jpg", file)
        self.assertAllEqual(self.load().take([0])[0], folder.fit(image, (8, 8)))
        # 8 says that the first row is seen at the left.
        self.assertAllEqual(files.decode(encoded(pixels, "PNG", exif=exif)), np.rot90(pixels))

    def test_files_are_decoded_once(self):
        self.write("a.png", encoded(noise(9, 8, 3), "PNG"))
        self.write("b.png", b"broken")
        self.write("c.jpg", encoded(noise(16, 24, 3), "JPEG"))
        first = self.load()
        with mock.patch.object(files, "decode", side_effect=AssertionError("decoded")):
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

    def test_a_file_that_cannot_be_read_is_tried_again(self):
        self.write("a.png", encoded(noise(8, 8, 3), "PNG"))
        path = self.write("b.png", encoded(noise(8, 8, 3), "PNG"))
        read_bytes = pathlib.Path.read_bytes

        def failing(self):
            if self == path:
                raise PermissionError
            return read_bytes(self)

        with mock.patch.object(pathlib.Path, "read_bytes", failing):
            images = self.load()
        self.assertEqual((images.num_images, images.skipped), (1, ("b.png",)))
        images = self.load()
        self.assertEqual((images.num_images, images.skipped), (2, ()))

    def test_a_lack_of_memory_is_no_fault_of_a_file(self):
        self.write("a.png", encoded(noise(8, 8, 3), "PNG"))
        exhausted = tf.errors.ResourceExhaustedError(None, None, "memory")
        with mock.patch.object(files, "decode", side_effect=exhausted):
            with self.assertRaises(tf.errors.ResourceExhaustedError):
                self.load()
        self.assertEqual(self.load().num_images, 1)

    def test_a_folder_that_cannot_be_read_is_an_error(self):
        """Its images would be missing without a word otherwise."""
        self.write("a.png", encoded(noise(8, 8, 3), "PNG"))
        path = self.write("closed/b.png", encoded(noise(8, 8, 3), "PNG")).parent
        scandir = os.scandir

        def failing(folder):
            if pathlib.Path(folder) == path:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return scandir(folder)

        with mock.patch.object(os, "scandir", failing):
            with self.assertRaisesRegex(
                PermissionError, "all folders of images.*Permission denied.*the right to"
            ):
                self.load()
        self.assertEqual(self.load().num_images, 2)

    def test_files_of_no_split_are_left_out_of_all(self):
        for name in ("a.png", "b.png", "none_1.png", "none_2.png"):
            self.write(name, encoded(noise(8, 8, 3), "PNG"))
        self.write("c.png", b"broken")
        split_of = {"a.png": "train", "b.png": "test", "c.png": "train"}.get
        for split, skipped in (("train", ["c.png"]), ("test", [])):
            with self.assertLogs(logging.get_absl_logger(), "WARNING") as logs:
                images = files.load(
                    *("tests", split, (8, 8), self.folder, self.cache),
                    *(lambda image: image, "of a kind", split_of, ""),
                )
            self.assertEqual(images.num_images, 1)
            self.assertEqual(images.skipped, (*skipped, "none_1.png", "none_2.png"))
            self.assertRegex(logs.output[0], "of a kind: .*'none_1.png', 'none_2.png'")


if __name__ == "__main__":
    tf.test.main()
