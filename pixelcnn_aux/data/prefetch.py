"""Items made ahead of their use, by a thread."""

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, Self


class Prefetched(Iterator[Any]):
    """An iterator over an iterable's items, which a thread makes ahead of their use.

        with Prefetched(images.training_batches(16, seed=0)) as batches:
            batch = next(batches)

    An exception of the iterable is raised by `next`, in its place among the items. The thread is a daemon:
    it ends with `close`, or with the interpreter, which does not wait for it.

    Attributes:
      waited: float, the seconds that `next` has waited for items in total: near 0 where the thread keeps up.
    """

    def __init__(self, iterable: Iterable, size: int = 4):
        """`iterable` is used by the thread alone; `size`: int, how many items are kept ready at most."""
        self.waited = 0.0
        # (item, None), ..., (None, the exception that ends them).
        self._ready: queue.SimpleQueue = queue.SimpleQueue()
        self._free = threading.Semaphore(size)
        self._closed = False
        self._thread = threading.Thread(target=self._fill, args=(iterable,), daemon=True)
        self._thread.start()

    def __next__(self) -> Any:
        start = time.perf_counter()
        item, end = (None, StopIteration()) if self._closed else self._ready.get()
        self.waited += time.perf_counter() - start
        if end:
            self._closed = True
            raise end
        self._free.release()
        return item

    def close(self) -> None:
        """Ends the thread, once the item that it is making is made, and drops those that are ready."""
        self._closed = True
        self._free.release()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_):
        self.close()

    def _fill(self, iterable):
        end = StopIteration()
        try:
            for item in iterable:
                self._free.acquire()
                if self._closed:
                    break
                self._ready.put((item, None))
        except BaseException as error:  # whatever it is, `next` would wait for ever without it
            end = error
        self._ready.put((None, end))
