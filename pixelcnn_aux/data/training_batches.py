"""Random draws of training, functions of seed and step alone, and a thread that prefetches batches."""

import functools
import itertools
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Self

import numpy as np


class Draws(NamedTuple):
    """Draws for R images: arrays [R]."""

    indices: np.ndarray  # int64, of images
    flips: np.ndarray  # bool, whether the image is flipped
    # Uniform numbers from 0 to 1:
    drops: np.ndarray  # the condition is hidden where they are below its dropout rate
    down: np.ndarray  # vertical position of the crop
    right: np.ndarray  # horizontal position of the crop
    keys: np.ndarray  # uint64, seeds of `variation.varied`


def steps(num_images, batch_size, seed, first_step, rows):
    """Yields the `Draws` for some rows, a slice, of each step's batch from `first_step` on."""
    epoch_draws = functools.lru_cache(maxsize=2)(_epoch)  # an epoch spans many batches
    rows = np.arange(batch_size)[rows]
    for step in itertools.count(first_step):
        epochs, places = np.divmod(step * batch_size + rows, num_images)
        dtypes = np.int64, bool, float, float, float, np.uint64
        draws = Draws(*(np.empty(len(rows), dtype) for dtype in dtypes))
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            for array, of_epoch in zip(draws, epoch_draws(seed, epoch, num_images)):
                array[here] = of_epoch[places[here]]
        yield draws


def square(image, side, down, right):
    """Crops a square from an image [H, W, C] at the relative position `down`, `right`, each 0 to 1."""
    top, left = (
        min(int((length - side + 1) * share), length - side)
        for length, share in zip(image.shape, (down, right))
    )
    return image[top : top + side, left : left + side]


def _epoch(seed, epoch, count):
    """The `Draws` of an epoch's images in order.

    NumPy's `Generator` may change its numbers between versions. Raw Philox numbers and a stable sort do not,
    so that runs resume identically under any version.
    """
    key = np.array([seed % 2**64, epoch], np.uint64)
    order, flips, *uniforms, keys = (
        np.random.Philox(key=key, counter=[0, 0, 0, use]).random_raw(count) for use in range(6)
    )
    indices = np.argsort(order, kind="stable")
    return Draws(indices, flips >= 2**63, *(x / 2.0**64 for x in uniforms), keys)


class Prefetched(Iterator[Any]):
    """Iterator over an iterable's items, which a thread prefetches.

        with Prefetched(images.training_batches(16, seed=0)) as batches:
            batch = next(batches)

    An exception of the iterable is raised by `next`, in order. The daemon thread ends with `close` or with
    the interpreter, which does not wait for it.

    Attributes:
      waited: float, seconds that `next` has waited in total: near 0 if the thread keeps up.
    """

    def __init__(self, iterable: Iterable, size: int = 4):
        """Only the thread may use `iterable`; `size` is the maximum number of prefetched items."""
        self.waited = 0.0
        # (item, None), ..., (None, the final exception).
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
        """Ends the thread after its current item, and drops prefetched ones."""
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
        except BaseException as error:  # otherwise `next` would wait forever
            end = error
        self._ready.put((None, end))
