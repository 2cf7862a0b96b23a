"""CSV table of a factor's training metrics, with a row per epoch."""

import csv
import io

from absl import logging

from pixelcnn_aux.base import disk

# In an epoch in which a run resumed, means, speed and waiting count from there.
FIELDS = {
    "epoch": int,
    "step": int,
    "images": int,  # seen so far
    "seconds": float,  # of training so far
    "bits_per_dim": float,  # mean over the epoch's steps, under the current weights
    "val_bits_per_dim": float,  # under the averaged weights
    "learning_rate": float,  # of the next step
    "images_per_s": float,
    "waiting": float,  # share of the time spent waiting for images
    "gradient_norm": float,  # mean over the epoch's steps, without those that overflowed in float16
}


def write(file, rows):
    """Writes rows, dicts of all `FIELDS`."""
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, FIELDS)
    writer.writeheader()
    writer.writerows(rows)
    with disk.replacing(file, disk.RESUME) as opened:
        opened.write(table.getvalue().encode())


def read(file):
    """Reads rows, dicts of `FIELDS`; [] if the file is missing or, with a warning, damaged."""
    table = disk.contents(file) if disk.exists(file) else b""
    try:
        rows = csv.DictReader(io.StringIO(table.decode(), newline=""))
        return [{name: convert(row[name]) for name, convert in FIELDS.items()} for row in rows]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        damage = f"Received: a damaged one ({error}). Its rows are left out."
        logging.warning("Expected a table of metrics in %s. %s", file, damage)
        return []
