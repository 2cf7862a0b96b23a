"""The effect of mixed precision: factors trained twice from the same weights, in float32 and in 16 bits.

    python -m benchmarks.mixed_precision --model pyramid --preset demo

Both runs of a factor have the same first weights, images, order of these and dropout masks. Prints bits per
dimension of full test images, factor by factor, and the time of a step. Each run is a folder of --out, which
goes on where it was stopped.
"""

import dataclasses
import pathlib

from absl import flags

import pixelcnn_aux as pa
from benchmarks import common
from pixelcnn_aux import data
from pixelcnn_aux.commands import chosen_run, program
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.scores import splits
from pixelcnn_aux.training import metrics

FLAGS = flags.FLAGS

PRECISIONS = {"float32": False, "mixed": True}


def planned(settings):
    """A factor's `Training`, of --steps. Raises ValueError where its epochs do not have them."""
    # Two at least: in the first one graphs are traced.
    epochs = max(2, -(-FLAGS.steps // settings.steps_per_epoch))
    if FLAGS.steps % epochs:
        raise ValueError(
            f"Expected --steps that {epochs} epochs of one length have. Received: {FLAGS.steps}. Give a "
            f"multiple of {epochs}."
        )
    return dataclasses.replace(settings, epochs=epochs, steps_per_epoch=FLAGS.steps // epochs)


def train(preset, name, settings, precision):
    """(bits per dimension of full test images, milliseconds a step) of one run of a factor."""
    model = preset.constructor(**preset.model)
    settings = dataclasses.replace(settings, mixed_precision=PRECISIONS[precision])
    default = RunFolder.RUNS / f"mixed-precision-{FLAGS.model}-{FLAGS.preset}"
    folder = pathlib.Path(FLAGS.out or default) / precision
    images, validation, test = (common.split(model, which) for which in data.SPLITS)
    pa.train(model, {name: settings}, images, validation, folder, factors=[name])
    batches = test.batches(50, min(FLAGS.num_images, test.num_images))
    factor = model.factors[name]
    own = metrics.mean_bits(factor, (model.inputs(batch)[name] for batch in batches))
    bits = own * splits.shares(model)[name]
    last = metrics.read(RunFolder(folder)[name].metrics)[-1]
    return bits, 1000 * settings.batch_size / last["images_per_s"]


def main():
    preset = common.preset()
    common.check_factor(FLAGS.factor, ["all"])
    names = preset.training if FLAGS.factor == "all" else [FLAGS.factor]
    chosen = {name: planned(preset.training[name]) for name in names}
    results = {
        name: {precision: train(preset, name, settings, precision) for precision in PRECISIONS}
        for name, settings in chosen.items()
    }
    print(f"{'factor':12} {'float32':>8} {'mixed':>8} {'change':>8}   milliseconds a step, ratio")
    for name, both in results.items():
        (bits, before), (mixed, after) = both.values()
        times = f"{before:.0f}, {after:.0f}, {after / before:.2f}"
        print(f"{name:12} {bits:8.4f} {mixed:8.4f} {mixed - bits:+8.4f}   {times}")
    before, after = (sum(x[precision][0] for x in results.values()) for precision in PRECISIONS)
    print(f"{'total':12} {before:8.4f} {after:8.4f} {after - before:+8.4f}")


def define_flags():
    common.define_preset("demo")
    chosen_run.define_images()
    flags.DEFINE_string("factor", "all", "Which of its factors.")
    flags.DEFINE_integer("steps", 1000, "Of each run.", lower_bound=1)
    flags.DEFINE_integer("num_images", 1000, "Test images, at most.", lower_bound=1)
    flags.DEFINE_string("out", None, "A folder; runs/mixed-precision-MODEL-PRESET if unset.")


if __name__ == "__main__":
    program.start()
