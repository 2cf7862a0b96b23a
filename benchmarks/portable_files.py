"""Tests that files are portable: a model of whole numbers, under nine ways to compute the same sums.

    python -m benchmarks.portable_files --pictures FOLDER --num_images 20

Each way runs in its own process, which compresses the pictures to one file and decompresses the first way's
file. The program fails unless all write the same bytes apart from the description of the machine, so that
each reads the others' files. JAX needs `pip install 'jax<0.7'`.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

from absl import flags
from keras import ops

import pixelcnn_aux as pa
from benchmarks import tools
from pixelcnn_aux import batches, codec
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.codec import container
from pixelcnn_aux.commands import chosen_run, program

FLAGS = flags.FLAGS

_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
# Environment variables, set before libraries are loaded.
WAYS = {
    "TensorFlow with oneDNN": {},
    "one thread": dict.fromkeys(_THREADS, "1"),
    "without oneDNN": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "oneDNN held to AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "products in bfloat16": {},
    "sums in float64": {},
    "JAX": {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
    "tiles of 192 x 192": {},
    "images one by one": {},
}


def main():
    if FLAGS.way is not None:
        print(json.dumps(measure(FLAGS.way, pathlib.Path(FLAGS.file))))
        return
    table = tools.Table({"": "<24", "bytes": "11,", "seconds": "9.1f", "to decode": "10.1f"})
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.portable_files", *sys.argv[1:]]
        command.append(f"--file={folder}/file")
        first = None
        for way, settings in WAYS.items():
            environment = {**os.environ, **settings}
            output = subprocess.check_output([*command, f"--way={way}"], env=environment, text=True)
            digest, *row = json.loads(output.splitlines()[-1])
            table.add(way, *row)
            first = first or digest
            expected, received = "the first way's streams", f"other ones under {way}"
            expect(digest == first, expected, received, "Report the machine", kind=RuntimeError)
    print("All ways wrote and read the same files")


def measure(way, file):
    """(digest of the streams, bytes, seconds, seconds to decode the first process's file)."""
    coder = codec.Codec(pa.load(chosen_run.workdir()))
    images = tools.read_pictures(coder.model.likelihood)
    parts = [[image] for image in images] if way == "images one by one" else [images]
    with computing(way):
        written, seconds = tools.timed(lambda: list(map(coder.compress, parts)))
        if not file.exists():
            file.write_bytes(written[0])
        decoded, to_decode = tools.timed(coder.decompress, file.read_bytes())
    tools.check_decoded(way, decoded, images)
    streams = (words.tobytes() for data in written for words in container.read(data).streams)
    digest = hashlib.sha256(b"".join(streams)).hexdigest()
    return digest, sum(map(len, written)), seconds, to_decode


def computing(way):
    """Context for ways to compute that no library setting selects."""
    if way == "products in bfloat16":  # with sums in float32, like bfloat16 hardware
        return convolving_in("bfloat16", "float32")
    if way == "sums in float64":
        return convolving_in("float64", "float64")
    if way == "tiles of 192 x 192":
        return mock.patch.object(batches, "MAX_TILE_PIXELS", 192**2)
    return contextlib.nullcontext()


def convolving_in(products, sums):
    """Context in which convolutions compute products and sums in these dtypes."""
    conv = ops.conv

    def converted(x, kernel, *args, **kwargs):
        x, kernel = (ops.cast(ops.cast(y, products), sums) for y in (x, kernel))
        return ops.cast(conv(x, kernel, *args, **kwargs), "float32")

    return mock.patch.object(ops, "conv", converted)


def define_flags():
    flags.DEFINE_string("workdir", "photographs", "A run, or a trained model of the package.")
    tools.define_pictures()
    flags.DEFINE_enum("way", None, list(WAYS), "This process's way.")
    flags.DEFINE_string("file", None, "The first way's file.")


if __name__ == "__main__":
    program.start()
