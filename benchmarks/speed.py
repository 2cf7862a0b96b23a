"""Measures the speed of drawing images: python -m evaluate.speed.

For each factor of a run, or one with random weights (--network), takes turns in one process to time:

    full             the network evaluated again for every pixel
    incremental      every activation evaluated once, in NumPy
    incremental_xla  the same, in a graph compiled by XLA
    forward_pass     the network evaluated once over the whole images
    tfp_pixelcnn     an unconditional `tfp.distributions.PixelCNN` with about the same blocks and parameters,
                     for mixtures of logistics, at batch 1: a step of its `sample` for every pixel

Prints medians, which are extrapolated from some pixels for full draws and TFP; the first run compiles.
Only incremental draws include the computation of auxiliary images' features.
"""

import functools
import math
import statistics

import numpy as np
from absl import flags

import pixelcnn_aux as pa
from benchmarks import tools
from pixelcnn_aux.base import arguments
from pixelcnn_aux.commands import chosen_run, program

FLAGS = flags.FLAGS

tf, rival = tools.LazyModule("tensorflow"), tools.LazyModule("benchmarks.rival")
sampling = tools.LazyModule("pixelcnn_aux.sampling")
requests = tools.LazyModule("pixelcnn_aux.scanning.requests")

# Network evaluations to time where every pixel takes one; the remaining pixels are extrapolated.
EVALUATIONS = 16


def pyramid():
    """The light network of Pyramid PixelCNN, with a minimal embedding for its features."""
    rgb, topology = pa.likelihoods.LogisticMixture(10), pa.networks.topology
    kernels = {"vertical_kernel": (3, 3), "horizontal_kernel": (3, 3)}
    network = pa.networks.PixelCNN(topology.flat(3), 100, rgb.num_params, **kernels)
    embedding = pa.networks.Embedding(topology.super_resolution(1, 1), 100)
    return pa.Factor(rgb, network, embedding, auxiliary_likelihood=rgb)


NETWORKS = {"pyramid": pyramid, "pixelcnn_pp": lambda: pa.pixelcnn_pp(filters=64).factors["image"]}


def main():
    pa.backend.require_tensorflow("sampling")
    if FLAGS.network:
        factors, sizes = {"image": NETWORKS[FLAGS.network]()}, {"image": (32, 32)}
    else:
        model = pa.load(chosen_run.workdir())
        model = model if FLAGS.exact is None else model.with_exact(FLAGS.exact)
        factors, sizes = model.factors, model.sizes()
    for name, factor in factors.items():
        measure(name, factor, sizes[name])


def measure(name, factor, size):
    parameters, other = tools.network_parameters(factor), None
    print("\n{}: {} x {} pixels, {:,} parameters".format(name, *size, parameters))
    if isinstance(factor.likelihood, pa.likelihoods.LogisticMixture):
        other = rival.like(factor, size)
        print(f"tfp_pixelcnn: {other.network.count_params():,} parameters")
    columns = {"batch": "5", "": "<15", "s/image": "10.4f", "ms/pixel": "10.4f"}
    columns |= {"in passes": "10.2f", "compile s": "10.2f", "pixels timed": "12"}
    table = tools.Table(columns)
    for batch in map(int, FLAGS.batch_sizes):
        ways = candidates(factor, size, batch, other)
        runs = {way: run for way, (run, _) in ways.items()}
        seconds = tools.seconds_in_turn(runs, FLAGS.runs + 1)
        medians = {way: statistics.median(times[1:]) for way, times in seconds.items()}
        for way, (_, pixels) in ways.items():
            pixel = medians[way] / (batch * pixels)
            image = pixel * math.prod(size)
            passes = image * batch / medians["forward_pass"]
            compilation = max(0.0, seconds[way][0] - medians[way])
            table.add(batch, way, image, 1000 * pixel, passes, compilation, pixels)


