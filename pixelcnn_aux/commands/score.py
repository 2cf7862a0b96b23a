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

from pixelcnn_aux.base import disk, resizing
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.commands import chosen_run, jobs
from pixelcnn_aux.data import decoding, files
from pixelcnn_aux.data.files import image_files
from pixelcnn_aux.scores import splits

FLAGS = flags.FLAGS
ARGUMENTS = ["FILE_OR_FOLDER..."]
_ESCAPED = {number: f"\\x{number:02x}" for number in (*range(32), 127)}  # would split rows
_TYPICAL_SIZE = (512, 512)  # assumed for each file if the model takes images of any size


def main(*paths):
    expect(paths, "image files or folders of them", "none", "Name some", kind=app.UsageError)
    opening = contextlib.nullcontext(sys.stdout.buffer)
    if FLAGS.out:
        disk.check_place("--out", FLAGS.out)
        opening = disk.replacing(pathlib.Path(FLAGS.out))
    with contextlib.redirect_stdout(sys.stdout if FLAGS.out else sys.stderr):
        _, model = chosen_run.load()
        channels = model.likelihood.num_channels
        images = [image for path in paths for image in image_files(path, channels)]
        size = model.image_size or _TYPICAL_SIZE
        shards = jobs.run(
            functools.partial(rows, condition=jobs.condition(model)),
            [(str(path), path.absolute()) for path in images],
            model,
            size=jobs.at_once(size),
            suffix=".csv",
            unit="file",
        )
        with opening as opened:
            header = ["file", "width", "height", "prepared", *columns(model).values(), "error"]
            opened.write(f"{','.join(header)}\n".encode())
            for shard in shards:
                opened.write(shard)
        table = csv.reader(io.StringIO(b"".join(shards).decode()))
        count = sum(not error for *_, error in table)
        size = model.image_size or "their own sizes"
        print(f"Scored {count:,} of {len(images):,} files, at {size}")
    if FLAGS.out:
        print(f"Wrote {FLAGS.out}")
    received = f"{len(images) - count:,} of {len(images):,} without one; see the column error"
    expect(count == len(images), "a score of each file", received, "Mend these, or leave them out")


def columns(model):
    """The columns of bits: dict, name of a factor or "total" -> str."""
    kind = splits.bits_kind(model)
    return {name: f"{kind}_bits_per_dim_{name}" for name in (*model.factors, "total")}


def rows(model, items, *, condition):
    """The table's rows of a shard, bytes. An item is a path, as it is shown, and the absolute one."""
    from pixelcnn_aux import batches

    size, names = model.image_size, columns(model)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    batch = max(1, batches.MAX_PIXELS // math.prod(size)) if size else 1
    kind = model.likelihood.num_channels, model.likelihood.num_values
    with files.in_threads(lambda x: read(x[0], x[1], size, *kind), items) as pictures:
        while chunk := list(itertools.islice(pictures, batch)):
            images = [image for _, image, _ in chunk if image is not None]
            bits = dict.fromkeys(names, ())
            if images:
                bits = model.bits_per_dim(np.stack(images), jobs.repeated(condition, len(images)))
            scores = zip(*(np.asarray(bits[name]) for name in names))
            for row, image, error in chunk:
                blank = [""] * len(names)
                cells = blank if image is None else map("{:.6f}".format, next(scores))
                table.writerow(f"{cell}".translate(_ESCAPED) for cell in (*row, *cells, error))
    # File names may be arbitrary bytes.
    return text.getvalue().encode("utf-8", "backslashreplace")


def read(file, path, size, channels=3, num_values=256):
    """Reads a file: (row up to the bits, image [H, W, C] at `size` or None, error message)."""
    try:
        contents = decoding.contents(path)
        pixels = decoding.decode(contents, channels, num_values)
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
    out = "The table, replacing an older one; if unset, standard output."
    flags.DEFINE_string("out", None, out)
    jobs.define_flags()
