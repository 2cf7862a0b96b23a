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

import contextlib
import csv
import functools
import io
import itertools
import math
import pathlib
import sys

import numpy as np
from absl import app, flags

from pixelcnn_aux import summaries
from pixelcnn_aux.base import disk, resizing
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.commands import chosen_run, jobs
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
        check(model)
        size = model.image_size or _FILE
        shards = jobs.run(
            functools.partial(rows, condition=jobs.condition(model)),
            [(str(path), *x) for path, x in zip(found, jobs.described(found))],
            model,
            size=jobs.at_once(size),
            suffix=".csv",
            unit="file",
        )
        # Not before: Ctrl-C ends imports at once, and would leave an unfinished file.
        with opening as opened:
            header = ["file", "width", "height", "prepared", *columns(model).values(), "error"]
            opened.write(f"{','.join(header)}\n".encode())
            for shard in shards:
                opened.write(shard)
        table = csv.reader(io.StringIO(b"".join(shards).decode()))
        count = sum(not error for *_, error in table)
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


def check(model):
    """Raises ValueError for a model that has no score for the pixels of files."""
    likelihood = model.likelihood
    channels, values = likelihood.num_channels, likelihood.num_values
    expected = "a model of color images, uint8 [H, W, 3] below 256, to score files"
    received = f"one of {channels} channels below {values}"
    expect((channels, values) == (3, 256), expected, received, "Call its bits_per_dim")


def columns(model):
    """The names of the columns of bits: dict, name of a factor or "total" -> str."""
    kind = summaries.bits_kind(model)
    return {name: f"{kind}_bits_per_dim_{name}" for name in (*model.factors, "total")}


def rows(model, found, *, condition):
    """The table's rows of files, each a shown path and `jobs.described`, as bytes: a shard's."""
    from pixelcnn_aux import batches

    size, names = model.image_size, columns(model)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    batch = max(1, batches.MAX_PIXELS // math.prod(size)) if size else 1
    with files.in_threads(lambda x: read(x[0], x[1], size), found) as pictures:
        while some := list(itertools.islice(pictures, batch)):
            images = [image for _, image, _ in some if image is not None]
            bits = dict.fromkeys(names, ())
            if images:
                bits = model.bits_per_dim(np.stack(images), jobs.repeated(condition, len(images)))
            scores = zip(*(np.asarray(bits[name]) for name in names))
            for row, image, error in some:
                blank = [""] * len(names)
                cells = blank if image is None else map("{:.6f}".format, next(scores))
                table.writerow([*row, *cells, error])
    # Names of files may be any bytes.
    return text.getvalue().encode("utf-8", "backslashreplace")


def read(file, path, size):
    """(the row of a file up to its bits, its image uint8 [H, W, 3] in a size, or None, and the error)."""
    try:
        pixels = decoding.decode(decoding.contents(pathlib.Path(path)))
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
    jobs.define_flags()
