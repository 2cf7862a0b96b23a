"""Scores image files: a table, CSV, of their bits per dimension under a model, such as

    pixelcnn-aux score photo.png folder --workdir cifar10-pyramid --out scores.csv

A row is a file; of a folder, all image files below it are scored, in the order of their paths. The columns:

    file             its path
    width, height    of its image, upright
    prepared         "as it is"; or "cropped and resized", as for training on --dataset folder: the largest
                     centered crop of the model's aspect, at the model's size, is what is scored; never for a
                     model of images of any size
    exact_bits_per_dim_FACTOR
                     the part of each factor; bound_... where the model gives an upper bound, and
                     restricted_... where only some of its factors are exact
    exact_bits_per_dim_total
                     their sum: -log2 p(image) over its number of values
    error            why there is no score: no image, or a damaged one

If the table goes to standard output, all other lines go to standard error.
"""

import codecs
import contextlib
import csv
import itertools
import math
import pathlib
import sys

import numpy as np
from absl import app, flags

from pixelcnn_aux import summaries
from pixelcnn_aux.base import disk, resizing
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.progress import progress_bar
from pixelcnn_aux.commands import chosen_run
from pixelcnn_aux.data import decoding, files

FLAGS = flags.FLAGS
ARGUMENTS = ["FILE_OR_FOLDER..."]
_FILE = (512, 512)  # about the size of a file, for a model of images of any size


def main(*paths):
    expect(paths, "image files or folders of them", "none", "Name some", kind=app.UsageError)
    opening = contextlib.nullcontext(sys.stdout.buffer)
    if FLAGS.out:
        disk.check_place("--out", FLAGS.out)
        opening = disk.replacing(pathlib.Path(FLAGS.out))
    with contextlib.redirect_stdout(sys.stdout if FLAGS.out else sys.stderr):
        found = list(itertools.chain.from_iterable(map(image_files, paths)))
        _, model = chosen_run.load()
        size = model.image_size or _FILE
        model = chosen_run.for_work(model, len(found) * math.prod(size))
        # Not before: Ctrl-C ends imports at once, and would leave an unfinished file.
        with opening as opened:
            # Names of files may be any bytes.
            table = codecs.getwriter("utf-8")(opened, "backslashreplace")
            count = write(csv.writer(table, lineterminator="\n"), model, found)
        size = model.image_size or "their own sizes"
        print(f"Scored {count:,} of {len(found):,} files, at {size}")
    if FLAGS.out:
        print(f"Wrote {FLAGS.out}")
    received = f"{len(found)}, none of which could be scored; the column error says why"
    expect(count, "image files", received, "Give others")


def image_files(path):
    """The file of a path, or the image files below that folder, one at least: list of `pathlib.Path`."""
    path = pathlib.Path(path)
    expected, received = "an image file or a folder of them", f"{path}, which is not there"
    expect(disk.exists(path), expected, received, "Give another path", kind=FileNotFoundError)
    if not path.is_dir():
        return [path]
    named, others = [], []
    for name in files.below(path):
        (named if name.suffix.lower() in decoding.SUFFIXES else others).append(name)
    kinds, suffixes = f"{decoding.KINDS} files", files.suffixes(others)
    expect(named, f"{kinds} in {path}", suffixes, "Name another folder, or files")
    left_out = f"; left out are others: {suffixes}" if others else ""
    print(f"{path}: {len(named):,} {kinds}{left_out}")
    return [path / name for name in named]


def write(table, model, found):
    """Writes the table of files, `pathlib.Path`s. Returns how many of them have a score."""
    from pixelcnn_aux import batches

    likelihood, size = model.likelihood, model.image_size
    channels, values = likelihood.num_channels, likelihood.num_values
    expected = "a model of color images, uint8 [H, W, 3] below 256, to score files"
    received = f"one of {channels} channels below {values}"
    expect((channels, values) == (3, 256), expected, received, "Call its bits_per_dim")
    names, kind, count = [*model.factors, "total"], summaries.bits_kind(model), 0
    blank, bits_columns = [""] * len(names), [f"{kind}_bits_per_dim_{name}" for name in names]
    table.writerow(["file", "width", "height", "prepared", *bits_columns, "error"])
    bar = progress_bar(len(found), "file")
    batch = max(1, batches.MAX_PIXELS // math.prod(size)) if size else 1
    with files.in_threads(lambda file: read(file, size), found) as pictures:
        for first in range(0, len(found), batch):
            some = list(itertools.islice(pictures, batch))
            images = [image for _, image, _ in some if image is not None]
            bits = dict.fromkeys(names, ())
            if images:
                condition = chosen_run.label_condition(model, len(images))
                bits = model.bits_per_dim(np.stack(images), condition)
            rows = zip(*(np.asarray(bits[name]) for name in names))
            for row, image, error in some:
                scores = blank if image is None else map("{:.6f}".format, next(rows))
                table.writerow([*row, *scores, error])
            count += len(images)
            bar(first + len(some))
    return count


def read(file, size):
    """(the row of a file up to its bits, its image uint8 [H, W, 3] in a size, or None, and the error)."""
    try:
        pixels = decoding.decode(decoding.contents(file))
    except (OSError, ValueError) as error:
        return [file, "", "", ""], None, str(error)
    height, width, _ = pixels.shape
    if size is None or (height, width) == tuple(size):
        return [file, width, height, "as it is"], pixels, ""
    return [file, width, height, "cropped and resized"], resizing.fit(pixels, size), ""


def define_flags():
    chosen_run.define_workdir()
    chosen_run.define_label()
    chosen_run.define_exact()
    out = "The table, which replaces an older one; standard output if unset."
    flags.DEFINE_string("out", None, out)
