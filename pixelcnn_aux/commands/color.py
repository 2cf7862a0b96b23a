"""Colors gray photographs of any size, for example

    pixelcnn-aux color photograph.jpg
    pixelcnn-aux color *.jpg --seed 1 --out colored

The model sees only the grays of color photographs. Writes three different colorings of each, the likeliest
first, as NAME-colored-1.png and so on to the current folder or --out; with --num 1, only the first, as
NAME-colored.png. A different --seed gives different colors; a negative --log_scale_shift makes them paler.
"""

from absl import flags

from pixelcnn_aux.commands import photographs

FLAGS = flags.FLAGS
ARGUMENTS = ["PHOTOGRAPH..."]


def main(*files):
    photographs.draw_each(files, "-colored", draw, num=FLAGS.num)


def draw(model, photographs, **options):
    return model.colorize(photographs, **options)


def define_flags():
    photographs.define_flags("cifar10-grayscale", num=3, log_scale_shift=0.0)
