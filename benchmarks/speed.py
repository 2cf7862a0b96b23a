"""How fast images are drawn: python -m evaluate.speed.

For each factor of a run, or one with randomly initialized weights (--network), times in turn in one process:

    full             the network evaluated again for every pixel
    incremental      every activation evaluated once, in NumPy
    incremental_xla  the same, in a graph compiled by XLA
    forward_pass     the network evaluated once over the whole images
    tfp_pixelcnn     an unconditional `tfp.distributions.PixelCNN` with about the same blocks and parameters,
                     at batch 1: one step of its `sample` for each pixel, which evaluates its network again
                     and draws all pixels to keep one; for mixtures of logistics alone

Incremental draws also compute the features of auxiliary images, which are given to the others. Prints a
table; a plot, and a JSON file beside it, hold the same.
"""

import functools
import math
import pathlib
import statistics

import numpy as np
from absl import flags

import pixelcnn_aux as pa
from benchmarks import Later, timing
from pixelcnn_aux import arguments, machine
from pixelcnn_aux.commands import chosen_run, plots, program
from pixelcnn_aux.runs import disk
from pixelcnn_aux.runs.folder import RunFolder

FLAGS = flags.FLAGS

tf, rival = Later("tensorflow"), Later("benchmarks.rival")
sampling, given = Later("pixelcnn_aux.sampling"), Later("pixelcnn_aux.inputs")

# How often a network is evaluated where every pixel takes an evaluation: the rest is extrapolated.
EVALUATIONS = 16
_INCREMENTAL = ("incremental", "incremental_xla")
RATIOS = [(x, "forward_pass") for x in _INCREMENTAL] + [("full", x) for x in _INCREMENTAL]


def pyramid():
    """The light network of Pyramid PixelCNN, and an embedding that only has to give it features."""
    rgb, topology = pa.likelihoods.LogisticMixture(10), pa.networks.topology
    network = pa.networks.PixelCNN(
        topology.flat(3), 100, rgb.num_params, vertical_kernel=(3, 3), horizontal_kernel=(3, 3)
    )
    embedding = pa.networks.Embedding(topology.super_resolution(1, 1), 100)
    return pa.Factor(rgb, network, embedding, auxiliary_likelihood=rgb)


NETWORKS = {"pyramid": pyramid, "pixelcnn_pp": lambda: pa.pixelcnn_pp(filters=64).factors["image"]}


def main():
    pa.backend.require_tensorflow("sampling")
    plots.check("--out", FLAGS.out)
    if FLAGS.network:
        measured, folder = FLAGS.network, RunFolder.RUNS / f"speed-{FLAGS.network}"
        factors, sizes = {"image": NETWORKS[FLAGS.network]()}, {"image": (32, 32)}
    else:
        folder = chosen_run.workdir()
        model = pa.load(folder)
        measured, factors, sizes = RunFolder(folder).name, model.factors, model.sizes()
    out = pathlib.Path(FLAGS.out or chosen_run.outputs(folder) / "speed.png")
    file = out.with_suffix(".json")
    before = disk.read_dict(file, "a measurement") if file.exists() else {}
    if (file.exists() or out.exists()) and before.get("measured") != measured:
        raise ValueError(
            f"Expected new files, or those of an earlier measurement of {measured}. "
            f"Received: {out} and {file}, which hold other things. Choose another --out."
        )
    results = {name: measure_factor(name, factors[name], sizes[name]) for name in factors}
    found = {"measured": measured, "machine": machine.describe(), "runs": FLAGS.runs}
    disk.write_json(file, {**found, "factors": results})
    plots.write(out, draw(results))
    print(f"Wrote {out} and {file}")


