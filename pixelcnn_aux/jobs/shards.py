"""Runs a function on shards of many items; results are files, which a second run skips."""

import collections
import contextlib
import functools
import json
import os
import pathlib
import pickle
import queue
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

import numpy as np
from absl import logging

from pixelcnn_aux.base import arguments, disk, serialization, threads
from pixelcnn_aux.base.arguments import PathLike
from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.base.progress import progress_bar
from pixelcnn_aux.jobs.identity import checksum
from pixelcnn_aux.jobs.model_source import Source
from pixelcnn_aux.jobs.workers import Processes
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.run_files.tensors import fingerprint


class ShardError(RuntimeError):
    """Some shards of a job failed twice. Names each with its error; other results are kept."""


class Results(Sequence):
    """Results of shards, in order; with a folder, each access reads a file."""

    def __init__(self, count: int, folder: Any, suffix: str):
        self._count, self.folder, self._suffix = count, folder, suffix
        self.kept: dict[int, Any] = {}  # results; with a folder, checksums of their files

    def __len__(self):
        return self._count

    def __getitem__(self, number):
        file = self.file(number := range(self._count)[number])
        if file is None:
            return self.kept[number]
        if self._suffix != ".npz":
            return disk.contents(file)
        remedy = "Remove it, and give the same command again"
        kinds = EOFError, KeyError, MemoryError, ValueError, zipfile.BadZipFile
        with restated(f"arrays in {file}", "a damaged file", remedy, *kinds):
            with disk.opened(file) as opened, np.load(opened, allow_pickle=False) as arrays:
                return dict(arrays)

    def file(self, number: int) -> Any:
        """The path of a shard's result; None for a job without a folder."""
        return self.folder and self.folder / f"{number:06}{self._suffix}"

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
    done: Callable[[Sequence, Any], bool] | None = None,
) -> Results:
    """Calls a function of a loaded model on all items, shard by shard.

    Args:
      function: `function(model, items)` returns the result of a shard: a dict of arrays [len(items), ...], or
        bytes. Workers import it by name. Settings are arguments of a functools.partial.
      items: sequence of values such as ints, arrays, or files that workers can read. As `pathlib.Path`, files
        are told apart by their bytes.
      model: the name of a trained model, the folder of a run, or a `Source`; also a loaded model, if only
        this process computes.
      folder: the folder to which workers write results, such as 000017.npz, each whole or not at all. A
        second run computes those that are missing or have changed. None keeps results in memory.
      size: int, the number of items per shard.
      suffix: str, of the files: ".npz" for arrays, any other for bytes.
      jobs: int, the number of processes on this machine; 1 for this process alone.
      executor: any `concurrent.futures.Executor` in place of `jobs`, such as a Dask client's
        `get_executor()`. Each call computes in one thread.
      unit: str, names an item in the progress bar.
      done: `done(items, result)` is whether a result in the folder still holds, such as files elsewhere.

    Returns:
      `Results`, a sequence.

    Raises:
      ShardError: for shards that failed twice, once all others are done. The error of the only shard is
        raised as it is.
      ValueError: for a folder with results of another function, model, setting or item, or for those that
        cannot be told apart (`identity.checksum`).
      OSError: if the folder is not writable, or a disk is full.
    """
    source: Any = Source(os.fspath(model)) if isinstance(model, (str, os.PathLike)) else model
    size, jobs = arguments.whole("size", size), arguments.whole("jobs", jobs)
    fits = isinstance(suffix, str) and re.fullmatch(r"([.]\w+)+", suffix)
    expect(fits, "suffix as that of files", suffix, "Give one such as .npz")
    source = source.pinned() if isinstance(source, Source) else source
    shards = [items[first : first + size] for first in range(0, len(items), size)]
    results = Results(len(shards), folder and pathlib.Path(folder).absolute(), suffix)
    with contextlib.ExitStack() as stack:
        if folder is not None:
            stack.enter_context(_held(results, _description(function, source, shards, suffix)))
            function = pickle.loads(pickle.dumps(function))  # as workers receive it
            kept = results.kept.items()
            results.kept = {k: x for k, x in kept if not done or done(shards[k], results[k])}
        if executor is None:
            executor = stack.enter_context(Processes(jobs) if jobs > 1 else _Here())
        # Local processes share the cores. Other executors run their own number of calls at once.
        count = getattr(executor, "count", 0)
        submit: Any = executor.submit
        submit = functools.partial(submit, _work, function, source, suffix, not count)
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
    waiting = collections.deque(number for number in numbers if number not in results.kept)
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
                if any(words in f"{error}" for words in disk.FULL):  # as for the other shards
                    raise
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
    text = (
        f"Expected the results of {len(shards):,} shards. Received: {len(errors):,} that failed twice. "
        f"Fix the causes{disk.RETRY}; results of the others are kept if they have a folder:"
    )
    for number, error in sorted(errors.items()):
        first = arguments.short_repr(shards[number][0])
        text += f"\n  shard {number}, from {first} on: {type(error).__name__}: {error}"
    return text


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


