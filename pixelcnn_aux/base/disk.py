"""Atomic writes, locks and JSON files; operating system errors with remedies."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import pathlib
import secrets
import stat
import tempfile

from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.errors import expect, restated

ASIDE = "writing."  # prefix of unfinished files

RETRY = ", and give the same command again"
RESUME = f"{RETRY}: training resumes from its last checkpoint"

_ANOTHER_KIND = "Move away whatever has this name"
_REMEDIES = {
    errno.ENOSPC: "Free space there",
    errno.EDQUOT: "Free space there",
    errno.EFBIG: "Raise the limit on the size of files (ulimit -f)",
    errno.EMFILE: "Raise the limit on open files (ulimit -n)",
    errno.ENFILE: "Close some files on this machine",
    errno.EACCES: "Check its permissions",
    errno.EPERM: "Check its permissions",
    errno.EROFS: "Remount it read-write",
    errno.ENOENT: "Check the path",
    errno.EEXIST: _ANOTHER_KIND,
    errno.EISDIR: _ANOTHER_KIND,
    errno.ELOOP: _ANOTHER_KIND,  # links are not followed
    errno.ENAMETOOLONG: "Give a shorter name",
    errno.ENOTDIR: _ANOTHER_KIND,
    errno.EBADF: "Keep it open",
    errno.EPIPE: "Read all of the output",
}
FULL = os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT)  # also of errors from other processes
_DEEPEST = 64  # levels of JSON, several times the depth of a description


@contextlib.contextmanager
def explained(expected, then=RETRY):
    """Adds a remedy to operating system errors, also to those that TensorFlow reports.

    `expected` names the action and the path, as "to write runs/mine/config.json"; `then` ends the remedy.
    Raises Python's subclass of OSError for the error.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError):
            number = error.errno  # None if it is already explained
        else:
            words = str(getattr(error, "message", "")).lower()  # of a tf.errors.OpError
            number = next((x for x in _REMEDIES if os.strerror(x).lower() in words), None)
        if number is None:
            raise
        text = f"{os.strerror(number)}. {_REMEDIES.get(number, 'Fix the cause')}{then}."
        raise type(OSError(number, ""))(f"Expected {expected}. Received: {text}") from error


def exists(file):
    """Whether a file exists. Raises OSError as `explained` if that is unknown."""
    with explained(f"to read {file}"):
        return file.exists()


class NoFileError(OSError):
    """The path to read is not a regular file."""


def opened(file):
    """Opens a regular file for reading. Raises OSError as `explained`; for anything else, NoFileError."""
    # Pipes and devices may block, or never end.

    def check(place):
        fits, received = stat.S_ISREG(os.stat(place).st_mode), "a folder, a pipe or a device"
        expected, remedy = f"a regular file as {file}", f"{_ANOTHER_KIND}{RETRY}"
        expect(fits, expected, received, remedy, kind=NoFileError)

    with explained(f"to read {file}"), contextlib.ExitStack() as stack:
        check(file)  # opening a device may have effects
        number = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        stack.callback(os.close, number)
        check(number)  # the path may have been replaced
        stack.pop_all()
        return os.fdopen(number, "rb")


def contents(file):
    """The bytes of a file. Raises as `opened`."""
    with opened(file) as stream, explained(f"to read {file}"):
        return stream.read()


def checksum(file):
    """The SHA-256 of a file's bytes, hexadecimal; None if they cannot be read."""
    with contextlib.suppress(OSError):
        return hashlib.sha256(contents(file)).hexdigest()


