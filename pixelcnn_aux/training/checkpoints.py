"""What training needs to go on, as files of arrays, whichever Keras backend wrote them.

A checkpoint is an uncompressed .npz of arrays by name, written beside its place and moved there whole. The
format itself has a checksum of every array, so that what can be read is what was written.
"""

import errno
import os
import re
import zipfile

import numpy as np
from absl import logging
from keras import ops

from pixelcnn_aux.runs import disk

_NAME = re.compile(r"step-([0-9]+)\.npz")


def save(folder, step, groups, before=None):
    """Writes a checkpoint, and removes all others but the one before it.

    Args:
      folder: `pathlib.Path`, of one factor's checkpoints.
      step: int, how many steps were done.
      groups: dict, name -> list of Keras variables.
      before: int, the step that was saved or restored last; others may be damaged. None at the start.

    Raises:
      OSError: as `disk.explained`.
    """
    with disk.replacing(file(folder, step)) as opened:
        np.savez(opened, **{key: _value(variable) for key, variable in _named(groups)})
    with disk.explained(f"to remove old checkpoints from {folder}", disk.GOES_ON):
        for other, old in found(folder):
            if other not in (step, before):
                old.unlink()


def file(folder, step):
    """The path of the checkpoint of a step."""
    return folder / f"step-{step}.npz"


def found(folder):
    """[(step, path)] of a folder's checkpoints, the newest first; none where there is no folder."""
    with disk.explained(f"to read the folder {folder}"):
        names = os.listdir(folder) if folder.exists() else []
    matches = filter(None, map(_NAME.fullmatch, names))
    return sorted(((int(match[1]), folder / match[0]) for match in matches), reverse=True)


def restore(folder, groups):
    """Gives variables the values of the newest checkpoint that is whole; a damaged one is named in a warning.

    Args:
      folder: as of `save`.
      groups: as of `save`: variables of the same shapes in the same order, perhaps of another backend.

    Returns:
      int, how many steps were done. Variables are changed together or not at all.

    Raises:
      OSError: as `disk.explained`.
      ValueError: if a checkpoint is of another network, or none that is whole is there.
    """
    damaged = []
    for step, path in found(folder):
        with disk.explained(f"to read {path}"):
            contents = open(path, "rb")
        try:
            with contents:
                _check(contents)
                contents.seek(0)
                with np.load(contents) as opened:  # It loads no pickles.
                    arrays = {key: opened[key] for key in opened.files}
        except MemoryError:
            raise  # No damage: checksums are compared before there is room for any array.
        except Exception as error:  # Damaged bytes raise whatever they happen to spell.
            # EINVAL is what damaged bytes get that name a place before the beginning. Others are the disk's.
            if getattr(error, "errno", None) not in (None, errno.EINVAL):
                with disk.explained(f"to read {path}"):
                    raise
            summary = f"{type(error).__name__}: {error}".splitlines()[0]
            damaged.append(f"{path} ({summary})")
            continue
        _assign(arrays, groups, path)
        for one in damaged:
            logging.warning(
                "Left out a damaged checkpoint, and goes on from %s: %s", path.name, one
            )
        return step
    raise ValueError(
        f"Expected a whole checkpoint in {folder}. Received: {', '.join(damaged) or 'none'}. To start anew, "
        "remove the folder."
    )


def _check(opened):
    """Compares all checksums in a file: what an array's header says may take more memory than there is."""
    with zipfile.ZipFile(opened) as archive:
        if name := archive.testzip():
            raise zipfile.BadZipFile(f"another checksum of {name}")


def _named(groups):
    for group, variables in groups.items():
        for index, variable in enumerate(variables):
            yield f"{group}/{index}", variable


def _value(variable):
    return ops.convert_to_numpy(variable.value)


def _assign(arrays, groups, path):
    variables = dict(_named(groups))
    expected = {key: tuple(variable.shape) for key, variable in variables.items()}
    received = {key: array.shape for key, array in arrays.items()}
    if received != expected:
        differing = [
            key for key in {**expected, **received} if expected.get(key) != received.get(key)
        ]
        key = differing[0]
        raise ValueError(
            f"Expected a checkpoint of this network in {path}. Received: one of another network, with "
            f"{received.get(key, 'nothing')} instead of {expected.get(key, 'nothing')} as {key}. Choose "
            "another --workdir, or remove the folder to start anew."
        )
    for key, variable in variables.items():
        variable.assign(arrays[key].astype(variable.dtype))
