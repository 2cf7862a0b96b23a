"""Atomic writes, locks and JSON files; errors of the operating system, each with its remedy."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import secrets
import stat
import tempfile

from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.errors import expect, restated

ASIDE = "writing."  # begins the names of unfinished files

RETRY = ", and give the same command again"
RESUME = f"{RETRY}: training resumes from its last checkpoint"

_ANOTHER_KIND = "Move away what has this name"
_REMEDIES = {
    errno.ENOSPC: "Free space there",
    errno.EDQUOT: "Free space there",
    errno.EFBIG: "Raise the limit on the size of files (ulimit -f)",
    errno.EMFILE: "Raise the limit on open files (ulimit -n)",
    errno.ENFILE: "Have fewer files open on this machine",
    errno.EACCES: "Give yourself the right to do so",
    errno.EPERM: "Give yourself the right to do so",
    errno.EROFS: "Have that disk take writes",
    errno.ENOENT: "Check the path",
    errno.EEXIST: _ANOTHER_KIND,
    errno.EISDIR: _ANOTHER_KIND,
    errno.ELOOP: _ANOTHER_KIND,  # links are not followed
    errno.ENAMETOOLONG: "Give a shorter name",
    errno.ENOTDIR: _ANOTHER_KIND,
    errno.EBADF: "Leave it open",
    errno.EPIPE: "Have all of it read",
}
_DEEPEST = 64  # nested lists and objects in JSON: several times what a description needs


@contextlib.contextmanager
def explained(expected, then=RETRY):
    """Context that adds a remedy to errors of the operating system, also where TensorFlow reports them.

    `expected` names the action and the path, as "to write runs/mine/config.json"; `then` ends the remedy.
    Raises OSError, of the subclass that Python has for that error.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError):
            number = error.errno  # None if it is explained already
        else:
            words = str(getattr(error, "message", "")).lower()  # of a tf.errors.OpError
            number = next((x for x in _REMEDIES if os.strerror(x).lower() in words), None)
        if number is None:
            raise
        text = f"{os.strerror(number)}. {_REMEDIES.get(number, 'Mend that')}{then}."
        raise type(OSError(number, ""))(f"Expected {expected}. Received: {text}") from error


def exists(file):
    """Whether a file exists. Raises OSError, as `explained`, where the system does not say."""
    with explained(f"to read {file}"):
        return file.exists()


class NoFileError(OSError):
    """Something else has the name of a file to be read."""


def opened(file):
    """Opens a regular file to read, as all files from elsewhere are read.

    Raises OSError as `explained`, and NoFileError for a folder, and for a pipe or a device, which may never
    answer, or never end.
    """

    def check(place):
        fits, received = stat.S_ISREG(os.stat(place).st_mode), "a folder, a pipe or a device"
        expected, remedy = f"a regular file as {file}", f"{_ANOTHER_KIND}{RETRY}"
        expect(fits, expected, received, remedy, kind=NoFileError)

    with explained(f"to read {file}"), contextlib.ExitStack() as stack:
        check(file)  # to open a device may be to use it
        number = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        stack.callback(os.close, number)
        check(number)  # another may have got that name
        stack.pop_all()
        return os.fdopen(number, "rb")


def contents(file):
    """The bytes of a file. Raises as `opened`."""
    with opened(file) as found, explained(f"to read {file}"):
        return found.read()


@contextlib.contextmanager
def locked(file, busy, then=RETRY):
    """Holds a lock on a file. Where another process does, `busy` raises, or the lock is waited for."""
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
    """Raises ValueError or OSError unless a file can be written later to the path that a flag gives."""
    file = pathlib.Path(path or "")
    ends = f" that ends in {', '.join(suffixes)}" if suffixes else ""
    with explained(f"{flag} as a place to write: {path}", then=""):
        fits = not file.is_dir() and file.parent.is_dir()
    fits = fits and (not suffixes or file.suffix.lower() in suffixes)
    expected = f"{flag} as a name{ends}, in a folder that exists"
    expect(fits, expected, path, "Give such a name, or make the folder")
    writable(file.parent)


