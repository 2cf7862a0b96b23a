"""Tests of reading files of arrays, and of rejecting invalid ones beforehand."""

import io
import os
import zipfile
from unittest import mock

import numpy as np

from pixelcnn_aux import data
from pixelcnn_aux.data import array_files
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

    def load(self, split="train", image_size=(4, 6), **kind):
        return data.load("arrays", split, image_size, image_file=self.file, **kind)

    def load_folder(self, split="train", **kind):
        return data.load("arrays", split, (4, 6), image_dir=self.folder, **kind)

    def write_members(self, members, compression=zipfile.ZIP_STORED):
        with zipfile.ZipFile(self.file, "w", compression) as archive:
            for name, contents in members.items():
                archive.writestr(name, contents)

    def test_splits_of_one_file(self):
        for save in (np.savez, np.savez_compressed):
            save(self.file, others=np.zeros(3), **SPLITS)
            for split, pixels in SPLITS.items():
                images = self.load(split)
                self.assertAllEqual(images.pixels, pixels)
                source = {"dataset": "arrays", "image_dir": None, "image_file": str(self.file)}
                self.assertEqual(images.source, source)
            self.assertIsNone(images.labels)
            fortran = np.asfortranarray(SPLITS["train"])
            save(self.file, train_labels=np.arange(9), train=fortran)
            self.assertAllEqual(self.load().labels, np.arange(9))
            self.assertAllEqual(self.load().take([3, 1]), SPLITS["train"][[3, 1]])

    def test_a_folder_with_a_file_for_each_split(self):
        for split, pixels in SPLITS.items():
            np.save(self.folder / f"{split}.npy", pixels)
            np.save(self.folder / f"{split}_labels.npy", np.arange(len(pixels)))
            images = self.load_folder(split)
            self.assertAllEqual(images.pixels, pixels)
            self.assertAllEqual(images.labels, np.arange(len(pixels)))
            self.assertIsInstance(images.pixels, np.memmap)
            source = {"dataset": "arrays", "image_dir": str(self.folder), "image_file": None}
            self.assertEqual(images.source, source)
        file = self.folder / "test.npy"
        whole = file.read_bytes()
        np.savez(self.folder / "test", **SPLITS)
        zipped = (self.folder / "test.npz").read_bytes()
        for contents in (b"", whole[:-1], whole[:90], b"no array", zipped):
            file.write_bytes(contents)
            with self.assertRaisesRegex(ValueError, f"Received: {file}, which cannot be read"):
                self.load_folder("test")
        file.unlink()
        os.mkfifo(file)
        with self.assertRaisesRegex(FileNotFoundError, f"Received: {file}, which is no file"):
            self.load_folder("test")
        with self.assertRaisesRegex(ValueError, "a file of arrays, or a folder.*Received: both"):
            self.load(image_dir=self.folder)

    def test_other_kinds_of_files_are_refused(self):
        with self.assertRaisesRegex(FileNotFoundError, r"images\.npz, which is no file"):
            self.load()
        for contents in (b"", b"no zip", npy(SPLITS["train"])):
            self.file.write_bytes(contents)
            with self.assertRaisesRegex(ValueError, r"whole file.*Received: .*images\.npz.*savez"):
                self.load()

    def test_arrays_of_another_kind_are_refused(self):
        train, named = (
            SPLITS["train"],
            {"\x1b]0;title\x07": np.zeros(3)},
        )  # a terminal escape sequence
        for members, message in (
            ({"train": train[0, 0]}, r"for train.*uint8 \[6, 3\]"),
            ({"train": train[:, :2]}, r"of \(4, 6\) in .*Received: train of \(2, 6\)\."),
            ({"test": train, "labels": np.zeros(3)}, r"no train among 'test', 'labels'\)"),
            (named, r"no train among '\\x1b\]0;title\\x07'\)"),
        ):
            for save in (np.savez, np.savez_compressed):
                save(self.file, **members)
                with self.assertRaisesRegex(ValueError, message):
                    self.load()

    def test_other_channels_and_dtypes(self):
        gray = np.random.default_rng(0).integers(0, 1024, (5, 4, 6)).astype(np.uint16)
        gray[0, 0, 0] = 1023
        kind = {"channels": 1, "num_values": 1024}
        np.save(self.folder / "train.npy", gray)
        found = [self.load_folder(**kind).pixels]
        for pixels in (gray, gray[..., np.newaxis]):
            np.savez(self.file, train=pixels)
            found.append(self.load(**kind).pixels)
        for pixels in found:
            self.assertEqual(pixels.dtype, np.uint16)
            self.assertAllEqual(pixels[..., 0], gray)

    def test_nothing_is_unpickled(self):
        class Evil:
            def __reduce__(self):
                return os.mkdir, (str(target),)

        target, evil = self.folder / "made", np.array([[[[Evil()] * 3]]], object)
        np.savez(self.file, train=evil)
        np.save(self.folder / "train.npy", evil)
        for place in ({"image_file": self.file}, {"image_dir": self.folder}):
            with self.assertRaisesRegex(ValueError, "train.* which cannot be read"):
                data.load("arrays", "train", (1, 1), **place)
        self.assertFalse(target.exists())

    def test_what_may_fill_the_memory_is_refused_before_it_is_read(self):
        """Compressed arrays above the limit, and other methods, which inflate everything at once."""
        for method, limit, message in (
            (zipfile.ZIP_BZIP2, 10**9, "compressed by ZIP's method 12"),
            (zipfile.ZIP_LZMA, 10**9, "compressed by ZIP's method 14"),
            (zipfile.ZIP_DEFLATED, 700, "776 bytes of a compressed array, 700 at most"),
        ):
            self.write_members({"train.npy": npy(SPLITS["train"])}, method)
            with (
                mock.patch.object(array_files, "MAX_COMPRESSED", limit),
                mock.patch.object(zipfile.ZipFile, "open", side_effect=AssertionError("opened")),
                self.assertRaisesRegex(ValueError, message),
            ):
                self.load()
        np.savez(self.file, train=SPLITS["train"])
        with mock.patch.object(array_files, "MAX_COMPRESSED", 700):
            self.assertEqual(self.load().num_images, 9)  # uncompressed, so allowed

    def test_headers_that_are_damaged_or_claim_what_is_not_there(self):
        whole = npy(SPLITS["train"])
        claims = [whole[10:128].replace(b"(9,", x) for x in (b"(8,", b"(7" + b"0" * 12 + b",")]
        for header in (b"{[]: 1}", *claims):
            damaged = whole[:10] + header.rstrip().ljust(118) + whole[128:]
            for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                self.write_members({"train.npy": damaged}, compression)
                with self.assertRaisesRegex(ValueError, f"{self.file}, which cannot be read"):
                    self.load()
