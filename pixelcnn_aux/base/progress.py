"""Progress bars and readable durations."""

import contextlib
import sys
import threading
import time
from concurrent import futures

_PATIENCE = 5  # seconds before a late bar
_INTERVAL, _LINES = 0.1, 30  # seconds between redraws in a terminal, and between lines elsewhere


def progress_bar(count, unit="step", patience=0.0):
    """Returns `update(done, **metrics)`: a terminal line is redrawn; other output gets a line at times."""
    # With a `patience`, in seconds, only terminals show it, and only for work that takes longer.
    start = drawn = time.perf_counter()
    first, begun = None, not patience

    def update(done, **values):
        nonlocal first, begun, drawn
        now, is_last, is_terminal = time.perf_counter(), done >= count, sys.stdout.isatty()
        first = first or (done, now)
        begun = begun or (is_terminal and not is_last and now - start > patience)
        if not begun or not (is_last or now - drawn > (_INTERVAL if is_terminal else _LINES)):
            return
        drawn = now
        # Excludes the first units, which may have waited for compilation.
        units, since = (done - first[0], first[1]) if done > first[0] else (done, start)
        pace = (now - since) / max(units, 1)
        if is_last:
            rounded = f"{pace:.0f}s" if pace >= 1 else f"{1e3 * pace:.4g}ms"
            state = f"- {now - start:.0f}s - {rounded}/{unit}"
        else:
            state = f"{'=' * (20 * done // count):.<20} {duration(pace * (count - done))} left"
        metrics = "".join(f" - {name}: {value:.5g}" for name, value in values.items())
        line = f"{done:{len(str(count))}}/{count} {state}{metrics}"
        end = "\n" if is_last or not is_terminal else ""
        print("\r\033[K" * is_terminal + line, end=end, flush=True)

    return update


def late_bar(count, unit):
    """A `progress_bar` for terminals, shown only for work of more than a few seconds."""
    return progress_bar(count, unit, _PATIENCE)


def pixel_bar(count):
    """A `progress_bar` of pixels that also shows megapixels per second."""
    kilopixels, start = -(-count // 1000), time.perf_counter()
    update = progress_bar(kilopixels, "kilopixel")

    def update_pixels(done):
        speed = done / 1e6 / (time.perf_counter() - start)
        update(done // 1000 if done < count else kilopixels, megapixels_per_s=speed)

    return update_pixels


@contextlib.contextmanager
def waiting(what):
    """Shows a moving bar in a terminal if the work within takes more than a few seconds."""
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
    """Seconds in a readable unit: "95 s", "12 min", "3.4 h"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
