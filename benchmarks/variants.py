"""Trains factors of a preset in several ways, with the same networks, seeds, steps and images.

    python -m benchmarks.variants exact --preset small --steps 4000
    python -m benchmarks.variants precision --model pyramid --preset demo

- exact: the last factor as in the paper, exact, centered, and both.
- precision: every factor in float32 and in mixed precision.

Prints bits per dimension of the first test images: of the factor's own image under the paper's loss and
exact, of the full image as trained, and by position in a block. Plots these, and the validation bits after
each epoch. Each way is a run in a folder of --out, and resumes where it stopped.
"""

import dataclasses
import math
import pathlib

import numpy as np
from absl import flags

import pixelcnn_aux as pa
from benchmarks import tools
from pixelcnn_aux import data
from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.commands import chosen_run, plots, program
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.scores import splits
from pixelcnn_aux.training import devices, metrics

FLAGS = flags.FLAGS
ARGUMENTS = ["COMPARISON"]

# Arguments of the model, or settings of its training.
WAYS = {
    "exact": {
        "paper": {"exact": False, "centered": False},
        "exact": {"exact": True, "centered": False},
        "centered": {"exact": False, "centered": True},
        "exact and centered": {"exact": True, "centered": True},
    },
    "precision": {"float32": {"mixed_precision": False}, "mixed": {"mixed_precision": True}},
}
TESTED = 1000  # images


def main(comparison):
    ways = WAYS[arguments.choice("COMPARISON", comparison, WAYS)]
    preset = tools.chosen_preset()
    names = [*preset.training][-1:] if comparison == "exact" else preset.training
    settings = {name: with_steps(preset.training[name]) for name in names}
    default = f"{comparison}-{FLAGS.model}-{FLAGS.preset}"
    out = pathlib.Path(FLAGS.out or RunFolder.RUNS / default)
    columns = {"factor": "<12", "trained": "<18", "bound": "7.4f", "exact": "7.4f"}
    table = tools.Table({**columns, "full image": "10.4f", "by position": "<11"})
    for name in settings:
        curves, positions = {}, {}
        for way, changes in ways.items():
            folder = out / way.replace(" ", "-")
            model, test = train(preset, name, settings[name], changes, folder)
            bound, exact, positions[way] = evaluate(model, name, test)
            rows = metrics.read(RunFolder(folder)[name].metrics)
            curves[way] = [(row["step"], row["val_bits_per_dim"]) for row in rows]
            full = np.mean(positions[way]) * splits.shares(model)[name]
            table.add(name, way, bound, exact, full, " ".join(f"{x:.3f}" for x in positions[way]))
        plots.write(out / f"{name}.png", draw(curves, positions))
        print(f"Wrote {out / name}.png")


def with_steps(training):
    """A `Training` with --steps. Raises ValueError if its epochs do not divide them."""
    # At least two epochs, since the first one traces graphs.
    epochs = max(2, math.ceil(FLAGS.steps / training.steps_per_epoch))
    expected, remedy = f"--steps that {epochs} epochs share evenly", f"Give a multiple of {epochs}"
    expect(FLAGS.steps % epochs == 0, expected, FLAGS.steps, remedy)
    return dataclasses.replace(training, epochs=epochs, steps_per_epoch=FLAGS.steps // epochs)


def train(preset, name, training, changes, folder):
    """Trains a factor with some changes in a folder; returns (model, test images)."""
    changes = dict(changes)
    mixed = devices.is_mixed(RunFolder(folder)[name], training.mixed_precision)
    mixed = changes.pop("mixed_precision", mixed)
    model = tools.build(preset, **changes)
    images = tools.load_splits(preset.dataset, *data.SPLITS, image_size=model.image_size)
    training = dataclasses.replace(training, mixed_precision=mixed)
    pa.train(model, {name: training}, *images[:2], folder, factors=[name])
    return model, images[2]


def evaluate(model, name, test):
    """Bits per dimension of a factor's own images: (bound, exact, array by position in a block)."""
    factor, exact = model.factors[name], model.with_exact(True).factors[name]
    ratio = exact.fixed_sum.ratio if exact.fixed_sum else 1
    nats, by_position, count = np.zeros(2), np.zeros([ratio, ratio]), 0
    for images in test.batches(50, min(TESTED, test.num_images)):
        inputs = model.inputs(images)[name]
        nats += [np.sum(x, dtype=np.float64) for x in exact.bound_and_exact(inputs)]
        pixels = np.asarray(factor.pixel_log_prob(inputs), np.float64)
        _, height, width = pixels.shape
        blocks = pixels.reshape(-1, height // ratio, ratio, width // ratio, ratio)
        by_position += blocks.sum((0, 1, 3))
        count += pixels.size
    scale = -count * factor.likelihood.num_channels * math.log(2.0)
    return *(nats / scale), (by_position / scale).ravel() * ratio**2


def draw(curves, positions):
    """Draws a figure of learning curves, and of the bits by position in a block."""
    figure = plots.figure(figsize=(12, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.set(xlabel="steps", ylabel="validation, bits per dimension")
    right.set(xlabel="position in the block, in order", ylabel="test, bits per dimension")
    width = 0.8 / len(curves)
    for number, (way, points) in enumerate(curves.items()):
        left.plot(*zip(*points), "o-", label=way)
        places = 1 + np.arange(len(positions[way]))
        right.bar(places + (number - (len(curves) - 1) / 2) * width, positions[way], width)
    right.set_xticks(places)
    left.legend(title="trained")
    return figure


def define_flags():
    tools.define_preset("pyramid", "demo")
    chosen_run.define_images()
    flags.DEFINE_integer("steps", 1000, "Steps of each way.", lower_bound=2)
    flags.DEFINE_string("out", None, "A folder; runs/COMPARISON-MODEL-PRESET if unset.")


if __name__ == "__main__":
    program.start()
