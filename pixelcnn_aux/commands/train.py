"""Trains a model on images. MODEL is one of

    grayscale   Grayscale PixelCNN, section 3.1 of the paper: a gray view, then the image given that view
    pyramid     Pyramid PixelCNN, section 3.2: a small image, then larger ones, each given the previous one
    pixelcnn    PixelCNN++, the baseline, without auxiliary images

Without flags, trains the preset demo in minutes, on installed photographs. --preset cifar10 is the paper's
setting for each model; it needs GPUs, and has not been run to the end here. For other images: --dataset
folder --image_dir DIR. The run is written to --workdir, and the same command resumes it after a stop. Then
try pixelcnn-aux bpd and pixelcnn-aux sample.
"""

import dataclasses
import functools
import inspect
import pathlib
import sys

import numpy as np
from absl import flags

from pixelcnn_aux import data, training
from pixelcnn_aux.base.errors import did_you_mean, expect
from pixelcnn_aux.commands import chosen_run, program
from pixelcnn_aux.conditions import Classes
from pixelcnn_aux.run_files import hub, trained
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.training import presets

FLAGS = flags.FLAGS
ARGUMENTS = ["MODEL"]

# Ends of the help texts of flags that override a field of `Training`.
_HELP = {
    "muon_ratio": "; the learning rate of Muon, for hidden layers' kernels, divided by Adam's",
    "condition_dropout": "; the share of images whose labels are hidden from a conditional model",
    "decay": "; multiplies the learning rate after each step, instead of a fall to zero",
    "fall": "; the last share of the steps, over which the learning rate falls to zero",
    "crop": "; the side of random squares, cut from images that are loaded whole",
    "vary": "; whether to reduce, sharpen, color ... these squares at random",
    "flip": "; whether to flip images left to right at random",
    "accumulate": "; micro-batches per device",
    "mixed_precision": "; whether networks compute in 16 bits. If unset, a resumed factor keeps its "
    "precision, and a new one uses 16 bits if known to be faster on this machine",
}


def define_flags():
    # Not enums: modules of --plugin, imported once flags are parsed, may add presets.
    names = "; ".join(f"for {name} {', '.join(x)}" for name, x in presets.BY_MODEL.items())
    for name, default, text in (
        ("preset", "demo", f"All hyper-parameters: {names}; or a plugin's preset."),
        ("factor", "all", "The factor to train, such as grayscale, image or 16x16; or all."),
        ("dataset", None, "Overrides the preset's: photos, cifar10, celeb_a, folder, arrays, ..."),
        ("workdir", None, "The folder of the run; runs/MODEL-PRESET-DATASET if unset."),
        ("init", None, "A run or trained model to start from; its networks choose the preset."),
    ):
        flags.DEFINE_string(name, default, text)
    flags.DEFINE_integer("classes", None, "Conditions the model on labels of this many classes.", 1)
    chosen_run.define_images()
    flags.DEFINE_integer("channels", None, "Channels of the images; 3 if unset.", 1, 16)
    flags.DEFINE_integer(
        "bits", None, "Bits per value of the images; if unset, the fewest for them.", 1, 16
    )
    flags.DEFINE_integer("seed", 0, "The seed of initial weights, data order and dropout masks.")
    integer = flags.DEFINE_integer
    define = {int: integer, int | None: integer, bool: flags.DEFINE_bool}
    for field in dataclasses.fields(training.Training):
        text = f"Overrides the preset's value{_HELP.get(field.name, '')}."
        define.get(field.type, flags.DEFINE_float)(field.name, None, text)
    minutes = "About how long to train, all new factors together; replaces their numbers of steps."
    flags.DEFINE_float("minutes", None, minutes)
    flags.DEFINE_bool("remat", False, "Saves memory for time: evaluates blocks twice.")
    flags.DEFINE_bool("profile", False, "Traces a few steps for TensorBoard's profile plugin.")


def main(name):
    # First: several hosts have to connect before TensorFlow does anything else.
    strategy = training.default_strategy()
    with training.Stop() as stop:
        try:
            train(name, strategy, stop)
        except BaseException:
            if not stop.has_raised:
                raise
            print("\nStopped. The same command resumes.", flush=True)
            sys.exit(128 + stop.signal)


