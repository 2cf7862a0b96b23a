"""Compares the speed of an export with its model.

    python -m benchmarks.exported --preset cifar10

Exports a Grayscale PixelCNN with random weights, loads it by TensorFlow Serving's C++ loader, without
TensorFlow's Python, and times the signature `sample` there and `model.sample` here. Prints the size of
saved_model.pb, the loader's seconds and peak memory, and seconds per batch with their ratio.
"""

import pathlib
import statistics
import tempfile

import numpy as np
from absl import flags

import pixelcnn_aux as pa
from benchmarks import tools
from pixelcnn_aux.commands import program
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.serving.exporting import export
from pixelcnn_aux.training import presets
from tests.serving import loader

FLAGS = flags.FLAGS
BATCH, RUNS = 16, 5


def main():
    inputs = {"seed": np.array([[0, k] for k in range(BATCH)], np.int32)}
    inputs["log_scale_shift"] = np.zeros(BATCH, np.float32)
    with tempfile.TemporaryDirectory() as folder:
        run, models = pathlib.Path(folder, "run"), pathlib.Path(folder, "models")
        RunFolder(run).save_model(tools.build(presets.GRAYSCALE[FLAGS.preset]))
        path = export(run, models, max_batch=BATCH)
        print(f"saved_model.pb: {(path / 'saved_model.pb').stat().st_size / 1e6:.1f} MB")
        served = loader.run(path, [("sample", inputs)] * (RUNS + 1))
        print(f"loaded in {served.load_seconds:.1f} s, peak {served.peak_bytes / 2**20:.0f} MiB")
        model = pa.load(run)
    exported = statistics.median(result.seconds for result in served.results[1:])
    medians = tools.medians_in_turn({"live": lambda: model.sample(inputs["seed"])}, RUNS)
    ratio = exported / medians["live"]
    print(f"{BATCH} images: {exported:.3f} s, live {medians['live']:.3f} s, ratio {ratio:.3f}")


def define_flags():
    flags.DEFINE_enum("preset", "cifar10", list(presets.GRAYSCALE), "A Grayscale PixelCNN.")


if __name__ == "__main__":
    program.start()
