"""How much measurements tell of images: information against exposure or noise, such as

    python -m evaluate.information --dataset folder --image_dir DIR --exposures 4,16,64,256
    python -m evaluate.information --image_file scans.npz --channels 1 --bits 16 --noise both --sigmas 1,4,16

Images are what is measured. Their random squares are scaled to each exposure, the clean value of the largest
one: of counts (poisson), or in steps of the values (gaussian); then noise is drawn. A small PixelCNN is
trained on the measurements of the training split, and evaluated on others of held-out images, whose clean
values are known. Prints, for each exposure and sigma, an upper bound on the mutual information of measurement
and image in bits per pixel, and the entropies that it is the difference of, with intervals; and writes them to
WORKDIR/information.json, and a plot to WORKDIR/information.png. The runs are left in WORKDIR: the same command
goes on where it was stopped, and evaluates what is trained already. For measurements of your own call
`pixelcnn_aux.information.estimate`.
"""

import itertools
import math
import pathlib
import sys

import numpy as np
from absl import flags

import pixelcnn_aux as pa
from pixelcnn_aux import arguments, data, information
from pixelcnn_aux.commands import chosen_run, plots, program
from pixelcnn_aux.errors import expect
from pixelcnn_aux.runs import disk
from pixelcnn_aux.runs.folder import RunFolder

FLAGS = flags.FLAGS

STEPS_PER_EPOCH = 100
COUNTS = {"train": 4096, "validation": 128}  # squares


def main():
    plots.figure()  # which may need a package
    poisson, gaussian = FLAGS.noise != "gaussian", FLAGS.noise != "poisson"
    exposures = numbers("exposures", FLAGS.exposures)
    sigmas = numbers("sigmas", FLAGS.sigmas) if gaussian else [0.0]
    images = {split: loaded(split) for split in data.SPLITS}
    largest = max(int(batch.max()) for batch in images["train"].batches(64))
    expect(largest, "images that are not black", "zeros alone", "Give others")
    folder = pathlib.Path(FLAGS.workdir or RunFolder.RUNS / f"information-{FLAGS.noise}")
    out, rows = disk.writable(folder), []
    if images["test"].num_images < FLAGS.num_images:
        print(
            f"{FLAGS.num_images} squares of {images['test'].num_images} images: intervals are of squares"
        )
    for exposure, sigma in itertools.product(exposures, sigmas):
        noise = information.Gaussian(sigma) if gaussian else information.Poisson()
        noise = noise + information.Poisson() if poisson and gaussian else noise
        clean = {x: squares(split, x) * (exposure / largest) for x, split in images.items()}
        print(f"\nExposure {exposure:g}, sigma {sigma:g}", flush=True)
        found = measure(noise, clean, exposure, out / f"exposure-{exposure:g}-sigma-{sigma:g}")
        rows.append({"exposure": exposure, "sigma": sigma, **entries(found)})
    print_table(rows)
    how = {name: FLAGS[name].value for name in ("dataset", "noise", "side", "num_images", "seed")}
    disk.write_json(out / "information.json", {**how, "rows": rows})
    plots.write(out / "information.png", draw(rows), bbox_inches="tight")
    print(f"Wrote {out / 'information.json'} and {out / 'information.png'}")


def numbers(name, given):
    """list of the numbers of a flag. Raises ValueError for others than positive ones."""
    try:
        return [arguments.positive(name, float(x)) for x in given]
    except ValueError as error:
        received, remedy = ",".join(given), "Give such as 4,16,64"
        raise ValueError(
            f"Expected --{name} as positive numbers. Received: {received}. {remedy}."
        ) from error


def loaded(split):
    """The whole images of a split that flags choose."""
    dataset = FLAGS.dataset or (
        "arrays" if FLAGS.image_file else "folder" if FLAGS.image_dir else "photos"
    )
    kind = {"channels": FLAGS.channels, "num_values": 2**FLAGS.bits}
    size = None if dataset != "photos" else (64, 64)
    return data.load(dataset, split, size, **chosen_run.image_flags(), **kind)


def squares(images, split):
    """Random squares of images, float64 [N, side, side, C], which a seed draws."""
    count = COUNTS.get(split, FLAGS.num_images)
    return next(images.training_batches(count, FLAGS.seed, crop=FLAGS.side, flip=False)).astype(
        np.float64
    )


