"""Tests of compressed files: what cannot be is refused before anything is made of it."""

import hashlib
import json
import struct
import zlib

import numpy as np
import tensorflow as tf

from pixelcnn_aux.codec import coding, container

CONTENTS = container.Contents(
    model="abc",
    name="tiny",
    dtype="float32",
    size=[4, 6],
    count=3,
    batch=2,
    bits={"image": 96},
    machine={"processor": "one"},
    pictures=[["a.png", 4, 6], ["b.png", 5, 6]],
    streams=[np.array([1, 2], np.uint32), np.array([3], np.uint32)],
    checksums=np.array([7, 8, 9], np.uint32),
)


def forged(**changes):
    """A file with other fields in its header, and the checksum of a whole one."""
    data = container.write(CONTENTS)[:-32]
    start = len(container.MAGIC)
    (length,) = struct.unpack("<I", data[start : start + 4])
    header = json.loads(zlib.decompress(data[start + 4 : start + 4 + length]))
    return with_header({**header, **changes}, data[start + 4 + length :])


def with_header(header, rest):
    """A file with any header, and the checksum of a whole one."""
    return with_text(json.dumps(header).encode(), rest)


def with_text(text, rest):
    """A file with a header of any text, bytes, and the checksum of a whole one."""
    packed = zlib.compress(text)
    whole = container.MAGIC + struct.pack("<I", len(packed)) + packed + rest
    return whole + hashlib.sha256(whole).digest()


