"""A function of many items, shard by shard, whose results are files that a second run need not compute."""

import collections
import contextlib
import functools
import hashlib
import io
import json
import os
import pathlib
import sys
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

JOB = "job.json"  # the description of a job, in its folder


class ShardError(RuntimeError):
    """Shards of a job that failed twice, each of which it names; results of the others are kept."""


class Results(Sequence):
    """The results of shards, in order; read from the job's folder when they are asked for, if it has one."""

    def __init__(self, count, folder, suffix):
        self._count, self._folder, self._suffix = count, folder, suffix
        self._kept = {}

    def __len__(self):
        return self._count

    def __getitem__(self, number):
        if self._folder is None:
            return self._kept[range(self._count)[number]]
        data = disk.contents(file := self.file(range(self._count)[number]))
        if self._suffix != ".npz":
            return data
        remedy = "Remove it, and give the same command again"
        kinds = EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile
        with restated(f"arrays in {file}", "a damaged file", remedy, *kinds):
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                return dict(arrays)

    def file(self, number: int) -> pathlib.Path | None:
        """The file of a shard's result; None for a job without a folder."""
        return self._folder and self._folder / f"{number:06}{self._suffix}"

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
    """Calls a function of a loaded model for all items, a shard of them at a time.

    Args:
      function: `function(model, items)` gives the result of a shard: a dict of arrays [len(items), ...], or
        bytes. Workers import it by its name. Settings are keywords of a functools.partial, in JSON's types.
      items: sequence of what can be pickled and written as JSON, such as ints or paths of files that workers
        can read; not the data itself.
      model: the name of a trained model, the folder of a run, or a `Source`; for this process alone also a
        model that is loaded.
      folder: a folder that workers write results to, such as 000017.npz, each whole or not at all. A second
        run computes those that are missing; None keeps results in memory.
      size: int, the number of items of a shard.
      suffix: str, of the files of results: ".npz" for arrays, or what the bytes are.
      jobs: int, the number of processes of this machine; 1 for this process alone.
      executor: any `concurrent.futures.Executor` in place of `jobs`, such as `get_executor()` of a Dask
        client; each call computes in one thread.
      unit: str, the name of an item in the progress bar.

    Returns:
      `Results`, a sequence.

    Raises:
      ShardError: once all other shards are done, for those that failed twice.
      ValueError: for a folder of another job: another model, function, setting or item.
      OSError: if the folder takes no files.
    """
    source = Source(os.fspath(model)) if isinstance(model, (str, os.PathLike)) else model
    size = arguments.whole("size", size)
    shards = [items[first : first + size] for first in range(0, len(items), size)]
    results = Results(
        len(shards), folder and disk.writable(pathlib.Path(folder).absolute()), suffix
    )
    with contextlib.ExitStack() as stack:
        if folder is not None:
            stack.enter_context(
                _held(results.file(0).parent, function, source, shards, results.file)
            )
        if executor is None:
            executor = stack.enter_context(Processes(jobs) if jobs > 1 else _Here())
        _complete(executor, _Shards(function, source, shards, results, unit))
    return results


def _complete(executor, calls):
    """Calls all missing shards; one that fails again, alone, since a process that dies fails others."""
    most = 2 * executor.count if isinstance(executor, (Processes, _Here)) else sys.maxsize
    waiting, again = collections.deque(calls.missing()), collections.deque()
    running, errors = {}, {}
    try:
        while waiting or again or running:
            while waiting and len(running) < most:
                number = waiting.popleft()
                running[calls.submit(executor, number)] = number
            if not running:
                number = again.popleft()
                running[calls.submit(executor, number)] = number
            for future in futures.wait(running, return_when=futures.FIRST_COMPLETED).done:
                number = running.pop(future)
                try:
                    calls.end(number, future.result())
                except Exception as error:
                    if number not in errors:
                        again.append(number)
                    errors[number] = error
                else:
                    errors.pop(number, None)
    finally:
        for future in running:
            future.cancel()
    if errors:
        raise calls.failure(errors)


