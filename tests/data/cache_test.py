"""Tests of decoded images on disk: used while they are whole and of these files, by one process at a time."""

import errno
import json
import multiprocessing.pool
import os
import random
import time
from unittest import mock

import numpy as np
import tensorflow as tf
from absl import logging

from pixelcnn_aux.data import cache
from tests import helpers
from tests.data.helpers import noise

FILES = [["a.png", 100, 10**18 + 1], ["b.png", None, None]]
PLACE = {"dataset": "tests", "folder": "/images", "split": "train", "image_size": (4, 6)}
PIXELS = noise(50, 4, 6, 3)


def load(place, pixels=PIXELS, files=FILES, **changes):
    """(What `cache.load` returns, whether it decoded): `pixels` are what is decoded."""
    decoded = []

    def decode():
        decoded.append(True)
        yield "b.png", "damaged"
        yield from (("a.png", image) for image in pixels)

    return cache.load(place, **{**PLACE, **changes}, files=files, decoded=decode), bool(decoded)


class CacheTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self) / "not" / "there"

    def files(self, suffix):
        return sorted(self.folder.glob(f"*{suffix}"))

    def assertLoads(self, decoded, pixels=PIXELS, **changes):
        (received, skipped), again = load(self.folder, pixels, **changes)
        self.assertAllEqual(received, pixels)
        self.assertEqual(skipped, {"b.png": "damaged"})
        self.assertIsInstance(received, np.memmap)
        self.assertFalse(received.flags.writeable)
        self.assertEqual(again, decoded)

    def test_what_is_decoded_is_kept(self):
        self.assertLoads(decoded=True)
        random.seed(0)
        before = random.getstate()
        self.assertLoads(decoded=False)
        self.assertEqual(random.getstate(), before)  # nobody's random numbers are used up
        suffixes = [path.suffix for path in sorted(self.folder.iterdir())]
        self.assertEqual(suffixes, [".json", ".lock", ".npy"])
        [file] = self.files(".npy")
        self.assertStartsWith(file.name, "tests-train-4x6-")
        self.assertAllEqual(np.load(file), PIXELS)
        for decoded in (True, False):
            self.assertLoads(decoded, PIXELS[:0], split="test")

    def test_each_place_has_files_of_its_own(self):
        for decoded in (True, False):
            changes = [{}, {"dataset": "others"}, {"folder": "/others"}, {"split": "test"}]
            changes += [{"image_size": (2, 12)}, {"folder": os.fsdecode(b"/\xff")}]  # no Unicode
            for seed, change in enumerate(changes):
                size = change.get("image_size", (4, 6))
                self.assertLoads(decoded, noise(5, *size, 3, seed=seed), **change)

    def test_other_files_of_the_same_place_replace_them(self):
        (pixels, _), _ = load(self.folder)
        for name, size, time_ns in (("a.png", 9, 1), ("a.png", 9, 2), (os.fsdecode(b"\xff"), 9, 2)):
            for decoded in (True, False):
                self.assertLoads(decoded, 255 - PIXELS, files=[[name, size, time_ns]])
        self.assertLen(self.files(".npy"), 1)
        self.assertAllEqual(pixels, PIXELS)  # mapped still

    def test_files_of_another_format_are_not_used(self):
        self.assertLoads(decoded=True)
        with mock.patch.object(cache, "FORMAT", cache.FORMAT + 1):
            self.assertLoads(decoded=True)
            self.assertLoads(decoded=False)
        self.assertLoads(decoded=True)

    def test_damage_is_found_and_decoded_again(self):
        def flipped(contents, at):
            return contents[:at] + bytes([contents[at] ^ 1]) + contents[at + 1 :]

        self.assertLoads(decoded=True)
        [array], [manifest] = self.files(".npy"), self.files(".json")
        whole, described = array.read_bytes(), manifest.read_bytes()
        found = json.loads(described)
        damaged_arrays = (
            *(b"", whole[:60], whole[:-1], whole + b"\0", flipped(whole, 30)),
            *(flipped(whole, len(whole) - 1), whole[:200] + bytes(100) + whole[300:]),
            b"\x93NUMPY" + b"\xff" * (len(whole) - 6),
        )
        shapes = [49, 4, 6, 3], [50, 4, 6], "50", [50, 6, 4, 3]
        changes = [("shape", x) for x in shapes] + [("crc32", x) for x in ([], [1], None)]
        damaged_manifests = (
            *(b"", described[:-5], b"null", b"[]", b"[" * 100_000, b"\xff\xfe"),
            *(json.dumps({**found, name: value}).encode() for name, value in changes),
        )
        damaged = [(array, x) for x in damaged_arrays] + [(manifest, x) for x in damaged_manifests]
        for file, contents in damaged:
            file.write_bytes(contents)
            with self.assertLogs(logging.get_absl_logger(), "WARNING") as logs:
                self.assertLoads(decoded=True)
            self.assertIn(f"decoded images in {array}. Received: a damaged file", logs.output[0])
            self.assertLoads(decoded=False)
        for file in (array, manifest):
            file.unlink()
            self.assertLoads(decoded=True)

    def test_every_block_has_a_checksum(self):
        with mock.patch.object(cache, "_BLOCK", 216):  # the last one is shorter
            self.assertLoads(decoded=True)
            [array] = self.files(".npy")
            whole = array.read_bytes()
            damaged = [
                whole[:at] + bytes([whole[at] ^ 8]) + whole[at + 1 :]
                for at in range(128 + 100, len(whole), 216)
            ]
            self.assertLen(damaged, 17)
            for contents in damaged:
                array.write_bytes(contents)
                self.assertLoads(decoded=True)
            # Of a large file some are compared, and others the next time.
            with mock.patch.object(cache, "_CHECKED", 3):
                for _ in range(200):
                    array.write_bytes(contents)
                    if load(self.folder)[1]:
                        break
                else:
                    self.fail("No damage is found.")

    def test_an_error_while_decoding_leaves_what_was_there(self):
        self.assertLoads(decoded=True)
        before = helpers.contents(self.folder)

        def pixels():
            yield PIXELS[0]
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            load(self.folder, pixels(), files=[])
        self.assertEqual(helpers.contents(self.folder), before)

    def test_a_folder_that_cannot_be_written(self):
        self.folder.parent.mkdir(parents=True)
        self.folder.write_text("a file")
        for folder in (self.folder, self.folder / "below"):
            with self.assertRaisesRegex(
                OSError, rf"with room for them: {folder}\. Received: .*--cache_dir\)\.$"
            ):
                load(folder)

    def test_a_full_disk_leaves_nothing(self):
        no_space = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync = mock.patch.object(os, "fsync", side_effect=no_space)
        for limit, pixels, reason in (
            (helpers.files_of_at_most(1000), PIXELS, "File too large"),  # when all is flushed
            # Before all is.
            (helpers.files_of_at_most(10_000), np.tile(PIXELS, [9, 1, 1, 1]), "File too large"),
            (fsync, PIXELS, "No space left on device"),
        ):
            with limit, self.assertRaises(OSError) as caught:
                load(self.folder, pixels)
            message = str(caught.exception)
            self.assertIn(f"room for them: {self.folder}. Received: {reason}. ", message)
            self.assertIn(" (ulimit -f), or give" if "large" in reason else "Free space", message)
            self.assertNotIn("\n", message)
            self.assertEqual([path.suffix for path in self.folder.iterdir()], [".lock"])
        self.assertLoads(decoded=True)

    def test_of_several_at_once_one_decodes(self):
        def slow_pixels():
            for image in PIXELS:
                time.sleep(0.005)
                yield image

        # Threads exclude each other as processes do: each opens the lock for itself.
        with multiprocessing.pool.ThreadPool(3) as pool:
            results = pool.map(lambda _: load(self.folder, slow_pixels()), range(3), chunksize=1)
        for (pixels, _), _ in results:
            self.assertAllEqual(pixels, PIXELS)
        self.assertEqual(sum(decoded for _, decoded in results), 1)

    def test_what_a_killed_process_was_writing_does_not_look_whole(self):
        def killed():
            yield from PIXELS[:9]
            os._exit(9)

        child = os.fork()
        if child == 0:
            try:
                load(self.folder, killed())
            finally:
                os._exit(1)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 9)
        self.assertLen(self.files(".writing"), 1)
        self.assertLoads(decoded=True)
        self.assertEmpty(self.files(".writing"))

    def test_killed_between_the_renames(self):
        """With new pixels in the place of old ones, the old manifest is not theirs."""
        self.assertLoads(decoded=True)
        replace = os.replace

        def replace_and_stop(source, target):
            replace(source, target)
            raise KeyboardInterrupt

        with (
            mock.patch.object(os, "replace", replace_and_stop),
            self.assertRaises(KeyboardInterrupt),
        ):
            load(self.folder, 255 - PIXELS, files=[])
        [array] = self.files(".npy")
        self.assertAllEqual(np.load(array), 255 - PIXELS)
        self.assertEmpty(self.files(".json"))
        self.assertLoads(decoded=True)
