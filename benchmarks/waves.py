"""How long images of several sizes take to be drawn, given halves: along diagonals, and otherwise.

    python -m benchmarks.waves

Seconds of a batch, of networks with random weights: the light network of Pyramid PixelCNN in waves and pixel
by pixel; one of masked convolutions in waves; one that decides groups of pixels; and a step of TFP's PixelCNN
as its documentation has it, times the pixels that take one each, at batch 1. The least of --runs, in turn.
"""

import functools
import math
from unittest import mock

from absl import flags

import pixelcnn_aux as pa
from benchmarks import common, parallel_sampling, timing
from pixelcnn_aux.commands import program
from pixelcnn_aux.engine import factor
from pixelcnn_aux.engine.raster import RasterScan

FLAGS = flags.FLAGS


def main():
    names = ["light", "light, pixel by pixel", "masked", "groups", "TFP"]
    print(f"{'batch':>5} {'side':>5}" + "".join(f"{name:>23}" for name in names))
    for batch in map(int, FLAGS.batch_sizes):
        for side in map(int, FLAGS.sides):
            seconds = timing.seconds_in_turn(functions(batch, side), FLAGS.runs + 1)
            least = {name: min(times[1:]) for name, times in seconds.items()}
            least["TFP"] = least.get("TFP", math.nan) * side**2
            found = "".join(f"{least[name]:23.3g}" for name in names)
            print(f"{batch:5} {side:5}{found}", flush=True)


def functions(batch, side):
    """dict, name -> a function that draws a batch, or takes a step of TFP's."""
    size, half = (side, side), (side // 2, side // 2)
    light = {"filters": 32, "blocks": 3, "embedding_blocks": 1, "depth": 1}
    models = {
        "light": pa.pyramid(size, half, **light),
        "masked": pa.parallel_pyramid(size, halvings=1, masked=1, num_components=5),
        "groups": pa.parallel_pyramid(size, halvings=1),
    }
    draw = {}
    for name, model in models.items():
        auxiliary = model.auxiliaries(common.random_images(batch, size))
        given = {key: auxiliary[key] for key in [*model.factors][:-1]}
        draw[name] = functools.partial(model.sample, [[0, k] for k in range(batch)], given=given)
    pixel_by_pixel = mock.patch.object(factor, "WaveScan", lambda *x: RasterScan(*x[:3]))
    draw["light, pixel by pixel"] = pixel_by_pixel(draw["light"])
    if batch == 1:  # of large batches its activations do not fit in memory
        draw["TFP"] = parallel_sampling.rival_step(batch, size)
    return draw


def define_flags():
    timing.define_batch_sizes("1,16")
    flags.DEFINE_list("sides", ["32", "64", "128", "256"], "Of the images.")
    flags.DEFINE_integer("runs", 2, "Timed runs of each.", lower_bound=1)


if __name__ == "__main__":
    program.start()
