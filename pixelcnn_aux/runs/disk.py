"""Atomic writes, locks, and JSON files; errors of the operating system with a remedy."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import secrets
import stat
import tempfile

from pixelcnn_aux import arguments

ASIDE = "writing."  # begins the names of files that are not whole yet

AGAIN = ", and give the same command again"
GOES_ON = f"{AGAIN}: training goes on from its last checkpoint"

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
    errno.ENOENT: "Put back what was removed",
    errno.EEXIST: _ANOTHER_KIND,
    errno.EISDIR: _ANOTHER_KIND,
    errno.ELOOP: _ANOTHER_KIND,  # a link, where none is followed
    errno.ENAMETOOLONG: "Give a shorter name",
    errno.ENOTDIR: _ANOTHER_KIND,
    errno.EBADF: "Leave it open",
    errno.EPIPE: "Have all of it read",
}


@contextlib.contextmanager
def explained(expected, then=AGAIN):
    """Has the system's errors within it, also TensorFlow's that tell of them, say what to do.

    `expected` is what was being done to which path, as "to write runs/mine/config.json", and `then` the end
    of what to do. Raises OSError, of the class that Python has for the system's error.
    """
    try:
        yield
    except Exception as error:
        number = _number(error)
        if number is None:
            raise
        remedy = _REMEDIES.get(number, "Mend that")
        raise type(OSError(number, ""))(
            f"Expected {expected}. Received: {os.strerror(number)}. {remedy}{then}."
        ) from error


def _number(error):
    """The system's number of an error, one of `errno`; None where the system is not to blame."""
    if isinstance(error, OSError):
        return error.errno  # None if it is explained already
    words = str(getattr(error, "message", "")).lower()  # of a tf.errors.OpError
    return next((number for number in _REMEDIES if os.strerror(number).lower() in words), None)


def exists(file):
    """Whether a file is there. Raises OSError, as `explained`, where the system does not say."""
    with explained(f"to read {file}"):
        return file.exists()


def contents(file):
    """The bytes of a file. Raises OSError, also for a pipe or a device, which may have no end."""
    with explained(f"to read {file}"):
        kind = stat.S_IFMT(os.stat(file).st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR):
            raise OSError(
                f"Expected a file. Received: {file}, a pipe or a device. {_ANOTHER_KIND}{AGAIN}."
            )
        return pathlib.Path(file).read_bytes()


@contextlib.contextmanager
def locked(file, busy, then=AGAIN):
    """Holds a file, which may be a new one, for one process; the system frees it whatever ends that.

    `busy` is called where another process holds it: it raises, or that process is waited for.
    """
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
    """Raises ValueError or OSError where a file of a flag, as "--out", could not be written later.

    Its name ends in one of `suffixes`, a tuple of str; in any where there are none.
    """
    file = pathlib.Path(path or "")
    ends = f" that ends in {', '.join(suffixes)}" if suffixes else ""
    with explained(f"{flag} as a place to write: {path}", then=""):
        refused = file.is_dir() or not file.parent.is_dir()
    if refused or (ends and file.suffix.lower() not in suffixes):
        raise ValueError(
            f"Expected {flag} as a name{ends}, in a folder that exists. Received: {path}. "
            "Give such a name, or make the folder."
        )
    writable(file.parent)


def check_new(file):
    """Raises ValueError where a file is there. Raises OSError, as `explained`."""
    if exists(pathlib.Path(file)):
        raise ValueError(
            f"Expected the name of a new file. Received: {file}, which is there. Remove it first."
        )


def new_file(file):
    """As `replacing`, of a file that was none when work began, and still is none."""
    check_new(file)
    return replacing(pathlib.Path(file), AGAIN)


def writable(folder):
    """A folder, made where there is none, that takes files. Raises OSError if it does not."""
    with explained(f"a folder {folder} that takes files"):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder


