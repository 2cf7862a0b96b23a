"""What a run says of itself: a table of figures an epoch, and TensorBoard's scalars beside it."""

import csv
import io

from absl import logging

from pixelcnn_aux import backend
from pixelcnn_aux.runs import disk

if backend.NAME == "tensorflow":
    import tensorflow as tf

# Of the epoch in which a run went on, means, speed and waiting are those since then.
FIELDS = (
    "epoch",
    "step",
    "images",  # seen so far
    "seconds",  # of training so far
    "bits_per_dim",  # mean over the epoch's steps, as the weights were
    "val_bits_per_dim",  # of the averaged weights
    "learning_rate",  # of the next step
    "images_per_s",
    "waiting",  # the share of the time that was spent waiting for images
    "gradient_norm",  # mean over the epoch's steps, but for those that float16 left out
)
_LATER = ("gradient_norm",)  # of which tables that were begun before have no column
_OF_TRAINING = ("bits_per_dim", "gradient_norm", "learning_rate", "images_per_s", "waiting")


class Metrics:
    """The figures of a factor's training.

    Args:
      file: `pathlib.Path` of the table, a .csv; that of an earlier run is gone on with.
      logs: `pathlib.Path`, the folder of TensorBoard's files, which are only written by TensorFlow.
      step: int, where training starts from: later rows, of steps that are taken again, are dropped.

    Raises:
      OSError: as `disk.explained`. So does `add`.
    """

    def __init__(self, file, logs, step):
        self._file = file
        self._rows = [row for row in read(file) if row["step"] <= step]
        self._logs = logs
        self._writers = {}
        if backend.NAME == "tensorflow":
            with self._writing_logs():
                self._writers = {
                    split: tf.summary.create_file_writer(str(logs / split))
                    for split in ("train", "validation")
                }

    def _writing_logs(self):
        return disk.explained(f"to write TensorBoard's files to {self._logs}", disk.GOES_ON)

    def add(self, **row):
        """Adds an epoch's figures: all of `FIELDS`, by name."""
        self._rows.append({name: row[name] for name in FIELDS})
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, FIELDS)
        writer.writeheader()
        writer.writerows(self._rows)
        with disk.replacing(self._file) as opened:
            opened.write(table.getvalue().encode())
        for split, writer in self._writers.items():
            with self._writing_logs(), writer.as_default(row["step"]):
                if split == "validation":
                    tf.summary.scalar("bits_per_dim", row["val_bits_per_dim"])
                else:
                    for name in _OF_TRAINING:
                        tf.summary.scalar(name, row[name])
                writer.flush()


def read(file):
    """The rows of a table, dicts of numbers by `FIELDS`: NaN where an earlier version wrote no such figure.

    No rows where there is no file, nor of a damaged one, which a warning names.

    Raises:
      OSError: as `disk.contents`.
    """
    with disk.explained(f"to read {file}"):
        table = disk.contents(file) if file.exists() else b""
    try:
        rows = csv.DictReader(io.StringIO(table.decode(), newline=""))
        return [{name: _number(name, row) for name in FIELDS} for row in rows]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        logging.warning(
            "Expected a table of figures in %s. Received: a damaged one (%s). Its rows are left out.",
            *(file, error),
        )
        return []


def _number(name, row):
    text = row.get(name, "nan") if name in _LATER else row[name]
    return int(text) if name in ("epoch", "step", "images") else float(text)
