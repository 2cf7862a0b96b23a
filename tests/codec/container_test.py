"""Tests of compressed files: impossible ones are refused before anything is made of them."""

import hashlib
import json
import struct
import zlib
from unittest import mock

import numpy as np
import tensorflow as tf

from pixelcnn_aux.codec import coding, container, integer_mixture
from tests.data.helpers import noise

CONTENTS = container.Contents(
    model="abc",
    name="tiny",
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
    """A file with other fields in its header, and the checksum of a whole one."""
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
        found = container.MAGIC[-1], coding.AT_ONCE, integer_mixture.SHARES
        self.assertEqual(found, (2, 2**13, 22))

    def test_what_is_written_is_read(self):
        extras = [{"alpha": b"12345", "icc": b""}, {"exif": b"678"}]
        several = CONTENTS._replace(size=None, count=2, batch=1, extras=extras)
        several = several._replace(checksums=CONTENTS.checksums[:2])
        commas = [[f'a"{240 * ","}{number}', 4, 6] for number in range(3)]
        for contents in (CONTENTS, several, CONTENTS._replace(pictures=commas)):
            container.check(contents)
            found = container.read(container.write(contents))
            for words, expected in zip(found.streams, contents.streams, strict=True):
                self.assertAllEqual(words, expected)
            self.assertAllEqual(found.checksums, contents.checksums)
            same = {"streams": [], "checksums": []}
            self.assertEqual(found._replace(**same), contents._replace(**same))
        self.assertEqual((CONTENTS.num_pixels, several.num_pixels), (3 * 24, 24 + 30))
        self.assertEqual(container.read(forged()).batch, 2)

    def test_pictures_as_tiles(self):
        size, grids = (4, 6), {(4, 6): (1, 1), (9, 7): (3, 2), (1, 1): (1, 1), (8, 12): (2, 2)}
        pictures = [noise(*sides, 3) for sides in grids]
        tiles = [container.cut(picture, size) for picture in pictures]
        for found, picture, (rows, columns) in zip(tiles, pictures, grids.values()):
            self.assertEqual(found.shape, (rows * columns, 4, 6, 3))
            self.assertAllEqual(found[0, 0, 0], picture[0, 0])
            self.assertAllEqual(found[-1, -1, -1], picture[-1, -1])
        named = [(f"{k}.png", *picture.shape[:2]) for k, picture in enumerate(pictures)]
        joined = CONTENTS._replace(pictures=named).joined(np.concatenate(tiles))
        for (name, found), picture, (expected, *_) in zip(joined, pictures, named, strict=True):
            self.assertEqual(name, expected)
            self.assertAllEqual(found, picture)

    def test_claims_that_cannot_be(self):
        for changes in (
            *({"count": x} for x in (10**9, 2, -1, 3.0, True)),
            *({"batch": x, "streams": [3]} for x in (0, 10**9, 4)),
            {"batch": True, "streams": [1, 1, 1]},
            *({"size": x} for x in ([4], [0, 6], ["4", "6"], {"4": 6, "6": 4}, [2**14, 2**13])),
            {"size": None},  # four words, and two pictures
            *({"streams": x} for x in ([2**62, 3 - 2**62], [3], None, {"2": 1, "3": 1})),
            *({"bits": x} for x in ({"image": "many"}, {"image": 10**400}, {"\ud800": 96}, None)),
            *({"model": x} for x in ("abc\x9b2J", 3)),
            *({"name": x} for x in ("\x1b]0;title\x07", "\u202egnp.exe", "\ud800")),
            *({"machine": x} for x in ({"processor\n": "one"}, [])),
            *(named(f"a{mark}.png") for mark in "\x1b\u061c\u200f\u2028\u202a\u202e\u2066\u2069"),
            *(named(name) for name in ("\ud800.png", 126 * "é" + ".png", "../a.png", "..", 3)),
            *({"dtype": x} for x in ("float64", ["float32"], None)),
            *({"pictures": x} for x in (None, {"a.png": [12, 6]}, [["a.png", 4, 6]])),
            {"pictures": [["a.png", 4, 6], ["b.png", 10**9, 10**9]]},
            {"pictures": [["a.png", 4, 6, 7], ["b.png", 5, 6]]},
            {"pictures": [["a.png", 4, 6], ["a.png", 5, 6]]},
            {"pictures": [["a.png", 4, 6], ["b.png", 5, 6], ["c.png", 0, 6]]},
            *(
                {"extras": x}
                for x in (None, [{}], [[], []], [{"alpha": 1}, {}], [{"other": 0}, {}])
            ),
            {"extras": [{"alpha": -1}, {"alpha": 1}]},
            {"another": 1},
        ):
            with self.assertRaisesRegex(ValueError, "impossible header"):
                container.read(forged(**changes))

    def test_what_could_not_be_read_is_refused_by_name(self):
        large = [["a.png", 2**14, 2**13]]
        for changes, received in (
            (named("dir/a.png"), "the name 'dir/a.png' of a picture"),
            ({"pictures": [["a.png", 40, 40]]}, "3 images for pictures of 70 tiles"),
            ({"size": None, "count": 1, "batch": 1, "pictures": large}, "67,108,864 at most"),
            ({"name": 3}, "3 as name"),
            ({"extras": [{}]}, "extras of 1 pictures, of 2"),
            (named("\u202egnp.exe"), r"the name '\\u202egnp.exe', with a control character"),
        ):
            with self.assertRaisesRegex(ValueError, f"Received: .*{received}"):
                container.check(CONTENTS._replace(**changes))

    def test_more_pixels_than_its_words_can_hold(self):
        """A value takes 2 ** -24 bits at least; whole pictures of one color take thousands of words."""

        def pictures(count, side, words):
            return CONTENTS._replace(
                **{"size": None, "count": count, "batch": 1},
                pictures=[[f"{k}.png", side, side] for k in range(count)],
                streams=[np.zeros(words, np.uint32)] * count,
                checksums=np.zeros(count, np.uint32),
            )

        self.assertEqual(container.read(container.write(pictures(2, 2**12, 1))).count, 2)
        tiles = {"size": [2**11, 2**11], "count": 1024, "batch": 1024, "pictures": []}
        tiles |= {"checksums": np.zeros(1024, np.uint32)}
        enough = CONTENTS._replace(**tiles, streams=[np.zeros(8, np.uint32)])
        self.assertEqual(container.read(container.write(enough)).count, 1024)
        for contents, received in (
            (pictures(400, 2**13, 0), "67,108,864 pixels in 0 words"),
            (enough._replace(streams=[np.zeros(7, np.uint32)]), "4,294,967,296 pixels in 7 words"),
        ):
            with self.assertRaisesRegex(ValueError, received):
                container.write(contents)
            with mock.patch.object(container, "_check_streams"):
                data = container.write(contents)
            self.assertLess(len(data), 7000)
            with self.assertRaisesRegex(ValueError, f"impossible header .{received}"):
                container.read(data)

    def test_other_headers(self):
        """More values than its images can have take far more memory than their text, which is short."""
        many = ["\u0122", *[{}] * 2**17]
        for text, message in (
            *((json.dumps(header).encode(), "") for header in ([], "header", None, 3)),
            (b"[" + b"[]," * 2**20 + b"0]", "more than 1,.* bytes"),
            (json.dumps({"a": many}).encode(), "more values than its images"),
            (json.dumps(many, ensure_ascii=False).encode("utf-16"), "more values than its images"),
            (b"[" * 2**17, ""),
            (b'"' * (2**17 + 1), ""),
        ):
            with self.assertRaisesRegex(ValueError, f"impossible header .{message}"):
                container.read(with_text(text, bytes(2**16)))

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
        commas = [[120 * "," + name[-8:], *size] for name, *size in contents.pictures]
        for pictures in (longer, commas):
            with self.assertRaisesRegex(
                ValueError, "Expected at most .* bytes of pictures' names .*Give shorter"
            ):
                container.write(contents._replace(pictures=pictures))

    def test_other_files_and_formats(self):
        data = container.write(CONTENTS)
        newer = data[: len(container.MAGIC) - 1] + bytes([3])
        for contents, message in (
            (b"\x89PNG\r\n\x1a\n", "another kind of file"),
            (container.MAGIC[:-1], "cut short"),
            (data[:-1], "damaged or cut short"),
            (data[:99] + bytes([data[99] ^ 1]) + data[100:], "damaged or cut short"),
            (newer, "of format 2. Received: one of format 3"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                container.read(contents)
