"""Runs a function on shards of many items; results are files, which a second run skips."""

import collections
import contextlib
import functools
import hashlib
import json
import os
import pathlib
import queue
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

import numpy as np

from pixelcnn_aux.base import arguments, disk, threads
from pixelcnn_aux.base.arguments import PathLike
from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.base.progress import progress_bar
from pixelcnn_aux.jobs.models import Source
from pixelcnn_aux.jobs.workers import Processes
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.runs.tensors import fingerprint


class ShardError(RuntimeError):
    """Some shards of a job failed twice. Names each with its error; other results are kept."""


class Results(Sequence):
    """Results of shards, in order; with a folder, each access reads a file."""

    def __init__(self, count: int, folder: Any, suffix: str):
        self._count, self.folder, self._suffix = count, folder, suffix
        self.kept: dict[int, Any] = {}

    def __len__(self):
        return self._count

    def __getitem__(self, number):
        file = self.file(number := range(self._count)[number])
        if file is None:
            return self.kept[number]
        if self._suffix != ".npz":
            return disk.contents(file)
        remedy = "Remove it, and give the same command again"
        kinds = EOFError, KeyError, ValueError, zipfile.BadZipFile
        with restated(f"arrays in {file}", "a damaged file", remedy, *kinds):
            with disk.opened(file) as opened, np.load(opened, allow_pickle=False) as arrays:
                return dict(arrays)

    def file(self, number: int) -> Any:
        """The path of a shard's result; None for a job without a folder."""
        return self.folder and self.folder / f"{number:06}{self._suffix}"

    def has(self, number: int) -> bool:
        """Whether the folder has a shard's result."""
        return bool(self.folder) and self.file(number).exists()

    def joined(self) -> dict[str, np.ndarray]:
        """The arrays of all shards, joined along their first axis."""
        [first, *_] = results = [*self]
        return {name: np.concatenate([result[name] for result in results]) for name in first}


def run(
    function: Callable[[Any, Sequence], Any],
    items: Sequence,
    model: Source | AuxiliaryModel | PathLike,
    *,
    folder: PathLike | None = None,
    size: int = 256,
    suffix: str = ".npz",
    jobs: int = 1,
    executor: futures.Executor | None = None,
    unit: str = "item",
) -> Results:
    """Calls a function of a loaded model on all items, shard by shard.

    Args:
      function: `function(model, items)` returns the result of a shard: a dict of arrays [len(items), ...], or
        bytes. Workers import it by name. Settings are keywords of a functools.partial, of JSON's types.
      items: sequence of values that JSON has, such as ints, or paths of files that workers can read.
      model: the name of a trained model, the folder of a run, or a `Source`; also a loaded model, if only
        this process computes.
      folder: the folder to which workers write results, such as 000017.npz, each whole or not at all. A
        second run computes those that are missing. None keeps results in memory.
      size: int, the number of items per shard.
      suffix: str, of the files: ".npz" for arrays, any other for bytes.
      jobs: int, the number of processes on this machine; 1 for this process alone.
      executor: any `concurrent.futures.Executor` in place of `jobs`, such as a Dask client's
        `get_executor()`. Each call computes in one thread.
      unit: str, names an item in the progress bar.

    Returns:
      `Results`, a sequence.

    Raises:
      ShardError: for shards that failed twice, once all others are done. The error of the only shard is
        raised as it is.
      ValueError: for a folder with results of another function, model, setting or item.
      OSError: if the folder is not writable.
    """
    source = Source(os.fspath(model)) if isinstance(model, (str, os.PathLike)) else model
    size = arguments.whole("size", size)
    shards = [items[first : first + size] for first in range(0, len(items), size)]
    results = Results(len(shards), folder and pathlib.Path(folder).absolute(), suffix)
    with contextlib.ExitStack() as stack:
        if folder is not None:
            stack.enter_context(_held(results, _description(function, source, shards, suffix)))
        if executor is None:
            executor = stack.enter_context(Processes(jobs) if jobs > 1 else _Here())
        # Local processes share the cores. Other executors run their own number of calls at once.
        count = getattr(executor, "count", 0)
        submit: Any = executor.submit
        submit = functools.partial(submit, _work, function, source, not count)
        errors = _complete(submit, shards, results, 2 * count or len(shards), unit)
    if len(shards) == 1 and errors:
        raise errors[0]
    if errors:
        raise ShardError(_explained(errors, shards))
    return results


