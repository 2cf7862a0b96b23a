"""The speed of an export beside that of its model.

    python -m benchmarks.exported --preset cifar10

Exports a Grayscale PixelCNN, randomly initialized, loads it by the C++ loader of TensorFlow Serving, without
TensorFlow's Python, and times the signature `sample` there and `model.sample` here. Prints the size of
saved_model.pb, seconds to load, the process's peak memory, and seconds for a batch with their ratio.
"""

import pathlib
import statistics
import tempfile
import time

import numpy as np
from absl import flags

import pixelcnn_aux as pa
from pixelcnn_aux.commands import program
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.serving.exporting import export
from pixelcnn_aux.training import presets
from tests.serving import loader

FLAGS = flags.FLAGS


def seconds_live(model, seeds):
    start = time.perf_counter()
    model.sample(seeds)
    return time.perf_counter() - start


def main():
    preset = presets.GRAYSCALE[FLAGS.preset]
    seeds = np.array([[0, index] for index in range(FLAGS.batch_size)], np.int32)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model = preset.constructor(**preset.model)
        RunFolder(folder / "run").save_model(model)
        start = time.perf_counter()
        path = export(folder / "run", folder / "models", max_batch=FLAGS.batch_size)
        print(f"exported and compared in {time.perf_counter() - start:.0f} s", flush=True)
        print(f"saved_model.pb: {(path / 'saved_model.pb').stat().st_size / 1e6:.1f} MB")
        inputs = {"seed": seeds, "log_scale_shift": np.zeros(FLAGS.batch_size, np.float32)}
        served = loader.run(path, [("sample", inputs)] * (FLAGS.runs + 1))
        print(f"loaded in {served.load_seconds:.1f} s, peak {served.peak_bytes / 2**20:.0f} MiB")
        live = pa.load(folder / "run")
        times = {
            "exported": [result.seconds for result in served.results],
            "live": [seconds_live(live, seeds) for _ in range(FLAGS.runs + 1)],
        }
    medians = {name: statistics.median(seconds[1:]) for name, seconds in times.items()}
    for name, median in medians.items():
        first = f"the first {times[name][0]:.1f} s"
        print(f"{name:8} {median:8.3f} s a batch of {FLAGS.batch_size}, {first}")
    print(f"ratio    {medians['exported'] / medians['live']:8.3f}")


def define_flags():
    flags.DEFINE_enum("preset", "cifar10", list(presets.GRAYSCALE), "Of Grayscale PixelCNN.")
    flags.DEFINE_integer("batch_size", 16, "Images a request.", lower_bound=1)
    flags.DEFINE_integer("runs", 5, "Timed runs of each; the median counts.", lower_bound=1)


if __name__ == "__main__":
    program.start()
