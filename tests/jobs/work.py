"""Functions of shards, for workers: nothing here imports Keras."""

import errno
import functools
import os
import pathlib
import signal
import sys
import time

import numpy as np

from pixelcnn_aux import jobs
from pixelcnn_aux.base import threads


def draws(model, items, *, seed=0):
    """Images by the items as seeds."""
    images = model.sample([[seed, x] for x in items], image_size=(4, 6))["image"]
    return {"image": np.asarray(images), "item": np.array(items)}


def process(model, items):
    """Which process this is, whether it has imported Keras, and its cores, of each item."""
    return {
        "process": np.array([(os.getpid(), "keras" in sys.modules, threads.cores)] * len(items))
    }


def text(model, items):
    return ",".join(map(str, items)).encode()


def failing(model, items, *, on, by="error", once=None):
    """As `draws`; the shard of the item `on` fails, or ends its process, the first time, or always."""
    if on in items and not (once and pathlib.Path(once).exists()):
        if once:
            pathlib.Path(once).touch()
        if by == "death":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError(f"no {on}")
    return draws(model, items)


def full(model, items, *, log):
    """Notes that it began, and finds the disk full."""
    with open(log, "a") as file:
        file.write(f"{[*items]}\n")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def constant(model, items, *, array):
    return {"a": array}


def endless(model, items):
    time.sleep(600)


def begin():
    """Prints a line once processes have begun work that does not end, and waits for it."""
    # Also where this process was started in the background of a shell.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with jobs.Processes(2) as executor:
        run = functools.partial(jobs.run, model="cifar10-pixelcnn", size=1, executor=executor)
        found = set()
        while len(found) < 2:  # the second one may start later
            found |= {*run(process, [0, 1]).joined()["process"][:, 0]}
        print("begun", flush=True)
        run(endless, [1, 2, 3])
