"""Tests of files of arrays: what is read, and what is refused before it is read."""

import io
import os
import zipfile
from unittest import mock

import numpy as np
import tensorflow as tf

from pixelcnn_aux import data
from pixelcnn_aux.data import arrays
from tests.data.helpers import FilesTest, noise

SPLITS = {"train": noise(9, 4, 6, 3), "validation": noise(2, 4, 6, 3), "test": noise(3, 4, 6, 3)}


def npy(array):
    file = io.BytesIO()
    np.lib.format.write_array(file, array)
    return file.getvalue()


class ArraysTest(FilesTest):
    def setUp(self):
        super().setUp()
        self.file = self.folder / "images.npz"

    def load(self, split="train", image_size=(4, 6)):
        return data.load("arrays", split, image_size, image_file=self.file)

    def write_members(self, members, compression=zipfile.ZIP_STORED):
        with zipfile.ZipFile(self.file, "w", compression) as archive:
            for name, contents in members.items():
                archive.writestr(name, contents)

    def test_splits(self):
        for save, kind in ((np.savez, np.memmap), (np.savez_compressed, np.ndarray)):
            save(self.file, others=np.zeros(3), **SPLITS)
            for split, pixels in SPLITS.items():
                images = self.load(split)
                self.assertAllEqual(images.pixels, pixels)
                self.assertIs(type(images.pixels), kind)
                source = {"dataset": "arrays", "image_dir": None, "image_file": str(self.file)}
                self.assertEqual(images.source, source)

    def test_a_file_within_another(self):
        """As a self-extracting archive has it: offsets are not from the file's beginning."""
        np.savez(self.file, **SPLITS)
        self.file.write_bytes(bytes(1000) + self.file.read_bytes())
        self.assertAllEqual(self.load("test").pixels, SPLITS["test"])

    def test_what_is_no_such_file_is_refused(self):
        with self.assertRaisesRegex(FileNotFoundError, r"images\.npz, which is none"):
            self.load()
        os.mkfifo(self.file)
        with self.assertRaisesRegex(FileNotFoundError, r"images\.npz, which is none"):
            self.load()
        self.file.unlink()
        for contents in (b"", b"no zip", npy(SPLITS["train"])):
            self.file.write_bytes(contents)
            with self.assertRaisesRegex(ValueError, r"whole \.npz.*Received: .*images\.npz.*savez"):
                self.load()

    def test_arrays_of_another_kind_are_refused(self):
        for array, message in (
            (SPLITS["train"].astype(np.int32), r"int32 \[9, 4, 6, 3\]\. Give"),
            (SPLITS["train"][0], r"uint8 \[4, 6, 3\]\. Give"),
            (SPLITS["train"][..., :1], r"uint8 \[9, 4, 6, 1\]\. Give"),
            (SPLITS["train"][:0], r"uint8 \[0, 4, 6, 3\]\. Give"),
            (np.asfortranarray(SPLITS["train"]), r".*, in Fortran's order\. Give"),
        ):
            for save in (np.savez, np.savez_compressed):
                save(self.file, train=array)
                with self.assertRaisesRegex(ValueError, f"train of {self.file}, {message}"):
                    self.load()
        np.savez(self.file, **SPLITS)
        with self.assertRaisesRegex(ValueError, r"of \(8, 8\) in .*Received: train of \(4, 6\)\."):
            self.load(image_size=(8, 8))

    def test_missing_splits_are_named(self):
        np.savez(self.file, test=SPLITS["test"], labels=np.zeros(3))
        with self.assertRaisesRegex(
            ValueError, r"train, validation, test in .*Received: no train among 'test', 'labels'\."
        ):
            self.load()
        self.assertEqual(self.load("test").num_images, 3)
        np.savez(self.file, **{"\x1b]0;title\x07": np.zeros(3)})  # which a terminal would obey
        with self.assertRaisesRegex(ValueError, r"no train among '\\x1b\]0;title\\x07'\."):
            self.load()

    def test_nothing_is_unpickled(self):
        class Evil:
            def __reduce__(self):
                return os.mkdir, (str(target),)

        target = self.folder / "made"
        np.savez(self.file, train=np.array([[[[Evil()] * 3]]], object))
        with self.assertRaisesRegex(ValueError, r"object \[1, 1, 1, 3\]"):
            self.load(image_size=(1, 1))
        self.assertFalse(target.exists())

    def test_other_methods_of_compression_are_refused_before_they_are_read(self):
        """Those inflate whatever they hold at once."""
        for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            self.write_members({"train.npy": npy(SPLITS["train"])}, method)
            with (
                mock.patch.object(zipfile.ZipFile, "open", side_effect=AssertionError("opened")),
                self.assertRaisesRegex(
                    ValueError, f"train of .*, compressed by ZIP's method {method}"
                ),
            ):
                self.load()

    def test_headers_that_python_cannot_read(self):
        whole = npy(SPLITS["train"])
        for header in (b"(((", b"{[]: 1}", b"{'descr': 3"):
            damaged = whole[:10] + header.ljust(118) + whole[128:]
            for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                self.write_members({"train.npy": damaged}, compression)
                with self.assertRaisesRegex(ValueError, "an array of NumPy's. Received: train of"):
                    self.load()

    def test_what_claims_too_much_is_refused_before_it_is_read(self):
        # Honest, but larger than the limit.
        np.savez_compressed(self.file, train=SPLITS["train"])
        with (
            mock.patch.object(arrays, "MAX_COMPRESSED", 700),
            mock.patch.object(zipfile.ZipFile, "open", side_effect=AssertionError("opened")),
            self.assertRaisesRegex(
                ValueError, "at most 700 bytes.*Received: 776 in train of.*savez,"
            ),
        ):
            self.load()
        np.savez(self.file, train=SPLITS["train"])
        with mock.patch.object(arrays, "MAX_COMPRESSED", 700):
            self.assertEqual(self.load().num_images, 9)  # there on the disk, all of it
        # An array's header that claims more or less than the member has.
        header = npy(SPLITS["train"])[:128]
        for old, new in ((b"(9,", b"(8,"), (b"(9,", b"(7000000000,")):
            claimed = header.replace(old, new)
            claimed = claimed.replace(b" " * (len(claimed) - 128), b"", 1)
            self.assertLen(claimed, 128)
            for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                members = {"train.npy": claimed + SPLITS["train"].tobytes()}
                self.write_members(members, compression)
                with (
                    mock.patch.object(np, "empty", side_effect=AssertionError("allocated")),
                    self.assertRaisesRegex(ValueError, r"Expected [\d,]+ bytes .*Received: 776\."),
                ):
                    self.load()

    def test_damage_is_found_in_what_is_mapped(self):
        np.savez(self.file, train=noise(500, 4, 6, 3))  # more than is read with the header
        whole = self.file.read_bytes()
        at = whole.index(b"PK\x01\x02") - 1  # the last pixel, before the archive's directory
        self.file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with self.assertRaisesRegex(ValueError, "damaged.*CRC"):
            self.load()

    def test_damage_is_found_anywhere(self):
        """Every byte changed or the rest cut off: refused, or the same pixels, and no other error."""
        refused = 0
        for save in (np.savez, np.savez_compressed):
            save(self.file, train=SPLITS["test"])
            whole = self.file.read_bytes()
            damaged = [whole[:end] for end in range(0, len(whole), 7)]
            for at in range(len(whole)):
                for mask in (0x01, 0xFF):
                    damaged.append(whole[:at] + bytes([whole[at] ^ mask]) + whole[at + 1 :])
            for contents in damaged:
                self.file.write_bytes(contents)
                try:
                    pixels = self.load().pixels
                except ValueError as error:
                    refused += 1
                    self.assertIn(str(self.file), str(error))
                    self.assertNotIn("\n", str(error))
                else:
                    np.testing.assert_array_equal(pixels, SPLITS["test"])
        self.assertGreater(refused, 1500)


if __name__ == "__main__":
    tf.test.main()
