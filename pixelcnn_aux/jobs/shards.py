"""Runs a function on shards of many items; results are files, which a second run skips."""

import collections
import contextlib
import functools
import os
import pathlib
import queue
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

import numpy as np
from absl import logging

from pixelcnn_aux.base import arguments, disk, threads
from pixelcnn_aux.base.arguments import PathLike
from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.base.progress import progress_bar
from pixelcnn_aux.jobs import identity
from pixelcnn_aux.jobs.models import Source
from pixelcnn_aux.jobs.workers import Processes
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.runs.tensors import fingerprint


_VERSION = 2  # of job.json
_SUFFIX = r"([.]\w+)+"


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
      items: sequence of values such as ints, arrays, or paths of files that workers can read. With a folder,
        function, settings and items are told apart as by `identity.described`: files by their bytes if they
        are given as `pathlib.Path`.
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
      done: `done(items, result)` is whether a shard's result in the folder still holds, such as files that the
        function wrote elsewhere; None for all results.

    Returns:
      `Results`, a sequence.

    Raises:
      ShardError: for shards that failed twice, once all others are done. The error of the only shard is
        raised as it is.
      ValueError: for a folder with results of another function, model, setting or item; with a folder, for a
        function, setting or item that cannot be described.
      OSError: if the folder is not writable, or a disk is full.
    """
    source = Source(os.fspath(model)) if isinstance(model, (str, os.PathLike)) else model
    size, jobs = arguments.whole("size", size), arguments.whole("jobs", jobs)
    fits = isinstance(suffix, str) and re.fullmatch(_SUFFIX, suffix)
    expect(fits, "suffix as that of files", f"suffix={suffix!r}", "Give one such as .npz or .csv")
    if isinstance(source, Source):
        source = source.pinned()
    shards = [items[first : first + size] for first in range(0, len(items), size)]
    results = Results(len(shards), folder and pathlib.Path(folder).absolute(), suffix)
    with contextlib.ExitStack() as stack:
        if folder is not None:
            stack.enter_context(_held(results, _description(function, source, shards, suffix)))
            lost = [k for k in results.kept if done and not done(shards[k], results[k])]
            for number in lost:
                del results.kept[number]
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
                if disk.is_full(error):  # for the other shards, too
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


def _work(function, source, suffix, by_one_thread, items, file):
    """Runs in a worker: the result of a shard, or the checksum of the file that it went to."""
    with threads.limited(1 if by_one_thread else None):
        result = _checked(function(_model(source), items), function, items, suffix)
    if file is None:
        return result
    with disk.replacing(file) as opened:
        if isinstance(result, bytes):
            opened.write(result)
        else:
            np.savez(opened, **result)
    return disk.checksum(file)


def _checked(result, function, items, suffix):
    """The result of a shard. Raises ValueError unless it is bytes, or arrays with a row for each item."""
    name = getattr(getattr(function, "func", function), "__qualname__", function)
    of = f"by {name} from {arguments.short_repr(items[0])} on"
    kind = dict if suffix == ".npz" else bytes
    remedy = "Return a dict of arrays for .npz, and bytes for other suffixes"
    expect(isinstance(result, kind), f"a {kind.__name__} {of}", type(result).__name__, remedy)
    if kind is bytes:
        return result
    found = {key: np.asarray(array) for key, array in result.items()}
    for key, array in found.items():
        fits = array.shape[:1] == (len(items),) and not array.dtype.hasobject
        expected = f"an array {key!r} {of} with {len(items):,} rows of numbers, one for each item"
        received = f"{array.dtype} of shape {list(array.shape)}"
        expect(fits, expected, received, "Return one row for each item")
    return found


@contextlib.contextmanager
def _held(results: Results, description: dict) -> Iterator[None]:
    """Locks and describes the folder of a job, and finds its results. Raises ValueError for other ones."""
    folder, file = disk.writable(results.folder), results.folder / "job.json"

    def busy():
        expect(False, f"{folder} for this job alone", "another process there", "Wait for it")

    def write():
        sums = {results.file(number).name: x for number, x in sorted(results.kept.items())}
        disk.write_json(file, {**description, "results": sums})

    with disk.locked(folder / "lock", busy):
        disk.remove_unfinished(folder)
        found = record(folder)
        before, after = found["shards"], description["shards"]
        present = [name for name in {**before, **after} if disk.exists(folder / name)]
        if present:  # Items of shards without results may change.
            expected = f"a folder of this job; {folder} has another one's results"
            is_older = bool(before) and found.get("version") != _VERSION
            remedy = "Give a new folder"
            expect(not is_older, expected, "those of an earlier version of the package", remedy)
            old = {**found, "results": {}, "shards": {x: before.get(x) for x in present}}
            new = {**description, "shards": {x: after.get(x) for x in present}}
            differing = disk.differences(old, new)
            expect(not differing, expected, differing, "Give the same command, or a new folder")
        for number in range(len(results)):
            if (name := results.file(number).name) in present:
                digest = disk.checksum(folder / name)
                if digest and digest == found["results"].get(name, digest):
                    results.kept[number] = digest
                else:
                    logging.warning("%s has changed. It is computed again.", folder / name)
        write()
        try:
            yield
        finally:
            write()


def record(folder: pathlib.Path) -> dict:
    """The job.json in a folder: dict, "shards" and "results" by the names of files; both empty without it.

    Raises ValueError for a damaged one.
    """
    file, found = folder / "job.json", {"shards": {}}
    if disk.exists(file):
        found = disk.read_dict(file, "the description of a job", "shards")
    found.setdefault("results", {})  # of an earlier version, or a job that was killed
    for key in ("shards", "results"):
        names = found[key] if isinstance(found[key], dict) else [""]
        fits = all(re.fullmatch(rf"\d{{6,}}{_SUFFIX}", name) for name in names)
        received = arguments.short_repr(found[key])
        expect(fits, f"the names of results as {key} in {file}", received, "Restore the file")
    return found


def _description(function, source, shards, suffix):
    """Everything that determines the results of a job, in texts: dict of JSON's types."""
    model = _model(source)
    bound = function if type(function) is functools.partial else functools.partial(function)
    settings = {key: _described(x) for key, x in bound.keywords.items()}
    return {
        "version": _VERSION,
        "function": _described(bound.func),
        "arguments": [*map(_described, bound.args)],
        "settings": settings,
        "model": fingerprint(model),
        "exact": model.exact,
        "by": model.by,
        "shards": {
            f"{number:06}{suffix}": identity.checksum(identity.described([*shard]))
            for number, shard in enumerate(shards)
        },
    }


def _model(source):
    return source.load() if isinstance(source, Source) else source


def _described(value):
    """`identity.described`, or a checksum of a long one."""
    text = identity.described(value)
    return text if len(text) <= 200 else f"sha256 {identity.checksum(text)}"