def _work(function, source, suffix, by_one_thread, items, file):
    """Runs in a worker: the result of a shard, or the checksum of the file that it went to."""
    with threads.limited(1 if by_one_thread else None):
        result = function(_model(source), items)
    result = arguments.instance("a shard's result", result, dict if suffix == ".npz" else bytes)
    if suffix == ".npz":
        result = {name: _rows(function, items, name, array) for name, array in result.items()}
    if file is None:
        return result
    with disk.replacing(file) as opened:
        if isinstance(result, bytes):
            opened.write(result)
        else:
            np.savez(opened, **result)
    return disk.checksum(file)


def _rows(function, items, name, array):
    """An array of a result. Raises ValueError unless it has a row for each item."""
    array = np.asarray(array)
    fits = array.shape[:1] == (len(items),) and not array.dtype.hasobject
    shard = f"for the {len(items)} items from {arguments.short_repr(items[0])} on"
    expected = f"an array {name!r} of {arguments.short_repr(function)} with a row each {shard}"
    received = f"{array.dtype} of shape {list(array.shape)}"
    expect(fits, expected, received, "Correct the function")
    return array


@contextlib.contextmanager
def _held(results: Results, description: dict) -> Iterator[None]:
    """Locks the folder of a job, describes it, and finds its results. Raises ValueError for other ones."""
    folder, file = disk.writable(results.folder), results.folder / "job.json"

    def busy():
        expect(False, f"{folder} for this job alone", "another process there", "Wait for it")

    def write():
        sums = {results.file(number).name: x for number, x in sorted(results.kept.items())}
        disk.write_json(file, {**description, "results": sums})

    with disk.locked(folder / "lock", busy):
        disk.remove_unfinished(folder)
        found = record(folder)
        before, after, sums = found["shards"], description["shards"], found.pop("results")
        if present := [name for name in {**before, **after} if disk.exists(folder / name)]:
            # Items of shards without results may change.
            changed = [name for name in present if before.get(name) != after.get(name)]
            differing = disk.differences({**found, "shards": after}, description)
            if before and "settings" not in found:
                differing = "results of an earlier version"
            elif changed and not differing:
                differing = f"those of other items in {', '.join(changed[:5])}"
            expected = f"a folder of this job; {folder} has another one's results"
            expect(not differing, expected, differing, "Give the same command, or a new folder")
        for number, name in enumerate(after):
            digest = disk.checksum(folder / name)
            if digest and digest == sums.get(name, digest):
                results.kept[number] = digest
            elif name in present:
                logging.warning("%s has changed. It is computed again.", folder / name)
        write()
        try:
            yield
        finally:
            write()


def record(folder: pathlib.Path) -> dict[str, Any]:
    """The job.json of a folder: dict, "shards" and "results" with checksums by the names of files."""
    file = folder / "job.json"
    found: dict[str, Any] = {"shards": {}, "results": {}}
    if disk.exists(file):
        found |= disk.read_dict(file, "the description of a job", "shards")
    for key in ("shards", "results"):
        received = arguments.short_repr(found[key])
        expect(isinstance(found[key], dict), f"{key} of {file}", received, "Restore the file")
    return found


def _description(function, source, shards, suffix):
    """All that determines the results of a job: dict, str -> text, or list or dict of texts."""
    model = _model(source)
    bound = function if type(function) is functools.partial else functools.partial(function)
    name = getattr(bound.func, "__qualname__", type(bound.func).__name__)
    parts = re.findall(r'"registered_name": "([^"]+)"', json.dumps(model.description()))
    return {
        "function": f"{bound.func.__module__}.{name} {checksum(bound.func)}",
        "arguments": [*map(_text, bound.args)],
        "settings": {key: _text(value) for key, value in bound.keywords.items()},
        "model": fingerprint(model),
        "classes": checksum([*map(serialization.registered_class, parts)]),  # also those of plugins
        "exact": model.exact,
        "by": model.by,
        "shards": {f"{k:06}{suffix}": checksum([*shard]) for k, shard in enumerate(shards)},
    }


def _text(value):
    """A setting as JSON if it is a number or text, and its checksum otherwise."""
    is_plain = type(value) in (bool, int, float, str)
    return json.dumps(value) if is_plain else f"{type(value).__name__} {checksum(value)}"


def _model(source):
    return source.load() if isinstance(source, Source) else source
