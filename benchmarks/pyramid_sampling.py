"""Pyramid PixelCNN against PixelCNN++ in drawing large images, the paper's section 4.2.

    python -m benchmarks.pyramid_sampling

Times `model.sample`, embeddings and all, for the pyramid of the preset "celeba" and for PixelCNN++ at its
size, both randomly initialized, in turn in one process; prints seconds per pixel of the final image, and
the ratio of the two models' arithmetic, to compare with.
"""

import functools
import math
import statistics

import tensorflow as tf
from absl import flags

import pixelcnn_aux as pa
from benchmarks import cost, timing
from pixelcnn_aux.commands import program
from pixelcnn_aux.training import presets

FLAGS = flags.FLAGS


def arithmetic(model):
    """FLOPs an image of one forward pass of every factor: the least that drawing it takes."""
    found, auxiliary = 0, None
    for name, size in model.sizes().items():
        factor = model.factors[name]
        image = (1, *size, factor.likelihood.num_channels)
        found, auxiliary = found + cost.forward_flops(factor, image, auxiliary), image
    return found


def main():
    preset = presets.PYRAMID["celeba"]
    size = preset.model["image_size"]
    made = {
        "pyramid": lambda: preset.constructor(**preset.model),
        "pixelcnn_pp": lambda: pa.pixelcnn_pp(size),
    }
    work = {name: arithmetic(make()) for name, make in made.items()}
    for name, flops in work.items():
        print(f"{name:11} {flops / 1e9:8.1f} GFLOP an image of {size[0]} x {size[1]}")
    print(f"ratio       {work['pixelcnn_pp'] / work['pyramid']:8.2f}")
    print(f"batch {'':16} {'s/image':>9} {'s/pixel':>10}", flush=True)
    for batch in map(int, FLAGS.batch_sizes):
        # New ones, whose graphs are of this batch: those of a second one are of any.
        models = {name: make() for name, make in made.items()}
        seeds = tf.zeros([batch, 2], tf.int32)
        for jit_compile in (False, True):
            draw = {
                name: functools.partial(model.sample, seeds, jit_compile=jit_compile)
                for name, model in models.items()
            }
            seconds = timing.seconds_in_turn(draw, FLAGS.runs + 1)
            # The first one traces.
            medians = {name: statistics.median(seconds[name][1:]) / batch for name in models}
            for name, median in medians.items():
                label = name + (", XLA" if jit_compile else "")
                print(f"{batch:5} {label:16} {median:9.3f} {median / math.prod(size):10.6f}")
            ratio = medians["pixelcnn_pp"] / medians["pyramid"]
            print(f"      ratio            {ratio:9.2f}", flush=True)


def define_flags():
    timing.define_batch_sizes("1,16")
    flags.DEFINE_integer("runs", 3, "Timed runs of each; the median counts.", lower_bound=1)


if __name__ == "__main__":
    program.start()
