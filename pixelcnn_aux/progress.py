"""How far long work is."""

import sys
import time

import keras

_PATIENCE = 5  # seconds


def bar(count, unit="step", names=()):
    """Keras's progress bar: one that moves in a terminal, and otherwise a line at the end.

    Args:
      count: int, how many units there are.
      unit: str, what they are called.
      names: of metrics that are shown as they are, and not as their means.

    Returns:
      `keras.utils.Progbar`.
    """
    verbose = 1 if sys.stdout.isatty() else 2
    return keras.utils.Progbar(count, verbose=verbose, stateful_metrics=names, unit_name=unit)


def late_bar(count, unit):
    """A bar in a terminal, once work has taken a few seconds and goes on: for what mostly takes less.

    Returns a function, which is called with the number of units done.
    """
    shown, start, begun = bar(count, unit), time.perf_counter(), False

    def update(done):
        nonlocal begun
        is_late = done < count and time.perf_counter() - start > _PATIENCE
        begun = begun or (is_late and sys.stdout.isatty())
        if begun:
            shown.update(done)

    return update


def pixel_bar(count):
    """A bar of so many pixels, with those a second: a function, called with the number of those done."""
    shown, start = bar(-(-count // 1000), "kilopixel", ["megapixels_per_s"]), time.perf_counter()

    def update(done):
        speed = done / 1e6 / (time.perf_counter() - start)
        kilopixels = done // 1000 if done < count else shown.target
        shown.update(kilopixels, [("megapixels_per_s", speed)])

    return update


def duration(seconds):
    """Seconds as a reader takes them in: "95 s", "12 min", "3.4 h"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
