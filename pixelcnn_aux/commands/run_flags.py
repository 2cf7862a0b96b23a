"""Flags that several programs have: the run, where its images are, and their class."""

import numpy as np
from absl import flags

from pixelcnn_aux import likelihoods
from pixelcnn_aux.conditions import Classes
from pixelcnn_aux.runs import trained

FLAGS = flags.FLAGS

_IMAGES = {
    "data_dir": "Where TFDS keeps its data sets; its own default if unset.",
    "image_dir": "A folder of images, for the data sets folder and celeb_a, or of arrays.",
    "image_file": "A .npz file of images, for the data set arrays.",
    "labels": "The classes of the images of folder: folders, one a class; or a CSV file.",
    "cache_dir": "Where decoded images are kept; pixelcnn_aux in $XDG_CACHE_HOME or ~/.cache if unset.",
}


def define_workdir(note=""):
    """Defines --workdir of a program that reads a run; `note` ends its help."""
    flags.DEFINE_string(
        "workdir",
        None,
        "A run, or the name of a trained model: of the package, or hf://OWNER/NAME on the "
        f"Hugging Face Hub. If unset, the newest run under runs/, or {trained.DEFAULT}.{note}",
    )


def workdir():
    """The folder of the run that --workdir chooses."""
    return trained.find(FLAGS.workdir) if FLAGS.workdir else trained.newest()


def define_images():
    """Defines the flags of where images are."""
    for name, text in _IMAGES.items():
        flags.DEFINE_string(name, None, text)


def images():
    """The flags of where images are: dict, of arguments of `data.load`."""
    return {name: FLAGS[name].value for name in _IMAGES}


def define_draws(log_scale_shift=0.0):
    """Defines the flags of draws: --seed, --log_scale_shift, --mode and --label."""
    flags.DEFINE_integer("seed", 0, "Of all draws.", -(2**31), 2**31 - 1)
    flags.DEFINE_float(
        "log_scale_shift", log_scale_shift, "Added to log-scales; below 0 the draws vary less."
    )
    flags.DEFINE_enum("mode", "sample", likelihoods.MODES, "map: a drawn component's location.")
    define_label()


def define_label():
    """Defines the flag of `condition`."""
    text = "The class of the images, for a model of classes; -1 is none."
    flags.DEFINE_integer("label", None, text, lower_bound=-1)


def condition(kind, count):
    """The condition of `count` images of the class --label; unknown if that is unset.

    Args:
      kind: `conditions.Condition`, as `AuxiliaryModel.condition`.
      count: int.

    Returns:
      [count, ...], as `AuxiliaryModel.log_prob` takes it; None of None.

    Raises:
      ValueError: for --label of a model without classes.
    """
    if FLAGS.label is None:
        return kind and kind.unknown(count)
    if not isinstance(kind, Classes):
        raise ValueError(
            f"Expected a model of classes for --label. Received: --label {FLAGS.label}, and a model "
            f"{f'of {kind}' if kind else 'without a condition'}. Leave it out, or train with --classes."
        )
    return np.full(count, FLAGS.label, kind.dtype)
