"""The cost of first calls of a new size, and the memory that many images take.

    python -m benchmarks.first_calls --workdir cifar10-pyramid

Evaluates and draws batches of several sizes, each three times, and prints the seconds. Then evaluates more
and more random images at once, and prints the seconds and the most memory of the process so far.
"""

import time

import numpy as np
from absl import flags

import pixelcnn_aux as pa
from benchmarks import common
from pixelcnn_aux.commands import chosen_run, program

FLAGS = flags.FLAGS
SIZES, TIMES = (1, 3, 16, 17), 3  # of batches, and how often each
COUNTS = (16, 1024, 10_000)  # of images at once


def seconds(function, size):
    start = time.perf_counter()
    function(size)
    return time.perf_counter() - start


def main():
    model = pa.load(chosen_run.workdir())
    pixels = common.random_images(COUNTS[-1], model.image_size)

    def evaluate(size):
        return np.asarray(model.bits_per_dim(pixels[:size])["total"])

    def draw(size):
        seeds = [[0, b] for b in range(size)]
        return model.sample(seeds, jit_compile=FLAGS.jit)

    for function in (evaluate, draw):
        for size in SIZES:
            times = " ".join(f"{seconds(function, size):8.2f}" for _ in range(TIMES))
            print(f"{function.__name__:8} {size:6,} images: {times} s", flush=True)
    for count in COUNTS:
        took, peak = seconds(evaluate, count), common.peak_bytes() / 2**30
        print(f"evaluate {count:6,} images: {took:8.2f} s, at most {peak:.2f} GiB", flush=True)


def define_flags():
    chosen_run.define_workdir()
    flags.DEFINE_bool("jit", False, "XLA compiles the drawing.")


if __name__ == "__main__":
    program.start()
