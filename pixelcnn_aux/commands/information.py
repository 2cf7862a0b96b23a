"""Estimates how much measurements tell about images, against exposure or noise, for example

    pixelcnn-aux information --dataset folder --image_dir DIR --exposure 4 --exposure 64
    pixelcnn-aux information --dataset arrays --image_file FILE --channels 1 --bits 16 --noise both

Scales random squares of the images to each exposure (the clean value of the brightest pixel), and adds noise.
A small PixelCNN is trained on these measurements, and evaluated on measurements of held-out images. Prints an
upper bound on the mutual information of measurement and image, and the two entropies whose difference it is,
with confidence intervals; writes them to WORKDIR/information.json, and a plot to WORKDIR/information.png. The
same command resumes the runs in WORKDIR. For measurements of your own: `pixelcnn_aux.information.estimate`.
"""

import itertools
import pathlib

import numpy as np
from absl import flags

import pixelcnn_aux as pa
from pixelcnn_aux import data, information
from pixelcnn_aux.base import arguments, disk
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.commands import chosen_run, plots
from pixelcnn_aux.run_files.folder import RunFolder

FLAGS = flags.FLAGS

STEPS = 100  # per epoch
COUNTS = {"train": 4096, "validation": 128}  # squares


def main():
    plots.figure()  # raises early without Matplotlib
    noises = [information.Gaussian(x) for x in FLAGS.sigma]
    if FLAGS.noise != "gaussian":
        poisson = information.Poisson()
        noises = [poisson] if FLAGS.noise == "poisson" else [poisson + x for x in noises]
    folder = pathlib.Path(FLAGS.workdir or RunFolder.RUNS / f"information-{FLAGS.noise}")
    out = disk.writable(folder)
    images = {split: squares(split) for split in data.SPLITS}
    largest = images["train"].max()
    expect(largest, "images that are not black", "only zeros", "Give other images")
    rows = []
    for exposure, noise in itertools.product(FLAGS.exposure, noises):
        print(f"\nExposure {exposure:g}, sigma {noise.sigma:g}", flush=True)
        clean = {split: x * (exposure / largest) for split, x in images.items()}
        result = measure(noise, clean, out / f"exposure-{exposure:g}-sigma-{noise.sigma:g}")
        bits = {
            x: getattr(result, x)._asdict() for x in ("information", "entropy", "noise_entropy")
        }
        rows.append({"exposure": exposure, "sigma": noise.sigma, **bits})
    print_table(rows)
    names = ("dataset", "noise", "side", "num_images", "epochs", "seed")
    settings = {name: FLAGS[name].value for name in names}
    disk.write_json(out / "information.json", {**settings, "rows": rows})
    plots.write(out / "information.png", draw(rows), bbox_inches="tight")
    print(f"Wrote {out / 'information.json'} and {out / 'information.png'}")


def squares(split):
    """Random squares of a split's images, drawn from --seed: float64 [N, side, side, C]."""
    options = {"channels": FLAGS.channels, "num_values": 2**FLAGS.bits}
    size = (64, 64) if FLAGS.dataset == "photos" else None
    images = data.load(FLAGS.dataset, split, size, **chosen_run.image_flags(), **options)
    count = COUNTS.get(split, FLAGS.num_images)
    batches = images.training_batches(count, FLAGS.seed, crop=FLAGS.side, flip=False)
    return next(batches).astype(np.float64)


def measure(noise, clean, folder):
    """`Information` of held-out clean squares under noise, by a model trained in `folder`."""
    noisy = [noise.draw(x, 2**16, 3 * FLAGS.seed + i) for i, x in enumerate(clean.values())]
    bits = max(1, int(max(x.max() for x in noisy)).bit_length())
    measured = [x.astype(arguments.pixel_dtype(2**bits)) for x in noisy]
    network = {"topology": pa.networks.topology.flat(2), "filters": 16}
    model = pa.chain([], [FLAGS.side] * 2, network, channels=FLAGS.channels, bits=bits)
    options = {"batch_size": 16, "learning_rate": 4e-3, "muon_ratio": 12.5, "flip": False}
    settings = pa.Training(epochs=FLAGS.epochs, steps_per_epoch=STEPS, **options)
    pa.train(model, settings, *measured[:2], folder, seed=FLAGS.seed)
    model = pa.load(folder)
    return information.estimate(model, measured[2], noise, clean["test"], seed=FLAGS.seed)


def print_table(rows):
    """Prints bits per pixel, a row per exposure and sigma."""
    titles = ("information, at most", "entropy, at most", "entropy of noise")
    print(f"\n{'exposure':>9}{'sigma':>7}", *(f"{title:>26}" for title in titles))
    for exposure, sigma, *bits in (row.values() for row in rows):
        figures = ([x["per_pixel"], *x["per_pixel_interval"]] for x in bits)
        cells = ("{:10.4f} ({:.4f} to {:.4f})".format(*x) for x in figures)
        print(f"{exposure:9g}{sigma:7g}", *(f"{cell:>26}" for cell in cells))


def draw(rows):
    """A figure of information against exposure, a line per sigma; for a single exposure, against sigma."""
    axis, other = "exposure", "sigma"
    if len({row[axis] for row in rows}) == 1:
        axis, other = other, axis
    figure = plots.figure(figsize=(5, 3.5))
    panel = figure.subplots()
    for value in dict.fromkeys(row[other] for row in rows):
        line = [(row[axis], row["information"]) for row in rows if row[other] == value]
        middle = [bits["per_pixel"] for _, bits in line]
        errors = np.abs(np.array([bits["per_pixel_interval"] for _, bits in line]).T - middle)
        panel.errorbar([x for x, _ in line], middle, errors, marker="o", label=f"{other} {value:g}")
    panel.set(xscale="log", xlabel=axis, ylabel="bits per pixel, at most", ylim=(0, None))
    panel.legend(frameon=False)
    return figure


def define_flags():
    flags.DEFINE_string("workdir", None, "For the results; runs/information-NOISE if unset.")
    flags.DEFINE_string("dataset", "photos", "The data set of the measured images.")
    chosen_run.define_images()
    flags.DEFINE_integer("channels", 3, "Channels of the images.", 1, 16)
    flags.DEFINE_integer("bits", 8, "Bits per value of the images.", 1, 16)
    flags.DEFINE_enum("noise", "poisson", ("poisson", "gaussian", "both"), "The kind of noise.")
    exposure = "The clean value of the brightest pixel, in counts or value steps; repeatable."
    flags.DEFINE_multi_float("exposure", [4, 16, 64, 256, 1024], exposure, 1e-3, 2**16)
    flags.DEFINE_multi_float("sigma", [2.0], "Of Gaussian noise, in value steps; repeatable.")
    flags.DEFINE_integer("side", 16, "The squares' side, in pixels.", 1, arguments.LARGEST)
    flags.DEFINE_integer("num_images", 256, "The number of held-out squares.", 2, 2**16)
    flags.DEFINE_integer("epochs", 6, f"Epochs of {STEPS} steps of 16 squares.", 1, 10**6)
    flags.DEFINE_integer("seed", 0, "Of squares, noise, training and bootstrap.", 0, 2**30)
