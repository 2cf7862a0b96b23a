"""Changes of a preset, compared: one of its factors trained in several ways, for the same time each.

    python -m benchmarks.short_runs --model pyramid --preset small --factor 32x32 --minutes 10 \
        "" filters=48 batch_size=8 "batch_size=8 learning_rate=0.003"

Each argument is a way: what it changes in the preset's model or in the factor's `Training`, "" for nothing.
How many steps a way has follows from how long one takes it, which is measured of all of them in turn before
any is trained: what slows the machine down later changes no result. Prints bits per dimension of the factor's
own validation images. Each way is a run in a folder of --out, which goes on where it was stopped. All of them
have the same --minutes.
"""

import ast
import dataclasses
import functools
import pathlib

from absl import flags

import pixelcnn_aux as pa
from benchmarks import common, timed_runs
from pixelcnn_aux.commands import chosen_run, program
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.training import Training, metrics
from pixelcnn_aux.training.devices import Hosts

FLAGS = flags.FLAGS
ARGUMENTS = ["WAY..."]

EPOCHS = 5  # points of each curve
# Fields of `Training` that no way can change: they follow from the flags, the time of a step and the machine.
_FIELDS = [field.name for field in dataclasses.fields(Training)]
MEASURED = ("epochs", "steps_per_epoch", "mixed_precision")


def changes(way):
    """(what it changes in a model, what in a `Training`), dicts of a way such as "filters=48 batch_size=8".

    Raises ValueError for a way that is written otherwise, or changes a thing twice or what is `MEASURED`.
    """
    pairs = [pair.partition("=") for pair in way.split()]
    values = {name: _value(way, text) for name, _, text in pairs}
    if len(values) < len(pairs):
        raise ValueError(
            f"Expected each name once in a way. Received: {way!r}. Leave out what is not meant."
        )
    if fixed := [name for name in values if name in MEASURED]:
        raise ValueError(
            f"Expected a way that leaves {', '.join(MEASURED)} to --minutes and the machine. "
            f"Received: {way!r}. Take {', '.join(fixed)} out of it."
        )
    training_changes = {name: x for name, x in values.items() if name in _FIELDS}
    return {name: x for name, x in values.items() if name not in training_changes}, training_changes


def _value(way, text):
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError) as error:
        raise ValueError(
            f"Expected a way such as 'filters=48 learning_rate=1e-3'. Received: {way!r}. "
            "Write NAME=VALUE pairs with blanks between them."
        ) from error


def made(way):
    """The model of a way, the name of its factor, and its `Training` but for what is `MEASURED`.

    Raises ValueError for a way that changes what there is not, or to what it cannot be.
    """
    preset = common.preset()
    model_changes, training_changes = changes(way)
    try:
        model = preset.constructor(**{**preset.model, **model_changes})
    except TypeError as error:
        raise ValueError(
            f"Expected a way that changes arguments of the preset's model or fields of Training. "
            f"Received: {way!r} ({error}). Correct it."
        ) from error
    name = FLAGS.factor or list(model.factors)[-1]
    common.check_factor(name)
    model.position(name)  # Raises where the way leaves no such factor.
    settings = dataclasses.replace(preset.training[name], **training_changes)
    Hosts().check_batch(settings)
    return model, name, settings


def train(model, name, training, folder):
    """The parameters of a way's factor, and the last row of its metrics."""
    images, validation = (common.split(model, which) for which in ("train", "validation"))
    pa.train(model, training, images, validation, folder, factors=[name])
    row = metrics.read(RunFolder(folder)[name].metrics)[-1]
    return model.factors[name].count_params(), row


def main(*ways):
    parts = {way: made(way) for way in ways or [""]}  # all of them before any is trained
    factor, *others = dict.fromkeys(name for _, name, _ in parts.values())
    if others:
        raise ValueError(
            f"Expected ways whose last factor is the same. Received: {factor}, {', '.join(others)}. "
            "Choose one by --factor."
        )
    default = RunFolder.RUNS / f"short-{FLAGS.model}-{FLAGS.preset}-{factor}"
    out = pathlib.Path(FLAGS.out or default)
    given = {name: FLAGS[name].value for name in ("model", "preset", "minutes")}
    timed_runs.record(out, {**given, "factor": factor}, "the ways")
    folders = {way: out / (way.replace(" ", "-") or "unchanged") for way in parts}
    steps = {}
    for way, (model, name, settings) in parts.items():
        settings = timed_runs.in_its_precision(settings, folders[way], name)
        parts[way] = model, name, settings
        steps[way] = functools.partial(timed_runs.step, *parts[way])
    seconds = timed_runs.seconds_a_step(steps, out)
    results = {}
    for way, (model, name, settings) in parts.items():
        of_way = {name: settings}, {name: seconds[way]}
        training = timed_runs.planned(*of_way, FLAGS.minutes, EPOCHS)
        results[way] = train(model, name, training, folders[way])
    print(f"{'way':40} {'parameters':>10} {'steps':>7} {'images':>8} {'ms a step':>9} {'bits':>7}")
    for way, (parameters, row) in results.items():
        print(
            f"{way or 'unchanged':40} {parameters:10,} {row['step']:7,} {row['images']:8,} "
            f"{1000 * seconds[way]:9.0f} {row['val_bits_per_dim']:7.4f}"
        )


def define_flags():
    common.define_preset("small")
    chosen_run.define_images()
    flags.DEFINE_string("factor", None, "Which of its factors; the last if unset.")
    flags.DEFINE_float("minutes", 10.0, "Of each way's steps.", lower_bound=0.1)
    flags.DEFINE_string("out", None, "A folder; runs/short-MODEL-PRESET-FACTOR if unset.")


if __name__ == "__main__":
    program.start()