def measure(noise, clean, exposure, folder):
    """`Information` of held-out clean squares in noise, by a model that is trained in a folder."""
    highest = float(noise.locations(np.float64(exposure)) + 6 * noise.spreads(np.float64(exposure)))
    bits = max(1, math.ceil(math.log2(highest + 1)))
    expect(bits <= 16, "measurements of at most 16 bits", bits, "Choose lower --exposures")
    network = {"topology": pa.networks.topology.flat(2), "filters": FLAGS.filters}
    size = (FLAGS.side, FLAGS.side)
    model = pa.chain([], size, network, channels=FLAGS.channels, bits=bits)
    measured = {
        split: noise.draw(means, 2**bits, seed=3 * FLAGS.seed + number)
        for number, (split, means) in enumerate(clean.items())
    }
    how = {"batch_size": 16, "learning_rate": 4e-3, "muon_ratio": 12.5, "flip": False}
    settings = pa.Training(epochs=FLAGS.epochs, steps_per_epoch=STEPS_PER_EPOCH, **how)
    with pa.training.Stop() as stop:
        try:
            parts = measured["train"], measured["validation"]
            pa.train(model, settings, *parts, folder, seed=FLAGS.seed, stop=stop)
        except pa.training.Stopped:
            print("\nStopped. The same command goes on.", flush=True)
            sys.exit(128 + stop.signal)
    model = chosen_run.in_numpy(folder)
    return information.estimate(model, measured["test"], noise, clean["test"], seed=FLAGS.seed)


def entries(found):
    """`Information` as JSON has it."""
    names = ("information", "entropy", "noise_entropy")
    return {name: getattr(found, name)._asdict() for name in names}


def print_table(rows):
    """A row for each exposure and sigma, in bits per pixel."""
    print(
        f"\n{'exposure':>10}{'sigma':>8}{'information, at most':>28}{'entropy, at most':>26}{'of noise':>10}"
    )
    for row in rows:
        cells = [
            "{:.4f} ({:.4f} to {:.4f})".format(x["per_pixel"], *x["per_pixel_interval"])
            for x in (row["information"], row["entropy"])
        ]
        noise = row["noise_entropy"]["per_pixel"]
        print(f"{row['exposure']:10g}{row['sigma']:8g}{cells[0]:>28}{cells[1]:>26}{noise:10.4f}")


def draw(rows):
    """A figure of information against exposure, a line for each sigma; of one exposure, against sigma."""
    axis, other = "exposure", "sigma"
    if len({row[axis] for row in rows}) == 1:
        axis, other = other, axis
    figure = plots.figure(figsize=(5, 3.5))
    panel = figure.subplots()
    for value in dict.fromkeys(row[other] for row in rows):
        line = [row for row in rows if row[other] == value]
        middle = np.array([row["information"]["per_pixel"] for row in line])
        ends = np.array([row["information"]["per_pixel_interval"] for row in line]).T
        errors = np.abs(ends - middle)
        label = f"{other} {value:g}"
        panel.errorbar(
            [row[axis] for row in line], middle, errors, marker="o", markersize=3, label=label
        )
    panel.set(xscale="log", xlabel=axis, ylabel="information, bits per pixel (upper bound)")
    panel.set_ylim(bottom=0)
    panel.grid(alpha=0.25)
    if len({row[other] for row in rows}) > 1:
        panel.legend(frameon=False)
    return figure


def define_flags():
    workdir = "A folder for the runs and results; runs/information-NOISE if unset."
    flags.DEFINE_string("workdir", None, workdir)
    dataset = (
        "What is measured; arrays with --image_file, folder with --image_dir, photos if unset."
    )
    flags.DEFINE_string("dataset", None, dataset)
    chosen_run.define_images()
    flags.DEFINE_integer("channels", 3, "Of the images.", 1, 16)
    flags.DEFINE_integer("bits", 8, "Of a value of the images.", 1, 16)
    flags.DEFINE_enum("noise", "poisson", ("poisson", "gaussian", "both"), "Of the measurements.")
    exposures = "Clean values of the brightest pixel: counts, or steps of the values."
    flags.DEFINE_list("exposures", ["4", "16", "64", "256", "1024"], exposures)
    flags.DEFINE_list("sigmas", ["2"], "Of Gaussian noise, in steps of the values.")
    flags.DEFINE_integer("side", 16, "Of the squares, in pixels.", 1, arguments.LARGEST)
    flags.DEFINE_integer("num_images", 256, "Held-out squares.", 2, 2**20)
    flags.DEFINE_integer("filters", 16, "Of the networks.", 1, arguments.LARGEST)
    flags.DEFINE_integer("epochs", 6, f"Of {STEPS_PER_EPOCH} steps of 16 squares.", 1, 10**6)
    flags.DEFINE_integer("seed", 0, "Of squares, noise, training and resamples.", 0, 2**30)


if __name__ == "__main__":
    program.start()