def auxiliaries(factor, size, batch):
    """Random auxiliary images for a factor: [batch, h, w, c]."""
    likelihood = factor.auxiliary_likelihood
    shape = [batch, *(x // factor.auxiliary_ratio for x in size), likelihood.num_channels]
    images = np.random.default_rng(0).integers(0, likelihood.num_values, shape)
    return tf.constant(images, arguments.pixel_dtype(likelihood.num_values))


def candidates(factor, size, batch, other):
    """dict, name -> (function that draws a batch, number of pixels that it draws in each image).

    `other` is TFP's PixelCNN, or None.
    """
    condition = factor.condition and factor.condition.unknown(batch)
    noise = sampling.noise(factor, np.zeros((batch, 2), np.int32), 0, size)
    auxiliary = factor.auxiliary_likelihood and auxiliaries(factor, size, batch)
    features = [] if auxiliary is None else factor.features(auxiliary, condition, by="graph")
    remainders = factor.fixed_sum and pa.sums.Remainders(factor.fixed_sum, auxiliary)
    dtype = arguments.pixel_dtype(factor.likelihood.num_values)
    images = tf.zeros([batch, *size, factor.likelihood.num_channels], dtype)
    all_noise = tf.constant(noise)
    features = [*map(tf.constant, features)]
    network = factor.with_kernels(factor.tensors).with_condition(condition).network

    def params(images):
        x = factor.pixels_input(images, remainders and remainders.centers(images))
        return network(x, features)

    def draw_pixel(images, row, column):
        here = params(images)[:, row, column], all_noise[:, row, column]
        bounds = remainders and remainders.at(images, row, column)
        return tf.cast(factor.likelihood.draw(*here, bounds=bounds), dtype)

    ways = {"full": first_pixels(draw_pixel, images)}
    for name, jit_compile in {"incremental": False, "incremental_xla": True}.items():
        # A new factor with the same networks, so that the first run traces a graph as in a new process.
        fresh = factor.with_fixed_sum(factor.fixed_sum)
        options = {"condition": condition, "jit_compile": jit_compile, "size": tuple(size)}
        options |= {"log_scale_shift": np.zeros(batch, np.float32), "noise": noise}
        options["auxiliary"] = None if auxiliary is None else np.asarray(auxiliary)
        request = requests.DrawRequest(**options)
        ways[name] = functools.partial(fresh.draw, request), math.prod(size)
    # Returns one pixel: all are computed, but need not leave a GPU.
    forward_pass = tf.function(lambda: params(images)[:, -1, -1])
    ways["forward_pass"] = forward_pass, math.prod(size)
    if other and batch == 1:
        blank = tf.zeros([1, *size, 3])
        ways["tfp_pixelcnn"] = first_pixels(lambda x, *at: rival.draw(other, x)[:, *at], blank)
    return ways


def first_pixels(draw_pixel, images):
    """Candidate that draws the first pixels of `images` by `draw_pixel(images, row, column)`: [B, C]."""
    batch, height, width, _ = images.shape
    pixels = min(height * width, max(1, EVALUATIONS // batch))

    def step(index, images):
        here = tf.reshape(tf.range(height * width) == index, [height, width, 1])
        pixel = draw_pixel(images, index // width, index % width)
        return index + 1, tf.where(here, pixel[:, tf.newaxis, tf.newaxis], images)

    run = tf.function(lambda: tf.while_loop(lambda index, _: index < pixels, step, (0, images))[1])
    return run, pixels


def define_flags():
    chosen_run.define_workdir()
    chosen_run.define_exact()
    flags.DEFINE_enum("network", None, list(NETWORKS), "A network to measure instead of a run.")
    tools.define_timing("1,4,16,64")
    flags.mark_flags_as_mutual_exclusive(["workdir", "network"])
    # These networks' images have no fixed sums.
    flags.mark_flags_as_mutual_exclusive(["network", "exact"])


if __name__ == "__main__":
    program.start()
