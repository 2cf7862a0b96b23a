"""The run a program works on: the flags that choose it, its model, its images and their class."""

import functools
import math
import re

import numpy as np
from absl import flags

import pixelcnn_aux as pa
from pixelcnn_aux import data
from pixelcnn_aux.base import arguments, disk
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.batches import MAX_PIXELS
from pixelcnn_aux.conditions import Classes
from pixelcnn_aux.data.registry import SHARES
from pixelcnn_aux.run_files import trained
from pixelcnn_aux.run_files.folder import RunFolder

FLAGS = flags.FLAGS

_IMAGES = {
    "data_dir": "TFDS's folder of data sets; TFDS's default if unset.",
    "image_dir": "A folder of images, for --dataset folder, celeb_a or arrays.",
    "image_file": "A .npz file of images, for --dataset arrays.",
    "labels": 'Classes for --dataset folder: "folders", one per class, or a CSV file.',
    "cache_dir": "Cache of decoded images; pixelcnn_aux in $XDG_CACHE_HOME or ~/.cache if unset.",
}


def define_flags():
    """Defines the flags of a program that evaluates a run on images."""
    define_source()
    define_exact()
    flags.DEFINE_bool("best", False, "Uses each factor's weights of the best validation epoch.")


def define_source():
    """Defines the flags that `workdir` and `images` read."""
    define_workdir()
    flags.DEFINE_string("dataset", None, "Overrides the run's data set; names are those of train.")
    define_images()


def define_workdir():
    """Defines --workdir, the run that a program reads."""
    text = (
        "A run, or a trained model: its name in the package, or hf://OWNER/NAME on the "
        f"Hugging Face Hub. If unset, the newest run under runs/, or {trained.DEFAULT}."
    )
    flags.DEFINE_string("workdir", None, text)


def define_images():
    """Defines the flags that `image_flags` reads."""
    for name, text in _IMAGES.items():
        flags.DEFINE_string(name, None, text)
    for name, share in SHARES.items():
        text = f"Share of --dataset folder's files in that split, at least one; {share} if unset."
        flags.DEFINE_float(name, None, text)


def define_exact():
    text = "Whether images that contradict their auxiliary image are ruled out; the run's setting if unset."
    flags.DEFINE_bool("exact", None, text)


def define_part(subset="The number of images, the first of the split"):
    """Defines --split and --num_images; `subset` is the latter's help."""
    flags.DEFINE_enum("split", "test", data.SPLITS, "The split of the data set.")
    flags.DEFINE_integer("num_images", None, f"{subset}; all if unset.", lower_bound=1)


def define_draws(log_scale_shift=0.0):
    """Defines the flags of draws: --seed, --log_scale_shift, --mode and --label."""
    flags.DEFINE_integer("seed", 0, "The seed of all draws.", -(2**31), 2**31 - 1)
    shift = "Added to log-scales; negative values make draws less varied."
    flags.DEFINE_float("log_scale_shift", log_scale_shift, shift)
    flags.DEFINE_enum("mode", "sample", arguments.MODES, "map: a drawn component's location.")
    define_label()


def define_label():
    """Defines the flag that `label_condition` reads."""
    text = "The images' class, by number or name, for a class-conditional model; -1 for no class."
    flags.DEFINE_string("label", None, text)


def workdir():
    """Returns the folder of the run chosen by --workdir."""
    return trained.find(FLAGS.workdir) if FLAGS.workdir else trained.newest()


def load(best=False):
    """Loads the chosen run: (folder, model), with `exact` overridden by --exact."""
    folder = workdir()
    print(f"Evaluating {folder}", flush=True)
    model = pa.load(folder, best=best)
    exact = FLAGS.exact if "exact" in FLAGS else None
    return folder, model if exact is None else model.with_exact(exact)


def outputs(folder):
    """`trained.outputs`, checked to be writable; call it before work that could be lost."""
    return disk.writable(trained.outputs(folder))


def source(folder):
    """Arguments of `data.load` for the images of a run, from the flags or else the run's configuration."""
    config = RunFolder(folder).config()
    dataset = FLAGS.dataset or config.get("dataset")
    # The package's models: CIFAR-10 would need a download, and a folder is on another machine.
    is_default = not FLAGS.workdir and folder == trained.find(trained.DEFAULT)
    is_missing = dataset == "folder" and not (FLAGS.image_dir or config.get("image_dir"))
    if not FLAGS.dataset and (is_default or is_missing):
        dataset = "photos"  # available on every machine
    expected = f"the data set of the run in {folder}"
    expect(dataset, expected, "none, since it was trained on arrays", "Give --dataset")
    values = image_flags()
    paths = {name: values[name] for name in ("image_dir", "image_file")}
    options = {name: values[name] for name in ("labels", *SHARES)}
    if dataset == config.get("dataset"):
        options = {x: config.get(x) if y is None else y for x, y in options.items()}
        if not any(paths.values()):
            paths = {name: config.get(name) for name in paths}
    return {"dataset": dataset, **paths, **{x: y for x, y in options.items() if y is not None}}


def image_flags():
    """The flags that locate images, as arguments of `data.load`: dict."""
    return {name: FLAGS[name].value for name in (*_IMAGES, *SHARES)}


def pixel_format(model):
    """The channels and values of a model's images, as arguments of `data.load`: dict."""
    likelihood = model.likelihood
    return {"channels": likelihood.num_channels, "num_values": likelihood.num_values}


def images(folder, model, split):
    """Loads a split of the chosen data set, or of the one the run was trained on: `data.Images`."""
    options = images_options(folder, model, split)
    print(f"On the {split} images of {options['name']}", flush=True)
    return loaded(**options)


def images_options(folder, model, split):
    """The arguments of `data.load` for `images`: dict."""
    options = {**image_flags(), **source(folder), **pixel_format(model)}
    size = model.image_size and tuple(model.image_size)
    return {"name": options.pop("dataset"), "split": split, "image_size": size, **options}


@functools.lru_cache(2)
def loaded(**options):
    """`data.load`, once for the same arguments."""
    return data.load(**options)


def part(indices, *, crc32, **options):
    """The images of a shard, in a worker: `data.Images`. Raises ValueError if its files differ."""
    images = loaded(**options)
    remedy = "Copy the files to the worker's machine again"
    expect(images.crc32 == crc32, f"images with the checksum {crc32}", images.crc32, remedy)
    labels = None if images.labels is None else images.labels[indices]
    return data.Images([images.pixels[index] for index in indices], labels=labels)


def batches(images, num_images=None):
    """Like `data.Images.batches`, with as many images per batch as are evaluated at once."""
    size = images.image_size or (1, 1)  # images of different sizes come one by one anyway
    return images.batches(max(1, MAX_PIXELS // math.prod(size)), num_images)


def label_condition(model, count):
    """The condition of `count` images with the class --label, if set; None for unconditional models."""
    condition, label = model.condition, FLAGS.label
    if label is None:
        return condition and condition.unknown(count)
    expected = "a class-conditional model for --label"
    of = f"conditional on {condition}" if condition else "without a condition"
    received, remedy = f"--label {label}, and a model {of}", "Omit it, or train with --classes"
    expect(isinstance(condition, Classes), expected, received, remedy)
    number = int(label) if re.fullmatch(r"-?\d+", label) else model.class_numbers(label)
    return condition.checked(np.full(count, number))
