"""Descriptions and settings as files of JSON, and how two of them differ."""

import json

from pixelcnn_aux import arguments
from pixelcnn_aux.runs import disk

_DEEPEST = 64  # lists and objects in one another: several times what a description needs


def read(file):
    """What a file of JSON holds. Raises OSError as `disk.contents`, and ValueError where it is damaged."""
    text = disk.contents(file)
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


def _depth(value):
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, parts), default=0)


def write_or_agree(file, settings, prefix=""):
    """Writes settings, a dict, to a new file, or raises ValueError where it has others or is damaged.

    `prefix` stands before the name of each setting in the error.
    """
    settings = json.loads(json.dumps(settings))
    if not disk.exists(file):
        with disk.explained(f"to write {file}"):
            file.parent.mkdir(parents=True, exist_ok=True)
        # A process beside this one may write it at the same time: the first one's file stays.
        disk.write_json(file, settings, if_new=True)
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
