"""A run that is ended again and again, at moments drawn from a seed, and what it leaves.

python -m tests.faults.interrupted   ends one ten times by SIGKILL and three times by SIGTERM
"""

import contextlib
import functools
import io
import multiprocessing
import os
import pathlib
import random
import signal
import sys
import tempfile
from unittest import mock

import numpy as np

from pixelcnn_aux import data, disk, training, workdir
from pixelcnn_aux.training import checkpoints, metrics
from tests import helpers

NAME = "grayscale"
# So many epochs that every process has work left when its moment comes, and that the best is not the last.
TRAINING = training.Training(
    epochs=20, steps_per_epoch=2, batch_size=8, learning_rate=1e-2, decay=0.99
)
# A moment is the call of its kind, counted from the start of a process, which is not made any more. An epoch
# has two steps and writes up to four files, a checkpoint in some 400 pieces.
LAST_CALL = {"step": 4, "write": 450, "fsync": 5, "replace": 5, "unlink": 2}
# A process that has imported all of this and done nothing yet, of which others are made.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__ if __name__ != "__main__" else __spec__.name])


def moments(count, seed):
    """So many moments, (kind, call): each kind as often as the others, as far as that goes."""
    draw = random.Random(seed)
    kinds = [*LAST_CALL] * count
    return [(kind, draw.randint(1, LAST_CALL[kind])) for kind in kinds[:count]]


def train(folder, number=None, moment=None):
    """Trains in a process of its own, which sends itself a signal at a moment. Returns its exit code."""
    process = _PROCESSES.Process(target=_train, args=(folder, number, moment), daemon=True)
    process.start()
    process.join()
    return process.exitcode


def _train(folder, number, moment):
    with training.Stop() as stop, _sending(number, *(moment or (None, 0))):
        try:
            training.train_factor(
                helpers.tiny_model(dropout=0.5),
                NAME,
                helpers.images(10),
                helpers.images(5, seed=1),
                TRAINING,
                folder,
                stop=stop,
            )
        except training.Stopped:
            sys.exit(128 + stop.signal)


@contextlib.contextmanager
def _sending(number, kind, call):
    """Within it this process sends itself a signal where a call of this kind is to be made."""
    calls = 0

    def count(of):
        nonlocal calls
        calls += of == kind
        return of == kind and calls == call

    def before(of, function):
        @functools.wraps(function)
        def counted(*args, **kwargs):
            if count(of):
                os.kill(os.getpid(), number)
            return function(*args, **kwargs)

        return counted

    class File(io.BufferedWriter):
        def write(self, contents):
            if count("write"):
                super().write(memoryview(contents)[: len(contents) // 2])
                self.flush()
                os.kill(os.getpid(), number)
                contents = memoryview(contents)[len(contents) // 2 :]
            return super().write(contents)

    with contextlib.ExitStack() as stack:
        for owner, name, of in (
            (data.Prefetched, "__next__", "step"),
            (os, "fsync", "fsync"),
            (os, "replace", "replace"),
            (pathlib.Path, "unlink", "unlink"),
        ):
            stack.enter_context(mock.patch.object(owner, name, before(of, getattr(owner, name))))
        opened = mock.patch.object(
            disk, "open", lambda path, _: File(io.FileIO(path, "w")), create=True
        )
        stack.enter_context(opened)
        yield


def left(folder):
    """dict of what a run has left, but for times: names of files, weights, checkpoints, figures."""
    files = helpers.contents(folder)
    [_, last], [_, before] = checkpoints.found(workdir.checkpoints(folder, NAME))
    times = ("seconds", "images_per_s", "waiting")
    found = {
        "files": sorted(name for name in files if "/logs/" not in name),
        "average": files[f"{NAME}/average.weights.h5"],
        "best": files[f"{NAME}/best.weights.h5"],
        "metrics": [
            {key: value for key, value in row.items() if key not in times}
            for row in metrics.read(workdir.metrics(folder, NAME))
        ],
    }
    for file in (last, before):
        with np.load(file) as arrays:
            found |= {f"{file.name}/{key}": arrays[key].tobytes() for key in arrays.files}
        del found[f"{file.name}/seconds/0"]
    return found


def interrupt(folder, kills, terminations, seed=0):
    """Ends a run at moments, and lets it come to its end. Yields what each process was to do and its exit code.

    Args:
      folder: `pathlib.Path`, an empty one.
      kills: int, how many processes are ended by SIGKILL.
      terminations: int, how many are asked to stop by SIGTERM.
      seed: int, that the moments and their order are drawn from.
    """
    ends = [(signal.SIGKILL, moment) for moment in moments(kills, seed)]
    ends += [(signal.SIGTERM, moment) for moment in moments(terminations, seed + 1)]
    random.Random(seed).shuffle(ends)
    for number, moment in ends:
        expected = -number if number == signal.SIGKILL else 128 + number
        yield f"{number.name} at {moment}", train(folder, number, moment), expected
    yield "the end", train(folder), 0


def main():
    with tempfile.TemporaryDirectory() as name:
        alone, interrupted = pathlib.Path(name, "alone"), pathlib.Path(name, "interrupted")
        train(alone)
        for what, received, expected in interrupt(interrupted, 10, 3):
            kept = checkpoints.found(workdir.checkpoints(interrupted, NAME))
            print(
                f"{what}: exit code {received}, last checkpoint {kept and kept[0][1].name}",
                flush=True,
            )
            if received != expected:
                sys.exit(f"Expected exit code {expected}. Received: {received}")
        expected, received = left(alone), left(interrupted)
        differing = [
            key for key in {**expected, **received} if expected.get(key) != received.get(key)
        ]
        sys.exit(
            f"Expected what a run left alone leaves. Received others: {differing}"
            if differing
            else 0
        )


if __name__ == "__main__":
    main()
