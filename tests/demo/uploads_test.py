"""Tests of uploads: a sentence refuses each wrong file. tests/data has more damaged pictures."""

import struct
import zlib
from unittest import mock

import numpy as np
from PIL import Image

from pixelcnn_aux.codec import container
from pixelcnn_aux.demo import uploads
from tests.codec.container_test import CONTENTS, forged
from tests.data.decoding_test import png, tiff
from tests.data.helpers import FilesTest, encoded, flipped, noise, saved

SENTENCES = r"\AExpected [^\n]+\. Received: [^\n]+\. [A-Z][^\n]+\.\Z"
PIXELS = noise(40, 50, 3)


def claiming(width, height):
    """A PNG file of a few pixels that claims another size."""
    file = bytearray(encoded(PIXELS, "PNG"))
    file[16:24] = struct.pack(">II", width, height)
    file[29:33] = struct.pack(">I", zlib.crc32(file[12:29]))
    return bytes(file)


def wrong_pictures():
    """dict, name -> (bytes, part of the sentence)."""
    file, jpeg = encoded(PIXELS, "PNG"), encoded(PIXELS, "JPEG")
    several = {"save_all": True, "append_images": [Image.fromarray(noise(40, 50, 3, seed=1))]}
    kind = [(258, 3, 1, 8), (262, 3, 1, 1)]
    lab = saved(Image.fromarray(PIXELS, "LAB"), "TIFF")
    black = saved(Image.fromarray(np.zeros((4100, 4100), np.uint8)), "PNG")
    bomb = tiff((256, 4, 1, 40_000), (257, 4, 1, 40_000), *kind, (273, 4, 1, 8))
    damaged = {
        "empty.png": b"",
        "page.png": b"<!doctype html><html><script>alert(1)</script></html>",
        "flipped.png": flipped(file, len(file) // 2),
        "half.jpg": jpeg[: len(jpeg) // 2],
        "around.tiff": b"II*\0" + struct.pack("<IHHHIIII", 8, 1, 256, 4, 1, 8, 8, 8),
        "one.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500),
    }
    return {name: (data, "damaged, or no PNG") for name, data in damaged.items()} | {
        "claims.png": (
            claiming(2**31 - 1, 2**31 - 1),
            "far more pixels than the limit of 16,777,216",
        ),
        "wide.png": (claiming(2**14, 2**13), "16384 x 8192 pixels, 16,777,216 at most"),
        "large.png": (black, "16,777,216 at most"),
        "bomb.tiff": (bomb, "pixels"),
        "deep.png": (png(16, 2, noise(8 * 8 * 6)), "16 bits a channel, 8 are expected"),
        "animated.png": (encoded(PIXELS, "PNG", **several), "several pictures"),
        "ink.jpg": (encoded(PIXELS, "JPEG", "CMYK"), "the mode CMYK, whose colors would change"),
        "lab.tiff": (lab, "the mode LAB, whose colors would change"),
        "line.png": (encoded(noise(1, 200, 3), "PNG"), "aspect ratio at most 16"),
        "heavy.png": (bytes(uploads.MAX_BYTES + 1), "16,777,217 bytes, 16,777,216 at most"),
        "turned\u202e.png": (b"", r"'turned\\u202e.png'"),
        "long " + 200 * "n" + ".png": (b"", "'long n"),
    }


class PictureTest(FilesTest):
    def test_wrong_ones_are_refused_in_a_sentence(self):
        for name, (data, why) in wrong_pictures().items():
            with self.subTest(name):
                with self.assertRaisesRegex(ValueError, SENTENCES) as caught:
                    uploads.picture(self.write(name, data))
                self.assertRegex(str(caught.exception), why)
                self.assertNotIn(str(self.folder), str(caught.exception))
        with self.assertRaisesRegex(ValueError, SENTENCES):
            uploads.picture(self.folder)

    def test_pictures_are_taken(self):
        clear = noise(6, 5, 4)
        for name, data, expected in (
            ("a.png", encoded(PIXELS, "PNG"), PIXELS),
            ("named.txt", encoded(PIXELS, "PNG"), PIXELS),
            ("clear.png", encoded(clear, "PNG", "RGBA"), clear[..., :3]),
            ("gray.png", encoded(PIXELS[..., 0], "PNG", "L"), PIXELS[..., :1].repeat(3, -1)),
        ):
            self.assertAllEqual(uploads.picture(self.write(name, data)).pixels, expected)

    def test_large_ones_are_reduced(self):
        file = encoded(noise(600, 900, 3), "PNG")
        found = uploads.picture(self.write("a.png", file))
        self.assertEqual(found.pixels.shape, (418, 627, 3))
        self.assertEqual(found[1:], ((600, 900), "PNG", len(file)))
        said = "627 x 418 pixels, reduced from 900 x 600 pixels"
        self.assertEqual(found.described(found.pixels), said)
        self.assertEqual(uploads.reduced(noise(1, 16, 3), 4).shape, (1, 8, 3))


class CompressedTest(FilesTest):
    def test_wrong_ones_are_refused_in_a_sentence(self):
        data = container.write(CONTENTS)
        found, contents = uploads.compressed(self.write("right.pxa", data))
        self.assertEqual((found, contents.count), (data, CONTENTS.count))
        for name, wrong in {
            "empty.pxa": b"",
            "half.pxa": data[: len(data) // 2],
            "flipped.pxa": flipped(data, len(data) // 2),
            "picture.pxa": encoded(PIXELS, "PNG"),
            "heavy.pxa": bytes(uploads.MAX_BYTES + 1),
            "bomb.pxa": forged(size=[2048, 2048], pictures=[]),
        }.items():
            with self.subTest(name), self.assertRaisesRegex(ValueError, SENTENCES):
                uploads.compressed(self.write(name, wrong))


class MaskTest(FilesTest):
    def layer(self, alpha, name="layer.png"):
        return self.write(name, encoded(np.stack([alpha] * 4, axis=-1), "PNG", "RGBA"))

    def test_what_is_painted_is_drawn(self):
        """A touched pixel of the enlarged picture counts."""
        pixels = noise(3, 5, 3)
        side = uploads.enlarged(pixels).shape[0] // 3
        self.assertAllEqual(uploads.enlarged(pixels)[::side, ::side], pixels)
        alpha = np.zeros((3 * side, 5 * side), np.uint8)
        alpha[2 * side - 1, 4 * side] = 1
        expected, painted = np.ones((3, 5), int), [self.layer(alpha)]
        expected[1, 4] = 0
        self.assertAllEqual(uploads.mask(painted, " ", (3, 5))[0, ..., 0], expected)
        expected[1:, :2] = 0
        self.assertAllEqual(uploads.mask(painted, "0 40 40 100", (3, 5))[0, ..., 0], expected)

    def test_wrong_ones_are_refused_in_a_sentence(self):
        blank = np.zeros((512, 512), np.uint8)
        texts = ("0 0 9", "0 0 101 9", "-1 0 9 9", "0 0 9 x", "\0", "50 0 50 9", "50 0 40 9")
        wrong = self.layer(blank[1:], "small.png"), self.write("text.png", b"no picture")
        opaque = self.write("gray.png", encoded(blank, "PNG", "L"))
        painted = [(), *([x] for x in (self.layer(blank), *wrong, opaque))]
        for given, text in (*((x, "") for x in painted), *(((), x) for x in texts)):
            with self.subTest(text), self.assertRaisesRegex(ValueError, SENTENCES):
                uploads.mask(given, text, (4, 4))

    def test_large_ones_are_not_decoded(self):
        white = self.layer(np.full((2000, 2000), 255, np.uint8))
        for large in (white, self.write("claims.png", claiming(5700, 5700))):
            with mock.patch.object(Image.Image, "load", side_effect=AssertionError):
                with self.assertRaisesRegex(ValueError, "painted on 4 x 4 pixels"):
                    uploads.mask([large], "", (4, 4))
