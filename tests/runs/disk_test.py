"""Tests of files that are whole or not there, and of what is said where the system refuses one."""

import contextlib
import errno
import os
import pathlib
import resource
import unittest
from unittest import mock

import tensorflow as tf

from pixelcnn_aux.runs import disk
from tests import helpers


@contextlib.contextmanager
def no_more_open_files():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextlib.contextmanager
def an_ordinary_user():
    """Within it this process has no rights of an administrator."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


class ReplacingTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self)
        self.file = self.folder / "file"
        self.write(b"before")

    def write(self, contents):
        with disk.replacing(self.file) as opened:
            opened.write(contents)

    def assertRefused(self, kind, received, what_to_do):
        """The error says so, in one line, and nothing has changed."""
        before = helpers.contents(self.folder)
        with self.assertRaises(OSError) as caught:
            self.write(b"after" * 10_000)
        self.assertIs(type(caught.exception), kind)
        self.assertEqual(
            str(caught.exception),
            f"Expected to write {self.file}. Received: {received}. {what_to_do}, and give the same command "
            "again: training goes on from its last checkpoint.",
        )
        self.assertEqual(helpers.contents(self.folder), before)

    def test_all_or_nothing(self):
        self.write(b"after")
        self.assertEqual(helpers.contents(self.folder), {"file": b"after"})
        with self.assertRaises(KeyboardInterrupt), disk.replacing(self.file) as opened:
            opened.write(b"half")
            raise KeyboardInterrupt
        self.assertEqual(helpers.contents(self.folder), {"file": b"after"})

    def test_two_at_once(self):
        """Neither writes into what the other does, and one of them is there in the end."""
        with disk.replacing(self.file) as first:
            first.write(b"first, which is longer")
            first.flush()
            with disk.replacing(self.file) as second:
                second.write(b"second")
            self.assertEqual(self.file.read_bytes(), b"second")
        self.assertEqual(helpers.contents(self.folder), {"file": b"first, which is longer"})

    def test_the_disk_has_all_of_it_before_it_has_its_name(self):
        file, seen = self.folder / "new", []

        def sync(number):
            seen.append((os.fstat(number).st_size, file.exists()))

        with mock.patch.object(os, "fsync", sync), disk.replacing(file) as opened:
            opened.write(b"whole")
        self.assertEqual(seen, [(5, False)])

    def test_a_file_that_is_called_like_one_being_written(self):
        other = self.folder / "writing.file"
        other.write_bytes(b"other")
        self.write(b"after")
        self.assertEqual(
            helpers.contents(self.folder), {"file": b"after", "writing.file": b"other"}
        )

    def test_json_has_no_numbers_that_are_not_finite(self):
        with self.assertRaisesRegex(ValueError, "not JSON compliant"):
            disk.write_json(self.file, {"a": float("nan")})
        self.assertEqual(helpers.contents(self.folder), {"file": b"before"})

    def test_what_a_process_that_was_killed_has_left_is_removed(self):
        (self.folder / "below").mkdir()
        for folder in (self.folder, self.folder / "below"):
            (folder / "writing.file").write_bytes(b"half")
        disk.remove_unfinished(self.folder)
        self.assertEqual(helpers.contents(self.folder), {"file": b"before"})

    @unittest.skipUnless(
        pathlib.Path("/dev/full").exists(), "Linux has a device that is always full"
    )
    def test_a_full_disk(self):
        def opened(path, mode):
            return open("/dev/full", "wb")

        with (
            mock.patch.object(disk, "open", opened, create=True),
            self.assertRaisesRegex(OSError, "No space left on device. Free space there, and give"),
        ):
            self.write(b"after")
        self.assertEqual(helpers.contents(self.folder), {"file": b"before"})

    def test_limits(self):
        with helpers.files_of_at_most(1000):
            self.assertRefused(
                OSError, "File too large", "Raise the limit on the size of files (ulimit -f)"
            )
        with self.assertRaisesRegex(OSError, r"Too many open files.*\(ulimit -n\)"):
            with no_more_open_files():
                self.write(b"after")
        self.assertEqual(helpers.contents(self.folder), {"file": b"before"})

    def test_a_folder_that_is_only_read(self):
        self.file.chmod(0o644)  # which an ordinary user reads, whatever the umask is
        self.folder.chmod(0o555)
        self.addCleanup(self.folder.chmod, 0o755)
        with an_ordinary_user():
            self.assertRefused(
                PermissionError, "Permission denied", "Give yourself the right to do so"
            )

    def test_a_folder_that_was_removed_or_is_another_thing(self):
        self.file = self.folder / "file" / "below"
        self.assertRefused(NotADirectoryError, "Not a directory", "Move away what has this name")
        self.file = self.folder / "none" / "below"
        self.assertRefused(
            FileNotFoundError, "No such file or directory", "Put back what was removed"
        )
        self.file = self.folder / "below"
        self.file.mkdir()
        self.assertRefused(IsADirectoryError, "Is a directory", "Move away what has this name")


class LockedTest(tf.test.TestCase):
    def test_a_disk_without_locks(self):
        file = helpers.temporary_folder(self) / "lock"
        for number in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
            refusal = OSError(number, os.strerror(number))
            with mock.patch("fcntl.flock", side_effect=refusal):
                with self.assertRaisesRegex(OSError, r"can hold .*lock \(flock\).*another disk"):
                    with disk.locked(file, busy=self.fail):
                        self.fail()


class CheckPlaceTest(tf.test.TestCase):
    def test_names_that_no_file_can_have(self):
        folder = helpers.temporary_folder(self)
        (folder / "folder.png").mkdir()
        disk.check_place("--out", str(folder / "a.PNG"), (".png",))
        disk.check_place("--out", "a")
        for path, suffixes in (
            (folder / "a.jpg", (".png", ".pdf")),
            (folder / "missing" / "a.png", (".png", ".pdf")),
            (folder / "folder.png", (".png", ".pdf")),
            (folder / "missing" / "a", ()),
            ("", ()),
            (None, ()),
        ):
            ends = " that ends in .png, .pdf" if suffixes else ""
            with self.assertRaisesRegex(
                ValueError, f"Expected --out as a name{ends}, in a folder that exists.*: {path}. G"
            ):
                disk.check_place("--out", path, suffixes)

    def test_a_name_that_is_too_long(self):
        with self.assertRaisesRegex(OSError, "^Expected --out as.*too long. Give a shorter name"):
            disk.check_place("--out", "x" * 300)

    def test_a_folder_that_takes_no_files(self):
        with self.assertRaisesRegex(OSError, "Expected a folder /proc that takes files"):
            disk.check_place("--out", "/proc/a.png", (".png",))


class ExplainedTest(tf.test.TestCase):
    def test_errors_of_tensorflow_that_tell_of_the_system(self):
        file = helpers.temporary_folder(self) / "file"
        file.touch()
        for kind, path in ((NotADirectoryError, file), (NotADirectoryError, file / "below")):
            with self.assertRaises(kind) as caught, disk.explained(f"to write logs to {path}"):
                tf.summary.create_file_writer(str(path))
            self.assertEqual(
                str(caught.exception),
                f"Expected to write logs to {path}. Received: Not a directory. Move away what has this name, "
                "and give the same command again.",
            )
        with self.assertRaisesRegex(
            OSError, "^Expected an export. Received: No space left on device"
        ):
            with disk.explained("an export"):
                raise tf.errors.ResourceExhaustedError(None, None, "/x/y; No space left on device")

    def test_others_are_left_as_they_are(self):
        for error in (
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
            RuntimeError("No space left on device"),
            OSError("Expected a file. Received: No space left on device."),  # explained already
        ):
            with self.assertRaises(type(error)) as caught, disk.explained("another"):
                raise error
            self.assertIs(caught.exception, error)


if __name__ == "__main__":
    tf.test.main()
