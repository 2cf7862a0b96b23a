"""Whether files decode whatever computes them: a model of whole numbers, by ten ways to add up the same sums.

    python -m benchmarks.portable_files --pictures FOLDER --num_images 20

Each way is a process of its own, which compresses the pictures to one file, and decompresses the file of the
first way. The program fails unless all write the same bytes, but for the description of the machine, so that
each reads the files of the others. Under JAX it needs `pip install 'jax<0.7'`.
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
# Settings of libraries: in the environment of a process, before they are loaded.
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
        print(json.dumps(measure(FLAGS.way, tools.read_pictures(), pathlib.Path(FLAGS.file))))
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
            expected, received = "the streams that the first way wrote", f"others of {way}"
            expect(digest == first, expected, received, "Report the machine", kind=RuntimeError)
    print("All ways wrote the same, and read it")


def measure(way, images, file):
    """A process's [digest of its streams, bytes, seconds, seconds to decode the first process's file]."""
    coder = codec.Codec(pa.load(chosen_run.workdir()))
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
    """A context in which the package computes in a way that no setting of a library asks for."""
    if way == "products in bfloat16":  # whose sums are in float32, as of a device for bfloat16
        return convolving_in("bfloat16", "float32")
    if way == "sums in float64":
        return convolving_in("float64", "float64")
    if way == "tiles of 192 x 192":
        return mock.patch.object(batches, "MAX_TILE_PIXELS", 192**2)
    return contextlib.nullcontext()


def convolving_in(products, sums):
    """A context in which convolutions have products and sums of these dtypes."""
    conv = ops.conv

    def converted(x, kernel, *args, **kwargs):
        x, kernel = (ops.cast(ops.cast(y, products), sums) for y in (x, kernel))
        return ops.cast(conv(x, kernel, *args, **kwargs), "float32")

    return mock.patch.object(ops, "conv", converted)


def define_flags():
    flags.DEFINE_string("workdir", "photographs", "A run, or a trained model of the package.")
    tools.define_pictures()
    flags.DEFINE_enum("way", None, list(WAYS), "The one of this process.")
    flags.DEFINE_string("file", None, "The file of the first way.")


if __name__ == "__main__":
    program.start()
