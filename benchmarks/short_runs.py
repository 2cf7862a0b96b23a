"""What to change in a preset: one of its factors trained in several ways, for the same time each.

    python -m benchmarks.short_runs --model pyramid --preset small --factor 32x32 --minutes 10 \
        "" filters=48 batch_size=8 "batch_size=8 learning_rate=0.003"

Each argument is a way: what it changes in the preset's model or in the factor's `Training`, "" for nothing.
How many steps a way has follows from how long one takes it, measured at its start; the learning rate ends
at the same share of its start in all of them. Prints bits per dimension of the factor's own validation
images. Each way is a run in a folder of --out, which goes on where it was stopped.
"""

import ast
import pathlib
import time

import numpy as np
from absl import flags

import pixelcnn_aux as pa
from benchmarks import common
from pixelcnn_aux import program, workdir
from pixelcnn_aux.training import Training, default_strategy, metrics, optimizer, precision, steps

FLAGS = flags.FLAGS

EPOCHS = 5  # points of each curve
TIMED = 12  # steps, after as many that are not


def changes(way):
    """(what it changes in a model, what in a `Training`), dicts of a way such as "filters=48 epochs=2"."""
    pairs = [pair.partition("=") for pair in way.split()]
    values = {name: _value(way, text) for name, _, text in pairs}
    of_training = {name: x for name, x in values.items() if name in Training._fields}
    return {name: x for name, x in values.items() if name not in of_training}, of_training


def _value(way, text):
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError) as error:
        raise ValueError(
            f"Expected a way such as 'filters=48 learning_rate=1e-3'. Received: {way!r}. "
            "Write NAME=VALUE pairs with blanks between them."
        ) from error


def seconds_a_step(model, name, training):
    """How long a step takes, from random images."""
    factor = model.new_factor(name, precision.policy() if training.mixed_precision else None)
    adam = optimizer.AveragingAdam(training.learning_rate)
    adam.build(factor.trainable_variables)
    take = steps.make(model, name, factor, adam, default_strategy(), training.accumulate)
    shape = (training.batch_size, *model.image_size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    for _ in range(2):
        start = time.perf_counter()
        for _ in range(TIMED):
            loss, _ = take(images)
        float(loss)
    return (time.perf_counter() - start) / TIMED


def train(way):
    """The parameters of a way, its settings, and the last row of its metrics."""
    preset = common.preset()
    of_model, of_training = changes(way)
    model = preset.constructor(**{**preset.model, **of_model})
    name = FLAGS.factor or list(model.factors)[-1]
    common.check_factor(name)
    settings = preset.training[name]._replace(**of_training)
    folder = pathlib.Path(FLAGS.out or f"runs/short-{FLAGS.model}-{FLAGS.preset}")
    folder /= way.replace(" ", "-") or "unchanged"
    if begun := workdir.recorded_training(folder, name):
        settings = Training(**{x: begun[x] for x in Training._fields if x in begun})
    else:
        settings = settings._replace(mixed_precision=precision.is_mixed(folder, name))
        seconds = seconds_a_step(model, name, settings)
        count = max(1, int(60 * FLAGS.minutes / seconds / EPOCHS))
        decay = FLAGS.last_rate ** (1 / (EPOCHS * count))
        settings = settings._replace(epochs=EPOCHS, steps_per_epoch=count, decay=decay)
    images, validation = (common.split(model, which) for which in ("train", "validation"))
    pa.train(model, {name: settings}, images, validation, folder, [name])
    row = metrics.read(workdir.metrics(folder, name))[-1]
    return model.factors[name].count_params(), settings, row


def main(*ways):
    results = {way: train(way) for way in ways}
    print(f"{'way':40} {'parameters':>10} {'steps':>7} {'images':>8} {'ms a step':>9} {'bits':>7}")
    for way, (parameters, settings, row) in results.items():
        milliseconds = 1000 * settings.batch_size / row["images_per_s"]
        print(
            f"{way or 'unchanged':40} {parameters:10,} {row['step']:7,} {row['images']:8,} "
            f"{milliseconds:9.0f} {row['val_bits_per_dim']:7.4f}"
        )


if __name__ == "__main__":
    common.define_preset("small")
    common.define_images()
    flags.DEFINE_string("factor", None, "Which of its factors; the last if unset.")
    flags.DEFINE_float("minutes", 10.0, "Of each way's steps.", lower_bound=0.1)
    flags.DEFINE_float("last_rate", 0.1, "The learning rate at the end, over that of the start.")
    flags.DEFINE_string("out", None, "A folder; runs/short-MODEL-PRESET if unset.")
    program.run(main, ["WAY..."])
