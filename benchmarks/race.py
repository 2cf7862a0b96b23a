"""Races models for minutes of training: TFP's PixelCNN, OpenAI's recipe and ours, on the same images.

    python -m benchmarks.race --minutes 30
    python -m benchmarks.race --minutes 4 --image_file digits.npz

- tfp: TFP's PixelCNN as its documentation trains it: in float32, without averaged weights.
- openai: our preset `small` of PixelCNN++, since a step of the published network takes seconds on two cores,
  by the recipe of the published train.py: Adam with moments of 0.95 and 0.9995, a learning rate of 1e-3 that
  is multiplied by 0.999995 after each step, dropout 0.5, averaged weights, no flips.
- pixelcnn, grayscale, pyramid: our presets `small`; parallel: the pyramid of that preset. Their learning
  rates fall to zero over the minutes, which the factors of a chain share as in the preset.

Thirty times, evaluates every second of the 1,000 validation images of CIFAR-10: bits per dimension of the
full image, with each factor after the same part of its training. On the grayscale images of --image_file, tfp
races against example, the model of docs/information.md, on the first 500 test images.

Arguments choose contestants; by default all train. Minutes count steps alone, timed for all contestants in
turns before training, so that the machine's other load does not affect results. Each contestant is a run in a
folder of --workdir; TFP's starts over if it was stopped. Prints a table of the finished contestants, and the
minutes until each reaches the final bits of the better of tfp and openai; draws race.png.
"""

import dataclasses
import math
import pathlib

import tf_keras
from absl import flags

import pixelcnn_aux as pa
from benchmarks import rival, tools
from pixelcnn_aux import data
from pixelcnn_aux.base import arguments, disk
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.commands import chosen_run, curves, plots, program
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.scores import splits
from pixelcnn_aux.training import devices, metrics, presets

FLAGS = flags.FLAGS
ARGUMENTS = ["CONTESTANT..."]

OTHERS = ("tfp", "openai")
POINTS = 30  # of each curve
EVALUATED = 500  # images: all would take a tenth of the time
SHOWN = (1, 2, 3, 5, 10, 15, 20, 25, 30)  # points in the table
ROUNDS = 25  # of timing a step

_ONE = {"epochs": 1, "steps_per_epoch": 1, "batch_size": 16, "flip": False}
TFP = pa.Training(**_ONE, learning_rate=1e-3, decay=1.0)
OPENAI = pa.Training(**_ONE, learning_rate=1e-3, decay=0.999995)
EXAMPLE = presets.Preset(
    dataset="arrays",
    constructor=pa.pixelcnn_pp,
    model={"filters": 32, "blocks": 1, "resolutions": 2, "num_components": 5, "dropout": 0.3},
    training={"image": pa.Training(**_ONE, learning_rate=4e-3, muon_ratio=12.5)},
)


class ChainRun:
    """A contestant that `pa.train` trains in a folder.

    `training`: dict, factor -> `Training`, except for the number of steps; `parameters`: dict, factor -> int.
    """

    def __init__(self, preset, folder):
        self._folder, self._model = folder, tools.build(preset)
        self.parameters = {name: x.count_params() for name, x in self._model.factors.items()}
        self.training = {}
        for name, training in preset.training.items():
            mixed = devices.is_mixed(RunFolder(folder)[name], training.mixed_precision)
            self.training[name] = dataclasses.replace(training, mixed_precision=mixed)

    def step(self, name):
        return tools.training_step(self._model, name, self.training[name])

    def bits(self):
        """Bits per dimension of the evaluated full images after each epoch so far: list of float."""
        shares, run = splits.shares(self._model), RunFolder(self._folder)
        columns = [
            [share * row["val_bits_per_dim"] for row in metrics.read(run[name].metrics)]
            for name, share in shares.items()
        ]
        return list(map(sum, zip(*columns)))

    def train(self, training, images, evaluated):
        pa.train(self._model, training, images, evaluated, self._folder)


class TFPRun:
    """TFP's PixelCNN as a contestant. Unlike TFP's example, shuffles images instead of batches."""

    training = {"image": TFP}

    def __init__(self, folder, shape):
        self._file, self._shape = folder / "bits.json", shape
        self.parameters = {"image": rival.example(shape).network.count_params()}

    def step(self, name):
        *size, channels = self._shape
        images = tools.random_images(TFP.batch_size, size, channels)
        step = rival.training_step(rival.example(self._shape), TFP.learning_rate)
        return lambda: step(images)

    def bits(self):
        return disk.read_json(self._file) if self._file.exists() else []

    def train(self, training, images, evaluated):
        tf_keras.utils.set_random_seed(0)
        distribution, training, bits = rival.example(self._shape), training["image"], []
        step = rival.training_step(distribution, training.learning_rate)
        log_prob = rival.log_prob(distribution)
        batches = images.training_batches(training.batch_size, 0, flip=training.flip)
        disk.writable(self._file.parent)
        for epoch in range(1, training.epochs + 1):
            for _ in range(training.steps_per_epoch):
                step(next(batches))
            nats = sum(map(log_prob, evaluated.batches(50)))
            bits.append(-float(nats) / evaluated.pixels.size / math.log(2.0))
            print(f"Epoch {epoch}/{training.epochs}: {bits[-1]:.4f} bits", flush=True)
        disk.write_json(self._file, bits)


