"""Tests of image files: every kind is decoded, broken and changed ones are found out."""

import os
import shutil
import struct
from unittest import mock

import numpy as np
import tensorflow as tf
from absl import logging
from PIL import Image

from pixelcnn_aux.data import files, folder, pipeline
from tests.data.helpers import FilesTest, encoded, everything, noise, taken


class LoadTest(FilesTest):
    def load(self):
        """All files of the folder, cropped to 8 x 8."""

        def fit(image):
            return folder.fit(image, (8, 8))

        return files.load("train", (8, 8), self.folder, fit, "", lambda name: "train", "")

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
            mock.patch.object(files, "decode", wraps=files.decode) as decode,
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
        path = self.write("good.png", encoded(noise(8, 8, 3), "PNG"))
        with mock.patch.object(pipeline, "_MAX_KEPT", 0):
            images = self.load()
        path.write_bytes(encoded(noise(8, 8, 3, seed=1), "PNG"))
        with self.assertRaisesRegex(tf.errors.InvalidArgumentError, rf"another, {path}\. Leave"):
            everything(images.batches(1))
        path.write_bytes(b"no image at all")
        with self.assertRaisesRegex(tf.errors.InvalidArgumentError, rf"another, {path}\. Leave"):
            taken(images.training_batches(1, seed=0), 1)
        path.unlink()
        with self.assertRaisesRegex(tf.errors.NotFoundError, str(path)):
            everything(images.batches(1))

    def test_kept_in_memory_or_read_anew(self):
        self.write("a.png", encoded(noise(9, 8, 3), "PNG"))
        self.write("b.png", b"broken")
        self.write("c.jpg", encoded(noise(16, 24, 3), "JPEG"))
        kept = self.load()
        with mock.patch.object(pipeline, "_MAX_KEPT", 3 * 8 * 8 * 3 - 1):  # no three files
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

    def test_files_of_no_split_are_left_out_of_all(self):
        for name in ("a.png", "b.png", "none_1.png", "none_2.png"):
            self.write(name, encoded(noise(8, 8, 3), "PNG"))
        self.write("c.png", b"broken")
        split_of = {"a.png": "train", "b.png": "test", "c.png": "train"}.get
        for split, skipped in (("train", ["c.png"]), ("test", [])):
            with self.assertLogs(logging.get_absl_logger(), "WARNING") as logs:
                images = files.load(
                    split, (8, 8), self.folder, tf.identity, "of a kind", split_of, ""
                )
            self.assertEqual(images.num_images, 1)
            self.assertEqual(images.skipped, (*skipped, "none_1.png", "none_2.png"))
            self.assertRegex(logs.output[0], "of a kind: .*none_1.png, none_2.png")


if __name__ == "__main__":
    tf.test.main()
