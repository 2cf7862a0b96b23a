"""Training metrics: a CSV table and TensorBoard scalars per epoch, and a meter of its steps."""

import collections
import contextlib
import math
import time

import numpy as np
from keras import ops

from pixelcnn_aux.base import backend, disk
from pixelcnn_aux.base.progress import progress_bar
from pixelcnn_aux.run_files.metrics_table import FIELDS as FIELDS, read as read, write as write

if backend.NAME == "tensorflow":
    import tensorflow as tf

_IN_BAR = ("bits_per_dim", "images_per_s", "val_bits_per_dim")
_TRAINING_SCALARS = ("bits_per_dim", "gradient_norm", "learning_rate", "images_per_s", "waiting")
# Maximum number of steps in flight: enough that an accelerator never waits for Python.
_STEPS_AHEAD = 8


class MetricsTable:
    """A factor's metrics file and TensorBoard logs, continued from the rows up to `step`."""

    def __init__(self, folder, step):
        self._file, self._logs = folder.metrics, folder.logs
        self._rows = [row for row in read(self._file) if row["step"] <= step]
        self._writers = {}
        for split in ("train", "validation") if backend.NAME == "tensorflow" else ():
            with self._writing_logs():
                self._writers[split] = tf.summary.create_file_writer(str(self._logs / split))

    def _writing_logs(self):
        return disk.explained(f"to write TensorBoard's files to {self._logs}", disk.RESUME)

    def add(self, row):
        """Adds an epoch's metrics, a dict of all `FIELDS`."""
        self._rows.append(row)
        write(self._file, self._rows)
        scalars = {
            "train": {name: row[name] for name in _TRAINING_SCALARS},
            "validation": {"bits_per_dim": row["val_bits_per_dim"]},
        }
        for split, writer in self._writers.items():
            with self._writing_logs(), writer.as_default(row["step"]):
                for name, value in scalars[split].items():
                    tf.summary.scalar(name, value)
                writer.flush()


class EpochMeter:
    """Losses, gradient norms and `seconds` of an epoch's remaining steps; calls `note` for each in order."""

    def __init__(self, count, batches, note, shows):
        self._count, self._batches, self._note, self._shows = count, batches, note, shows
        self._bar = progress_bar(count)
        self._in_flight = collections.deque()  # (step, outcome) not read yet
        self._bits, self._norms = [], []
        self._waited = batches.waited
        self.seconds, self._start = 0.0, time.perf_counter()

    def add(self, step, outcome):
        """Adds a step's (bits, norm), scalars on the device; waits for the first step and all but a few."""
        self._in_flight.append((step, outcome))
        self._read(_STEPS_AHEAD if self._bits else 0)

    def _read(self, remaining):
        while len(self._in_flight) > remaining:
            step, (bits, norm) = self._in_flight.popleft()
            self._bits.append(float(bits))
            self._norms.append(float(norm))
            self._note(step, self._bits[-1], self._norms[-1])
            done = len(self._bits)
            if done == 1:
                self._first_done = time.monotonic()
            if self._shows and done < self._count:
                self._bar(done, bits_per_dim=np.mean(self._bits))

    def end(self):
        """Waits for all steps, and counts their time."""
        self._read(0)
        self._last_done = time.monotonic()
        self.seconds += time.perf_counter() - self._start

    @contextlib.contextmanager
    def paused(self):
        """Context without steps in flight, whose time does not count as training."""
        self.end()
        yield
        self._start = time.perf_counter()

    def means(self, batch_size):
        """dict of the `FIELDS` that summarize all steps."""
        return {
            "bits_per_dim": float(np.mean(self._bits)),
            "images_per_s": self._count * batch_size / self.seconds,
            "waiting": (self._batches.waited - self._waited) / self.seconds,
            "gradient_norm": float(np.nanmean(self._norms)),
        }

    def show(self, row):
        """Completes the progress bar with an epoch's row of metrics."""
        self._bar(self._count, **{key: row[key] for key in _IN_BAR})

    def pace(self, steps_per_epoch):
        """Seconds per step, plus its share of the time since the last step; None for a single step."""
        if self._count == 1:  # it may have compiled
            return None
        steps_alone = (self._last_done - self._first_done) / (self._count - 1)
        return steps_alone + (time.monotonic() - self._last_done) / steps_per_epoch


def mean_bits(factor, batches, by=None):
    """Mean bits per dimension of a `Factor`'s own images, over an iterable of `Inputs`: float.

    `by` is as for `AuxiliaryModel.computing`.
    """
    bits, dimensions = 0.0, 0
    for inputs in batches:
        nats = ops.convert_to_numpy(factor.log_prob(inputs, by=by)).astype(np.float64)
        bits -= nats.sum() / math.log(2.0)
        dimensions += math.prod(inputs.images.shape)
    return bits / dimensions
