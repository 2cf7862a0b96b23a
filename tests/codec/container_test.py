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
    extras=[],
)


def forged(**changes):
    """A file with other fields in its header."""
    data = container.write(CONTENTS)[:-32]
    start = len(container.MAGIC) + 4
    (length,) = struct.unpack("<I", data[start - 4 : start])
    header = json.loads(zlib.decompress(data[start : start + length]))
    return with_text(json.dumps({**header, **changes}).encode(), data[start + length :])


def with_text(text, rest=b""):
    """A file with a header of any text, bytes, and the checksum of a whole one."""
    packed = zlib.compress(text)
    whole = container.MAGIC + struct.pack("<I", len(packed)) + packed + rest
    return whole + hashlib.sha256(whole).digest()


def named(name):
    return {"pictures": [[name, 4, 6], ["b.png", 5, 6]]}


class ContainerTest(tf.test.TestCase):
    def test_what_belongs_to_a_version_of_the_format(self):
        """Files that were written before do not decode after a change of these: it needs another version."""
        self.assertEqual((container.MAGIC[-1], coding.GRID, coding.SHARES), (2, 2**-12, 2**22))

    def test_what_is_written_is_read(self):
        found = container.read(container.write(CONTENTS))
        for words, expected in zip(found.streams, CONTENTS.streams, strict=True):
            self.assertAllEqual(words, expected)
        self.assertAllEqual(found.checksums, CONTENTS.checksums)
        self.assertEqual(found[:-3], CONTENTS[:-3])
        self.assertEqual(container.read(forged())._replace(streams=[]).batch, 2)

    def test_pictures_of_several_sizes_and_what_else_is_kept(self):
        """Also of a file of version 1, which has none of it."""
        contents = CONTENTS._replace(
            size=None,
            count=2,
            batch=1,
            checksums=CONTENTS.checksums[:2],
            extras=[{"alpha": b"12345", "icc": b""}, {"exif": b"678"}],
        )
        container.check(contents)
        found = container.read(container.write(contents))
        self.assertEqual((found.size, found.extras), (None, contents.extras))
        self.assertAllEqual(found.checksums, [7, 8])
        with self.assertRaisesRegex(ValueError, "67,108,864 at most"):
            large = [["a.png", 2**14, 2**13], ["b.png", 5, 6]]
            container.check(contents._replace(pictures=large))

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
            {"bits": {"\ud800": 96}},
            {"model": "abc\x9b2J"},
            {"name": "\x1b]0;title\x07"},
            {"name": "\u202egnp.exe"},
            {"name": "\ud800"},
            {"machine": {"processor\n": "one"}},
            named("a\x1b[2J.png"),
            named("\ud800.png"),
            *(named(f"a{mark}.png") for mark in "\u061c\u200f\u2028\u202a\u202e\u2066\u2069"),
            named(126 * "é" + ".png"),
            named("../a.png"),
            named(".."),
            named(3),
            {"dtype": "float16"},
            {"model": 3},
            {"machine": []},
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
            {"size": None},  # four words, and two pictures
            {"size": None, "batch": 1, "streams": [1, 1, 1]},
            {"size": [2**14, 2**13]},
            {"extras": None},
            {"extras": [{}]},
            {"extras": [[], []]},
            {"extras": [{"alpha": 1}, {}]},
            {"extras": [{"alpha": -1}, {"alpha": 1}]},
            {"extras": [{"other": 0}, {}]},
        ):
            with self.assertRaisesRegex(ValueError, "impossible header"):
                container.read(forged(**changes))

    def test_what_could_not_be_read_is_refused_by_name(self):
        for changes, received in (
            (named("dir/a.png"), "name 'dir/a.png'"),
            (named("b.png"), "two pictures of one name"),
            ({"pictures": [["a.png", 40, 40]]}, "3 images for pictures of 70 tiles"),
            ({"pictures": [["a.png", 4.0, 6], ["b.png", 5, 6]]}, "no whole numbers"),
            ({"name": 3}, "3 as name"),
            ({"extras": [{}]}, "extras of 1 pictures, of 2"),
            ({"extras": [{"text": b"a"}, {}]}, "an extra of the kind 'text'"),
            ({"name": "\ud800"}, r"the name '\\ud800', with a control character"),
            (named("\u202egnp.exe"), r"the name '\\u202egnp.exe', with a control character"),
            (named(126 * "é" + ".png"), "the name 'é* of a picture"),
        ):
            with self.assertRaisesRegex(ValueError, f"Received: .*{received}"):
                container.check(CONTENTS._replace(**changes))

    def test_other_headers(self):
        """More values than its images can have take far more memory than their text, which is short."""
        rest = bytes(2**16)
        # A quote is a byte of these letters in another encoding.
        quoted = json.dumps(["\u0122", *[{}] * 2**17, "\u0122"], ensure_ascii=False)
        for text, message in (
            *((json.dumps(header).encode(), "") for header in ([], "header", None, 3)),
            (b"[" + b"[]," * 2**20 + b"0]", "more than 1,.* bytes"),
            (json.dumps({"a": [[]] * 2**17}).encode(), "more values than its images"),
            (quoted.encode("utf-16"), ".*codec can't decode"),
            # Commas in strings are counted in a time that grows with their length, and not with its square.
            (b'"' + rb"\"" * 2**17, ""),
            (b'"' * (2**17 + 1), ""),
            (b"\\" * 2**17, ""),
        ):
            with self.assertRaisesRegex(ValueError, f"impossible header .{message}"):
                container.read(with_text(text, rest))

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
        longer = [[120 * "é" + name[-8:], *size] for name, *size in contents.pictures]
        with self.assertRaisesRegex(ValueError, "Expected names and sizes .*Give shorter names"):
            container.write(contents._replace(pictures=longer))

    def test_other_files_and_formats(self):
        with self.assertRaisesRegex(ValueError, "another kind of file"):
            container.read(b"\x89PNG\r\n\x1a\n")
        with self.assertRaisesRegex(ValueError, "cut short"):
            container.read(container.MAGIC[:-1])
        data = bytearray(container.write(CONTENTS))
        data[len(container.MAGIC) - 1] += 1
        with self.assertRaisesRegex(ValueError, "format 1 or 2. Received: one of format 3"):
            container.read(bytes(data))
