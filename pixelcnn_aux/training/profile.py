"""A trace of a few training steps, for TensorBoard's profile plugin and for Perfetto."""

import functools

from pixelcnn_aux import backend
from pixelcnn_aux.runs import disk

if backend.NAME == "tensorflow":
    import tensorflow as tf

    _start, _stop = tf.profiler.experimental.start, tf.profiler.experimental.stop
    _step = functools.partial(tf.profiler.experimental.Trace, _r=1)
else:
    import jax

    _start, _stop = jax.profiler.start_trace, jax.profiler.stop_trace
    _step = jax.profiler.StepTraceAnnotation

WARM_UP, STEPS = 10, 5  # The first steps trace, compile, and choose algorithms.


class Profile:
    """Traces `STEPS` steps after the first `WARM_UP` that are taken while it is entered.

    The trace goes to the sub-folder plugins/profile of a folder; there is none where that is None.
    """

    def __init__(self, folder):
        self._folder = folder
        self._taken = 0
        self._tracing = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._tracing:
            self.turn()
        if self._folder and self._taken <= WARM_UP:
            expected = f"Expected more than {WARM_UP} steps, to trace those after."
            print(f"{expected} Received: {self._taken}", flush=True)

    def step(self, number):
        """A context for one step, which the trace shows by its number."""
        self._taken += 1
        return _step("train", step_num=number)

    @property
    def turns(self):
        """Whether the trace begins or ends after the steps so far: all of them are to be waited for then."""
        turn = WARM_UP + STEPS if self._tracing else WARM_UP
        return self._folder is not None and self._taken == turn

    def turn(self):
        """Begins the trace, or ends it and says where it is."""
        with disk.explained(f"to write a trace to {self._folder}", disk.GOES_ON):
            if not self._tracing:
                _start(str(self._folder))
                self._tracing = True  # Not before: a trace that was refused is not to be ended.
                return
            self._tracing = False
            _stop()
        if self._taken > WARM_UP:
            print(
                f"Traced steps {WARM_UP + 1} to {self._taken} of this factor: in "
                f"{self._folder / 'plugins' / 'profile'}; tensorboard --logdir {self._folder}",
                flush=True,
            )
