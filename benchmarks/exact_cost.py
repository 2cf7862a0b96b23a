"""The cost of exact and centered factors: the time of training steps and of draws, over the paper's.

    python -m benchmarks.exact_cost

Both ways have the same networks, those of a preset. They take turns in one process, now the one first and
now the other, so that what else the machine does hits both alike; each ratio is the median over turns, after
which stand the middle half of them and the medians of the times.
"""

import functools
import time

import numpy as np
import tensorflow as tf
from absl import flags

from benchmarks import common, speed
from pixelcnn_aux.commands import program
from pixelcnn_aux.training import devices

FLAGS = flags.FLAGS


def models():
    """(the paper's model, the exact and centered one, the full image's factor's name and `Training`)."""
    preset = common.preset()
    name = list(preset.training)[-1]
    kinds = ({"exact": kind, "centered": kind} for kind in (False, True))
    both = [preset.constructor(**{**preset.model, **kind}) for kind in kinds]
    return *both, name, preset.training[name]


def ratio(candidates):
    """The time of the second function over that of the first."""
    turns = []
    for turn in range(FLAGS.runs + 1):
        seconds = [0.0, 0.0]
        for which in (0, 1) if turn % 2 else (1, 0):
            start = time.perf_counter()
            tf.nest.map_structure(lambda x: x.numpy(), candidates[which]())
            seconds[which] = time.perf_counter() - start
        turns.append(seconds)
    seconds = np.array(turns[1:])  # in the first one they are traced
    low, middle, high = np.percentile(seconds[:, 1] / seconds[:, 0], [25, 50, 75])
    first, second = 1000 * np.median(seconds, axis=0)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})   {first:.1f} ms, {second:.1f} ms"


def main():
    *both, name, settings = models()
    print("exact and centered / the paper's", flush=True)
    # As a new run of the training programs computes.
    policy = devices.mixed_policy() if devices.is_mixed_faster() else None
    batch = settings.batch_size
    images = common.random_images(batch, both[0].image_size)
    steps = [common.training_step(model, name, settings, policy) for model in both]
    candidates = [functools.partial(step, images) for step in steps]
    print(f"training step, batch {batch}, {policy or 'float32'}: {ratio(candidates)}", flush=True)
    for batch in (1, 16):
        for jit_compile in (False, True):
            draws = []
            for model in both:
                factor = model.factors[name]
                inputs = speed.inputs(factor, model.image_size, batch)
                draws.append(speed.incrementally(factor, *inputs, jit_compile=jit_compile)[0])
            kind = "compiled by XLA" if jit_compile else "plain graph"
            print(f"draws, batch {batch}, {kind}: {ratio(draws)}", flush=True)


def define_flags():
    common.define_preset("small", ["grayscale", "pyramid"])
    flags.DEFINE_integer("runs", 12, "Timed turns.", lower_bound=1)


if __name__ == "__main__":
    program.start()
