"""Helpers of the benchmarks: flags, timing, tables, images, models and training steps, memory."""

import importlib
import itertools
import math
import pathlib
import re
import statistics
import time
import types

import numpy as np
from absl import flags

from pixelcnn_aux import data
from pixelcnn_aux.base.errors import did_you_mean, expect
from pixelcnn_aux.codec import picture_files
from pixelcnn_aux.commands import chosen_run
from pixelcnn_aux.training import presets

FLAGS = flags.FLAGS


class LazyModule(types.ModuleType):
    """Imports a module, given by its full name, on first use: LazyModule("tensorflow")."""

    def __getattr__(self, name):
        return getattr(importlib.import_module(self.__name__), name)


def define_preset(model, preset):
    models = list(presets.BY_MODEL)
    flags.DEFINE_enum("model", model, models, "The training program.")
    flags.DEFINE_string("preset", preset, "Its preset, or one added by a plugin.")


def chosen_preset():
    """The `presets.Preset` chosen by flags. Raises ValueError for an unknown name."""
    names = presets.BY_MODEL[FLAGS.model]
    expected = f"--preset {', '.join(names)} for --model {FLAGS.model}"
    remedy = did_you_mean(FLAGS.preset, names, "Choose one of them, or another --model")
    expect(FLAGS.preset in names, expected, FLAGS.preset, remedy)
    return names[FLAGS.preset]


def define_timing(batch_sizes, runs=5):
    """Defines --batch_sizes, positive whole numbers as a list of str, and --runs, with these defaults."""
    flags.DEFINE_integer("runs", runs, "Timed runs; their median counts.", lower_bound=1)
    flags.DEFINE_list("batch_sizes", batch_sizes, "Comma-separated batch sizes.")
    flags.register_validator(
        "batch_sizes",
        lambda sizes: sizes and all(re.fullmatch("[1-9][0-9]*", size) for size in sizes),
        "Expected whole numbers above 0, as in 1,4,16.",
    )


def define_pictures():
    """Defines the flags of `read_pictures`."""
    flags.DEFINE_string("pictures", None, "A folder of image files of any size.", required=True)
    flags.DEFINE_integer("num_images", None, "Images, at most; all if unset.", lower_bound=1)


def read_pictures(likelihood):
    """Reads the image files chosen by flags as a likelihood's images: list of uint8 or uint16 [H, W, C]."""
    files = sorted(pathlib.Path(FLAGS.pictures).iterdir())[: FLAGS.num_images]
    kind = {"channels": likelihood.num_channels, "num_values": likelihood.num_values}
    return [page.pixels for file in files for page in picture_files.read(file, **kind)]


def check_decoded(name, decoded, images):
    """Raises RuntimeError unless a format reproduces the images."""
    same = len(decoded) == len(images) and all(map(np.array_equal, decoded, images))
    remedy = "Report the picture and the machine"
    expect(same, f"the same images from {name}", "others", remedy, kind=RuntimeError)


def random_images(count, size, channels=3):
    """Random images of size (H, W): uint8 [count, H, W, channels]."""
    return np.random.default_rng(0).integers(0, 256, (count, *size, channels), np.uint8)


def load_splits(dataset, *splits, **options):
    """Loads splits of a data set by the flags of images: list of `data.Images`."""
    options |= chosen_run.image_flags()
    return [data.load(dataset, split, **options) for split in splits]


def build(preset, **changes):
    """A preset's model with random weights; `changes` replace arguments of its constructor."""
    return preset.constructor(**{**preset.model, **changes})


def network_parameters(factor):
    """The number of parameters of a factor's network, without those of the embedding."""
    shapes = (x.shape for path, x in factor.shapes.items() if path.startswith("network/"))
    return sum(map(math.prod, shapes))


def training_step(model, name, training, remat=False):
    """Function that takes a training step of a copy of a factor, from its weights, on random images."""
    from pixelcnn_aux.training import default_strategy, devices, steps

    policy = devices.mixed_policy() if training.mixed_precision else None
    options = {"strategy": default_strategy(), "policy": policy, "remat": remat}
    step = steps.make(model, model.factors[name], training, **options)
    size = (training.crop, training.crop) if training.crop else model.image_size
    images = random_images(training.batch_size, size, model.likelihood.num_channels)
    return lambda: step(images)


def seconds_in_turn(functions, rounds):
    """Times functions in turns, so that the machine's other load affects all alike.

    `functions`: dict, name -> function that returns tensors, which are waited for. Returns a dict, name ->
    list of float, the seconds of each round. The first round also traces.
    """
    import keras

    seconds = {name: [] for name in functions}
    for _, (name, function) in itertools.product(range(rounds), functions.items()):
        start = time.perf_counter()
        keras.tree.map_structure(np.asarray, function())
        seconds[name].append(time.perf_counter() - start)
    return seconds


def medians_in_turn(functions, runs):
    """dict, name -> median seconds of so many rounds, after one that traces."""
    seconds = seconds_in_turn(functions, runs + 1)
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}


def timed(function, *arguments):
    """(result of a function, its seconds)."""
    start = time.perf_counter()
    outcome = function(*arguments)
    return outcome, time.perf_counter() - start


def peak_bytes():
    """Peak memory of this process, which, unlike `getrusage`'s, does not include the parent's."""
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


class Table:
    """Prints rows of `columns`, a dict, heading -> format: "<20" for names, "9.3f" for numbers."""

    def __init__(self, columns):
        self._formats = list(columns.values())
        self.add(*columns)

    def add(self, *cells):
        """Prints a row; a str may replace a number."""
        print(*map(_aligned, cells, self._formats), flush=True)


def _aligned(cell, spec):
    if isinstance(cell, str) and not spec.startswith("<"):
        spec = f">{re.match('[0-9]+', spec)[0]}"
    return format(cell, spec)
