"""The run that a program reads: flags that choose it, its model, its images, and their class."""

import functools
import math
import re

import numpy as np
from absl import flags

import pixelcnn_aux as pa
from pixelcnn_aux import data
from pixelcnn_aux.base import arguments, disk
from pixelcnn_aux.base.errors import did_you_mean, expect
from pixelcnn_aux.batches import MAX_PIXELS
from pixelcnn_aux.conditions import Classes
from pixelcnn_aux.data.registry import SHARES
from pixelcnn_aux.runs import trained
from pixelcnn_aux.runs.folder import RunFolder

FLAGS = flags.FLAGS

_IMAGES = {
    "data_dir": "Where TFDS keeps its data sets; its own default if unset.",
    "image_dir": "A folder of images, for the data sets folder and celeb_a, or of arrays.",
    "image_file": "A .npz file of images, for the data set arrays.",
    "labels": "The classes of the images of folder: folders, one a class; or a CSV file.",
    "cache_dir": "Where decoded images are kept; pixelcnn_aux in $XDG_CACHE_HOME or ~/.cache if unset.",
}


def define_flags():
    """Defines the flags of a program that evaluates a run on images."""
    define_source()
    define_exact()
    best = "Weights of each factor's best epoch by validation, averaged, instead of the last ones."
    flags.DEFINE_bool("best", False, best)


def define_source():
    """Defines the flags of `workdir` and of `images`: which run, and where its images are."""
    define_workdir()
    flags.DEFINE_string("dataset", None, "Overrides the run's data set, by its name in training.")
    define_images()


def define_workdir():
    """Defines --workdir of a program that reads a run."""
    text = (
        "A run, or the name of a trained model: of the package, or hf://OWNER/NAME on the "
        f"Hugging Face Hub. If unset, the newest run under runs/, or {trained.DEFAULT}."
    )
    flags.DEFINE_string("workdir", None, text)


def define_images():
    """Defines the flags of `image_flags`."""
    for name, text in _IMAGES.items():
        flags.DEFINE_string(name, None, text)
    for name, share in SHARES.items():
        text = f"Of the files of folder, those of that split, at least one; {share} if unset."
        flags.DEFINE_float(name, None, text)


def define_exact():
    text = (
        "Whether images that contradict auxiliary images are ruled out; as the run says if unset."
    )
    flags.DEFINE_bool("exact", None, text)


def define_part(some="Only the first of them"):
    """Defines --split and --num_images; `some` says which images the latter are."""
    flags.DEFINE_enum("split", "test", data.SPLITS, "Which images.")
    flags.DEFINE_integer("num_images", None, f"{some}; all if unset.", lower_bound=1)


def define_draws(log_scale_shift=0.0):
    """Defines the flags of draws: --seed, --log_scale_shift, --mode and --label."""
    flags.DEFINE_integer("seed", 0, "Of all draws.", -(2**31), 2**31 - 1)
    shift = "Added to log-scales; below 0 the draws vary less."
    flags.DEFINE_float("log_scale_shift", log_scale_shift, shift)
    flags.DEFINE_enum("mode", "sample", arguments.MODES, "map: a drawn component's location.")
    define_label()


def define_label():
    """Defines the flag of `label_condition`."""
    text = "The class of the images, for a model of classes: its number or name; -1 is none."
    flags.DEFINE_string("label", None, text)


def workdir():
    """The folder of the run that --workdir chooses."""
    return trained.find(FLAGS.workdir) if FLAGS.workdir else trained.newest()


def load(best=False):
    """The run that the flags choose: (folder, model), which is exact, or not, as --exact says."""
    folder = workdir()
    print(f"Evaluating {folder}", flush=True)
    model, exact = pa.load(folder, best=best), FLAGS.exact if "exact" in FLAGS else None
    return folder, model if exact is None else model.with_exact(exact)


