"""Tests of files that are complete or absent, and of the remedies for the system's errors."""

import contextlib
import errno
import os
import resource
import socket
from unittest import mock

import tensorflow as tf

from pixelcnn_aux.base import disk
from pixelcnn_aux.data import decoding
from pixelcnn_aux.run_files import tensors
from tests import helpers

AWAY = "Move away whatever has this name"


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
    """Context without an administrator's rights."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


class ReplacingTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        self.file = self.folder / "file"
        self.write(b"before")

    def write(self, contents):
        with disk.replacing(self.file, disk.RESUME) as opened:
            opened.write(contents)

    def assertRefused(self, kind, message, context=None):
        """The error says so in one line, and no file changes."""
        before = helpers.contents(self.folder)
        with self.assertRaises(OSError) as caught, context or contextlib.nullcontext():
            self.write(b"after" * 10_000)
        self.assertIs(type(caught.exception), kind)
        self.assertEqual(
            str(caught.exception),
            f"Expected to write {self.file}. Received: {message}, and give the same command "
            "again: training resumes from its last checkpoint.",
        )
        self.assertEqual(helpers.contents(self.folder), before)

    def test_all_or_nothing(self):
        """A file named like a temporary one is left alone."""
        (self.folder / "writing.file").write_bytes(b"other")
        self.write(b"after")
        expected = {"file": b"after", "writing.file": b"other"}
        self.assertEqual(helpers.contents(self.folder), expected)
        with self.assertRaises(KeyboardInterrupt), disk.replacing(self.file) as opened:
            opened.write(b"half")
            raise KeyboardInterrupt
        with self.assertRaisesRegex(ValueError, "not JSON compliant"):
            disk.write_json(self.file, {"a": float("nan")})
        self.assertEqual(helpers.contents(self.folder), expected)

    def test_unfinished_files_are_removed_unless_their_writer_lives(self):
        left = self.folder / "writing.1-00000002"
        left.touch()
        (self.folder / "writing.2-pages.md").write_text("mine")
        with disk.replacing(self.file) as opened:
            opened.write(b"after")
            disk.remove_unfinished(self.folder)
        expected = {"file": b"after", "writing.2-pages.md": b"mine"}
        self.assertEqual(helpers.contents(self.folder), expected)

    def test_two_at_once(self):
        """Each writes its own file, and one of them remains."""
        with disk.replacing(self.file) as first:
            first.write(b"first, which is longer")
            first.flush()
            self.write(b"second")
            self.assertEqual(self.file.read_bytes(), b"second")
        self.assertEqual(helpers.contents(self.folder), {"file": b"first, which is longer"})

    def test_the_disk_has_all_of_it_before_it_has_its_name(self):
        file, seen = self.folder / "new", []

        def sync(number):
            seen.append((os.fstat(number).st_size, file.exists()))

        with mock.patch.object(os, "fsync", sync), disk.replacing(file) as opened:
            opened.write(b"whole")
        self.assertEqual(seen, [(5, False)])

    def test_a_disk_that_is_full_or_refuses_more(self):
        full = mock.patch.object(disk, "open", lambda *_: open("/dev/full", "wb"), create=True)
        larger = "Raise the limit on the size of files (ulimit -f)"
        more = "Raise the limit on open files (ulimit -n)"
        for message, context in (
            ("No space left on device. Free space there", full),
            (f"File too large. {larger}", helpers.files_of_at_most(1000)),
            (f"Too many open files. {more}", no_more_open_files()),
        ):
            self.assertRefused(OSError, message, context)

    def test_a_folder_that_is_only_read_was_removed_or_is_another_thing(self):
        self.file.chmod(0o644)  # which an ordinary user reads, whatever the umask is
        self.folder.chmod(0o555)
        self.addCleanup(self.folder.chmod, 0o755)
        denied = "Permission denied. Check its permissions"
        self.assertRefused(PermissionError, denied, an_ordinary_user())
        self.folder.chmod(0o755)
        (self.folder / "folder").mkdir()
        for name, kind, message in (
            ("file/below", NotADirectoryError, f"Not a directory. {AWAY}"),
            ("none/a", FileNotFoundError, "No such file or directory. Check the path"),
            ("folder", IsADirectoryError, f"Is a directory. {AWAY}"),
        ):
            self.file = self.folder / name
            self.assertRefused(kind, message)


class OpenedTest(helpers.TestCase):
    def test_what_is_no_regular_file_is_refused_without_a_wait(self):
        os.mkfifo(self.folder / "pipe")
        listening = self.enterContext(socket.socket(socket.AF_UNIX))
        listening.bind(str(self.folder / "socket"))
        (self.folder / "file").write_bytes(b"contents")
        (self.folder / "link").symlink_to("file")
        self.assertEqual(disk.contents(self.folder / "link"), b"contents")
        for path in ("/dev/zero", "/dev/tty", *(self.folder / x for x in (".", "pipe", "socket"))):
            for read in (disk.opened, disk.contents, disk.read_json):
                with self.assertRaisesRegex(OSError, f"file as {path}. Received: a folder, a pipe"):
                    read(path)
            with self.assertRaisesRegex(ValueError, "no file"):
                decoding.contents(path)
            self.assertIsNone(tensors.count(path))

    def test_what_becomes_a_pipe_before_it_is_opened(self):
        path, stat = self.folder / "pipe", os.stat
        os.mkfifo(path)
        regular = stat(__file__)

        def before(place):
            return regular if place == path else stat(place)

        with mock.patch.object(os, "stat", before), self.assertRaisesRegex(OSError, "a regular"):
            disk.opened(path)


class RefusedTest(helpers.TestCase):
    def test_a_disk_without_locks(self):
        file = helpers.temporary_folder(self) / "lock"
        refusal = OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        with mock.patch("fcntl.flock", side_effect=refusal):
            with self.assertRaisesRegex(OSError, r"can hold .*lock \(flock\).*another disk"):
                with disk.locked(file, busy=self.fail):
                    self.fail()

    def test_places_where_no_file_can_be_written(self):
        folder, images = helpers.temporary_folder(self), (".png", ".pdf")
        (folder / "folder.png").mkdir()
        disk.check_place("--out", str(folder / "a.PNG"), images)
        disk.check_place("--out", "a")
        ends = "Expected --out as a name that ends in .png, .pdf, in a folder that exists.*"
        any_end = "Expected --out as a name, in a folder that exists.*"
        for path, suffixes, kind, message in (
            (folder / "a.jpg", images, ValueError, ends),
            (folder / "folder.png", images, ValueError, ends),
            (folder / "missing" / "a", (), ValueError, any_end),
            (None, (), ValueError, any_end),
            ("x" * 300, (), OSError, "^Expected --out as.*too long. Give a shorter name"),
            ("/proc/a.png", (), OSError, "Expected a folder /proc that takes files"),
        ):
            received = f": {path}. G" if kind is ValueError else ""
            with self.assertRaisesRegex(kind, message + received):
                disk.check_place("--out", path, suffixes)

    def test_errors_of_tensorflow_that_report_the_system(self):
        file = helpers.temporary_folder(self) / "file"
        file.touch()
        for path in (file, file / "below"):
            expected = f"Expected to write logs to {path}. Received: Not a directory. {AWAY}, and"
            with self.assertRaisesRegex(NotADirectoryError, f"^{expected} give the same command"):
                with disk.explained(f"to write logs to {path}"):
                    tf.summary.create_file_writer(str(path))
        full = tf.errors.ResourceExhaustedError(None, None, "/x/y; No space left on device")
        with self.assertRaisesRegex(OSError, "^Expected an export. Received: No space left on dev"):
            with disk.explained("an export"):
                raise full

    def test_other_errors_are_left_as_they_are(self):
        for error in (
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
            RuntimeError("No space left on device"),
            OSError("Expected a file. Received: No space left on device."),  # explained already
        ):
            with self.assertRaises(type(error)) as caught, disk.explained("another"):
                raise error
            self.assertIs(caught.exception, error)
