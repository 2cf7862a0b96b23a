"""Tests of what is handed to the page: what it takes, and a sentence for whatever else it is given."""

import gzip
import io
import struct
import zipfile
import zlib

import numpy as np
import tensorflow as tf
from PIL import Image

from pixelcnn_aux.codec import container
from pixelcnn_aux.demo import uploads
from tests.codec.container_test import CONTENTS, forged
from tests.data.decoding_test import png, tiff
from tests.data.helpers import FilesTest, encoded, noise

SENTENCES = r"\AExpected [^\n]+\. Received: [^\n]+\. [A-Z][^\n]+\.\Z"
PIXELS = noise(40, 50, 3)


def saved(pixels, kind, **options):
    """The bytes of an image file, of pixels of any dtype."""
    Image.fromarray(pixels).save(file := io.BytesIO(), kind, **options)
    return file.getvalue()


def claiming(width, height):
    """A PNG file of a few pixels that says it has others."""
    file = bytearray(encoded(PIXELS, "PNG"))
    file[16:24] = struct.pack(">II", width, height)
    file[29:33] = struct.pack(">I", zlib.crc32(file[12:29]))
    return bytes(file)


def jpeg_claiming(width, height):
    file = bytearray(encoded(PIXELS, "JPEG"))
    frame = file.index(b"\xff\xc0")
    file[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(file)


def webp_claiming(width, height):
    file = bytearray(encoded(PIXELS, "WEBP"))
    file[26:30] = struct.pack("<HH", width, height)
    return bytes(file)


def flipped(file, place):
    return file[:place] + bytes([file[place] ^ 1]) + file[place + 1 :]


def wrong_pictures():
    """dict, name -> (bytes, what the sentence says of them)."""
    png_file, jpeg, webp, tiff_file = (
        encoded(PIXELS, kind) for kind in ("PNG", "JPEG", "WEBP", "TIFF")
    )
    several = {"save_all": True, "append_images": [Image.fromarray(noise(40, 50, 3, seed=1))]}
    deep = png(16, 2, noise(8 * 8 * 6))
    kind = [(258, 3, 1, 8), (262, 3, 1, 1)]
    sides = [(256, 4, 1, 8), (257, 4, 1, 8)]
    zipped = io.BytesIO()
    zipfile.ZipFile(zipped, "w").writestr("a.png", png_file)
    np.save(array := io.BytesIO(), PIXELS)
    damaged = "damaged, or no PNG"
    return {
        "empty.png": (b"", damaged),
        "text.png": (b"This is no picture.\n" * 40, damaged),
        "text.jpg": ("Ein Text in UTF-16".encode("utf-16"), damaged),
        "page.png": (b"<!doctype html><html><script>alert(1)</script></html>", damaged),
        "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', damaged),
        "zeros.png": (bytes(1000), damaged),
        "noise.jpg": (noise(1000).tobytes(), damaged),
        "beginning.png": (png_file[:8], damaged),
        "header.png": (png_file[:33], damaged),
        "half.png": (png_file[: len(png_file) // 2], damaged),
        "without end.png": (png_file[:-12], damaged),
        "flipped.png": (flipped(png_file, len(png_file) // 2), damaged),
        "none.png": (claiming(0, 0), damaged),
        "bomb.png": (claiming(31_623, 31_623), "far more pixels than"),
        "claims.png": (claiming(2**31 - 1, 2**31 - 1), "far more pixels than"),
        "wide.png": (claiming(2**14, 2**13), "16384 x 8192 pixels, 67,108,864 at most"),
        "large.png": (saved(np.zeros((4100, 4100), np.uint8), "PNG"), "16,777,216 at most"),
        "deep gray.png": (png(16, 0, noise(8 * 16)), "16 bits a channel, 8 are expected"),
        "deep.png": (deep, "16 bits a channel, 8 are expected"),
        "deep alpha.png": (png(16, 4, noise(8 * 32)), "16 bits a channel, 8 are expected"),
        "deep colors.png": (png(16, 6, noise(8 * 64)), "16 bits a channel, 8 are expected"),
        "late.png": (
            png_file[:8] + png(8, 0, noise(64), (b"tEXt", b"a\0b"))[33:48] + png_file[8:],
            "another chunk than the header",
        ),
        "animated.png": (encoded(PIXELS, "PNG", **several), "several pictures"),
        "animated.webp": (encoded(PIXELS, "WEBP", **several), "several pictures"),
        "pages.tiff": (encoded(PIXELS, "TIFF", **several), "several pictures"),
        "animated.gif": (encoded(PIXELS, "GIF", "P", **several), damaged),
        "one.gif": (encoded(PIXELS, "GIF", "P"), damaged),
        "one.bmp": (encoded(PIXELS, "BMP"), damaged),
        "one.ico": (encoded(PIXELS, "ICO"), damaged),
        "one.ppm": (encoded(PIXELS, "PPM"), damaged),
        "one.pdf": (encoded(PIXELS, "PDF"), damaged),
        "ink.jpg": (encoded(PIXELS, "JPEG", "CMYK"), "the kind CMYK, whose colors would be others"),
        "ink.tiff": (encoded(PIXELS, "TIFF", "CMYK"), "the kind CMYK, whose colors would be oth"),
        "lab.tiff": (encoded_lab(), "the kind LAB, whose colors would be others"),
        "floats.tiff": (saved(PIXELS[..., 0].astype(np.float32), "TIFF"), "32 bits a channel"),
        "whole.tiff": (saved(PIXELS[..., 0].astype(np.int32), "TIFF"), "32 bits a channel"),
        "deep.tiff": (saved(PIXELS[..., 0].astype(np.uint16), "TIFF"), "16 bits a channel"),
        "bomb.tiff": (
            tiff((256, 4, 1, 40_000), (257, 4, 1, 40_000), *kind, (273, 4, 1, 8)),
            "pixels",
        ),
        "tiles.tiff": (
            tiff(*sides, *kind, (322, 4, 1, 2**14), (323, 4, 1, 2**13), (324, 4, 1, 8)),
            "16384 x 8192 pixels",
        ),
        "nowhere.tiff": (b"II*\0" + struct.pack("<I", 2**31), damaged),
        "around.tiff": (b"II*\0" + struct.pack("<IHHHIIII", 8, 1, 256, 4, 1, 8, 8, 8), damaged),
        "half.tiff": (tiff_file[: len(tiff_file) // 2], damaged),
        "half.jpg": (jpeg[: len(jpeg) // 2], damaged),
        "beginning.jpg": (jpeg[:20], damaged),
        "bomb.jpg": (jpeg_claiming(65_000, 65_000), "far more pixels than"),
        "large.jpg": (jpeg_claiming(5000, 4000), "5000 x 4000 pixels, 16,777,216 at most"),
        "bomb.webp": (webp_claiming(16_000, 16_000), "pixels"),
        "half.webp": (webp[: len(webp) // 2], damaged),
        "line.png": (encoded(noise(1, 200, 3), "PNG"), "a side of at most 16 times the other"),
        "column.png": (encoded(noise(200, 1, 3), "PNG"), "a side of at most 16 times the other"),
        "heavy.png": (bytes(uploads.MAX_BYTES + 1), "16,777,217 bytes, 16,777,216 at most"),
        "many.zip": (zipped.getvalue(), damaged),
        "one.png.gz": (gzip.compress(png_file), damaged),
        "array.npy": (array.getvalue(), damaged),
        "one.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500), damaged),
        "one.avif": (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1" + bytes(500), damaged),
        "one.psd": (b"8BPS\0\1" + bytes(500), damaged),
        "one.pxa": (container.write(CONTENTS), damaged),
        "turned\u202e.png": (b"", r"'turned\\u202e.png'"),
        "long " + 200 * "n" + ".png": (b"", "'long n"),
        "<b>.png": (b"", "'<b>.png'"),
    }


def encoded_lab():
    """A TIFF file of another color space."""
    Image.fromarray(PIXELS, "LAB").save(file := io.BytesIO(), "TIFF")
    return file.getvalue()


class PictureTest(FilesTest):
    def test_wrong_ones_are_refused_in_a_sentence(self):
        wrong = wrong_pictures()
        self.assertGreaterEqual(len(wrong), 50)
        for name, (data, why) in wrong.items():
            with self.subTest(name):
                with self.assertRaisesRegex(ValueError, SENTENCES) as caught:
                    uploads.picture(self.write(name, data))
                self.assertRegex(str(caught.exception), why)
                self.assertNotIn(str(self.folder), str(caught.exception))

    def test_what_is_no_file(self):
        with self.assertRaisesRegex(ValueError, SENTENCES):
            uploads.picture(self.folder)
        with self.assertRaisesRegex(FileNotFoundError, "Expected to read .*No such file"):
            uploads.picture(self.folder / "gone.png")

    def test_pictures_are_taken(self):
        clear = noise(6, 5, 4)
        for name, data, expected in (
            ("a.png", encoded(PIXELS, "PNG"), PIXELS),
            ("a.webp", encoded(PIXELS, "WEBP", lossless=True), PIXELS),
            ("a.tiff", encoded(PIXELS, "TIFF"), PIXELS),
            ("named.txt", encoded(PIXELS, "PNG"), PIXELS),
            ("clear.png", encoded(clear, "PNG", "RGBA"), clear[..., :3]),
            ("gray.png", encoded(PIXELS[..., 0], "PNG", "L"), PIXELS[..., :1].repeat(3, -1)),
        ):
            self.assertAllEqual(uploads.picture(self.write(name, data)), expected)

    def test_large_ones_are_reduced(self):
        found = uploads.picture(self.write("a.png", encoded(noise(600, 900, 3), "PNG")))
        self.assertEqual(found.shape, (418, 627, 3))
        self.assertEqual(uploads.reduced(noise(1, 16, 3), 4).shape, (1, 8, 3))

    def test_none_is_asked_for(self):
        with self.assertRaisesRegex(ValueError, SENTENCES):
            uploads.chosen(None)


class CompressedTest(FilesTest):
    def test_wrong_ones_are_refused_in_a_sentence(self):
        data = container.write(CONTENTS)
        for name, wrong in {
            "empty.pxa": b"",
            "text.pxa": b"This is no file.",
            "beginning.pxa": data[:8],
            "half.pxa": data[: len(data) // 2],
            "flipped.pxa": flipped(data, len(data) // 2),
            "newer.pxa": data[:7] + b"\x09" + data[8:],
            "picture.pxa": encoded(PIXELS, "PNG"),
            "heavy.pxa": bytes(uploads.MAX_BYTES + 1),
            "bomb.pxa": forged(size=[2048, 2048], pictures=[]),
        }.items():
            with self.subTest(name), self.assertRaisesRegex(ValueError, SENTENCES):
                uploads.compressed(self.write(name, wrong))

    def test_what_is_in_it(self):
        data = container.write(CONTENTS)
        found, contents = uploads.compressed(self.write("a.pxa", data))
        self.assertEqual((found, contents.count), (data, CONTENTS.count))


class MaskTest(tf.test.TestCase):
    def test_what_is_painted_is_drawn(self):
        """On a picture whose pixels are enlarged: those touched."""
        pixels = noise(3, 5, 3)
        side = uploads.enlarged(pixels).shape[0] // 3
        self.assertAllEqual(uploads.enlarged(pixels)[::side, ::side], pixels)
        layer = np.zeros((3 * side, 5 * side, 4), np.uint8)
        layer[2 * side - 1, 4 * side, 3] = 1
        expected = np.ones((3, 5), int)
        expected[1, 4] = 0
        self.assertAllEqual(uploads.mask({"layers": [layer]}, " ", (3, 5))[0, ..., 0], expected)
        expected[1:, :2] = 0
        found = uploads.mask({"layers": [layer]}, "0 40 40 100", (3, 5))
        self.assertAllEqual(found[0, ..., 0], expected)

    def test_wrong_ones_are_refused_in_a_sentence(self):
        blank = np.zeros((512, 512, 4), np.uint8)
        texts = ("0 0 9", "0 0 101 9", "-1 0 9 9", "0 0 9 x", "\0", "50 0 50 9", "50 0 40 9")
        painted = [None, {"layers": [blank]}, {"layers": [blank[1:]]}]
        for given, text in (*((x, "") for x in painted), *((None, x) for x in texts)):
            with self.subTest(text), self.assertRaisesRegex(ValueError, SENTENCES):
                uploads.mask(given, text, (4, 4))
