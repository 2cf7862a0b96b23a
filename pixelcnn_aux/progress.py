"""Progress bars, and times in words."""

import contextlib
import sys
import threading
import time
from concurrent import futures

_PATIENCE = 5  # seconds


def progress_bar(count, unit="step", names=()):
    """Keras's bar, or a line at the end; of the metrics `names` the last values are displayed, not means."""
    import keras  # here: programs show their flags without

    verbose = 1 if sys.stdout.isatty() else 2
    return keras.utils.Progbar(count, verbose=verbose, stateful_metrics=names, unit_name=unit)


def late_bar(count, unit):
    """As `pixel_bar`, of any unit: in a terminal, and only if work goes on after a few seconds."""
    bar, start, begun = progress_bar(count, unit), time.perf_counter(), False

    def update(done):
        nonlocal begun
        is_late = done < count and time.perf_counter() - start > _PATIENCE
        begun = begun or (is_late and sys.stdout.isatty())
        if begun:
            bar.update(done)

    return update


def pixel_bar(count):
    """A bar of so many pixels, with those a second: a function, called with the number of those done."""
    bar = progress_bar(-(-count // 1000), "kilopixel", ["megapixels_per_s"])
    start = time.perf_counter()

    def update(done):
        speed = done / 1e6 / (time.perf_counter() - start)
        kilopixels = done // 1000 if done < count else bar.target
        bar.update(kilopixels, [("megapixels_per_s", speed)])

    return update


@contextlib.contextmanager
def waiting(what):
    """Within it, a terminal shows after some seconds what it waits for, with a bar that moves."""
    start, done = time.perf_counter(), threading.Event()

    def show():
        late = not done.wait(_PATIENCE)
        while not done.wait(0.2):
            seconds = time.perf_counter() - start
            bar = "".join("=" if int(5 * seconds - i) % 20 < 4 else "." for i in range(20))
            print(f"\r{what} {bar} {seconds:.0f} s ", end="", file=sys.stderr, flush=True)
        if late:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    if not sys.stderr.isatty():
        yield
        return
    with futures.ThreadPoolExecutor(1) as pool:
        pool.submit(show)
        try:
            yield
        finally:
            done.set()


def duration(seconds):
    """Seconds in a unit that reads well: "95 s", "12 min", "3.4 h"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
