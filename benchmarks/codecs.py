"""Compares the codec with PNG and WebP, the smallest of several files each, and JPEG XL: bits and seconds.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.codecs --workdir photographs --pictures FOLDER

Decodes the codec's file in another process, and compares all pixels.
"""

import io
import math
import multiprocessing

import numpy as np
from PIL import Image

import pixelcnn_aux as pa
from benchmarks import tools
from pixelcnn_aux import codec
from pixelcnn_aux.base.progress import pixel_bar
from pixelcnn_aux.commands import chosen_run, program
from pixelcnn_aux.data import lossless_files


def main():
    images = tools.read_pictures()
    columns = {f"{len(images)} pictures": "<18", "bits/dim": "9.4f", "bytes": "13,.0f"}
    table = tools.Table({**columns, "seconds": "9.1f", "to decode": "10.1f"})
    values = sum(image.size for image in images)
    for rows in (ours(chosen_run.workdir(), images), theirs(images)):
        for name, size, *seconds in rows:
            table.add(name, 8 * size / values, size, *seconds)


def ours(folder, images):
    """Yields (name, bytes, seconds to write and to read) for the codec and for the likelihood."""
    model = pa.load(folder)
    coder, bar = codec.Codec(model), pixel_bar(sum(math.prod(x.shape[:2]) for x in images))
    contents, seconds = tools.timed(lambda: coder.compress(images, progress=bar))
    with multiprocessing.get_context("spawn").Pool(1) as process:
        decoded, to_decode = process.apply(decode, (folder, contents))
    tools.check_decoded("the codec", decoded, images)
    yield "the codec", len(contents), seconds, to_decode
    nats = sum(float(model.with_exact(True).log_prob(image[np.newaxis])[0]) for image in images)
    yield "log-likelihood", -nats / math.log(2.0) / 8


def decode(folder, contents):
    """(images of a file, seconds), computed in a process of its own."""
    return tools.timed(codec.Codec(pa.load(folder)).decompress, contents)


def theirs(images):
    formats = dict(lossless_files.FORMATS)
    if best := formats.pop("JPEG XL", None):
        formats |= {"JPEG XL, effort 7": [{**best[0], "effort": 7}], "JPEG XL, effort 9": best}
    for name, settings in formats.items():
        files, seconds = tools.timed(encoded, images, settings)
        decoded, to_decode = tools.timed(opened, files)
        tools.check_decoded(name, decoded, images)
        yield name, sum(map(len, files)), seconds, to_decode


def encoded(images, settings):
    """Each image's smallest file by several settings of `lossless_files.FORMATS`: list of bytes."""
    return [min((lossless_files.encoded(x, y) for y in settings), key=len) for x in images]


def opened(files):
    return [np.asarray(Image.open(io.BytesIO(contents))) for contents in files]


def define_flags():
    chosen_run.define_workdir()
    tools.define_pictures()


if __name__ == "__main__":
    program.start()
