"""A race of minutes of training: TFP's PixelCNN, OpenAI's recipe and ours, on the same images of CIFAR-10.

    python -m benchmarks.race --minutes 30

- tfp: TFP's PixelCNN as its documentation trains it (`benchmarks/tfp_training.py`), in float32 as there.
- openai: the network of our preset `small` of PixelCNN++, since a step of the published one takes seconds on
  two cores, by the recipe of the published train.py: Adam with moments of 0.95 and 0.9995, a learning rate of
  1e-3 that is multiplied by 0.999995 after each step, batches of 16, dropout 0.5, averaged weights, no flips.
  It runs in this package's loop, so in the machine's default precision, and with an average that forgets the
  first weights sooner.
- pixelcnn, grayscale, pyramid: our presets `small`, and parallel, the pyramid that decides groups of pixels,
  of the preset of that name. Their learning rates fall to zero over the minutes. The
  factors of a chain share its minutes as in the preset.

Arguments choose some of them; all train where there are none. Minutes are of steps alone: how long one takes
is measured of all contestants in turn before any is trained. Thirty times in them every second one of the
1,000 validation images is evaluated: bits per dimension of the full image, with each factor of a chain after
the same part of its training. Each contestant is a run in a folder of --out, which goes on where it was
stopped. Prints a table of the finished contestants, and after how many minutes ours have as few bits as the
others at the end; draws race.png.
"""

import dataclasses
import functools
import pathlib

from absl import flags

import pixelcnn_aux as pa
from benchmarks import timed_runs
from benchmarks.tfp_training import TFPRun
from pixelcnn_aux import arguments, data
from pixelcnn_aux.commands import chosen_run, curves, plots, program
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.scores import splits
from pixelcnn_aux.training import metrics, presets

FLAGS = flags.FLAGS
ARGUMENTS = ["CONTESTANT..."]

TITLES = {
    "tfp": "TFP's PixelCNN",
    "openai": "OpenAI's recipe",
    "pixelcnn": "PixelCNN++",
    "grayscale": "Grayscale PixelCNN",
    "pyramid": "Pyramid PixelCNN",
    "parallel": "parallel pyramid",
}
OTHERS = ("tfp", "openai")
POINTS = 30  # of each curve
VALIDATION = 500  # images: all of them would take a tenth of the time
SHOWN = (1, 2, 3, 5, 10, 15, 20, 25, 30)  # of them, in the table
OPENAI = pa.Training(
    epochs=1, steps_per_epoch=1, batch_size=16, learning_rate=1e-3, decay=0.999995, flip=False
)


class ChainRun:
    """A run in a folder of what `pa.train` trains: a contestant.

    Attributes:
      network: dict, the arguments of its model.
      training: dict, factor -> `Training`; the race changes the number of steps.
    """

    def __init__(self, preset, folder):
        self.network, self._folder = preset.model, folder
        self._model = preset.constructor(**preset.model)
        self.training = {
            name: timed_runs.in_its_precision(training, folder, name)
            for name, training in preset.training.items()
        }

    @property
    def parameters(self):
        """dict, factor -> int."""
        return {name: factor.count_params() for name, factor in self._model.factors.items()}

    def step(self, name):
        """A function that takes a step of a factor's training, of random images."""
        return timed_runs.step(self._model, name, self.training[name])

    def bits(self):
        """Bits per dimension of the full validation images at the end of each epoch so far: list of float."""
        shares, run = splits.shares(self._model), RunFolder(self._folder)
        factors = {name: metrics.read(run[name].metrics) for name in shares}
        return [
            sum(shares[name] * row["val_bits_per_dim"] for name, row in zip(factors, epoch))
            for epoch in zip(*factors.values())
        ]

    def train(self, training, images, validation_images):
        """Trains all factors, each on from its last checkpoint."""
        pa.train(self._model, training, images, validation_images, self._folder)


def openai():
    """OpenAI's recipe for the network of our preset."""
    small = presets.BY_MODEL["pixelcnn"]["small"]
    model = {**small.model, "dropout": 0.5}
    return dataclasses.replace(small, model=model, training={"image": OPENAI})


def contestants(out, image_size):
    """dict, name -> `ChainRun` or `TFPRun`."""
    ours = {name: presets.BY_MODEL[name]["small"] for name in ("pixelcnn", "grayscale", "pyramid")}
    parallel = presets.BY_MODEL["pyramid"]["parallel"]
    chains = {"openai": openai(), **ours, "parallel": parallel}
    runs = {name: ChainRun(preset, out / name) for name, preset in chains.items()}
    return {"tfp": TFPRun(out / "tfp", image_size), **runs}