def measure_factor(name, factor, size):
    """Prints the table of a factor, and returns what is in it."""
    height, width = size
    state = {w: state_bytes(factor, (height, w)) for w in (width, 32, 256)}
    result = {"size": size, "parameters": factor.network.count_params(), "state_bytes": state}
    print(f"\n{name}: {height} x {width} pixels, {result['parameters']:,} parameters")
    print("state_bytes an image, by width:", ", ".join(f"{w}: {state[w]:,}" for w in state))
    other, comparison = None, "No tfp_pixelcnn: it models mixtures of logistics alone."
    if isinstance(factor.likelihood, pa.likelihoods.LogisticMixture):
        other = rival.pixelcnn(factor.network, size)
        result["tfp_parameters"] = other.network.count_params()
        comparison = f"tfp_pixelcnn: {result['tfp_parameters']:,} parameters"
    print(comparison)
    print(f"{'batch':>5} {'':15} {'s/image':>10} {'ms/pixel':>10} {'compile s':>10}", flush=True)
    result["batches"] = batches = {}
    for batch in map(int, FLAGS.batch_sizes):
        timed = measure(candidates(factor, size, batch, other), batch)
        for label, row in timed.items():
            note = f"   extrapolated from {row['pixels']} pixels" if row["extrapolated"] else ""
            print(
                f"{batch:5} {label:15} {row['seconds_per_image']:10.4f} "
                f"{1000 * row['seconds_per_pixel']:10.4f} {row['compile_s']:10.2f}{note}"
            )
        seconds = {label: row["seconds_per_image"] for label, row in timed.items()}
        ratios = {f"{over} / {under}": seconds[over] / seconds[under] for over, under in RATIOS}
        print("     ", ", ".join(f"{label}: {x:.2f}" for label, x in ratios.items()), flush=True)
        batches[batch] = {"candidates": timed, "ratios": ratios}
    if FLAGS.sizes:
        squares = {s: incrementally(factor, *inputs(factor, (s, s), 1)[1:]) for s in (16, 64)}
        result["sizes"] = timed = measure(squares, 1)
        timed["ratio"] = timed[64]["seconds_per_pixel"] / timed[16]["seconds_per_pixel"]
        print(f"      incremental, a pixel of 64 x 64 / one of 16 x 16: {timed['ratio']:.2f}")
    return result


def state_bytes(factor, size):
    """Bytes that the incremental evaluation of one image carries from row to row: int."""
    auxiliary = None if factor.fixed_sum is None else auxiliaries(factor, size, 1)
    with factor.given(unknown(factor, 1)):
        state = factor.scan(size, 1, given.DrawRequest(auxiliary=auxiliary)).initial_state()
    return sum(x.shape.num_elements() * x.dtype.size for x in tf.nest.flatten(state))


