"""A thread pool for computing, while BLAS is limited to one thread; safe in threads and forked processes."""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import numpy as np
import threadpoolctl

# Cores available to this process; fewer in workers of `jobs`.
cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Limit(threading.local):
    most: int | None = None


_limit = _Limit()


@contextlib.contextmanager
def limited(most: int | None) -> Iterator[None]:
    """Context in which this thread computes in at most `most` threads; None for all cores."""
    before, _limit.most = _limit.most, most
    try:
        yield
    finally:
        _limit.most = before


@functools.cache
def _pool():
    return futures.ThreadPoolExecutor(cores)


def in_slices(function: Callable[[slice], Any], count: int, at_once: int) -> None:
    """Calls a function of slices that cover range(count), `at_once` items each, in several threads."""
    share = max(-(-count // (_limit.most or cores)), at_once)  # items per thread

    def evaluate(start):
        stop = min(start + share, count)
        for first in range(start, stop, at_once):
            function(slice(first, min(first + at_once, stop)))

    starts = range(0, count, share)
    [*(_pool().map if len(starts) > 1 else map)(evaluate, starts)]


class _Blas:
    """Limits the process's BLAS libraries to one thread each while any thread computes."""

    def __init__(self):
        self._lock, self._users, self._limits = threading.Lock(), 0, None
        self._libraries = functools.cache(threadpoolctl.ThreadpoolController)

    @contextlib.contextmanager
    def limited(self) -> Iterator[None]:
        with self._lock:
            if not self._users:
                self._limits = self._libraries().limit(limits=1, user_api="blas")
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._limits.restore_original_limits()

    def forget_others(self):
        """Resets the count in a forked process, since the counted threads are the parent's."""
        if self._users:
            self._limits.restore_original_limits()
        self._lock, self._users = threading.Lock(), 0


_blas = _Blas()
one_blas_thread = _blas.limited


@contextlib.contextmanager
def computing() -> Iterator[None]:
    """Context of NumPy computations: exponentials may overflow, and BLAS is limited to one thread."""
    # BLAS threads busy-wait: beside other programs, products would take ten times as long.
    with np.errstate(all="ignore"), one_blas_thread():
        yield


os.register_at_fork(after_in_child=_pool.cache_clear)
os.register_at_fork(after_in_child=_blas.forget_others)
