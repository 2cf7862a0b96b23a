"""How fast a pyramid is that decides groups of pixels at once, beside one that decides pixel by pixel.

    python -m benchmarks.parallel_sampling

Times two presets of CIFAR-10 with random weights, `parallel` and the pyramid `--preset`, all their factors,
embeddings and all: `model.sample` as plain graphs, of whole images, which both begin pixel by pixel at 8 x 8,
and from an auxiliary image of each size; and `model.log_prob`. Beside them TFP's PixelCNN as its
documentation has it, which evaluates its network for each pixel: a step is timed, which all pixels take.
All in turn in one process. Prints images a second, and how many times as fast the parallel pyramid is.
"""

import functools
import math
import statistics

import tensorflow as tf
import tensorflow_probability as tfp
from absl import flags

from benchmarks import common, rival, timing
from benchmarks.tfp_training import NETWORK
from pixelcnn_aux.commands import program
from pixelcnn_aux.training import presets

FLAGS = flags.FLAGS


def rival_step(batch, size):
    """A function that evaluates TFP's network, and draws all pixels from what it gives, to keep one."""
    images = common.random_images(batch, size)
    distribution = tfp.distributions.PixelCNN((*size, 3), **NETWORK)
    distribution.log_prob(tf.cast(images, tf.float32))  # initializes the weights

    def step():
        scaled = tf.cast(images, tf.float32) / 127.5 - 1.0
        return rival.draw(*distribution.network(scaled, training=False))[:, -1, -1]

    return tf.function(step)


def main():
    by_name = {name: presets.BY_MODEL["pyramid"][name] for name in ("parallel", FLAGS.preset)}
    models = {name: preset.constructor(**preset.model) for name, preset in by_name.items()}
    for name, model in models.items():
        print(f"{name:9} {sum(x.count_params() for x in model.factors.values()):10,} parameters")
    size = models["parallel"].image_size
    print(f"{'batch':>5} {'':24} {'images/s':>9} {'parallel is faster':>19}", flush=True)
    for batch in map(int, FLAGS.batch_sizes):
        seeds, images = tf.zeros([batch, 2], tf.int32), common.random_images(batch, size)
        timed = {}
        for name, model in models.items():
            timed["draw", name] = functools.partial(model.sample, seeds)
            for factor, auxiliary in [*model.auxiliaries(images).items()][:-1]:
                given = {factor: auxiliary.numpy()}
                what = "draw from {} x {}".format(*auxiliary.shape[1:3])
                timed[what, name] = functools.partial(model.sample, seeds, given=given)
            timed["evaluate", name] = functools.partial(model.log_prob, images)
        timed["draw", "tfp"] = rival_step(batch, size)
        seconds = timing.seconds_in_turn(timed, FLAGS.runs + 1)
        # The first one traces.
        medians = {key: statistics.median(times) for key, (_, *times) in seconds.items()}
        medians["draw", "tfp"] *= math.prod(size)
        for (what, name), median in sorted(medians.items()):
            ratio = median / medians[what, "parallel"]
            print(
                f"{batch:5} {f'{what}, {name}':24} {batch / median:9.3g} {ratio:19.3g}", flush=True
            )


def define_flags():
    timing.define_batch_sizes("1,16")
    flags.DEFINE_enum("preset", "small", ["small", "medium"], "Of train.pyramid, pixel by pixel.")
    flags.DEFINE_integer("runs", 5, "Timed runs of each; the median counts.", lower_bound=1)


if __name__ == "__main__":
    program.start()
