"""The folder that a training run leaves: what was trained, and each factor's averaged weights.

    W/config.json                   the description of the run and of its model
    W/FACTOR/training.json          how the factor is trained
    W/FACTOR/average.weights.h5     the weights that evaluation, samples and exports use
    W/FACTOR/best.weights.h5        those of the epoch that was the best by validation
    W/FACTOR/checkpoints/           what training needs to go on
    W/FACTOR/metrics.csv            its figures, epoch by epoch
    W/FACTOR/logs/                  the same for TensorBoard, and traces of --profile
    W/FACTOR/samples/               images drawn as training went on

A factor touches only its own folder, so that several may train on one workdir at once.
"""

import contextlib
import json
import math
import os
import pathlib

from absl import logging

from pixelcnn_aux import arguments
from pixelcnn_aux.runs import disk, weight_files

RUNS = pathlib.Path("runs")
_CONFIG = "config.json"
_AVERAGE, _BEST = "average.weights.h5", "best.weights.h5"
_DEEPEST = 64  # several times what a description needs


def create(path, config):
    """Makes `path` the folder of the run that `config` describes, or finds that it is already.

    Args:
      path: path of the folder.
      config: dict that JSON can hold.

    Raises:
      OSError: as `disk.explained`.
      ValueError: if the folder is that of another run, or holds other things; nothing is changed.
    """
    path = pathlib.Path(path)
    with disk.explained(f"to read the folder {path}"):
        others = path.exists() and not (path.is_dir() and all(map(_ours, path.iterdir())))
        # Asked last: a process beside this one writes it before it makes what is not `_ours`.
        if others and not (path / _CONFIG).exists():
            raise ValueError(
                f"Expected an empty or new folder, or one of an earlier run. Received: {path}, which "
                f"holds other things. Choose another --workdir."
            )
    _write_or_agree(path / _CONFIG, config, path)


def record_training(path, name, settings, defaults=None):
    """Writes how a factor is trained into its folder, or finds that it was trained so before.

    Args:
      path: path of the workdir.
      name: str, of the factor.
      settings: dict that JSON can hold.
      defaults: dict, what a record of before a setting there was stands for.

    Raises:
      OSError: as `disk.explained`.
      ValueError: if the factor was trained in another way; nothing is changed.
    """
    path = pathlib.Path(path)
    _write_or_agree(training_file(path, name), settings, path, f"{name}.", defaults)


def recorded_training(path, name):
    """How a factor is trained, as `record_training` wrote it; None where its training has not begun.

    Raises:
      ValueError: if the file is damaged.
    """
    file = training_file(path, name)
    with disk.explained(f"to read {file}"):
        if not file.exists():
            return None
    found = _read_json(file)
    if not isinstance(found, dict):
        raise ValueError(
            f"Expected settings in {file}. Received: {found!r}. Restore the file, or train in another folder."
        )
    return found


def _write_or_agree(file, settings, path, prefix="", defaults=None):
    settings = json.loads(json.dumps(settings))
    with disk.explained(f"to write {file}"):
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            with disk.replacing(file, disk.AGAIN, if_new=True) as opened:
                opened.write((json.dumps(settings, indent=2) + "\n").encode())
    recorded = _read_json(file)
    if isinstance(recorded, dict):
        recorded = {**(defaults or {}), **recorded}
    # A setting without a default that an earlier version did not have yet is as good as None.
    if found := differences(recorded, settings, prefix):
        raise ValueError(
            f"Expected a workdir made with the same settings, {path} was made with others. "
            f"Received: {found}. "
            f"Choose another --workdir, or the settings of this one."
        )


def _ours(file):
    """Whether `create` makes a file of this name: one beside this process may be just about to."""
    return file.name.startswith((_CONFIG, disk.ASIDE))


def differences(found, config, prefix="", most=5):
    """The first settings that differ, as "image.epochs: 3 instead of 2, ..."; "" where none does.

    Args:
      found, config: what JSON can hold.
      prefix: str, before the name of each setting.
      most: int, how many are shown.
    """
    before, now = (dict(_leaves(settings)) for settings in (found, config))
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


def save_model(path, model, **settings):
    """Makes `path` the folder of a model, with the weights of all its factors.

    Args:
      path: path of the folder.
      model: `AuxiliaryModel`.
      **settings: what else `create` is given.

    Raises:
      OSError, ValueError: as `create`.
    """
    create(path, {**settings, "model": model.description()})
    for name, factor in model.factors.items():
        save_weights(path, name, factor)


def read(path):
    """The dict that `create` was given.

    Raises:
      FileNotFoundError: if `path` is no workdir.
      OSError: as `disk.explained`.
      ValueError: if its description is damaged.
    """
    file = pathlib.Path(path) / _CONFIG
    if not is_run(path):
        raise FileNotFoundError(
            f"Expected a workdir that training made, with a {_CONFIG} in it. Received: {path}. "
            "Train first, by pa.train, or in a checkout by python -m train.grayscale."
        )
    config = _read_json(file)
    if not isinstance(config, dict) or "model" not in config:
        raise ValueError(
            f"Expected the description of a run in {file}. Received: {arguments.shown(config)}. "
            "Restore the file, or give the folder of another run."
        )
    for key in ("dataset", "image_dir", "image_file"):
        if not isinstance(config.get(key), (str, type(None))):
            raise ValueError(
                f"Expected {key} in {file} as text or null. Received: {arguments.shown(config[key])}. "
                "Correct it."
            )
    return config


