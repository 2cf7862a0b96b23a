"""Compares the codec with other lossless formats, the smallest of several files each: bits and seconds.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.codecs --workdir photographs --pictures FOLDER

Pictures have the model's channels and bits; DICOM files are read too. Decodes every file, the codec's in
another process, and compares all pixels. JPEG XL of effort 10 needs cjxl, of Debian's libjxl-tools.
"""

import io
import math
import multiprocessing
import shutil
import subprocess

import numpy as np
from PIL import Image

import pixelcnn_aux as pa
from benchmarks import tools
from pixelcnn_aux import codec
from pixelcnn_aux.base.progress import pixel_bar
from pixelcnn_aux.codec import lossless_files
from pixelcnn_aux.commands import chosen_run, program

CJXL = "-d 0 -e 10 -g 3 -E 3 -I 100 --num_threads=0".split()  # its arguments


def main():
    folder = chosen_run.workdir()
    likelihood = pa.load(folder).likelihood
    formats = other_formats(lossless_files.holding(likelihood))
    images = tools.read_pictures(likelihood)
    columns = {f"{len(images)} pictures": "<18", "bits/dim": "9.4f", "bytes": "13,.0f"}
    table = tools.Table({**columns, "seconds": "9.1f", "to decode": "10.1f"})
    values = sum(image.size for image in images)
    for rows in (ours(folder, images), theirs(images, formats)):
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


def other_formats(formats):
    """Those of `lossless_files` and more: dict, name -> (encoders of an image, the decoder of a file)."""
    import jpeg_ls  # here, since the documentation's flags are tested without it

    settings = {x: lossless_files.FORMATS[x] for x in formats if x != "JPEG XL"}
    settings["JPEG 2000"] = [{"format": "JPEG2000"}]
    for effort in (7, 9):
        settings[f"JPEG XL, effort {effort}"] = [
            {"format": "JXL", "lossless": True, "effort": effort}
        ]
    found = {
        name: ([_by_pillow(x) for x in options], _opened) for name, options in settings.items()
    }
    found["JPEG-LS"] = [jpeg_ls.encode_array], jpeg_ls.decode
    if shutil.which("cjxl"):
        found["JPEG XL, effort 10"] = [jpeg_xl_by_cjxl], _opened
    return found


def theirs(images, formats):
    """Yields such rows for `other_formats`."""
    if images[0].shape[2] == 1:
        images = [image[..., 0] for image in images]
    for name, (encoders, opened) in formats.items():
        files, seconds = tools.timed(encoded, images, encoders)
        contents = (np.frombuffer(file, np.uint8) for file in files)
        decoded, to_decode = tools.timed(list, map(opened, contents))
        tools.check_decoded(name, decoded, images)
        yield name, sum(map(len, files)), seconds, to_decode


def encoded(images, encoders):
    """The smallest file of each image by several encoders: list of bytes."""
    return [min((encoder(image) for encoder in encoders), key=len) for image in images]


def jpeg_xl_by_cjxl(image):
    """The file, bytes, that cjxl makes of an image on one core."""
    kind, deepest = b"P5" if image.ndim == 2 else b"P6", np.iinfo(image.dtype).max
    header = b"%s %d %d %d\n" % (kind, *image.shape[1::-1], deepest)
    pixels = header + image.astype(image.dtype.newbyteorder(">")).tobytes()
    command = ["cjxl", "-", "-", *CJXL]
    return subprocess.run(command, input=pixels, capture_output=True, check=True).stdout


def _by_pillow(options):
    return lambda image: lossless_files.encoded(image, options)


def _opened(contents):
    return np.asarray(Image.open(io.BytesIO(contents)))


def define_flags():
    chosen_run.define_workdir()
    tools.define_pictures()


if __name__ == "__main__":
    program.start()
