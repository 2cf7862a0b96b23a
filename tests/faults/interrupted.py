"""A run that is interrupted again and again at random moments, and its files."""

import contextlib
import io
import os
import pathlib
import random
import resource
import signal
import sys
from unittest import mock

import numpy as np

from pixelcnn_aux import data, training
from pixelcnn_aux.base import disk
from pixelcnn_aux.run_files import tensors
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.training import metrics
from pixelcnn_aux.training.state import find_checkpoints
from tests import helpers

NAME = "grayscale"
TRAINING = training.Training(
    epochs=20, steps_per_epoch=2, batch_size=8, learning_rate=1e-2, muon_ratio=5.0, decay=1.0
)
# A moment is a call of its kind, counted from the start of a process, which ends there. An epoch takes two
# steps and writes up to four files, of arrays in three pieces.
LAST_CALL = {"step": 4, "write": 11, "fsync": 5, "replace": 5, "unlink": 2}


def train(folder, end=None, moment=(None, 0)):
    """Trains in a process of its own, which sends itself the signal `end` at a moment: int, its exit code.

    `SIGXFSZ` stands for a full disk: the process continues, but its files cannot grow. A moment is (kind,
    call), as in `LAST_CALL`.
    """
    process = helpers.PROCESSES.Process(target=_train, args=(folder, end, moment), daemon=True)
    process.start()
    process.join()
    return process.exitcode


def _train(folder, end, moment):
    helpers.trace_quickly()
    # Some validation images are unlike the training images: not every epoch is the best so far.
    noise = np.random.default_rng(0).integers(0, 256, (2, *helpers.SIZE, 3)).astype(np.uint8)
    validation = data.Images(np.concatenate([helpers.pictures(5, seed=1), noise]))
    model, images = helpers.tiny_model(dropout=0.5), helpers.images(10)
    with training.Stop() as stop, _ending(end, *moment):
        try:
            helpers.train(model, NAME, images, validation, TRAINING, folder, stop=stop)
        except training.Stopped:
            sys.exit(128 + stop.signal)
        except OSError as error:
            sys.exit(f"{error}")  # and exit code 1


@contextlib.contextmanager
def _ending(end, kind, call):
    """Context in which this process ends just before the given call of a kind."""
    calls = 0

    def reached(kind_of_call):
        nonlocal calls
        calls += kind_of_call == kind
        return kind_of_call == kind and calls == call

    def finish():
        if end == signal.SIGXFSZ:
            _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1, most))
        else:
            os.kill(os.getpid(), end)

    def watched(kind_of_call, function):
        def called(*args, **kwargs):
            if reached(kind_of_call):
                finish()
            return function(*args, **kwargs)

        return called

    class File(io.BufferedWriter):
        def write(self, contents):
            contents = memoryview(contents).cast("B")
            half = len(contents) // 2
            if reached("write"):
                super().write(contents[:half])
                self.flush()
                finish()
                contents = contents[half:]
            return super().write(contents)

    with contextlib.ExitStack() as stack:
        for owner, name, kind_of_call in (
            (data.Prefetched, "__next__", "step"),
            *((os, "fsync", "fsync"), (os, "replace", "replace")),
            (pathlib.Path, "unlink", "unlink"),
        ):
            function = watched(kind_of_call, getattr(owner, name))
            stack.enter_context(mock.patch.object(owner, name, function))
        opened = mock.patch.object(disk, "open", lambda x, _: File(io.FileIO(x, "w")), create=True)
        stack.enter_context(opened)
        yield


def interrupt(folder, counts, seed):
    """Ends a run in a new folder at random moments, in a random order, and lets it finish then.

    `counts` is a dict, signal -> how many processes it ends. Yields (a description, the exit code, the
    expected one) of each process.
    """
    draw = random.Random(seed)
    # All kinds equally often.
    kinds = draw.sample([*LAST_CALL], len(LAST_CALL)) * sum(counts.values())
    ends = [end for end, count in counts.items() for _ in range(count)]
    moments = [(kind, draw.randint(1, LAST_CALL[kind])) for kind in kinds[: len(ends)]]
    expected = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 128 + signal.SIGTERM}
    for end, moment in draw.sample([*zip(ends, moments)], len(ends)):
        yield f"{end.name} at {moment}", train(folder, end, moment), expected.get(end, 1)
    yield "the end", train(folder), 0


def is_whole(folder):
    """Whether all weights in a folder are whole, and the best ones of the best epoch.

    That is the best one before the last checkpoint, or one after it, which is trained again.
    """
    folder = folder / NAME
    files = [file for file in folder.glob("*.safetensors") if not file.name.startswith("writing.")]
    # Raises for a damaged one.
    notes = {file.name: tensors.notes(file) for file in files}
    [(step, _), *_] = find_checkpoints(folder / "checkpoints") or [(0, None)]
    rows = [row for row in metrics.read(folder / "metrics.csv") if row["step"] <= step]
    if not rows:
        return True
    best = min(rows, key=lambda row: row["val_bits_per_dim"])
    return notes["best.safetensors"]["step"] in (best["step"], *range(step + 1, step + 3))


def remains(folder):
    """dict of the files of a run, without times and the contents of TensorBoard's files."""
    files = helpers.contents(folder)
    times = ("seconds", "images_per_s", "waiting")
    found = {
        "files": sorted(name for name in files if "/logs/" not in name),
        "average": files[f"{NAME}/average.safetensors"],
        "best": files[f"{NAME}/best.safetensors"],
        "metrics": [
            {key: value for key, value in row.items() if key not in times}
            for row in metrics.read(RunFolder(folder)[NAME].metrics)
        ],
    }
    for _, file in find_checkpoints(RunFolder(folder)[NAME].checkpoints):
        arrays, _ = tensors.read(file)
        found |= {f"{file.name}/{key}": array.tobytes() for key, array in arrays.items()}
        del found[f"{file.name}/seconds"]
    return found


def differing(one, other):
    """The names of `remains` that differ between two folders."""
    one, other = remains(one), remains(other)
    return [key for key in {**one, **other} if one.get(key) != other.get(key)]
