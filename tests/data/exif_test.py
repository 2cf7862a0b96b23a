"""Tests of the orientation of files whose EXIF is of another kind than cameras write, or broken."""

import struct

import tensorflow as tf
from PIL import Image

from pixelcnn_aux.data import exif
from tests.data.helpers import encoded, noise


def jpeg(*segments):
    """A JPEG file that has segments, pairs of a marker and contents, before its own."""
    plain = encoded(noise(8, 8, 3), "JPEG")
    added = b"".join(
        bytes([0xFF, marker]) + struct.pack(">H", 2 + len(contents)) + contents
        for marker, contents in segments
    )
    return plain[:2] + added + plain[2:]


def tiff(value=6, kind=3, count=1, tag=274, entries=1):
    entry = struct.pack("<HHIHH", tag, kind, count, value, 0)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, entries) + entry


class OrientationTest(tf.test.TestCase):
    def test_other_segments_are_passed_over(self):
        for before in (
            [],
            [(0xE1, b"http://ns.adobe.com/xap/1.0/\0"), (0xFE, b"a comment")],
            [(0xE0, b"JFIF\0" + bytes(9)), (0xED, bytes(60000))],
        ):
            self.assertEqual(exif.orientation(jpeg(*before, (0xE1, tiff()))), 6)
        filled = jpeg((0xE1, tiff()))
        self.assertEqual(exif.orientation(filled[:2] + b"\xff\xff" + filled[2:]), 6)

    def test_what_makes_no_sense_is_none(self):
        for contents in (
            tiff(value=0),
            tiff(value=9),
            tiff(kind=4),
            tiff(count=2),
            tiff(tag=275),
            tiff(entries=0),
            tiff(tag=275, entries=65535),
            tiff().replace(b"II*", b"XX*"),
            b"Exif\0\0II*\0" + struct.pack("<I", 2**32 - 1),
            b"Exif\0\0",
            b"Exif",
        ):
            self.assertEqual(exif.orientation(jpeg((0xE1, contents))), 1)
        self.assertEqual(exif.orientation(jpeg()), 1)
        # A tag in the compressed pixels is none.
        self.assertEqual(exif.orientation(jpeg()[:-2] + b"\xff\xe1\0\x20" + tiff()), 1)

    def test_a_file_may_end_anywhere(self):
        options = Image.Exif()
        options[274] = 3
        for kind in ("JPEG", "PNG"):
            file = encoded(noise(8, 8, 3), kind, exif=options)
            self.assertEqual(exif.orientation(file), 3)
            found = {exif.orientation(file[:end]) for end in range(3, len(file))}
            self.assertEqual(found, {1, 3})

    def test_no_length_of_a_chunk_keeps_it_busy(self):
        file = encoded(noise(8, 8, 3), "PNG")
        for length in (0, 1, 2**31, 2**32 - 1):
            self.assertEqual(exif.orientation(file[:8] + struct.pack(">I", length) + file[12:]), 1)


if __name__ == "__main__":
    tf.test.main()