def load():
    """(training images, evaluated images): `data.Images`."""
    if FLAGS.image_file:
        images, test = tools.load_splits("arrays", "train", "test", image_size=None, channels=1)
        return images, data.Images(test.pixels[:EVALUATED])
    images, validation = tools.load_splits("cifar10", "train", "validation")
    return images, data.Images(validation.spread(EVALUATED))


def contestants(out, images):
    """The race's contestants: dict, name -> `ChainRun` or `TFPRun`."""
    shape = images.pixels.shape[1:]
    if FLAGS.image_file:
        model = {**EXAMPLE.model, "image_size": images.image_size, "channels": shape[-1]}
        chains = {"example": dataclasses.replace(EXAMPLE, model=model)}
    else:
        small = {name: presets.BY_MODEL[name]["small"] for name in presets.BY_MODEL}
        recipe = {"model": {**small["pixelcnn"].model, "dropout": 0.5}}
        recipe["training"] = {"image": OPENAI}
        chains = {"openai": dataclasses.replace(small["pixelcnn"], **recipe), **small}
        chains["parallel"] = presets.PYRAMID["parallel"]
    runs = {name: ChainRun(preset, out / name) for name, preset in chains.items()}
    return {"tfp": TFPRun(out / "tfp", shape), **runs}


def plan(runs, file):
    """Plans and prints the steps that fit into the minutes: dict, contestant -> `training`.

    The file keeps the seconds of a step. Raises ValueError if its minutes differ.
    """
    if not file.exists():
        steps = {f"{x}/{factor}": y.step(factor) for x, y in runs.items() for factor in y.training}
        seconds = tools.medians_in_turn(steps, ROUNDS)
        disk.write_json(file, {"minutes": FLAGS.minutes, "seconds": seconds})
    recorded = disk.read_json(file)
    expected = f"--minutes {recorded['minutes']:g}, as in {file}"
    remedy = "Give these, or another --workdir"
    expect(recorded["minutes"] == FLAGS.minutes, expected, FLAGS.minutes, remedy)
    columns = {"contestant": "<24", "parameters": "10,", "steps": "7,", "images": "9,"}
    table = tools.Table({**columns, "ms a step": "9.0f"})
    plans = {name: {} for name in runs}
    for name, run in runs.items():
        seconds = {factor: recorded["seconds"][f"{name}/{factor}"] for factor in run.training}
        whole = sum(x.steps * seconds[factor] for factor, x in run.training.items())
        for factor, x in run.training.items():
            steps = int(60 * FLAGS.minutes / whole * x.steps / POINTS)
            x = dataclasses.replace(x, epochs=POINTS, steps_per_epoch=max(1, steps))
            plans[name][factor] = x
            row = run.parameters[factor], x.steps, x.steps * x.batch_size, 1000 * seconds[factor]
            table.add(f"{name}/{factor}", *row)
    return plans


def minutes(points):
    return points * FLAGS.minutes / POINTS


def points_to(bits, target):
    """Interpolated points, at least 1, until a curve first reaches `target` bits; None if never."""
    index = next((k for k, x in enumerate(bits) if x <= target), None)
    if not index:
        return None if index is None else 1.0
    before, after = bits[index - 1 : index + 1]
    return index + (before - target) / (before - after)


def report(finished):
    """Prints a table of {name: bits at all points}, and when each reaches the best final bits of `OTHERS`."""
    table = tools.Table({"minutes": "7.3g", **dict.fromkeys(finished, "9.4f")})
    for point in SHOWN:
        table.add(minutes(point), *(bits[point - 1] for bits in finished.values()))
    target = min((finished[name][-1] for name in OTHERS if name in finished), default=-math.inf)
    for name, bits in finished.items():
        if points := points_to(bits, target):
            print(f"{name}: {target:.4f} bits after {minutes(points):.3g} minutes")


def draw(finished):
    rows = {}
    for name, bits in finished.items():
        points = enumerate(bits, start=1)
        own = [{"minutes": minutes(point), "val_bits_per_dim": x} for point, x in points]
        rows[name] = {"full image": own}
    return curves.draw(rows, {"minutes of training": lambda row: row["minutes"]})


def main(*names):
    images, evaluated = load()
    out = disk.writable(pathlib.Path(FLAGS.workdir or RunFolder.RUNS / "race"))
    runs = contestants(out, images)
    plans = plan(runs, out / "seconds.json")
    for name in [arguments.choice("CONTESTANT", name, runs) for name in names] or runs:
        print(f"{name}:", flush=True)
        runs[name].train(plans[name], images, evaluated)
    finished = {name: bits for name, run in runs.items() if len(bits := run.bits()) == POINTS}
    if finished:
        report(finished)
        plots.write(out / "race.png", draw(finished))
        print(f"Wrote {out / 'race.png'}")


def define_flags():
    chosen_run.define_images()
    flags.DEFINE_float("minutes", 30.0, "Minutes of each contestant's steps.", lower_bound=0.1)
    flags.DEFINE_string("workdir", None, "A folder; runs/race if unset.")


if __name__ == "__main__":
    program.start()
