"""Processes on this machine, which start with their first call, and end when this process does."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from pixelcnn_aux.base import threads

SPAWN = multiprocessing.get_context("spawn")  # this process may have threads


class Processes(futures.Executor):
    """An executor of `count` processes that share the cores. It replaces processes that die.

    Each process calls `prepare` first. Processes import a script's main module, which needs the guard
    `if __name__ == "__main__":`.
    """

    def __init__(self, count: int, prepare: Callable[[], Any] = int):
        self.count, self._prepare = count, prepare
        self._begin()

    def _begin(self):
        watched, self._lifeline = SPAWN.Pipe(duplex=False)
        arguments = max(1, threads.cores // self.count), watched, self._prepare
        # Not within `uninterrupted`: the first semaphore starts a process of Python's, which unblocks Ctrl-C.
        self._pool = futures.ProcessPoolExecutor(self.count, SPAWN, begin, arguments)

    def submit(self, function: Callable, /, *args: Any, **kwargs: Any) -> futures.Future:
        try:
            with uninterrupted():
                return self._pool.submit(function, *args, **kwargs)
        except BrokenProcessPool:
            self._begin()
            return self.submit(function, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if cancel_futures:
            self._lifeline.close()  # which ends the processes at once
        self._pool.shutdown(wait, cancel_futures=cancel_futures)
        self._lifeline.close()

    def __exit__(self, kind, *_):
        self.shutdown(cancel_futures=kind is not None)


@contextlib.contextmanager
def uninterrupted():
    """Context in which processes start with Ctrl-C blocked: only this process handles it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin(cores, watched, prepare=int):
    """Prepares a process, which ends when the other end of a pipe is closed."""
    prepare()
    threads.cores = cores
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(name, str(cores))
    sys.stdout = open(os.devnull, "w")  # progress bars would mix

    def watch():
        watched.poll(None)  # until the other end is closed
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
