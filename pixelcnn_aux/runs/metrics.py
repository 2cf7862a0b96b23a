"""The table of a factor's metrics, with a row for each epoch of its training: a CSV file."""

import csv
import io

from absl import logging

from pixelcnn_aux.base import disk

# In the epoch in which a run resumes, means, speed and waiting are those since then.
FIELDS = {
    "epoch": int,
    "step": int,
    "images": int,  # seen so far
    "seconds": float,  # of training so far
    "bits_per_dim": float,  # mean over the epoch's steps, as the weights were
    "val_bits_per_dim": float,  # of the averaged weights
    "learning_rate": float,  # of the next step
    "images_per_s": float,
    "waiting": float,  # the share of the time that was spent waiting for images
    "gradient_norm": float,  # mean over the epoch's steps, without those that overflowed in float16
}


def write(file, rows):
    """Writes a table of rows, dicts of all `FIELDS`."""
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, FIELDS)
    writer.writeheader()
    writer.writerows(rows)
    with disk.replacing(file, disk.RESUME) as opened:
        opened.write(table.getvalue().encode())


def read(file):
    """The rows of a table, dicts of `FIELDS`; none if it is missing or, with a warning, damaged."""
    table = disk.contents(file) if disk.exists(file) else b""
    try:
        rows = csv.DictReader(io.StringIO(table.decode(), newline=""))
        return [{name: kind(row[name]) for name, kind in FIELDS.items()} for row in rows]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        damage = f"Received: a damaged one ({error}). Its rows are left out."
        logging.warning("Expected a table of metrics in %s. %s", file, damage)
        return []