class ContainerTest(tf.test.TestCase):
    def test_what_belongs_to_a_version_of_the_format(self):
        """Files that were written before do not decode after a change of these: it needs another version."""
        self.assertEqual((container.MAGIC[-1], coding.GRID, coding.SHARES), (1, 2**-12, 2**22))

    def test_what_is_written_is_read(self):
        found = container.read(container.write(CONTENTS))
        for words, expected in zip(found.streams, CONTENTS.streams, strict=True):
            self.assertAllEqual(words, expected)
        self.assertAllEqual(found.checksums, CONTENTS.checksums)
        self.assertEqual(found[:-2], CONTENTS[:-2])
        self.assertEqual(container.read(forged())._replace(streams=[]).batch, 2)

    def test_claims_that_cannot_be(self):
        for changes in (
            {"count": 10**9},
            {"count": 2},
            {"count": -1},
            {"count": 3.0},
            {"count": True},
            {"batch": 0},
            {"batch": 10**9, "streams": [3]},
            {"batch": 4, "streams": [3]},
            {"size": [4]},
            {"size": [0, 6]},
            {"size": ["4", "6"]},
            {"streams": [2**62, 3 - 2**62]},
            {"streams": [3]},
            {"streams": None},
            {"bits": {"image": "many"}},
            {"bits": {"image": 10**400}},
            {"bits": {"\x1b[2Jimage": 96}},
            {"model": "abc\x9b2J"},
            {"name": "\x1b]0;title\x07"},
            {"name": "\ud800"},
            {"bits": {"\ud800": 96}},
            {"machine": {"processor\n": "one"}},
            {"pictures": [["a\x1b[2J.png", 4, 6], ["b.png", 5, 6]]},
            {"pictures": [["\ud800.png", 4, 6], ["b.png", 5, 6]]},
            {"pictures": [[126 * "é" + ".png", 4, 6], ["b.png", 5, 6]]},
            {"dtype": "float16"},
            {"model": 3},
            {"machine": []},
            {"pictures": [["../a.png", 4, 6], ["b.png", 5, 6]]},
            {"pictures": [["..", 4, 6], ["b.png", 5, 6]]},
            {"pictures": [["a.png", 4, 6]]},
            {"pictures": [["a.png", 4, 6], ["b.png", 10**9, 10**9]]},
            {"pictures": [["a.png", 4, 6, 7], ["b.png", 5, 6]]},
            {"pictures": [["a.png", 4, 6], ["a.png", 5, 6]]},
            {"pictures": [["a.png", 4, 6], ["b.png", 5, 6], ["c.png", 0, 6]]},
            {"pictures": [["a.png", 12, 6], "bcd"]},
            {"pictures": {"a.png": [12, 6]}},
            {"pictures": None},
            {"bits": [96]},
            {"bits": "96"},
            {"bits": None},
            {"size": {"4": 6, "6": 4}},
            {"streams": {"2": 1, "3": 1}},
            {"batch": True, "streams": [1, 1, 1]},
            {"dtype": ["float32"]},
            {"another": 1},
        ):
            with self.assertRaisesRegex(ValueError, "impossible header"):
                container.read(forged(**changes))

    def test_headers_of_other_kinds(self):
        for header in ([], "header", None, 3):
            with self.assertRaisesRegex(ValueError, "impossible header"):
                container.read(with_header(header, b""))

    def test_what_could_not_be_read_is_not_written(self):
        for changes, received in (
            ({"pictures": [["dir/a.png", 4, 6], ["b.png", 5, 6]]}, "name 'dir/a.png'"),
            ({"pictures": [["a.png", 4, 6], ["a.png", 5, 6]]}, "two pictures of one name"),
            ({"pictures": [["a.png", 40, 40]]}, "3 images for pictures of 70 tiles"),
            ({"pictures": [["a.png", 4.0, 6], ["b.png", 5, 6]]}, "no whole numbers"),
            ({"name": 3}, "3 as name"),
            ({"name": "\ud800"}, r"the name '\\ud800'"),
            ({"pictures": [["\ud800.png", 4, 6], ["b.png", 5, 6]]}, r"name '\\ud800.png'"),
            ({"pictures": [[126 * "é" + ".png", 4, 6], ["b.png", 5, 6]]}, "than 255 bytes"),
        ):
            with self.assertRaisesRegex(ValueError, f"Received: .*{received}"):
                container.write(CONTENTS._replace(**changes))

    def test_a_header_that_inflates_without_end(self):
        packed = zlib.compress(b"[" + b"[]," * 2**20 + b"0]")
        whole = container.MAGIC + struct.pack("<I", len(packed)) + packed
        with self.assertRaisesRegex(ValueError, "impossible header .more than 3..,... bytes"):
            container.read(whole + hashlib.sha256(whole).digest())

    def test_a_header_of_more_values_than_its_images_can_have(self):
        """They take far more memory than their text, which is short enough."""
        header, rest = {"a": [[]] * 2**17}, bytes(2**16)
        with self.assertRaisesRegex(ValueError, "impossible header .more values than its images"):
            container.read(with_header(header, rest))

    def test_values_between_what_are_no_quotes_in_another_encoding(self):
        # A quote is a byte of these letters.
        header, rest = (["\u0122", *[{}] * 2**17, "\u0122"], bytes(2**16))
        text = json.dumps(header, ensure_ascii=False).encode("utf-16")
        with self.assertRaisesRegex(ValueError, "impossible header .*codec can't decode"):
            container.read(with_text(text, rest))

    def test_strings_without_an_end(self):
        """What is counted in them takes a time that grows with their length, and not with its square."""
        for text in (b'"' + rb"\"" * 2**17, b'"' * (2**17 + 1), b"\\" * 2**17):
            with self.assertRaisesRegex(ValueError, "impossible header"):
                container.read(with_text(text, b""))

    def test_commas_in_names_are_no_values(self):
        name = 'a"' + 240 * ","
        pictures = [[f"{name}{number}", 4, 6] for number in range(3)]
        found = container.read(container.write(CONTENTS._replace(pictures=pictures)))
        self.assertEqual(found.pictures, pictures)

    def test_many_pictures_of_long_names(self):
        """As long as file systems have them, of as few bytes as an image of one color takes."""
        count = 5000
        contents = CONTENTS._replace(
            count=count,
            pictures=[[f"{number:0250}.png", 4, 6] for number in range(count)],
            streams=[np.arange(4, dtype=np.uint32)] * (count // 2),
            checksums=np.zeros(count, np.uint32),
        )
        self.assertLen(container.read(container.write(contents)).pictures, count)
        # JSON has six bytes for a letter of two.
        longer = [[120 * "é" + name[-8:], *sides] for name, *sides in contents.pictures]
        with self.assertRaisesRegex(ValueError, "Expected names and sizes .*Give shorter names"):
            container.write(contents._replace(pictures=longer))

    def test_other_files_and_formats(self):
        with self.assertRaisesRegex(ValueError, "another kind of file"):
            container.read(b"\x89PNG\r\n\x1a\n")
        with self.assertRaisesRegex(ValueError, "cut short"):
            container.read(container.MAGIC[:-1])
        data = bytearray(container.write(CONTENTS))
        data[len(container.MAGIC) - 1] += 1
        with self.assertRaisesRegex(ValueError, "format 1. Received: one of format 2"):
            container.read(bytes(data))


if __name__ == "__main__":
    tf.test.main()
