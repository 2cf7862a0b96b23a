"""Tests of the cache of decoded images: valid while intact and of the same files, with one writer."""

import errno
import json
import multiprocessing.pool
import os
import random
import time
from unittest import mock

import numpy as np
from absl import logging

from pixelcnn_aux.data import cache
from tests import helpers
from tests.data.helpers import flipped, noise

FILES = [["a.png", 100, 10**18 + 1], ["b.png", None, None]]
PLACE = {"dataset": "tests", "folder": "/images", "split": "train", "image_size": (4, 6)}
PIXELS = noise(50, 4, 6, 3)


def load(place, pixels=PIXELS, files=FILES, **changes):
    """(result of `cache.load`, whether it decoded `pixels`)."""
    decoded = []

    def decode():
        decoded.append(True)
        yield "b.png", "damaged"
        yield from (("a.png", image) for image in pixels)

    return cache.load(place, **{**PLACE, **changes}, files=files, decoded=decode), bool(decoded)


class CacheTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self) / "not" / "there"

    def files(self, suffix):
        return sorted(self.folder.glob(f"*{suffix}"))

    def assertLoads(self, decoded, pixels=PIXELS, **changes):
        (received, names, skipped), again = load(self.folder, pixels, **changes)
        self.assertEqual(names, ["a.png"] * len(pixels))
        self.assertAllEqual(received, pixels)
        self.assertEqual(skipped, {"b.png": "damaged"})
        self.assertIsInstance(received, np.memmap)
        self.assertFalse(received.flags.writeable)
        self.assertEqual(again, decoded)

    def assertLoadsAgain(self, file, damaged):
        """Damaged files are detected, logged, and decoded again."""
        for contents in damaged:
            file.write_bytes(contents)
            with self.assertLogs(logging.get_absl_logger(), "WARNING") as logs:
                self.assertLoads(decoded=True)
            expected = f"decoded images in {file.with_suffix('.npy')}. Received: a damaged file"
            self.assertIn(expected, logs.output[0])
            self.assertLoads(decoded=False)
        file.unlink()
        self.assertLoads(decoded=True)

    def test_decoded_images_are_kept(self):
        self.assertLoads(decoded=True)
        random.seed(0)
        before = random.getstate()
        self.assertLoads(decoded=False)
        self.assertEqual(random.getstate(), before)  # the global generator is untouched
        suffixes = [path.suffix for path in sorted(self.folder.iterdir())]
        self.assertEqual(suffixes, [".json", ".lock", ".npy"])
        [file] = self.files(".npy")
        self.assertStartsWith(file.name, "tests-train-4x6-")
        self.assertAllEqual(np.load(file), PIXELS)
        for decoded in (True, False):
            self.assertLoads(decoded, PIXELS[:0], split="test")

    def test_each_place_has_files_of_its_own(self):
        changes = [{}, {"dataset": "others"}, {"folder": "/others"}, {"split": "test"}]
        changes += [{"image_size": (2, 12)}, {"folder": os.fsdecode(b"/\xff")}]  # no Unicode
        for decoded in (True, False):
            for seed, change in enumerate(changes):
                size = change.get("image_size", (4, 6))
                self.assertLoads(decoded, noise(5, *size, 3, seed=seed), **change)

    def test_other_files_or_another_format_replace_them(self):
        (pixels, *_), _ = load(self.folder)
        for name, size, time_ns in (("a.png", 9, 1), ("a.png", 9, 2), ("b.png", 9, 2)):
            for decoded in (True, False):
                self.assertLoads(decoded, 255 - PIXELS, files=[[name, size, time_ns]])
        self.assertLen(self.files(".npy"), 1)
        self.assertAllEqual(pixels, PIXELS)  # still mapped
        self.assertLoads(decoded=True)
        with mock.patch.object(cache, "FORMAT", cache.FORMAT + 1):
            self.assertLoads(decoded=True)

    def test_damage_is_found_and_decoded_again(self):
        self.assertLoads(decoded=True)
        [array], [manifest] = self.files(".npy"), self.files(".json")
        whole, described = array.read_bytes(), manifest.read_bytes()
        damaged = [b"", whole[:60], whole[:-1], whole + b"\0", flipped(whole, 30)]
        damaged += [flipped(whole, len(whole) - 1), whole[:200] + bytes(100) + whole[300:]]
        self.assertLoadsAgain(array, [*damaged, b"\x93NUMPY" + b"\xff" * (len(whole) - 6)])
        found = json.loads(described)
        changes = [{"shape": x} for x in ([49, 4, 6, 3], "50", [50, 6, 4, 3])]
        changes += [{"crc32": x} for x in ([], None)]
        damaged = [b"", described[:-5], b"null", b"[]", b"[" * 100_000, b"\xff\xfe"]
        damaged += [json.dumps({**found, **change}).encode() for change in changes]
        self.assertLoadsAgain(manifest, damaged)

    def test_every_part_has_a_checksum(self):
        with mock.patch.object(cache, "_BLOCK", 216):  # the last one is shorter
            self.assertLoads(decoded=True)
            [array] = self.files(".npy")
            whole = array.read_bytes()
            damaged = [flipped(whole, at) for at in range(128 + 100, len(whole), 216)]
            self.assertLen(damaged, 17)
            self.assertLoadsAgain(array, damaged)
            # Of a large file a random sample is compared.
            with mock.patch.object(cache, "_CHECKED", 3):
                for _ in range(200):
                    array.write_bytes(damaged[0])
                    if load(self.folder)[1]:
                        break
                else:
                    self.fail("No damage is found.")

    def test_an_error_while_decoding_leaves_the_files_before(self):
        self.assertLoads(decoded=True)
        before = helpers.contents(self.folder)

        def pixels():
            yield PIXELS[0]
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            load(self.folder, pixels(), files=[])
        self.assertEqual(helpers.contents(self.folder), before)

    def test_what_the_system_refuses_leaves_nothing(self):
        no_space = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync = mock.patch.object(os, "fsync", side_effect=no_space)
        large = np.tile(PIXELS, [9, 1, 1, 1])
        full = "File too large.*ulimit"
        for limit, pixels, reason in (
            (helpers.files_of_at_most(1000), PIXELS, full),  # at the final flush
            (helpers.files_of_at_most(10_000), large, full),  # earlier
            (fsync, PIXELS, "No space left on device. Free space"),
        ):
            message = f"room for them: {self.folder}. Received: {reason}"
            with limit, self.assertRaisesRegex(OSError, message):
                load(self.folder, pixels)
            self.assertEqual([path.suffix for path in self.folder.iterdir()], [".lock"])
        self.assertLoads(decoded=True)
        [file] = self.files(".npy")
        with self.assertRaisesRegex(OSError, rf"room for them: {file}\. Received: .*--cache_dir\)"):
            load(file)

    def test_of_several_at_once_one_decodes(self):
        def slow_pixels():
            for image in PIXELS:
                time.sleep(0.005)
                yield image

        # Threads exclude each other like processes, as each opens the lock itself.
        with multiprocessing.pool.ThreadPool(3) as pool:
            results = pool.map(lambda _: load(self.folder, slow_pixels()), range(3), chunksize=1)
        for (pixels, *_), _ in results:
            self.assertAllEqual(pixels, PIXELS)
        self.assertEqual(sum(decoded for _, decoded in results), 1)

    def test_a_killed_process_leaves_nothing_that_looks_whole(self):
        def killed():
            yield from PIXELS[:9]
            os._exit(9)

        if (child := os.fork()) == 0:
            try:
                load(self.folder, killed())
            finally:
                os._exit(1)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 9)
        self.assertLen(self.files(".writing"), 1)
        self.assertLoads(decoded=True)
        self.assertEmpty(self.files(".writing"))
        # Between the renames, new pixels have replaced old ones, whose manifest is removed.
        replace = os.replace

        def replace_and_stop(source, target):
            replace(source, target)
            raise KeyboardInterrupt

        with (
            mock.patch.object(os, "replace", replace_and_stop),
            self.assertRaises(KeyboardInterrupt),
        ):
            load(self.folder, 255 - PIXELS, files=[])
        self.assertAllEqual(np.load(self.files(".npy")[0]), 255 - PIXELS)
        self.assertEmpty(self.files(".json"))
        self.assertLoads(decoded=True)
