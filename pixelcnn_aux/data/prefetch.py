"""Items made ahead of their use, by a thread."""

import collections
import threading
import time


class Prefetched:
    """An iterator over what an iterable gives, which a thread asks for a few items ahead.

        with Prefetched(images.training_batches(16, seed=0)) as batches:
            batch = next(batches)

    An exception of the iterable is raised by `next`, in its place among the items. The thread is a daemon:
    it ends with `close`, or with the interpreter, which does not wait for it.

    Attributes:
      waited: float, the seconds that `next` has waited for items in total: near 0 where the thread keeps up.
    """

    def __init__(self, iterable, size=4):
        """`iterable` is used by the thread alone; `size`: int, how many items are kept ready at most."""
        self.waited = 0.0
        self._items = collections.deque()
        self._size = size
        self._error = None
        self._ended = False  # no item comes any more
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._fill, args=(iterable,), daemon=True)
        self._thread.start()

    def __iter__(self):
        return self

    def __next__(self):
        with self._changed:
            start = time.perf_counter()
            self._changed.wait_for(lambda: self._items or self._ended or self._closed)
            self.waited += time.perf_counter() - start
            if self._items:
                self._changed.notify_all()
                return self._items.popleft()
            error, self._error = self._error, None
            raise error or StopIteration

    def close(self):
        """Ends the thread, once what it is making is made, and drops what is ready."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
        self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _fill(self, iterable):
        try:
            for item in iterable:
                with self._changed:
                    self._changed.wait_for(lambda: len(self._items) < self._size or self._closed)
                    if self._closed:
                        return
                    self._items.append(item)
                    self._changed.notify_all()
        except BaseException as error:  # whatever it is, `next` would wait for ever without it
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
