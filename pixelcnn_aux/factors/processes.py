"""Work of models in processes beside this one, as many as there are cores.

They start when they are first needed, and are kept. They end when this process does, however it ends.
"""

import collections
import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

from pixelcnn_aux.base import threads
from pixelcnn_aux.factors.array_factor import ArrayFactor

SPAWN = multiprocessing.get_context("spawn")  # this process may have threads


def in_order(model: Any, calls: Sequence[Callable[[Any], Any]]) -> Iterator[Any]:
    """Yields the results of functions of a model (operator.methodcaller) in order, and raises their errors.

    Processes call them at the same time if there are several, a model of `ArrayFactor`s and several cores;
    else each is called here when it is asked for. An error ends the processes, and so does closing the
    generator early: within contextlib.closing, a program that is interrupted does not wait for them.
    """
    count = min(threads.cores, len(calls))
    if count < 2 or not all(isinstance(x, ArrayFactor) for x in model.factors.values()):
        yield from (call(model) for call in calls)
        return
    (pool, lifeline), left = _pool(count), len(calls)
    try:
        with uninterrupted():
            found = collections.deque(pool.submit(call, model) for call in calls)
        while left:
            result = found.popleft().result()
            left -= 1
            yield result
    finally:
        if left:
            _pool.cache_clear()
            lifeline.close()
            pool.shutdown()


@contextlib.contextmanager
def uninterrupted():
    """Processes that start within inherit that Ctrl-C is blocked: it is for this process alone."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@functools.cache
def _pool(count):
    """An executor of so many processes, and the end of a pipe that keeps them alive."""
    watched, lifeline = SPAWN.Pipe(duplex=False)
    given = threads.cores // count, watched
    return futures.ProcessPoolExecutor(count, SPAWN, begin, given), lifeline


os.register_at_fork(after_in_child=_pool.cache_clear)


def begin(cores, watched):
    """Prepares a process for its work, which ends once the other end of a pipe is closed."""
    threads.cores = cores
    sys.stdout = open(os.devnull, "w")  # progress bars would mix

    def watch():
        watched.poll(None)  # until the other end is closed
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