def outputs(folder):
    """`trained.outputs`, after a check that it takes files: to be called before there is work to lose."""
    return disk.writable(trained.outputs(folder))


def source(folder):
    """Where the images of a run come from, unless flags override it: arguments of `data.load`."""
    config = RunFolder(folder).config()
    dataset = FLAGS.dataset or config.get("dataset")
    # Models of the package: CIFAR-10 would have to be downloaded, and a folder is on another machine.
    is_default = not FLAGS.workdir and folder == trained.find(trained.DEFAULT)
    is_missing = dataset == "folder" and not (FLAGS.image_dir or config.get("image_dir"))
    if not FLAGS.dataset and (is_default or is_missing):
        dataset = "photos"  # which any machine has
    expected = f"the data set of the run in {folder}"
    expect(dataset, expected, "none, since it was trained on arrays", "Give --dataset")
    flag = image_flags()
    paths = {name: flag[name] for name in ("image_dir", "image_file")}
    others = {name: flag[name] for name in ("labels", *SHARES)}
    if dataset == config.get("dataset"):
        others = {x: config.get(x) if given is None else given for x, given in others.items()}
        if not any(paths.values()):
            paths = {name: config.get(name) for name in paths}
    return {"dataset": dataset, **paths, **{x: y for x, y in others.items() if y is not None}}


def image_flags():
    """The flags of where images are: dict, of arguments of `data.load`."""
    return {name: FLAGS[name].value for name in (*_IMAGES, *SHARES)}


def images(folder, model, split):
    """The images of a split: `data.Images`, of the data set that the run in `folder` was trained on."""
    arguments = images_from(folder, model, split)
    print(f"On the {split} images of {arguments['name']}", flush=True)
    return loaded(**arguments)


def images_from(folder, model, split):
    """The arguments of `data.load` for `images`: dict."""
    likelihood = model.likelihood
    kind = {"channels": likelihood.num_channels, "num_values": likelihood.num_values}
    chosen = {**image_flags(), **source(folder), **kind}
    size = model.image_size and tuple(model.image_size)
    return {"name": chosen.pop("dataset"), "split": split, "image_size": size, **chosen}


@functools.lru_cache(2)
def loaded(**arguments):
    """`data.load`, once for the same arguments."""
    return data.load(**arguments)


def part(indices, *, crc32, **arguments):
    """Some images of those that a job began with: `data.Images`, in a worker."""
    images = loaded(**arguments)
    remedy = "Give this machine the same files"
    expect(images.crc32 == crc32, "the images that the job began with", "others", remedy)
    labels = None if images.labels is None else images.labels[indices]
    return data.Images([images.pixels[index] for index in indices], labels=labels)


def batches(images, num_images=None):
    """As `data.Images.batches`, each of as many images as are evaluated at once."""
    size = images.image_size or (1, 1)  # images of several sizes come one by one anyway
    return images.batches(max(1, MAX_PIXELS // math.prod(size)), num_images)


def class_names(model):
    """The names of the classes of a model of classes, as the data set of its run has them: list of str."""
    run = getattr(model, "loaded_from", None)
    config = RunFolder(trained.find(run)).config() if run else {}
    return data.class_names(config.get("dataset"), model.condition.num_classes)


def label_condition(model, count):
    """The condition of `count` images of the class --label, or of no class; None for a model of none."""
    kind, label = model.condition, FLAGS.label
    if label is None:
        return kind and kind.unknown(count)
    expected, remedy = "a model of classes for --label", "Leave it out, or train with --classes"
    of = f"of {kind}" if kind else "without a condition"
    expect(isinstance(kind, Classes), expected, f"--label {label}, and a model {of}", remedy)
    if not re.fullmatch(r"-?\d+", label):
        names = class_names(model)
        expected = f"--label as a number, or one of {', '.join(names)}"
        expect(label in names, expected, label, did_you_mean(label, names, "Choose one of them"))
        label = names.index(label)
    return kind.checked(np.full(count, int(label)))
