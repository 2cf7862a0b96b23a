"""Completes photographs of any size, such as

    pixelcnn-aux complete photograph.jpg --mask mask.png
    pixelcnn-aux complete photograph.jpg --known half

A mask is a picture of the photographs' size, white where they are known and black where pixels are drawn;
with --known half the upper half is known. Each is written as NAME-completed.png in the current folder, or to
--out. --scenes draw what is missing small, as --particles that what is known weighs; --workdir enlarges it.
"""

import functools
import pathlib

import numpy as np
from absl import flags

from pixelcnn_aux.base.inputs import upper_half
from pixelcnn_aux.commands import photographs
from pixelcnn_aux.data.image_folder import read_image
from pixelcnn_aux.sampling.particles import MAX_PARTICLES

FLAGS = flags.FLAGS
ARGUMENTS = ["PHOTOGRAPH..."]


def main(*files):
    if FLAGS.mask:
        read_mask(FLAGS.mask)
    scenes = FLAGS.scenes
    if scenes is None and FLAGS["workdir"].using_default_value:
        scenes = "cifar10-pixelcnn"
    how = {"scenes": scenes, "particles": 1 if FLAGS.jit else FLAGS.particles}
    mask = FLAGS.mask and str(pathlib.Path(FLAGS.mask).absolute())
    photographs.draw_each(files, "-completed", functools.partial(call, mask=mask), **how)


def call(photographs, *, mask):
    """`mask` is the path of a picture, or None for the upper half."""
    if mask is None:
        return "complete", photographs, upper_half(photographs)
    return "complete", photographs, np.repeat(read_mask(mask), len(photographs), axis=0)


def read_mask(file):
    """The mask of a picture: uint8 [1, H, W, 1], 1 where it is white and 0 where it is black."""
    picture = read_image(file)
    others = picture[(picture != 0) & (picture != 255)]
    if others.size:
        raise ValueError(
            f"Expected --mask as a picture of black and white alone. Received: {file}, with a value of "
            f"{others[0]}. Draw it without smooth edges, and save it as PNG."
        )
    return picture[np.newaxis, ..., :1] // 255


def define_flags():
    photographs.define_flags("photographs")
    flags.DEFINE_string("mask", None, "The picture that is white where photographs are known.")
    text = "A run, or a trained model, that draws the small picture: cifar10-pixelcnn if --workdir is unset."
    flags.DEFINE_string("scenes", None, text)
    text = "Completions that are drawn side by side, of which one is kept. 1 by --jit."
    flags.DEFINE_integer("particles", 64, text, 1, MAX_PARTICLES)
    flags.DEFINE_enum("known", None, ["half"], "Instead of --mask: the upper half is known.")
    flags.mark_flags_as_mutual_exclusive(["mask", "known"], required=True)
