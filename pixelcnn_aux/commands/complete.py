"""Completes photographs of any size, for example

    pixelcnn-aux complete photograph.jpg --mask mask.png
    pixelcnn-aux complete photograph.jpg --known half

A mask is a picture of the photographs' size: white pixels are known, black ones are drawn. With --known half
the upper half is known. Each result is written as NAME-completed.png to the current folder or --out. --scenes
fills the hole at low resolution, by --particles weighted samples, and --workdir enlarges that.
"""

import functools
import pathlib

import numpy as np
from absl import flags

from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.commands import photographs
from pixelcnn_aux.data.image_folder import read_image
from pixelcnn_aux.sampling.any_size import upper_half
from pixelcnn_aux.sampling.particles import MAX_PARTICLES

FLAGS = flags.FLAGS
ARGUMENTS = ["PHOTOGRAPH..."]


def main(*files):
    if FLAGS.mask:
        read_mask(FLAGS.mask)
    scenes = FLAGS.scenes
    if scenes is None and FLAGS["workdir"].using_default_value:
        scenes = "cifar10-pixelcnn"
    options = {"scenes": scenes, "particles": 1 if FLAGS.jit else FLAGS.particles}
    mask = FLAGS.mask and pathlib.Path(FLAGS.mask).absolute()
    photographs.draw_each(files, "-completed", functools.partial(draw, mask=mask), **options)


def draw(model, photographs, *, mask, **options):
    """Completes photographs; `mask` is a path, or None for the upper half."""
    known = upper_half(photographs)
    if mask is not None:
        known = np.repeat(read_mask(mask), len(photographs), axis=0)
    return model.complete(photographs, known, **options)


def read_mask(file):
    """Reads a mask from a picture: uint8 [1, H, W, 1], 1 for white and 0 for black pixels."""
    picture = read_image(file)
    invalid = picture[(picture != 0) & (picture != 255)]
    received = f"{file}, with a value of {invalid[:1].sum()}"
    remedy = "Draw it without smooth edges, and save it as PNG"
    expect(not invalid.size, "--mask as a picture of only black and white", received, remedy)
    return picture[np.newaxis, ..., :1] // 255


def define_flags():
    photographs.define_flags("photographs")
    flags.DEFINE_string("mask", None, "A picture that is white where photographs are known.")
    text = "The run or trained model that draws at low resolution; cifar10-pixelcnn if --workdir is unset."
    flags.DEFINE_string("scenes", None, text)
    flags.DEFINE_integer("particles", 64, "Samples per completion; 1 with --jit.", 1, MAX_PARTICLES)
    flags.DEFINE_enum("known", None, ["half"], "Instead of --mask: the upper half is known.")
    flags.mark_flags_as_mutual_exclusive(["mask", "known"], required=True)