class _Shards:
    """The calls of a job, and those of them that are done."""

    def __init__(self, function, source, shards, results, unit):
        self._function, self._source, self._shards = function, source, shards
        self._results, self._done = results, 0
        self._bar = progress_bar(sum(map(len, shards)), unit)

    def missing(self):
        """Yields the numbers of shards without results."""
        for number in range(len(self._shards)):
            if (file := self._results.file(number)) and file.exists():
                self.end(number, None)
            else:
                yield number

    def submit(self, executor, number):
        num_threads = None if isinstance(executor, (Processes, _Here)) else 1
        file = self._results.file(number)
        return executor.submit(
            _work, self._function, self._source, self._shards[number], file, num_threads
        )

    def end(self, number, result):
        self._results._kept[number] = result
        self._done += len(self._shards[number])
        self._bar(self._done)

    def failure(self, errors):
        """The error of a job: `ShardError`, or that of its only shard."""
        if len(self._shards) == 1:
            return errors[0]
        kept = "" if self._results.file(0) is None else "; results of the others are kept"
        lines = [
            f"Expected the results of {len(self._shards):,} shards. Received: {len(errors):,} that "
            f"failed twice. Fix the causes{disk.RETRY}{kept}:"
        ]
        for number, error in sorted(errors.items()):
            first = arguments.short_repr(self._shards[number][0])
            lines.append(f"  shard {number}, from {first} on: {type(error).__name__}: {error}")
        return ShardError("\n".join(lines))


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


def _work(function, source, items, file, num_threads):
    """The result of a shard, in a worker; None if it is in a file."""
    with threads.limited(num_threads):
        result = function(_model(source), items)
    if file is None:
        return result
    with disk.replacing(file) as opened:
        if isinstance(result, bytes):
            opened.write(result)
        else:
            np.savez(opened, **result)


@contextlib.contextmanager
def _held(folder, function, source, shards, file) -> Iterator[None]:
    """Holds the folder of a job. Raises ValueError if it has results of another one."""

    def busy():
        raise ValueError(
            f"Expected {folder} for this job alone. Received: another process that works there. Wait for it, "
            "or give another folder."
        )

    with disk.locked(folder / "lock", busy):
        for unfinished in folder.glob(f"{disk.ASIDE}*"):  # of workers that were killed
            unfinished.unlink()
        job = _description(function, source)
        digests = [_digest(shard) for shard in shards]
        record = folder / JOB
        if record.exists():
            found = disk.read_dict(record, "the description of a job", "shards")
            before = found.pop("shards")
            differing = disk.differences(found, job)
            if len(before) != len(digests):
                differing = differing or f"{len(digests)} shards instead of {len(before)}"
            changed = [
                k for k, (x, y) in enumerate(zip(before, digests)) if x != y and file(k).exists()
            ]
            if changed:
                differing = (
                    differing
                    or f"other items, or files that were changed since, of {file(changed[0]).name}"
                )
            remedy = "Give the same command, or another folder"
            expect(
                not differing, f"a folder of this job; {folder} is of another", differing, remedy
            )
        else:
            fits = not any(folder.glob(f"*{file(0).suffix}"))
            remedy = "Give a new folder"
            expect(fits, f"a folder for results of a job: {folder}", "one with other files", remedy)
        disk.write_json(record, {**job, "shards": digests})
        yield


def _description(function, source):
    """The parts of a job whose change alters its results: dict of JSON's types."""
    model = _model(source)
    own = {"function": function, "model": fingerprint(model), "exact": model.exact, "by": model.by}
    return json.loads(json.dumps(own, default=_described))


def _model(source):
    return source.load() if isinstance(source, Source) else source


def _described(value):
    """A function by its name, and what it is called with; other values as str."""
    if isinstance(value, functools.partial):
        return {"name": value.func, **value.keywords}
    return f"{value.__module__}.{value.__qualname__}" if callable(value) else str(value)


def _digest(items):
    """A checksum of a shard's items: str."""
    text = json.dumps([*items], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