def check_new(file):
    """Raises ValueError if a file exists, or a link to nowhere, and OSError as `explained`."""
    is_new = not exists(pathlib.Path(file)) and not pathlib.Path(file).is_symlink()
    expect(is_new, "the name of a new file", f"{file}, which is there", "Remove it first")


def new_file(file):
    """As `replacing`, for a file that must not exist."""
    check_new(file)
    return replacing(pathlib.Path(file))


def writable(folder):
    """Makes a folder if need be, and returns it. Raises OSError if it does not take files."""
    with explained(f"a folder {folder} that takes files"):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder


@contextlib.contextmanager
def replacing(file, then=RETRY, if_new=False):
    """Yields a binary file that replaces `file`, a path, once the disk has all of it; else that is unchanged.

    With `if_new`, a file that exists by then stays.
    """
    # A name of its own, so that two writers of the same file do not mix.
    aside = file.with_name(f"{ASIDE}{os.getpid()}-{secrets.token_hex(4)}")
    with explained(f"to write {file}", then):
        try:
            with open(aside, "xb") as opened:
                yield opened
                opened.flush()
                os.fsync(opened.fileno())
            (_rename_if_new if if_new else os.replace)(aside, file)
        except BaseException:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise


def write_once(file, data):
    """Writes a new file, or keeps one of the same bytes. Raises ValueError for any other one, and OSError."""
    if not exists(file) or contents(file) != data:
        with new_file(file) as opened:
            opened.write(data)


def _rename_if_new(aside, file):
    """Gives `aside` the name `file`, unless another process was first."""
    try:
        os.link(aside, file)
    except OSError:
        # Without hard links, as on exFAT: of two processes at one moment the later one's stays.
        if not file.exists():
            os.replace(aside, file)
            return
    aside.unlink()


def write_json(file, value, if_new=False):
    """Writes JSON, as `replacing`. Raises ValueError for numbers that are not finite."""
    text = json.dumps(value, indent=2, allow_nan=False)
    with replacing(file, if_new=if_new) as opened:
        opened.write(f"{text}\n".encode())


def read_json(file):
    """The value in a JSON file. Raises OSError as `contents`, and ValueError for a damaged file."""

    def unique(pairs):  # `json` itself keeps the last of several
        found = dict(pairs)
        if len(found) < len(pairs):
            names = arguments.short_repr([key for key, _ in pairs])
            raise ValueError(f"a key twice among {names}")
        return found

    def refuse_constant(name):
        raise ValueError(f"{name}, which is no number of JSON")

    text = contents(file)
    received, remedy = "a damaged file", "Restore the file"
    with restated(f"JSON in {file}", received, remedy, ValueError, RecursionError):
        found = json.loads(text, object_pairs_hook=unique, parse_constant=refuse_constant)
        if _depth(found) > _DEEPEST:
            raise ValueError(f"lists and objects in one another, more than {_DEEPEST} deep")
        return found


def read_dict(file, what, *keys):
    """The dict in a JSON file, with all `keys`. Raises as `read_json`, and ValueError for other JSON."""
    found = read_json(file)
    fits = isinstance(found, dict) and found.keys() >= set(keys)
    expect(fits, f"{what} in {file}", arguments.short_repr(found), "Restore the file")
    return found


def _depth(value):
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, parts), default=0)


def write_or_agree(file, settings, prefix=""):
    """Writes a dict of settings to a new file. Raises ValueError if the file has others, or is damaged."""
    settings = json.loads(json.dumps(settings))
    if not exists(file):
        with explained(f"to write {file}"):
            file.parent.mkdir(parents=True, exist_ok=True)
        # Another process may write it at the same time: the first one's file stays.
        write_json(file, settings, if_new=True)
    found = differences(read_dict(file, "settings"), settings, prefix)
    expected = f"a workdir made with the same settings; {file} has others"
    expect(not found, expected, found, "Choose another --workdir, or the settings of this one")


def differences(recorded, settings, prefix="", most=5):
    """The first settings that differ between two values of JSON, as "image.epochs: 3 instead of 2, ..."."""
    before, now = (dict(_leaves(of)) for of in (recorded, settings))
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