def auxiliaries(factor, size, batch):
    """Random auxiliary images of a factor: [batch, h, w, c]."""
    kind = factor.auxiliary_likelihood
    shape = [batch, *(x // factor.auxiliary_ratio for x in size), kind.num_channels]
    images = tf.random.uniform(shape, 0, kind.num_values, tf.int32)
    return tf.cast(images, arguments.pixel_dtype(kind.num_values))


def unknown(factor, batch):
    """The unknown condition; None of an unconditional model."""
    return factor.condition and factor.condition.unknown(batch)


def inputs(factor, size, batch):
    """Features of `auxiliaries`, () for an unconditional factor; noise; and those images, or None."""
    noise = sampling.noise(factor, np.zeros((batch, 2), np.int32), 0, size)
    if factor.auxiliary_likelihood is None:
        return (), noise, None
    images = auxiliaries(factor, size, batch)
    return factor.features(images, unknown(factor, batch)), noise, images


def incrementally(factor, noise, auxiliary, jit_compile=False):
    batch, *size, _ = noise.shape
    # A new one of the same networks, so that the first run traces a graph, as a process's first images do.
    factor = factor.with_fixed_sum(factor.fixed_sum)
    request = given.DrawRequest(
        log_scale_shift=np.zeros(batch, np.float32),
        condition=unknown(factor, batch),
        jit_compile=jit_compile,
        size=tuple(size),
        auxiliary=None if auxiliary is None else np.asarray(auxiliary),
        noise=noise,
    )
    return functools.partial(factor.draw, request), size, math.prod(size)


def candidates(factor, size, batch, other):
    """The candidates: dict, name -> (function that returns a tensor, (H, W), pixels it goes through)."""
    features, noise, auxiliary = inputs(factor, size, batch)
    remainders = factor.fixed_sum and pa.sums.Remainders(factor.fixed_sum, auxiliary)
    dtype, all_noise = arguments.pixel_dtype(factor.likelihood.num_values), tf.constant(noise)
    images = tf.zeros([batch, *size, factor.likelihood.num_channels], dtype)

    def params(images):
        x = factor.network_inputs(images, remainders and remainders.centers(images))
        with factor.given(unknown(factor, batch)):
            return factor.network(x, features, training=False)

    def draw_pixel(images, row, column):
        here = params(images)[:, row, column], all_noise[:, row, column]
        bounds = remainders and remainders.at(images, row, column)
        return tf.cast(factor.likelihood.draw(*here, bounds=bounds), dtype)

    def draw_rival(images, row, column):
        return rival.draw(*other.network(images, training=False))[:, row, column]

    # One pixel of the result: all are computed, but need not leave a GPU.
    forward_pass = tf.function(lambda: params(images)[:, -1, -1])
    result = {
        "full": first_pixels(draw_pixel, images),
        "incremental": incrementally(factor, noise, auxiliary),
        "incremental_xla": incrementally(factor, noise, auxiliary, jit_compile=True),
        "forward_pass": (forward_pass, size, math.prod(size)),
    }
    if other and batch == 1:
        result["tfp_pixelcnn"] = first_pixels(draw_rival, tf.zeros([1, *size, 3]))
    return result


def first_pixels(draw_pixel, images):
    """A candidate that fills `images` by `draw_pixel(images, row, column)`, [B, C], and stops early."""
    batch, height, width, _ = images.shape
    pixels = min(height * width, max(1, EVALUATIONS // batch))

    def step(index, images):
        here = tf.reshape(tf.range(height * width) == index, [height, width, 1])
        pixel = draw_pixel(images, index // width, index % width)
        return index + 1, tf.where(here, pixel[:, tf.newaxis, tf.newaxis], images)

    run = tf.function(lambda: tf.while_loop(lambda index, _: index < pixels, step, (0, images))[1])
    return run, (height, width), pixels


def measure(candidates, batch):
    """Times candidates in turn: dict, name -> dict of medians.

    They are of all runs but the first: "compile_s" is how much longer that took.
    """
    runs = {name: run for name, (run, *_) in candidates.items()}
    seconds = timing.seconds_in_turn(runs, FLAGS.runs + 1)
    result = {}
    for name, (_, size, pixels) in candidates.items():
        first, median = seconds[name][0], statistics.median(seconds[name][1:])
        per_pixel = median / (batch * pixels)
        result[name] = {
            "seconds_per_image": per_pixel * math.prod(size),
            "seconds_per_pixel": per_pixel,
            "compile_s": max(0.0, first - median),
            "pixels": pixels,
            "extrapolated": pixels < math.prod(size),
        }
    return result


def draw(factors):
    """A figure of seconds per image against batch size, a panel for each factor."""
    figure = plots.figure(figsize=(4 * len(factors) + 2, 4), layout="constrained")
    panels = figure.subplots(1, len(factors), squeeze=False)[0]
    for panel, (name, factor) in zip(panels, factors.items()):
        lines, batches = {}, sorted(factor["batches"])
        for batch in batches:
            for candidate, row in factor["batches"][batch]["candidates"].items():
                lines.setdefault(candidate, []).append((batch, row["seconds_per_image"]))
        for candidate, points in lines.items():
            style = "*" if candidate == "tfp_pixelcnn" else "o-"
            panel.loglog(*zip(*points), style, label=candidate)
        panel.set_xticks([], minor=True)
        panel.set_xticks(batches, batches)
        panel.set(title=name, xlabel="batch size", ylabel="seconds per image")
    figure.legend(*panels[-1].get_legend_handles_labels(), loc="outside right upper")
    return figure


def define_flags():
    chosen_run.define_workdir()
    chosen_run.define_exact()
    flags.DEFINE_enum("network", None, list(NETWORKS), "A network to measure instead of a run's.")
    timing.define_batch_sizes("1,4,16,64")
    flags.DEFINE_integer("runs", 5, "Timed runs of each; the median counts.", lower_bound=1)
    flags.DEFINE_bool("sizes", False, "Also compares a pixel of 64 x 64 with one of 16 x 16.")
    out = "The picture; speed.png in WORKDIR or runs/speed-NETWORK if unset."
    flags.DEFINE_string("out", None, out)
    flags.mark_flags_as_mutual_exclusive(["workdir", "network"])
    # Nothing is fixed that those networks' images could contradict.
    flags.mark_flags_as_mutual_exclusive(["network", "exact"])


if __name__ == "__main__":
    program.start()
