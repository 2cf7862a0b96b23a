"""Whether files decode whatever computes them: a model of whole numbers, by ten ways to add up the same sums.

    python -m benchmarks.portable_files --pictures FOLDER
    python -m benchmarks.portable_files --pictures FOLDER --workdir runs/photographs --num_images 20

Each way is a process of its own, which compresses the pictures to one file, and decompresses the file of the
first way. All write the same bytes, but for the description of the machine, so each reads what any of them
wrote; otherwise the program fails. Under JAX it needs `pip install 'jax<0.7'`.
"""

import hashlib
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from unittest import mock

import numpy as np
from absl import flags
from keras import ops

import pixelcnn_aux as pa
from pixelcnn_aux import batches, codec
from pixelcnn_aux.codec import container, pictures
from pixelcnn_aux.commands import chosen_run, program
from pixelcnn_aux.engine import groups

FLAGS = flags.FLAGS

# Settings of libraries: in the environment of a process, before they are loaded.
WAYS = {
    "TensorFlow with oneDNN": {},
    "one thread": dict.fromkeys(
        ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"
    ),
    "without oneDNN": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "oneDNN held to AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "products in bfloat16": {},
    "sums in float64": {},
    "JAX": {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
    "tiles of 192 x 192": {},
    "with graphs": {},
    "images one by one": {},
}


def main():
    if FLAGS.way is not None:
        print(json.dumps(_measured(FLAGS.way)))
        return
    print(f"{'':24} {'seconds':>9} {'to decode':>10}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file, expected = pathlib.Path(folder, "file"), None
        for way, settings in WAYS.items():
            command = [sys.executable, "-m", "benchmarks.portable_files", *sys.argv[1:]]
            result = subprocess.run(
                [*command, f"--way={way}", f"--file={file}"],
                env={**os.environ, **settings},
                stdout=subprocess.PIPE,
                check=True,
                text=True,
            )
            found = json.loads(result.stdout.splitlines()[-1])
            expected = expected or found
            print(f"{way:24} {found['seconds']:>9.1f} {found['to decode']:>10.1f}", flush=True)
            if found["digest"] != expected["digest"]:
                raise RuntimeError(
                    f"Expected the file that the first way wrote. Received: another one from {way}."
                )
        print(
            f"{expected['images']} pictures of {expected['pixels']:,} pixels, {expected['bytes']:,} bytes: "
            "all ways wrote the same, and read it"
        )


def _measured(way):
    """The work of one process: writes a file, reads that of the first process, and returns a report."""
    folder = chosen_run.workdir()
    loaded = [
        pictures.read(path).pixels
        for path in sorted(pathlib.Path(FLAGS.pictures).iterdir())[: FLAGS.num_images]
    ]
    coder, file = codec.Codec(pa.load(folder)), pathlib.Path(FLAGS.file)
    with _computing(way):
        start = time.perf_counter()
        if way == "images one by one":
            written = [coder.compress([image]) for image in loaded]
        else:
            written = [coder.compress(loaded)]
        seconds = time.perf_counter() - start
        if not file.exists():
            file.write_bytes(written[0])
        start = time.perf_counter()
        found = coder.decompress(file.read_bytes())
        to_decode = time.perf_counter() - start
    if not all(map(np.array_equal, found, loaded)):
        raise RuntimeError("Expected the same pictures again. Received: others.")
    digest = hashlib.sha256()
    for data in written:
        for words in container.read(data).streams:
            digest.update(words.tobytes())
    return {
        "seconds": seconds,
        "to decode": to_decode,
        "digest": digest.hexdigest(),
        "images": len(loaded),
        "pixels": sum(math.prod(image.shape[:2]) for image in loaded),
        "bytes": sum(map(len, written)),
    }


def _computing(way):
    """A context in which the package computes in a way that no setting of a library asks for."""
    conv = ops.conv

    def in_dtype(dtype, sums):
        def converted(x, kernel, *args, **kwargs):
            # Products in the first, whose sums are in the second: what a device for bfloat16 does.
            x, kernel = (ops.cast(ops.cast(y, dtype), sums) for y in (x, kernel))
            return ops.cast(conv(x, kernel, *args, **kwargs), "float32")

        return mock.patch.object(ops, "conv", converted)

    if way == "products in bfloat16":
        return in_dtype("bfloat16", "float32")
    if way == "sums in float64":
        return in_dtype("float64", "float64")
    if way == "tiles of 192 x 192":
        return mock.patch.object(batches, "MAX_TILE_PIXELS", 192**2)
    return mock.patch.object(groups, "FEW", 0 if way == "with graphs" else 2**20)


def define_flags():
    flags.DEFINE_string("workdir", "photographs", "A run, or a trained model of the package.")
    flags.DEFINE_string("pictures", None, "Folder of image files.", required=True)
    flags.DEFINE_integer("num_images", None, "How many of them; all if not given.", lower_bound=1)
    flags.DEFINE_enum("way", None, list(WAYS), "The one of this process.")
    flags.DEFINE_string("file", None, "The file of the first way.")


if __name__ == "__main__":
    program.start()
