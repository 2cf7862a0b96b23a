"""Descriptions and settings as files of JSON, and how two of them differ."""

import json

from pixelcnn_aux import arguments
from pixelcnn_aux.runs import disk

_DEEPEST = 64  # several times what a description needs


def read(file):
    """What a file of JSON holds.

    Raises OSError as `disk.contents`, and ValueError where it is damaged.
    """
    text = disk.contents(file)
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
        _check_depth(found, _DEEPEST)
        return found
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"Expected JSON in {file}. Received: a damaged file ({error}). Restore the file."
        ) from error


def read_dict(file, what, *keys):
    """The object that a file of JSON holds, a dict that has all `keys`.

    Raises OSError and ValueError as `read`, and ValueError for anything else, of which `what` says what it is
    not.
    """
    found = read(file)
    if not isinstance(found, dict) or not found.keys() >= set(keys):
        raise ValueError(
            f"Expected {what} in {file}. Received: {arguments.shown(found)}. Restore the file."
        )
    return found


def _unique(pairs):
    """A dict of pairs, whose keys differ: `json` itself keeps the last of several."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a key twice among {arguments.shown([key for key, _ in pairs])}")
    return found


def _refuse_constant(name):
    raise ValueError(f"{name}, which is no number of JSON")


def _check_depth(value, left):
    """Raises ValueError for lists in lists in lists, which would be too many functions in functions."""
    if left == 0:
        raise ValueError(f"lists and objects in one another, more than {_DEEPEST} deep")
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        _check_depth(part, left - 1)


def write_or_agree(file, settings, prefix=""):
    """Writes settings to a new file, or finds that it has the same ones.

    Args:
      file: `pathlib.Path`, in a folder that is made where there is none.
      settings: dict that JSON can hold.
      prefix: str, before the name of each setting in an error.

    Raises:
      OSError: as `disk.explained`.
      ValueError: if the file has other settings, or is damaged; nothing is changed.
    """
    settings = json.loads(json.dumps(settings))
    with disk.explained(f"to write {file}"):
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            # A process beside this one may write it at the same time: the first one's file stays.
            with disk.replacing(file, disk.AGAIN, if_new=True) as opened:
                opened.write((json.dumps(settings, indent=2) + "\n").encode())
    recorded = read_dict(file, "settings")
    if found := differences(recorded, settings, prefix):
        raise ValueError(
            f"Expected a workdir made with the same settings; {file} has others. Received: {found}. "
            "Choose another --workdir, or the settings of this one."
        )


def differences(recorded, settings, prefix="", most=5):
    """The first settings that differ, as "image.epochs: 3 instead of 2, ..."; "" where none does.

    Args:
      recorded, settings: what JSON can hold.
      prefix: str, before the name of each setting.
      most: int, how many are shown.
    """
    before, now = (dict(_leaves(of)) for of in (recorded, settings))
    differing = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    shown = [
        f"{prefix}{key}: {json.dumps(now.get(key))} instead of {json.dumps(before.get(key))}"
        for key in differing[:most]
    ]
    return ", ".join([*shown, *(["..."] if len(differing) > most else [])])


def _leaves(settings, path=""):
    """Pairs of a path, such as model.config.image_size.0, and what is there, of nested dicts and lists."""
    if isinstance(settings, dict):
        pairs = settings.items()
    elif isinstance(settings, list):
        pairs = enumerate(settings)
    else:
        yield path, settings
        return
    for key, value in pairs:
        yield from _leaves(value, f"{path}.{key}" if path else str(key))
