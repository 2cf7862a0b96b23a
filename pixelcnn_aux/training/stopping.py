"""How training is asked to stop by signals, so that no step that was taken is lost."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C; what schedulers send before they kill


class Stopped(BaseException):
    """Training has stopped since it was asked to. What it has done is in its last checkpoint.

    No `Exception`, as KeyboardInterrupt is none: a signal may come while a file is read or downloaded, where
    whatever goes wrong is taken for damage of that file.
    """


class Stop:
    """While entered, the first signal of `SIGNALS` asks training to stop; a second one ends the process.

        with Stop() as stop:
            pa.train(..., stop=stop)   # raises Stopped

    Before the first step and between factors `Stopped` is raised at once. In between, training asks after
    every step whether it is to stop.

    Attributes:
      signal: int, the signal that was received; None so far, and of one that is not entered.
      is_held: bool, whether a signal is only noted.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.is_held = False

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "Expected to be in the main thread, which alone receives signals. Received: another one. "
                "Train without `stop`."
            )
        self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Within it, a signal is only noted. Raises `Stopped` at its end if one was."""
        self.is_held = True
        try:
            yield
        finally:
            self.is_held = False
        if self.signal is not None:
            raise Stopped

    def _receive(self, number, frame):
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = number
        if not self.is_held:
            raise Stopped
