"""The draws of training, by a seed and the step alone, and a thread that makes batches ahead."""

import functools
import itertools
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Self

import numpy as np


class Draws(NamedTuple):
    """The draws of some places in the order of images: arrays [R]."""

    indices: np.ndarray  # int64, of images
    flips: np.ndarray  # bool, whether the image is flipped
    # Uniform numbers from 0 to 1: the condition is unknown where they are below a rate; and how far down and
    # to the right a square is that is cut from the image.
    drops: np.ndarray
    down: np.ndarray
    right: np.ndarray
    keys: np.ndarray  # uint64, of what is drawn of the image alone


def steps(num_images, batch_size, seed, first_step, rows):
    """Yields the `Draws` of some rows, a slice, of the batch of each step from `first_step` on."""
    drawn = functools.lru_cache(maxsize=2)(_epoch)  # epochs last for many batches
    rows = np.arange(batch_size)[rows]
    for step in itertools.count(first_step):
        epochs, places = np.divmod(step * batch_size + rows, num_images)
        kinds = np.int64, bool, float, float, float, np.uint64
        draws = Draws(*(np.empty(len(rows), x) for x in kinds))
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            for each, of_epoch in zip(draws, drawn(seed, epoch, num_images)):
                each[here] = of_epoch[places[here]]
        yield draws


def square(image, side, down, right):
    """The square of an image [H, W, C] that is so far down and to the right, from 0 to 1 of the most."""
    top, left = (
        min(int((length - side + 1) * share), length - side)
        for length, share in zip(image.shape, (down, right))
    )
    return image[top : top + side, left : left + side]


def _epoch(seed, epoch, count):
    """The `Draws` of all places of an epoch.

    NumPy's `Generator` may draw other numbers in another version. The raw numbers of Philox and a stable sort
    are always the same, so that a run goes on as it began whichever version is installed.
    """
    key = np.array([seed % 2**64, epoch], np.uint64)
    order, flips, *uniforms, keys = (
        np.random.Philox(key=key, counter=[0, 0, 0, use]).random_raw(count) for use in range(6)
    )
    indices = np.argsort(order, kind="stable")
    return Draws(indices, flips >= 2**63, *(x / 2.0**64 for x in uniforms), keys)


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