def _read_json(file):
    text = disk.contents(file)
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
        _check_depth(found, _DEEPEST)
        return found
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"Expected JSON in {file}. Received: a damaged file ({error}). "
            "Restore the file, or give the folder of another run."
        ) from error


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


def called(path):
    """What a run is called: the last part of its path, links not followed, and never ".."."""
    return os.path.basename(os.path.abspath(path))


def is_run(path):
    """Whether a folder is a workdir that training made. Raises OSError as `disk.explained`."""
    file = pathlib.Path(path) / _CONFIG
    with disk.explained(f"to read {file}"):
        return file.is_file()


def newest():
    """The workdir under `runs/` that training wrote to last; None if there is none."""
    runs = [file.parent for file in RUNS.glob(f"*/{_CONFIG}")]

    def last_written(run):
        weights = (file for name in (_AVERAGE, _BEST) for file in run.glob(f"*/{name}"))
        return max(map(_modified, (run / _CONFIG, *weights)))

    return max(runs, key=last_written, default=None)


def _modified(file):
    """When a file was written, in seconds; before all others if it is gone by now."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return -math.inf


def weights_file(path, name):
    """Where a factor's averaged weights are: present once training has saved them."""
    return pathlib.Path(path) / name / _AVERAGE


def training_file(path, name):
    """How a factor is trained: present once its training has begun."""
    return pathlib.Path(path) / name / "training.json"


def best_weights_file(path, name):
    """Where the best of a factor's averaged weights are: present once its first epoch is done."""
    return pathlib.Path(path) / name / _BEST


def checkpoints(path, name):
    """The folder of what training needs to go on."""
    return pathlib.Path(path) / name / "checkpoints"


def metrics_file(path, name):
    """The table of a factor's figures, epoch by epoch: present once its first epoch is done."""
    return pathlib.Path(path) / name / "metrics.csv"


def logs(path, name):
    """The folder of TensorBoard's files."""
    return pathlib.Path(path) / name / "logs"


def samples(path, name):
    """The folder of pictures of what the factor drew as it was trained."""
    return pathlib.Path(path) / name / "samples"


def save_weights(path, name, factor):
    """Writes a factor's weights into a workdir, so that a reader sees the old file or the new one."""
    file = weights_file(path, name)
    with disk.explained(f"a folder {file.parent}"):
        file.parent.mkdir(exist_ok=True)
    weight_files.save(file, factor)


def save_if_best(path, name, factor, step, val_bits_per_dim):
    """Writes a factor's weights as its best ones, unless those of an earlier step are as good.

    Those of a later step give way: a run that goes on takes that step again.

    Args:
      path: path of the workdir.
      name: str, the factor's.
      factor: `Factor`.
      step: int, how many steps were done.
      val_bits_per_dim: float, by which weights are compared.

    Raises:
      OSError: as `disk.explained`.
    """
    file = best_weights_file(path, name)
    notes = {"step": step, "val_bits_per_dim": val_bits_per_dim}
    try:
        kept = weight_files.notes(file) if file.exists() else None
    except ValueError as error:
        logging.warning(
            "Expected the best weights so far in %s. Received: a damaged file (%s). Those of step %d take "
            "its place.",
            *(file, error, step),
        )
        kept = None
    earlier = kept and kept.get("step", step) < step
    if earlier and kept.get("val_bits_per_dim", math.inf) <= val_bits_per_dim:
        return
    weight_files.save(file, factor, **notes)


def load_weights(path, name, factor, best=False):
    """Reads a factor's averaged weights from a workdir, or the best of them; False if there are none yet.

    Raises ValueError for a file that is damaged or of another network, or has weights that are not finite,
    and OSError as `disk.explained`.
    """
    file = best_weights_file(path, name) if best else weights_file(path, name)
    with disk.explained(f"to read {file}"):
        if not file.exists():
            if best and weights_file(path, name).exists():
                raise ValueError(
                    f"Expected the best weights of factor {name!r} in {file}. Received: no such file, as in "
                    "models of the package, and runs of earlier versions or imported weights. Load the "
                    "last ones, without best."
                )
            return False
    try:
        weight_files.load(file, factor)
    except ValueError as error:
        raise ValueError(
            f"Expected the weights of factor {name!r} in {file}. Received: a file that is damaged or of "
            f"another network ({error}). {_remedy(path, name, best)}"
        ) from error
    return True


def _remedy(path, name, best):
    """What to do about a damaged file of a factor's weights."""
    if best:
        return "Load the last ones, without best."
    if any(checkpoints(path, name).glob("*.npz")):
        return "Run training again, which writes it anew from its last checkpoint."
    return "Restore the file: there is no checkpoint beside it, from which training would write it anew."


@contextlib.contextmanager
def lock(path, name):
    """Holds a factor's folder for one training process; the system frees it whatever ends that.

    The folder is made where there is none, and what a process that was killed was just writing is removed.

    Raises RuntimeError if another process holds it, and OSError as `disk.explained`.
    """
    folder = pathlib.Path(path) / name
    for made in (folder, checkpoints(path, name)):
        with disk.explained(f"a folder {made}"):
            made.mkdir(parents=True, exist_ok=True)

    def refuse():
        raise RuntimeError(
            f"Expected to be alone in training factor {name!r} in {path}. Received: another process at it. "
            "Wait for it, or choose another --factor or --workdir."
        ) from None

    with disk.locked(folder / "lock", refuse):
        with disk.explained(f"to write {folder}"):
            disk.remove_unfinished(folder)
        yield