@contextlib.contextmanager
def locked(file, busy, then=RETRY):
    """Holds a lock on a file. If another process does, calls `busy`, then waits unless that raised."""
    with contextlib.ExitStack() as stack:
        with explained(f"to write {file}", then):
            opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            stack.callback(os.close, opened)
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                busy()
                fcntl.flock(opened, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
                    raise
                raise OSError(
                    f"Expected a disk on which a process can hold {file} (flock). Received: "
                    f"{os.strerror(error.errno)}. Give a folder on another disk, or mount it with locks."
                ) from error
        yield


def check_place(flag, path, suffixes=()):
    """Raises ValueError or OSError unless a file can be written to a flag's path later."""
    file = pathlib.Path(path or "")
    ends = f" that ends in {', '.join(suffixes)}" if suffixes else ""
    with explained(f"{flag} as a place to write: {path}", then=""):
        fits = not file.is_dir() and file.parent.is_dir()
    fits = fits and (not suffixes or file.suffix.lower() in suffixes)
    expected = f"{flag} as a name{ends}, in a folder that exists"
    expect(fits, expected, path, "Give such a name, or make the folder")
    writable(file.parent)


def check_new(file):
    """Raises ValueError if a file, or a dangling link, exists, and OSError as `explained`."""
    is_new = not exists(pathlib.Path(file)) and not pathlib.Path(file).is_symlink()
    expect(is_new, "the name of a new file", f"{file}, which exists", "Remove it first")


def new_file(file):
    """`replacing` for a file that must not exist."""
    check_new(file)
    return replacing(pathlib.Path(file))


def writable(folder):
    """Returns a folder, created if needed. Raises OSError if it is not writable."""
    with explained(f"a folder {folder} that takes files"):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder


@contextlib.contextmanager
def replacing(file, then=RETRY, if_new=False):
    """Yields a binary file that atomically replaces `file`; with `if_new`, only if none exists by then."""
    # A unique name, so that two writers of the same file do not mix.
    aside = file.with_name(f"{ASIDE}{os.getpid()}-{secrets.token_hex(4)}")
    with explained(f"to write {file}", then):
        try:
            with open(aside, "xb") as opened:
                with contextlib.suppress(OSError):  # no locks there
                    fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
                yield opened
                opened.flush()
                os.fsync(opened.fileno())
                (_rename_if_new if if_new else os.replace)(aside, file)
        except BaseException:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise


def remove_unfinished(folder, below=""):
    """Removes files that killed processes were `replacing`, as far as the system allows it."""
    # A user's own files may begin with `ASIDE`, too.
    for aside in folder.glob(f"{below}{ASIDE}[0-9]*-{8 * '[0-9a-f]'}"):
        if aside.is_file():
            with contextlib.suppress(OSError), open(aside, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails if its writer lives
                aside.unlink()


def write_once(file, data):
    """Writes a new file, or keeps one of the same bytes. Raises ValueError for any other one, and OSError."""
    if not exists(file) or contents(file) != data:
        with new_file(file) as opened:
            opened.write(data)


def _rename_if_new(aside, file):
    """Renames `aside` to `file` unless another process was first."""
    try:
        os.link(aside, file)
    except OSError:
        # Without hard links, as on exFAT, the later of two simultaneous writers wins.
        if not file.exists():
            os.replace(aside, file)
            return
    aside.unlink()


def write_json(file, value, if_new=False):
    """Writes JSON by `replacing`. Raises ValueError for numbers that are not finite."""
    text = json.dumps(value, indent=2, allow_nan=False)
    with replacing(file, if_new=if_new) as opened:
        opened.write(f"{text}\n".encode())


def read_json(file):
    """The value in a JSON file. Raises OSError as `contents`, and ValueError for a damaged file."""

    def unique(pairs):  # `json` itself keeps the last duplicate
        entries = dict(pairs)
        if len(entries) < len(pairs):
            names = arguments.short_repr([key for key, _ in pairs])
            raise ValueError(f"a duplicate key among {names}")
        return entries

    def refuse_constant(name):
        raise ValueError(f"{name}, which is not a JSON number")

    text = contents(file)
    received, remedy = "a damaged file", "Restore the file"
    with restated(f"JSON in {file}", received, remedy, ValueError, RecursionError):
        value = json.loads(text, object_pairs_hook=unique, parse_constant=refuse_constant)
        if _depth(value) > _DEEPEST:
            raise ValueError(f"lists and objects nested more than {_DEEPEST} deep")
        return value


def read_dict(file, what, *keys):
    """The dict in a JSON file, with all of `keys`. Raises as `read_json`, and ValueError for other JSON."""
    value = read_json(file)
    fits = isinstance(value, dict) and value.keys() >= set(keys)
    expect(fits, f"{what} in {file}", arguments.short_repr(value), "Restore the file")
    return value


def _depth(value):
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, parts), default=0)


def write_or_agree(file, settings, prefix=""):
    """Writes settings, a dict, unless the file exists. Raises ValueError if it differs or is damaged."""
    settings = json.loads(json.dumps(settings))
    if not exists(file):
        with explained(f"to write {file}"):
            file.parent.mkdir(parents=True, exist_ok=True)
        # If another process writes it at the same time, the first file stays.
        write_json(file, settings, if_new=True)
    differing = differences(read_dict(file, "settings"), settings, prefix)
    expected = f"a workdir made with the same settings; {file} has others"
    expect(not differing, expected, differing, "Choose another --workdir, or its own settings")


def differences(recorded, settings, prefix="", most=5):
    """The first differences of two JSON values, as "image.epochs: 3 instead of 2, ..."."""
    before, now = dict(_leaves(recorded)), dict(_leaves(settings))
    differing = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    first = [
        f"{prefix}{key}: {json.dumps(now.get(key))} instead of {json.dumps(before.get(key))}"
        for key in differing[:most]
    ]
    return ", ".join([*first, *(["..."] if len(differing) > most else [])])


def _leaves(settings, path=""):
    """Yields (path, value) of nested dicts and lists; a path is like model.config.image_size.0."""
    if not isinstance(settings, (dict, list)):
        yield path, settings
        return
    for key, value in settings.items() if isinstance(settings, dict) else enumerate(settings):
        yield from _leaves(value, f"{path}.{key}" if path else str(key))
