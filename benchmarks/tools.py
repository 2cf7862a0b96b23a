"""Tools of the benchmarks: flags, times, tables, images, models and training steps, memory."""

import importlib
import itertools
import pathlib
import re
import statistics
import time
import types

import numpy as np
from absl import flags

from pixelcnn_aux import data
from pixelcnn_aux.base.errors import did_you_mean, expect
from pixelcnn_aux.codec import pictures
from pixelcnn_aux.commands import chosen_run
from pixelcnn_aux.training import presets

FLAGS = flags.FLAGS


class LazyModule(types.ModuleType):
    """A module, by its full name, that is imported when it is first used: LazyModule("tensorflow")."""

    def __getattr__(self, name):
        return getattr(importlib.import_module(self.__name__), name)


def define_preset(model, preset):
    """Defines --model and --preset, with these defaults."""
    models = list(presets.BY_MODEL)
    flags.DEFINE_enum("model", model, models, "Whose preset: which training program.")
    flags.DEFINE_string("preset", preset, "Its preset, or one that a plugin adds.")


def chosen_preset():
    """The `presets.Preset` that the flags choose. Raises ValueError for an unknown name."""
    names = presets.BY_MODEL[FLAGS.model]
    expected = f"--preset {', '.join(names)} for --model {FLAGS.model}"
    remedy = did_you_mean(FLAGS.preset, names, "Choose one of them, or another --model")
    expect(FLAGS.preset in names, expected, FLAGS.preset, remedy)
    return names[FLAGS.preset]


def define_timing(batch_sizes, runs=5):
    """Defines --batch_sizes, whole numbers above 0 as a list of str, and --runs, with these defaults."""
    flags.DEFINE_integer("runs", runs, "Timed runs; their median counts.", lower_bound=1)
    flags.DEFINE_list("batch_sizes", batch_sizes, "Batch sizes, with commas between them.")
    flags.register_validator(
        "batch_sizes",
        lambda sizes: sizes and all(re.fullmatch("[1-9][0-9]*", size) for size in sizes),
        "Expected whole numbers above 0, as in 1,4,16.",
    )


def define_pictures():
    """Defines the flags of `read_pictures`."""
    flags.DEFINE_string("pictures", None, "A folder of image files of any size.", required=True)
    flags.DEFINE_integer("num_images", None, "Images, at most; all if unset.", lower_bound=1)


def read_pictures():
    """The image files that the flags choose: list of uint8 [H, W, 3]."""
    files = sorted(pathlib.Path(FLAGS.pictures).iterdir())[: FLAGS.num_images]
    return [pictures.read(file).pixels for file in files]


def check_decoded(name, decoded, images):
    """Raises RuntimeError unless a format returns the same images."""
    same = len(decoded) == len(images) and all(map(np.array_equal, decoded, images))
    remedy = "Report the picture and the machine"
    expect(same, f"the same images from {name}", "others", remedy, kind=RuntimeError)


def random_images(count, size, channels=3):
    """uint8 [count, H, W, channels], of a size (H, W)."""
    return np.random.default_rng(0).integers(0, 256, (count, *size, channels), np.uint8)


def load_splits(dataset, *splits, **options):
    """Splits of a data set from where the flags of images say: list of `data.Images`."""
    options |= chosen_run.image_flags()
    return [data.load(dataset, split, **options) for split in splits]


def build(preset, **changes):
    """The model of a preset with random weights; `changes` replace arguments of its constructor."""
    return preset.constructor(**{**preset.model, **changes})


def training_step(model, name, training, remat=False):
    """Function that takes a step of training a copy of a factor, from its weights, on random images."""
    from pixelcnn_aux.training import default_strategy, devices, steps

    policy = devices.mixed_policy() if training.mixed_precision else None
    weights, strategy = model.factors[name].get_weights(), default_strategy()
    step = steps.make(model, name, weights, training, strategy=strategy, policy=policy, remat=remat)
    size = (training.crop, training.crop) if training.crop else model.image_size
    images = random_images(training.batch_size, size, model.likelihood.num_channels)
    return lambda: step(images)


def seconds_in_turn(functions, rounds):
    """Seconds of functions in each of several rounds, which the machine's other load hits alike.

    `functions` is a dict, name -> function that returns tensors, which are waited for; the result is a dict,
    name -> list of float. The first round also traces.
    """
    import keras

    seconds = {name: [] for name in functions}
    for _, (name, function) in itertools.product(range(rounds), functions.items()):
        start = time.perf_counter()
        keras.tree.map_structure(np.asarray, function())
        seconds[name].append(time.perf_counter() - start)
    return seconds


def medians_in_turn(functions, runs):
    """dict, name -> median seconds of so many rounds, after a first one that traces."""
    seconds = seconds_in_turn(functions, runs + 1)
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}


def timed(function, *arguments):
    """(outcome of a function, seconds that it took)."""
    start = time.perf_counter()
    outcome = function(*arguments)
    return outcome, time.perf_counter() - start


def peak_bytes():
    """The peak memory of this process. Not `getrusage`'s, which begins with the parent's."""
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


class Table:
    """A table that is printed row by row."""

    def __init__(self, columns):
        """`columns` is a dict, heading -> format of the cells: "<20" for names, "9.3f" for numbers."""
        self._formats = list(columns.values())
        self.add(*columns)

    def add(self, *cells):
        """Prints a row; a str may stand in place of a number."""
        print(*map(_aligned, cells, self._formats), flush=True)


def _aligned(cell, spec):
    if isinstance(cell, str) and not spec.startswith("<"):
        spec = f">{re.match('[0-9]+', spec)[0]}"
    return format(cell, spec)