@contextlib.contextmanager
def replacing(file, then=GOES_ON, if_new=False):
    """Yields a binary file that takes the place of `file`, a path, once the disk has all of it.

    If that fails, or the process ends before, `file` is as it was. One that is there by then stays `if_new`.
    """
    # Of this process and this call alone: two that write the same file do not write into each other's.
    aside = file.with_name(f"{ASIDE}{os.getpid()}-{secrets.token_hex(4)}")
    with explained(f"to write {file}", then):
        try:
            with open(aside, "xb") as opened:
                yield opened
                opened.flush()
                os.fsync(opened.fileno())
            (_name_if_new if if_new else os.replace)(aside, file)
        except BaseException:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise


def _name_if_new(aside, file):
    """Gives what is in `aside` the name `file`, unless a process beside this one was first."""
    try:
        os.link(aside, file)
    except OSError:
        # Without hard links, as on exFAT. Of two processes at one moment the later one's stays.
        if not file.exists():
            os.replace(aside, file)
            return
    aside.unlink()


def write_json(file, contents, if_new=False):
    """Writes what JSON can hold, as `replacing`. Raises ValueError for numbers that are not finite."""
    text = json.dumps(contents, indent=2, allow_nan=False)
    with replacing(file, AGAIN, if_new) as opened:
        opened.write(f"{text}\n".encode())


def remove_unfinished(folder):
    """Removes what processes that were killed have left of `replacing` anywhere in a folder."""
    for aside in folder.rglob(f"{ASIDE}*"):
        if not aside.is_dir():  # someone else's
            aside.unlink()


_DEEPEST = 64  # lists and objects in one another: several times what a description needs


def read_json(file):
    """What a file of JSON holds. Raises OSError as `contents`, and ValueError where it is damaged."""
    text = contents(file)
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
        if _depth(found) > _DEEPEST:
            raise ValueError(f"lists and objects in one another, more than {_DEEPEST} deep")
        return found
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"Expected JSON in {file}. Received: a damaged file ({error}). Restore the file."
        ) from error


def read_dict(file, what, *keys):
    """The dict that a file of JSON holds, which has all `keys`: as `read`, or ValueError: it is no `what`."""
    found = read_json(file)
    if not isinstance(found, dict) or not found.keys() >= set(keys):
        raise ValueError(
            f"Expected {what} in {file}. Received: {arguments.short_repr(found)}. Restore the file."
        )
    return found


def _unique(pairs):
    """A dict of pairs, whose keys differ: `json` itself keeps the last of several."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a key twice among {arguments.short_repr([key for key, _ in pairs])}")
    return found


def _refuse_constant(name):
    raise ValueError(f"{name}, which is no number of JSON")


def _depth(value):
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, parts), default=0)


def write_or_agree(file, settings, prefix=""):
    """Writes settings, a dict, to a new file, or raises ValueError where it has others or is damaged.

    `prefix` stands before the name of each setting in the error.
    """
    settings = json.loads(json.dumps(settings))
    if not exists(file):
        with explained(f"to write {file}"):
            file.parent.mkdir(parents=True, exist_ok=True)
        # A process beside this one may write it at the same time: the first one's file stays.
        write_json(file, settings, if_new=True)
    recorded = read_dict(file, "settings")
    if found := differences(recorded, settings, prefix):
        raise ValueError(
            f"Expected a workdir made with the same settings; {file} has others. Received: {found}. "
            "Choose another --workdir, or the settings of this one."
        )


def differences(recorded, settings, prefix="", most=5):
    """The first settings that differ, of what JSON can hold, as "image.epochs: 3 instead of 2, ..."."""
    before, now = (dict(_leaves(of)) for of in (recorded, settings))
    differing = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    shown = [
        f"{prefix}{key}: {json.dumps(now.get(key))} instead of {json.dumps(before.get(key))}"
        for key in differing[:most]
    ]
    return ", ".join([*shown, *(["..."] if len(differing) > most else [])])


def _leaves(settings, path=""):
    """Pairs of a path, such as model.config.image_size.0, and what is there, of nested dicts and lists."""
    if not isinstance(settings, (dict, list)):
        yield path, settings
        return
    for key, value in settings.items() if isinstance(settings, dict) else enumerate(settings):
        yield from _leaves(value, f"{path}.{key}" if path else str(key))
