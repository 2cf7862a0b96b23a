"""Trains a model on images. MODEL is one of

    grayscale   Grayscale PixelCNN, section 3.1 of the paper: a gray view, then the image given that
    pyramid     Pyramid PixelCNN, section 3.2: a small image, then larger ones, each given the one before
    pixelcnn    PixelCNN++, the baseline, without auxiliary images

With no flags it trains the preset demo in minutes, on photographs that are installed. --preset cifar10 is the
paper's own run for each of them, which needs GPUs and has not been run to the end here. Other images:
--dataset folder --image_dir DIR. The run is left in --workdir, and the same command goes on where it was
stopped. Afterwards: pixelcnn-aux bpd, and pixelcnn-aux sample.
"""

import dataclasses
import inspect
import pathlib
import sys

from absl import flags

from pixelcnn_aux import data, training
from pixelcnn_aux.base.errors import did_you_mean, expect
from pixelcnn_aux.commands import chosen_run, program
from pixelcnn_aux.conditions import Classes
from pixelcnn_aux.runs import hub, trained
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.training import presets

FLAGS = flags.FLAGS
ARGUMENTS = ["MODEL"]

# Help of the flags that override a field of `Training`, after its first words.
_HELP = {
    "muon_ratio": "; the learning rate of Muon, which trains hidden layers' kernels, over Adam's",
    "condition_dropout": "; the share of images whose labels are hidden from a conditional model",
    "decay": "; a factor of the learning rate after each step, instead of a fall to zero",
    "fall": "; the share of the steps, the last ones, over which the learning rate falls to zero",
    "crop": "; the side of random squares that are cut from images, which are loaded whole then",
    "vary": "; whether these squares are reduced, sharpened, colored and so on at random",
    "flip": "; whether images are flipped left to right at random",
    "accumulate": "; micro-batches per device",
    "mixed_precision": "; whether the networks compute in 16 bits. If unset, as the factor was begun; a new "
    "one does where that is known to be faster on this machine",
}


def define_flags():
    # No enums: --plugin, which is imported once flags are parsed, may add presets.
    known = "; ".join(f"of {name} {', '.join(found)}" for name, found in presets.BY_MODEL.items())
    for name, default, text in (
        ("preset", "demo", f"Every hyper-parameter: {known}; or one that a plugin adds."),
        ("factor", "all", "Which factor to train, such as grayscale, image or 16x16; or all."),
        ("dataset", None, "Overrides the preset's: photos, cifar10, celeb_a, folder, arrays, ..."),
        ("workdir", None, "Where to leave the run; runs/MODEL-PRESET-DATASET if unset."),
        ("init", None, "A run or trained model to start from, whose networks choose the preset."),
    ):
        flags.DEFINE_string(name, default, text)
    classes = "Makes the model conditional on that many classes, by the labels of the data set."
    flags.DEFINE_integer("classes", None, classes, lower_bound=1)
    chosen_run.define_images()
    flags.DEFINE_integer("channels", None, "Of the images; 3 if unset.", 1, 16)
    flags.DEFINE_integer("bits", None, "Of a value of the images; 8 if unset.", 1, 16)
    flags.DEFINE_integer("seed", 0, "Of the first weights, the data's order and the dropout masks.")
    integer, boolean = flags.DEFINE_integer, flags.DEFINE_bool
    define = {int: integer, int | None: integer, bool: boolean}
    for field in dataclasses.fields(training.Training):
        more = _HELP.get(field.name, "")
        text = f"Overrides the preset's, of the factors that are trained{more}."
        define.get(field.type, flags.DEFINE_float)(field.name, None, text)
    flags.DEFINE_bool("remat", False, "Less memory, more time: blocks are evaluated twice.")
    flags.DEFINE_bool("profile", False, "Traces a few steps for TensorBoard's profile plugin.")


def main(name):
    # First, since several hosts find each other before TensorFlow does anything else.
    strategy = training.default_strategy()
    with training.Stop() as stop:
        try:
            train(name, strategy, stop)
        except BaseException:
            if not stop.has_raised:
                raise
            print("\nStopped. The same command goes on.", flush=True)
            sys.exit(128 + stop.signal)


def train(name, strategy, stop):
    """Trains a model of `presets.BY_MODEL` as flags say; `strategy` and `stop` are those of `pa.train`."""
    from pixelcnn_aux.training import first_weights

    known = f"a model to train: one of {', '.join(presets.BY_MODEL)}"
    remedy = "Give one of these, or import the module that adds it (--plugin)"
    remedy = did_you_mean(name, presets.BY_MODEL, remedy)
    expect(name in presets.BY_MODEL, known, repr(name), remedy)
    if FLAGS.init and not FLAGS["preset"].present:
        if found := first_weights.preset_like(FLAGS.init, name):
            _, FLAGS.preset = found
            print(f"--preset {FLAGS.preset}, which has the networks of {FLAGS.init}", flush=True)
    _check("preset", presets.BY_MODEL[name])
    preset = presets.BY_MODEL[name][FLAGS.preset]
    kind = {name: x for name in ("channels", "bits") if (x := FLAGS[name].value) is not None}
    takes_kind = "channels" in inspect.signature(preset.constructor).parameters
    expected = f"no --{' or --'.join(kind)} for {name}, whose images are RGB of 8 bits"
    received = ", ".join(map(str, kind.values()))
    expect(not kind or takes_kind, expected, received, "Leave it out, or train pyramid or pixelcnn")
    condition = {"condition": Classes(FLAGS.classes)} if FLAGS.classes else {}
    model = preset.constructor(**{**preset.model, **kind, **condition})
    _check("factor", ["all", *model.factors], f" for --preset {FLAGS.preset}")
    in_package = FLAGS.workdir in trained.pretrained() and not pathlib.Path(FLAGS.workdir).exists()
    expected = "--workdir as a folder for the run"
    received = f"{FLAGS.workdir}, the name of a trained model"
    remedy = f"Give another one, and --init {FLAGS.workdir} to start from its weights"
    expect(not in_package and not hub.is_name(FLAGS.workdir), expected, received, remedy)
    dataset = FLAGS.dataset or preset.dataset
    run = RunFolder(FLAGS.workdir or RunFolder.RUNS / f"{name}-{FLAGS.preset}-{dataset}")
    settings = {
        factor: _overridden(given, run[factor], model.factors[factor])
        for factor, given in preset.training.items()
    }
    size = None if any(given.crop for given in settings.values()) else model.image_size
    likelihood, how = model.likelihood, chosen_run.image_flags()
    how |= {"channels": likelihood.num_channels, "num_values": likelihood.num_values}
    images = (data.load(dataset, split, size, **how) for split in ("train", "validation"))
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
    )


def _check(flag, known, of=""):
    """Raises ValueError unless a flag has one of the values `known`; `of` says of what."""
    value = FLAGS[flag].value
    remedy = did_you_mean(value, known, "Choose one of them")
    expect(value in known, f"--{flag} {', '.join(known)}{of}", value, remedy)


def _overridden(settings, folder, factor):
    """A `Factor`'s `Training` with the values of flags, in the precision of its folder."""
    from pixelcnn_aux.training import devices

    values = {field.name: FLAGS[field.name].value for field in dataclasses.fields(settings)}
    if FLAGS.mixed_precision is None and factor.mixes_precisions:
        values["mixed_precision"] = devices.is_mixed(folder, settings.mixed_precision)
    return dataclasses.replace(settings, **{name: x for name, x in values.items() if x is not None})


def start(name):
    """Runs this program for one model, as the modules of `train` do."""
    program.start(sys.modules[__name__], None, name)
