"""Threads that compute, beside which BLAS has one of its own: for any caller, thread or forked process."""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import threadpoolctl

# Cores of this process, for threads; fewer in a worker of `jobs`.
cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Limit(threading.local):
    most: int | None = None


_limit = _Limit()


@contextlib.contextmanager
def limited(most: int | None) -> Iterator[None]:
    """Within it, this thread computes in at most so many threads; None for all cores."""
    before, _limit.most = _limit.most, most
    try:
        yield
    finally:
        _limit.most = before


@functools.cache
def _pool():
    return futures.ThreadPoolExecutor(cores)


def in_slices(function: Callable[[slice], Any], count: int, at_once: int) -> None:
    """Calls a function of slices of up to `at_once` of `count` things, of many in several threads."""
    share = max(-(-count // (_limit.most or cores)), at_once)  # of a thread

    def evaluate(start):
        stop = min(start + share, count)
        for first in range(start, stop, at_once):
            function(slice(first, min(first + at_once, stop)))

    starts = range(0, count, share)
    [*(_pool().map if len(starts) > 1 else map)(evaluate, starts)]


class _Blas:
    """Limits BLAS, which is one for the process, to a thread while any thread computes."""

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
        """In a forked process: the threads that computed are the parent's."""
        if self._users:
            self._limits.restore_original_limits()
        self._lock, self._users = threading.Lock(), 0


_blas = _Blas()
one_blas_thread = _blas.limited
os.register_at_fork(after_in_child=_pool.cache_clear)
os.register_at_fork(after_in_child=_blas.forget_others)
