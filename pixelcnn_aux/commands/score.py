"""Scores image files: writes a CSV table of their bits per dimension under a model, for example

    pixelcnn-aux score photo.png folder --workdir cifar10-pyramid --out scores.csv

Each file is a row; a folder stands for all image files below it, sorted by path. The columns are

    file             the file's path
    width, height    the size of the upright image
    prepared         "as it is", or "cropped and resized" as for --dataset folder: the score is that of the
                     largest centered crop with the model's aspect ratio, resized to the model's size;
                     models of any image size score images as they are
    exact_bits_per_dim_FACTOR
                     the factor's part; bound_... if the model gives an upper bound, and restricted_... if
                     only some of its factors are exact
    exact_bits_per_dim_total
                     the sum over factors: -log2 p(image) divided by the number of values
    error            why the file has no score: not an image, or damaged

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
_TYPICAL_SIZE = (512, 512)  # assumed for each file if the model takes images of any size


def main(*paths):
    expect(paths, "image files or folders of them", "none", "Name some", kind=app.UsageError)
    opening = contextlib.nullcontext(sys.stdout.buffer)
    if FLAGS.out:
        disk.check_place("--out", FLAGS.out)
        opening = disk.replacing(pathlib.Path(FLAGS.out))
    with contextlib.redirect_stdout(sys.stdout if FLAGS.out else sys.stderr):
        images = list(itertools.chain.from_iterable(map(image_files, paths)))
        _, model = chosen_run.load()
        size = model.image_size or _TYPICAL_SIZE
        model = chosen_run.for_work(model, len(images) * math.prod(size))
        # Opened after all imports: Ctrl-C ends these at once, and would leave an unfinished file.
        with opening as opened:
            # File names may be arbitrary bytes.
            table = codecs.getwriter("utf-8")(opened, "backslashreplace")
            count = write(csv.writer(table, lineterminator="\n"), model, images)
        size = model.image_size or "their own sizes"
        print(f"Scored {count:,} of {len(images):,} files, at {size}")
    if FLAGS.out:
        print(f"Wrote {FLAGS.out}")
    received = f"{len(images)}, none of which could be scored; see the column error"
    expect(count, "image files", received, "Give other files")


def image_files(path):
    """The file at a path, or the image files below a folder, at least one: list of `pathlib.Path`."""
    path = pathlib.Path(path)
    expected, received = "an image file or a folder of them", f"{path}, which is not there"
    expect(disk.exists(path), expected, received, "Give another path", kind=FileNotFoundError)
    if not path.is_dir():
        return [path]
    images, skipped = [], []
    for name in files.below(path):
        (images if name.suffix.lower() in decoding.SUFFIXES else skipped).append(name)
    kinds, suffixes = f"{decoding.KINDS} files", files.suffixes(skipped)
    expect(images, f"{kinds} in {path}", suffixes, "Name another folder, or files")
    note = f"; skipped: {suffixes}" if skipped else ""
    print(f"{path}: {len(images):,} {kinds}{note}")
    return [path / name for name in images]


def write(table, model, paths):
    """Writes the table of image files, `pathlib.Path`s, and returns the number of scored ones."""
    from pixelcnn_aux import batches

    likelihood, size = model.likelihood, model.image_size
    channels, values = likelihood.num_channels, likelihood.num_values
    expected = "a model of color images, uint8 [H, W, 3] below 256, to score files"
    received = f"one of {channels} channels below {values}"
    expect((channels, values) == (3, 256), expected, received, "Call its bits_per_dim")
    names = [*model.factors, "total"]
    bits_columns = [f"{summaries.bits_kind(model)}_bits_per_dim_{name}" for name in names]
    table.writerow(["file", "width", "height", "prepared", *bits_columns, "error"])
    count = 0
    bar = progress_bar(len(paths), "file")
    batch = max(1, batches.MAX_PIXELS // math.prod(size)) if size else 1
    with files.in_threads(lambda file: read(file, size), paths) as pictures:
        for first in range(0, len(paths), batch):
            chunk = list(itertools.islice(pictures, batch))
            images = [image for _, image, _ in chunk if image is not None]
            bits = dict.fromkeys(names, ())
            if images:
                condition = chosen_run.label_condition(model, len(images))
                bits = model.bits_per_dim(np.stack(images), condition)
            rows = zip(*(np.asarray(bits[name]) for name in names))
            for row, image, error in chunk:
                scores = (
                    map("{:.6f}".format, next(rows)) if image is not None else [""] * len(names)
                )
                table.writerow([*row, *scores, error])
            count += len(images)
            bar(first + len(chunk))
    return count


def read(file, size):
    """Reads a file: (row up to the bits, image uint8 [H, W, 3] at `size` or None, error message)."""
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
    flags.DEFINE_string(
        "out", None, "The table, replacing an older one; if unset, standard output."
    )
