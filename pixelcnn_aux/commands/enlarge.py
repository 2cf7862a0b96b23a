"""Enlarges photographs of any size to twice their height and width, or more, for example

    pixelcnn-aux enlarge photograph.jpg
    pixelcnn-aux enlarge photograph.jpg --times 4 --log_scale_shift -0.5 --out large.png

Each result is written as NAME-enlarged.png to the current folder or --out. A different --seed gives different
details; a negative --log_scale_shift makes them vary less.
"""

import functools

from absl import flags

from pixelcnn_aux.commands import photographs

FLAGS = flags.FLAGS
ARGUMENTS = ["PHOTOGRAPH..."]


def main(*files):
    photographs.draw_each(files, "-enlarged", functools.partial(draw, times=FLAGS.times))


def draw(model, photographs, *, times, **options):
    return model.enlarge(photographs, times, **options)


def define_flags():
    photographs.define_flags("photographs")
    flags.DEFINE_integer("times", 2, "The factor: 2, 4, 8 or 16 for the model photographs.")
