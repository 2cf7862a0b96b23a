"""The run that a program evaluates: flags that choose it, its model, and its images."""

import math

from absl import flags

import pixelcnn_aux as pa
from pixelcnn_aux import data
from pixelcnn_aux.batches import MAX_PIXELS
from pixelcnn_aux.commands import run_flags
from pixelcnn_aux.errors import expect
from pixelcnn_aux.runs import disk, trained
from pixelcnn_aux.runs.folder import RunFolder

FLAGS = flags.FLAGS


def define_flags():
    define_source()
    define_exact()
    best = "Weights of each factor's best epoch by validation, averaged, instead of the last ones."
    flags.DEFINE_bool("best", False, best)


def define_source():
    """Defines the flags of `run_flags.workdir` and of `images`: which run, and where its images are."""
    run_flags.define_workdir()
    flags.DEFINE_string("dataset", None, "Overrides the run's data set, by its name in training.")
    run_flags.define_images()


def define_exact():
    exact = (
        "Whether images that contradict auxiliary images are ruled out; as the run says if unset."
    )
    flags.DEFINE_bool("exact", None, exact)


def define_part(some="Only the first of them"):
    """Defines --split and --num_images; `some` says which images the latter are."""
    flags.DEFINE_enum("split", "test", data.SPLITS, "Which images.")
    flags.DEFINE_integer("num_images", None, f"{some}; all if unset.", lower_bound=1)


def define_condition():
    condition = (
        "Whether a conditional model uses the labels; if unset, where the images have any. "
        "--nocondition evaluates it without."
    )
    flags.DEFINE_bool("condition", None, condition)


def load(best=False):
    """The run that the flags choose: (folder, model), the latter as `pa.load` gives it."""
    folder = run_flags.workdir()
    print(f"Evaluating {folder}", flush=True)
    model = pa.load(folder, best=best)
    return folder, model if FLAGS.exact is None else model.with_exact(FLAGS.exact)


def outputs(folder):
    """`trained.outputs`, after a check that it takes files: to be called before there is work to lose."""
    return disk.writable(trained.outputs(folder))


def source(folder):
    """Where the images of the run in `folder` come from, unless flags override it.

    Returns a dict of "dataset", "image_dir", "image_file" and, if there are any, "labels", as `data.load`
    takes them. Raises ValueError for a run that was trained on arrays, unless --dataset names a data set.
    """
    config = RunFolder(folder).config()
    dataset = FLAGS.dataset or config.get("dataset")
    # Models of the package: CIFAR-10 would have to be downloaded, and a folder is on another machine.
    is_default = not FLAGS.workdir and folder == trained.find(trained.DEFAULT)
    is_missing = dataset == "folder" and not (FLAGS.image_dir or config.get("image_dir"))
    if not FLAGS.dataset and (is_default or is_missing):
        dataset = "photos"  # which any machine has
    expected = f"the data set of the run in {folder}"
    expect(dataset, expected, "none, since it was trained on arrays", "Give --dataset")
    paths, labels = {"image_dir": FLAGS.image_dir, "image_file": FLAGS.image_file}, FLAGS.labels
    if dataset == config.get("dataset"):
        labels = labels or config.get("labels")
        if not any(paths.values()):
            paths = {name: config.get(name) for name in paths}
    return {"dataset": dataset, **paths, **({"labels": labels} if labels else {})}


def images(folder, model, split):
    """The images of a split: `data.Images`, of the data set that the run in `folder` was trained on."""
    chosen = {**run_flags.images(), **source(folder)}
    dataset = chosen.pop("dataset")
    print(f"On the {split} images of {dataset}", flush=True)
    likelihood = model.likelihood
    kind = {"channels": likelihood.num_channels, "num_values": likelihood.num_values}
    return data.load(dataset, split, model.image_size, **chosen, **kind)


def uses_labels(images):
    """Whether a conditional model is evaluated given the labels of `data.Images`."""
    return images.labels is not None if FLAGS.condition is None else FLAGS.condition


def condition(images, model):
    """The condition of `data.Images`: [N, ...]; unknown unless the model `uses_labels`."""
    kind = model.condition
    if kind is None or uses_labels(images):
        return images.condition(kind)
    if FLAGS.condition is None:
        print("The images have no labels, so the model is told none", flush=True)
    return kind.unknown(images.num_images)


def batches(images, num_images=None):
    """As `data.Images.batches`, each of as many images as are evaluated at once."""
    size = images.image_size or (1, 1)  # images of several sizes come one by one anyway
    return images.batches(max(1, MAX_PIXELS // math.prod(size)), num_images)
