"""Functions of a model, for processes: nothing here imports Keras."""

import contextlib
import os
import signal
import sys
import time


def process(model):
    """Which process this is, and whether it has imported Keras."""
    return os.getpid(), "keras" in sys.modules


def endless(model):
    time.sleep(600)


def begin():
    """Prints a line once processes have begun work that does not end, and waits for it."""
    import pixelcnn_aux as pa
    from pixelcnn_aux.base import threads
    from pixelcnn_aux.factors import processes

    # Also where this process was started in the background of a shell.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threads.cores = 2
    model = pa.load("cifar10-pixelcnn")
    calls = [process, endless, endless]
    with contextlib.closing(processes.in_order(model, calls)) as found:
        print(*next(found), flush=True)
        next(found)
