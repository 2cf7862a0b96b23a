"""Enlarges photographs of any size to twice their height and width, or more, such as

    pixelcnn-aux enlarge photograph.jpg
    pixelcnn-aux enlarge photograph.jpg --times 4 --log_scale_shift -0.5 --out large.png

Each is written as NAME-enlarged.png in the current folder, or to --out. Another --seed gives other details;
with --log_scale_shift below 0 they vary less.
"""

import functools

from absl import flags

from pixelcnn_aux.commands import photographs

FLAGS = flags.FLAGS
ARGUMENTS = ["PHOTOGRAPH..."]


def main(*files):
    photographs.draw_each(files, "-enlarged", functools.partial(call, times=FLAGS.times))


def call(photographs, *, times):
    return "enlarge", photographs, times


def define_flags():
    photographs.define_flags("photographs")
    times = "How many times as high and wide: 2, 4, 8 or 16, by photographs."
    flags.DEFINE_integer("times", 2, times)
