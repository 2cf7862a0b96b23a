"""Training for a number of minutes: the number of steps, and the folder of the runs.

How long a step takes is measured of all runs in turn, before any is trained, and kept in the folder: what
slows the machine down later changes no result, and a run that goes on keeps its steps.
"""

import dataclasses
import json
import statistics

from benchmarks import common, timing
from pixelcnn_aux.runs import disk
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.training import devices

TIMED, ROUNDS = 10, 9  # steps that are timed at once, and how often, after a first time


def record(out, given, whose):
    """Writes what the runs in a folder share, a dict, into it; or finds that they were begun with the same.

    Raises ValueError if they were not; `whose` is what the error calls them.
    """
    file = out / "flags.json"
    given = json.loads(json.dumps(given))  # as a file has them
    if not file.exists():
        out.mkdir(parents=True, exist_ok=True)
        disk.write_json(file, given)
    elif found := disk.differences(disk.read_json(file), given):
        raise ValueError(
            f"Expected the settings that {whose} in {out} were begun with. Received: {found}. "
            "Give those again, or another --out."
        )


def in_its_precision(training, folder, name):
    """A factor's `Training` in the precision of its run in a folder, or in the default of a new one."""
    mixed = devices.is_mixed(RunFolder(folder)[name], training.mixed_precision)
    return dataclasses.replace(training, mixed_precision=mixed)


def step(model, name, training):
    """A function that takes a step of a factor's training, of random images of the size it trains on."""
    policy = devices.mixed_policy() if training.mixed_precision else None
    take = common.training_step(model, name, training, policy)
    size = (training.crop, training.crop) if training.crop else model.image_size
    images = common.random_images(training.batch_size, size)
    return lambda: take(images)


def seconds_a_step(steps, out):
    """How long a step of each run takes: dict, run -> float seconds, as a file of the folder has them.

    Runs that are not in it yet are measured now, in turn, and written there.

    Args:
      steps: dict, run -> function that makes a function that takes a step.
      out: path of the folder.
    """
    file = out / "seconds.json"
    found = disk.read_json(file) if file.exists() else {}
    new = {run: _some(make()) for run, make in steps.items() if run not in found}
    for run, (_, *times) in timing.seconds_in_turn(new, ROUNDS + 1).items():
        found[run] = statistics.median(times) / TIMED
    disk.write_json(file, found)
    return found


def _some(take):
    """A function that takes `TIMED` steps, and returns what the last one does."""

    def take_some():
        for _ in range(TIMED):
            outcome = take()
        return outcome

    return take_some


def planned(training, seconds, minutes, epochs):
    """A model's `Training`s with the steps that there is time for, shared as they were before.

    Args:
      training, seconds: dicts, factor -> `Training`, and how long one of its steps takes.
      minutes: float, of all factors together.
      epochs: int, of each.
    """
    ratio = 60 * minutes / sum(each.steps * seconds[name] for name, each in training.items())
    return {
        name: dataclasses.replace(
            each, epochs=epochs, steps_per_epoch=max(1, int(ratio * each.steps / epochs))
        )
        for name, each in training.items()
    }