def _complete(submit, shards, results, most, unit):
    """Submits missing shards, up to `most` at once; returns {number of a failed shard: error}.

    A failed shard is tried again alone, since a process that dies also fails shards of other processes.
    """
    numbers = range(len(shards))
    waiting = collections.deque(number for number in numbers if not results.has(number))
    bar = progress_bar(sum(map(len, shards)), unit)
    done = sum(len(shards[number]) for number in set(numbers) - set(waiting))
    bar(done)  # it measures the pace from here on
    again: collections.deque[int] = collections.deque()
    finished: queue.SimpleQueue = queue.SimpleQueue()
    running: dict[futures.Future, int] = {}
    errors: dict[int, Exception] = {}
    try:
        while waiting or again or running:
            while (waiting and len(running) < most) or not running:
                number = (waiting or again).popleft()
                future = submit(shards[number], results.file(number))
                future.add_done_callback(finished.put)
                running[future] = number
            future = finished.get()  # not `futures.wait`, in which Ctrl-C can leave locks behind
            number = running.pop(future)
            try:
                results.kept[number] = future.result()
            except Exception as error:
                again.extend([number] * (number not in errors))
                errors[number] = error
            else:
                errors.pop(number, None)
                bar(done := done + len(shards[number]))
    finally:
        for future in running:
            future.cancel()
    return errors


def _explained(errors, shards):
    """The text of a `ShardError`."""
    lines = [
        f"Expected the results of {len(shards):,} shards. Received: {len(errors):,} that failed twice. "
        f"Fix the causes{disk.RETRY}; results of the others are kept if they have a folder:"
    ]
    for number, error in sorted(errors.items()):
        first = arguments.short_repr(shards[number][0])
        lines.append(f"  shard {number}, from {first} on: {type(error).__name__}: {error}")
    return "\n".join(lines)


class _Here(futures.Executor):
    """An executor of this thread."""

    count = 1

    def submit(self, function, /, *args, **kwargs):
        future: futures.Future = futures.Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def _work(function, source, by_one_thread, items, file):
    """Runs in a worker: the result of a shard, or None if it went to a file."""
    with threads.limited(1 if by_one_thread else None):
        result = function(_model(source), items)
    if file is None:
        return result
    with disk.replacing(file) as opened:
        if isinstance(result, bytes):
            opened.write(result)
        else:
            np.savez(opened, **result)


@contextlib.contextmanager
def _held(results: Results, description: dict) -> Iterator[None]:
    """Locks and describes the folder of a job. Raises ValueError if it has other results."""
    folder, record = disk.writable(results.folder), results.folder / "job.json"

    def busy():
        expect(False, f"{folder} for this job alone", "another process there", "Wait for it")

    with disk.locked(folder / "lock", busy):
        for unfinished in folder.glob(f"{disk.ASIDE}*"):  # of workers that were killed
            unfinished.unlink()
        found: dict = {"shards": {}}
        if record.exists():
            found = disk.read_dict(record, "the description of a job", "shards")
        new, before = description["shards"], found["shards"]
        present = [number for number in range(len(results)) if results.has(number)]
        if before.keys() == new.keys():  # Items of shards without results may change.
            kept = {results.file(number).name for number in present}
            before |= {name: new[name] for name in new.keys() - kept}
        if before or present:
            differing = disk.differences(found, description)
            expected = f"a folder of this job; {folder} has another one's results"
            expect(not differing, expected, differing, "Give the same command, or a new folder")
        disk.write_json(record, description)
        yield


def _description(function, source, shards, suffix):
    """Everything that determines the results of a job: dict of JSON's types."""
    model = _model(source)
    digests = {f"{number:06}{suffix}": _digest(shard) for number, shard in enumerate(shards)}
    own = {"function": function, "model": fingerprint(model), "exact": model.exact, "by": model.by}
    return json.loads(json.dumps({**own, "shards": digests}, default=_described))


def _model(source):
    return source.load() if isinstance(source, Source) else source


def _described(value):
    """JSON for functions: names, with the arguments of a partial; other values as str."""
    if isinstance(value, functools.partial):
        return {"name": value.func, **value.keywords}
    return f"{value.__module__}.{value.__qualname__}" if callable(value) else str(value)


def _digest(items):
    """A checksum of a shard's items: str."""
    text = json.dumps([*items], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
