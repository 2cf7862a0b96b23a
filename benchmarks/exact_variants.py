"""The gain of exact and centered likelihoods: the full image's factor trained four ways, with the same steps.

    python -m benchmarks.exact_variants --model pyramid --preset demo

The paper's way, exact, centered, and both: the same networks, seeds, steps and images. Prints bits per
dimension of the factor's own test images, under the paper's loss and exact, and by position in a block; and
draws these, and the bits of validation images after each epoch. Each way is a run in a folder of --out, which
goes on where it was stopped.
"""

import dataclasses
import math
import pathlib

import numpy as np
import tensorflow as tf
from absl import flags
from matplotlib.figure import Figure

import pixelcnn_aux as pa
from benchmarks import common
from pixelcnn_aux.commands import chosen_run, plots, program
from pixelcnn_aux.runs import disk
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.training import devices, metrics

FLAGS = flags.FLAGS

WAYS = ("paper", "exact", "centered", "exact and centered")


def train(way, folder):
    """The trained factor of full images, and the model that it is in."""
    preset = common.preset()
    kind = {name: name in way for name in ("exact", "centered")}
    model = preset.constructor(**{**preset.model, **kind})
    name = list(model.factors)[-1]
    settings = preset.training[name]
    mixed = devices.is_mixed(RunFolder(folder)[name], settings.mixed_precision)
    epochs = FLAGS.epochs or settings.epochs
    settings = dataclasses.replace(settings, epochs=epochs, mixed_precision=mixed)
    images, validation = (common.split(model, which) for which in ("train", "validation"))
    pa.train(model, {name: settings}, images, validation, folder, factors=[name])
    return model, model.factors[name], name


def evaluate(model, factor, name):
    """Bits per dimension of the factor's own test images: {"bound", "exact", "by_position"}."""
    exact = model.with_exact(True).factors[name]
    ratio, count, nats, by_position = exact.fixed_sum.ratio, 0, np.zeros(2), 0.0
    images = common.split(model, "test")
    for batch in images.batches(50, min(FLAGS.num_images, images.num_images)):
        inputs = model.inputs(batch)[name]
        nats += [np.sum(x, dtype=np.float64) for x in exact.bound_and_exact(inputs)]
        pixels = factor.pixel_log_prob(inputs)
        blocks = tf.reshape(
            pixels, [-1, pixels.shape[1] // ratio, ratio, pixels.shape[2] // ratio, ratio]
        )
        by_position += tf.reduce_sum(blocks, axis=[0, 1, 3]).numpy().astype(np.float64).ravel()
        count += len(batch)
    dims = -count * math.prod(model.image_size) * factor.likelihood.num_channels * math.log(2.0)
    bound, exact_bits = nats / dims
    positions = by_position / (dims / ratio**2)
    return {"bound": bound, "exact": exact_bits, "by_position": positions.tolist()}


def validation_bits(folder, name):
    """[(step, bits per dimension)] of a run."""
    rows = metrics.read(RunFolder(folder)[name].metrics)
    return [(row["step"], row["val_bits_per_dim"]) for row in rows]


def draw(curves, results):
    """A figure of learning curves, and of the bits by position, where a block has more pixels than one."""
    count = len(results["paper"]["by_position"])
    columns = 1 + (count > 1)
    figure = Figure(figsize=(6 * columns, 4), layout="constrained")
    panels = figure.subplots(1, columns, squeeze=False)
    for way, points in curves.items():
        panels[0, 0].plot(*zip(*points), "o-", label=way)
    panels[0, 0].set(xlabel="steps", ylabel="validation, bits per dimension")
    panels[0, 0].legend(title="trained")
    if count > 1:
        width = 0.8 / len(results)
        for number, (way, bits) in enumerate(results.items()):
            places = np.arange(count) + (number - (len(results) - 1) / 2) * width
            panels[0, 1].bar(places, bits["by_position"], width, label=way)
        panels[0, 1].set_xticks(range(count), [f"pixel {place + 1}" for place in range(count)])
        panels[0, 1].set(xlabel="place in the block, in order", ylabel="test, bits per dimension")
    return figure


def main():
    out = pathlib.Path(FLAGS.out or RunFolder.RUNS / f"exact-{FLAGS.model}-{FLAGS.preset}")
    results, curves = {}, {}
    for way in WAYS:
        folder = out / way.replace(" ", "-")
        model, factor, name = train(way, folder)
        results[way] = evaluate(model, factor, name)
        curves[way] = validation_bits(folder, name)
    print(f"{'trained':20} {'bound':>8} {'exact':>8}   by position in a block, as trained")
    for way, bits in results.items():
        positions = " ".join(f"{x:.3f}" for x in bits["by_position"])
        print(f"{way:20} {bits['bound']:8.4f} {bits['exact']:8.4f}   {positions}")
    disk.write_json(out / "variants.json", {"bits": results, "curves": curves})
    plots.write(out / "variants.png", draw(curves, results))
    print(f"Wrote {out / 'variants.json'} and {out / 'variants.png'}")


def define_flags():
    common.define_preset("demo", ["grayscale", "pyramid"])
    chosen_run.define_images()
    flags.DEFINE_integer("epochs", None, "Instead of the preset's.", lower_bound=1)
    flags.DEFINE_integer("num_images", 1000, "Test images, at most.", lower_bound=1)
    flags.DEFINE_string("out", None, "A folder; runs/exact-MODEL-PRESET if unset.")


if __name__ == "__main__":
    program.start()