def train(name, strategy, stop):
    """Trains a model of `presets.BY_MODEL` by the flags; `strategy` and `stop` are those of `pa.train`."""
    from pixelcnn_aux.training import first_weights

    expected = f"a model to train: one of {', '.join(presets.BY_MODEL)}"
    remedy = "Give one of these, or import the module that adds it (--plugin)"
    remedy = did_you_mean(name, presets.BY_MODEL, remedy)
    expect(name in presets.BY_MODEL, expected, repr(name), remedy)
    if FLAGS.init and not FLAGS["preset"].present:
        if match := first_weights.preset_like(FLAGS.init, name):
            _, FLAGS.preset = match
            print(f"--preset {FLAGS.preset}, which has the networks of {FLAGS.init}", flush=True)
    _check("preset", presets.BY_MODEL[name])
    preset = presets.BY_MODEL[name][FLAGS.preset]
    depth = {name: x for name in ("channels", "bits") if (x := FLAGS[name].value) is not None}
    takes_depth = "channels" in inspect.signature(preset.constructor).parameters
    expected = f"no --{' or --'.join(depth)} for {name}, whose images are RGB of 8 bits"
    received = ", ".join(map(str, depth.values()))
    expect(not depth or takes_depth, expected, received, "Omit it, or train pyramid or pixelcnn")
    condition = {"condition": Classes(FLAGS.classes)} if FLAGS.classes else {}
    dataset = FLAGS.dataset or preset.dataset
    make = functools.partial(preset.constructor, **{**preset.model, **condition})
    model = make(**depth)
    _check("factor", ["all", *model.factors], f" for --preset {FLAGS.preset}")
    in_package = FLAGS.workdir in trained.pretrained() and not pathlib.Path(FLAGS.workdir).exists()
    expected = "--workdir as a folder for the run"
    received = f"{FLAGS.workdir}, the name of a trained model"
    remedy = f"Give another folder, and --init {FLAGS.workdir} to start from its weights"
    expect(not in_package and not hub.is_name(FLAGS.workdir), expected, received, remedy)
    run = RunFolder(FLAGS.workdir or RunFolder.RUNS / f"{name}-{FLAGS.preset}-{dataset}")
    settings = {
        factor: _overridden(defaults, run[factor], model.factors[factor])
        for factor, defaults in preset.training.items()
    }
    size = None if any(x.crop for x in settings.values()) else model.image_size
    options = {**chosen_run.image_flags(), **chosen_run.pixel_format(model)}
    finds_bits = takes_depth and FLAGS.bits is None and dataset in ("folder", "arrays")
    options |= {"num_values": None} if finds_bits else {}
    images = [data.load(dataset, split, size, **options) for split in ("train", "validation")]
    if finds_bits and images[0].pixels[0].dtype == np.uint8:
        model = make(**depth, bits=8)
    elif finds_bits or FLAGS.bits:
        least = 1 if images[0].pixels[0].dtype == np.uint8 else 9  # files of fewer bits have 8
        largest = max(split.largest for split in images)
        bits = max(least, largest.bit_length())
        if finds_bits:
            model = make(**depth, bits=bits)
        if finds_bits or bits < FLAGS.bits:
            costs = "" if finds_bits else f", and {FLAGS.bits} costs more bits a value"
            holds = f"--bits {bits} holds them{costs}"
            print(f"The images' values end at {largest:,}: {holds}", flush=True)
    training.train(
        model,
        settings,
        *images,
        run.path,
        factors=None if FLAGS.factor == "all" else [FLAGS.factor],
        seed=FLAGS.seed,
        strategy=strategy,
        remat=FLAGS.remat,
        stop=stop,
        init=FLAGS.init,
        profile=FLAGS.profile,
        minutes=FLAGS.minutes,
    )


def _check(flag, choices, of=""):
    """Raises ValueError unless a flag has one of the `choices`."""
    value = FLAGS[flag].value
    remedy = did_you_mean(value, choices, "Choose one of them")
    expect(value in choices, f"--{flag} {', '.join(choices)}{of}", value, remedy)


def _overridden(settings, folder, factor):
    """A factor's `Training`, overridden by flags, with the precision of its folder."""
    from pixelcnn_aux.training import devices

    values = {field.name: FLAGS[field.name].value for field in dataclasses.fields(settings)}
    if FLAGS.mixed_precision is None and not factor.rounded:
        values["mixed_precision"] = devices.is_mixed(folder, settings.mixed_precision)
    return dataclasses.replace(settings, **{name: x for name, x in values.items() if x is not None})


def start(name):
    """Runs this program for one model; called by the modules of `train`."""
    program.start(sys.modules[__name__], None, name)
