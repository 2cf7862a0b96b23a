"""Colors gray photographs of any size, such as

    pixelcnn-aux color photograph.jpg
    pixelcnn-aux color *.jpg --seed 1 --out colored

Of photographs in color, the model sees only the grays. Three colorings of each that differ, the likeliest
first, are written as NAME-colored-1.png and so on in the current folder, or to --out; with --num 1, the first
one as NAME-colored.png. Another --seed gives other colors; with --log_scale_shift below 0 they are paler.
"""

from absl import flags

from pixelcnn_aux.commands import photographs

FLAGS = flags.FLAGS
ARGUMENTS = ["PHOTOGRAPH..."]


def main(*files):
    photographs.draw_each(files, "-colored", call, num=FLAGS.num)


def call(photographs):
    return "colorize", photographs


def define_flags():
    photographs.define_flags("cifar10-grayscale", num=3, log_scale_shift=0.0)