def plan(runs, out):
    """Each contestant's `training` with the steps that there is time for; prints them."""
    given = {
        name: {"network": run.network, "training": _as_dicts(run.training)}
        for name, run in runs.items()
    }
    timed_runs.record(out, {"minutes": FLAGS.minutes, **given}, "the runs")
    steps = {
        f"{name}/{factor}": functools.partial(run.step, factor)
        for name, run in runs.items()
        for factor in run.training
    }
    seconds = timed_runs.seconds_a_step(steps, out)
    print(f"{'contestant':24} {'parameters':>10} {'steps':>7} {'images':>9} {'ms a step':>9}")
    plans = {}
    for name, run in runs.items():
        own = {factor: seconds[f"{name}/{factor}"] for factor in run.training}
        plans[name] = timed_runs.planned(run.training, own, FLAGS.minutes, POINTS)
        for factor, training in plans[name].items():
            images = training.steps * training.batch_size
            print(
                f"{f'{name}/{factor}':24} {run.parameters[factor]:10,} {training.steps:7,} "
                f"{images:9,} {1000 * own[factor]:9.0f}",
                flush=True,
            )
    return plans


def _as_dicts(trainings):
    return {factor: dataclasses.asdict(training) for factor, training in trainings.items()}


def minutes(points):
    """How long it takes to get to so many of the `POINTS`: float."""
    return points * FLAGS.minutes / POINTS


def points_to(bits, target):
    """After how many points a curve first has so few bits: float, between points by linear interpolation.

    1 where the first point has fewer already; None where there are never so few.
    """
    for index, found in enumerate(bits):
        if found <= target:
            before = bits[index - 1] if index else target
            return index + (before - target) / (before - found) if index else 1.0
    return None


def ahead_from(bits, others):
    """From which point on a curve has fewer bits than all others at every point: 1 for the first one.

    None where it has not at the last one.
    """
    behind = [
        point for point, (own, *rest) in enumerate(zip(bits, *others), start=1) if own >= min(rest)
    ]
    first = 1 + max(behind, default=0)
    return first if first <= len(bits) else None


def report(done):
    """Prints the table of {name: bits at all points}, and how ours compare with the others."""
    print("minutes", *(f"{TITLES[name]:>18}" for name in done))
    for point in SHOWN:
        print(f"{minutes(point):7.3g}", *(f"{bits[point - 1]:18.4f}" for bits in done.values()))
    if not all(name in done for name in OTHERS):
        return
    others = [done[name] for name in OTHERS]
    target = min(bits[-1] for bits in others)
    print(f"ratio of minutes to the same bits, {target:.4f}, the others' fewest at the end:")
    for name in done:
        if name not in OTHERS:
            print(f"{TITLES[name]:18} {_compared(done[name], others, target)}")


def _compared(bits, others, target):
    points, first = points_to(bits, target), ahead_from(bits, others)
    ratio = "not reached"
    if points is not None:
        at_least = "at least " if points == 1 else ""
        ratio = f"{at_least}{POINTS / points:.2f} ({minutes(points):.3g} minutes)"
    return ratio + (f"; ahead of both from minute {minutes(first):.3g} on" if first else "")


def draw(done):
    """A figure of {name: bits at all points}."""
    rows = {
        TITLES[name]: {
            "full image": [
                {"minutes": minutes(point), "val_bits_per_dim": x}
                for point, x in enumerate(bits, start=1)
            ]
        }
        for name, bits in done.items()
    }
    return curves.draw(rows, {"minutes of training": lambda row: row["minutes"]})


def main(*names):
    for name in names:
        arguments.choice("a contestant", name, TITLES)
    images, validation = (
        data.load("cifar10", which, **chosen_run.image_flags()) for which in ("train", "validation")
    )
    validation = data.Images(validation.spread(VALIDATION))
    out = pathlib.Path(FLAGS.out or RunFolder.RUNS / "race")
    runs = contestants(out, images.image_size)
    plans = plan(runs, out)
    for name in names or runs:
        print(f"{TITLES[name]}:", flush=True)
        runs[name].train(plans[name], images, validation)
    done = {name: bits for name, run in runs.items() if len(bits := run.bits()) == POINTS}
    if done:
        report(done)
        plots.write(out / "race.png", draw(done))
        print(f"Wrote {out / 'race.png'}")


def define_flags():
    chosen_run.define_images()
    flags.DEFINE_float("minutes", 30.0, "Of each contestant's steps.", lower_bound=0.1)
    flags.DEFINE_string("out", None, "A folder; runs/race if unset.")


if __name__ == "__main__":
    program.start()
