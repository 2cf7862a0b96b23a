"""What training needs to go on, as files of arrays, whichever Keras backend wrote them."""

import os
import re

from absl import logging
from keras import ops

from pixelcnn_aux.runs import disk, tensors

_NAME = re.compile(r"step-([0-9]+)\.safetensors")


def save(folder, step, groups, identity, before=None):
    """Writes the checkpoint of a step to a folder, and removes all others but that of the step `before`.

    That one was saved or restored last, where others may be damaged. `groups` are lists of Keras variables by
    name, and `identity` is what they belong to, as of `weight_files.identity`.
    """
    arrays = {name: ops.convert_to_numpy(x.value) for name, x in _named(groups).items()}
    tensors.write(file(folder, step), arrays, {**identity, "step": step}, disk.GOES_ON)
    with disk.explained(f"to remove old checkpoints from {folder}", disk.GOES_ON):
        for other, old in found(folder):
            if other not in (step, before):
                old.unlink()


def file(folder, step):
    """The path of the checkpoint of a step."""
    return folder / f"step-{step}.safetensors"


def found(folder):
    """[(step, path)] of a folder's checkpoints, the newest first; none where there is no folder."""
    with disk.explained(f"to read the folder {folder}"):
        names = os.listdir(folder) if folder.exists() else []
    matches = filter(None, map(_NAME.fullmatch, names))
    return sorted(((int(match[1]), folder / match[0]) for match in matches), reverse=True)


def restore(folder, groups, identity):
    """Gives variables, as of `save`, the values of the newest checkpoint that is whole; returns its step.

    A warning names a damaged one. Raises ValueError if none is whole and of this factor; no variable is
    changed then.
    """
    damaged = []
    for step, path in found(folder):
        try:
            arrays, _ = tensors.read(path, {**identity, "step": step})
            tensors.assign(_named(groups), arrays)
        except ValueError as error:
            damaged.append(f"{path} ({error})")
            continue
        for one in damaged:
            logging.warning(
                "Left out a damaged checkpoint, and goes on from %s: %s", path.name, one
            )
        return step
    raise ValueError(
        f"Expected a whole checkpoint of this factor in {folder}. Received: {', '.join(damaged) or 'none'}. "
        "To start anew, remove the folder."
    )


def _named(groups):
    """The variables of groups by the names that they have in files: dict, str -> `keras.Variable`."""
    return {
        f"{group}/{index}": variable
        for group, variables in groups.items()
        for index, variable in enumerate(variables)
    }
