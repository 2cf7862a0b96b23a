"""Flags for a preset and its images, and a step of training, shared by benchmarks of training."""

import pathlib
import re

import numpy as np
from absl import flags

from benchmarks import cost
from pixelcnn_aux import data
from pixelcnn_aux.commands import chosen_run
from pixelcnn_aux.training import default_strategy, presets, steps

FLAGS = flags.FLAGS


def define_preset(preset, models=tuple(presets.BY_MODEL)):
    flags.DEFINE_enum("model", "pyramid", models, "Whose preset: which training program.")
    flags.DEFINE_string("preset", preset, "Its preset.")


def preset():
    """The `presets.Preset` that the flags choose."""
    return cost.find_preset(FLAGS.model, FLAGS.preset)


def check_factor(name, others=()):
    """Raises ValueError unless the preset has a factor of this name, or it is one of `others`."""
    known = [*others, *preset().training]
    if name not in known:
        raise ValueError(
            f"Expected --factor {', '.join(known)}. Received: {name}. Choose one of them, or another --model."
        )


def split(model, which):
    """A split of the preset's data set, of a model's size, from where flags say: `data.Images`."""
    return data.load(preset().dataset, which, model.image_size, **chosen_run.image_flags())


def peak_bytes():
    """The most memory that this process has had. Not `getrusage`'s, which begins with that of its parent."""
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


def random_images(count, image_size):
    """uint8 [count, H, W, 3], of a size (H, W)."""
    shape = (count, *image_size, 3)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def training_step(model, name, training, policy=None, remat=False):
    """A step of training from the current weights of a factor: a function as `steps.make` returns.

    Args:
      model: `AuxiliaryModel`, which stays as it is.
      name: str, the factor's.
      training: `Training`.
      policy: str, of mixed precision; None for float32.
      remat: bool, whether blocks are evaluated again in the backward pass.
    """
    weights = model.factors[name].get_weights()
    strategy = default_strategy()
    return steps.make(model, name, weights, training, strategy=strategy, policy=policy, remat=remat)
