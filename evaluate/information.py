"""How much measurements tell of images: information against exposure or noise, such as

    python -m evaluate.information --dataset folder --image_dir DIR --exposures 4,16,64,256
    python -m evaluate.information --image_file scans.npz --channels 1 --bits 16 --noise both --sigmas 1,4,16

Images are what is measured. Their random squares are scaled to each exposure, the clean value of the largest
one: of counts (poisson), or in steps of the values (gaussian). Then noise is drawn. A small PixelCNN is
trained on the measurements of the training split, and evaluated on those of held-out images, whose clean
values are known. Prints, for each exposure and sigma, an upper bound on the mutual information of measurement
and image in bits per pixel, and the entropies that it is the difference of, with intervals. Writes them to
WORKDIR/information.json, and a plot to WORKDIR/information.png. The runs are left in WORKDIR: the same
command goes on where it was stopped, and evaluates again what is trained. Measurements of your own are for
`pixelcnn_aux.information.estimate`.
"""

import itertools
import pathlib
import sys

import numpy as np
from absl import flags

import pixelcnn_aux as pa
from pixelcnn_aux import arguments, data, information
from pixelcnn_aux.commands import chosen_run, plots, program
from pixelcnn_aux.errors import expect, restated
from pixelcnn_aux.runs import disk
from pixelcnn_aux.runs.folder import RunFolder

FLAGS = flags.FLAGS

STEPS = 100  # of an epoch
COUNTS = {"train": 4096, "validation": 128}  # squares


def main():
    plots.figure()  # which may need a package
    received = f"{FLAGS.exposures} and {FLAGS.sigmas}"
    with restated("--exposures and --sigmas as numbers above 0", received, "Give such as 4,16,64"):
        exposures = [arguments.positive("exposure", float(x)) for x in FLAGS.exposures]
        noises = [information.Gaussian(float(x)) for x in FLAGS.sigmas]
    if FLAGS.noise != "gaussian":
        poisson = information.Poisson()
        noises = [poisson] if FLAGS.noise == "poisson" else [poisson + x for x in noises]
    folder = pathlib.Path(FLAGS.workdir or RunFolder.RUNS / f"information-{FLAGS.noise}")
    out, rows, images = disk.writable(folder), [], {split: squares(split) for split in data.SPLITS}
    largest = images["train"].max()
    expect(largest, "images that are not black", "zeros alone", "Give others")
    for exposure, noise in itertools.product(exposures, noises):
        print(f"\nExposure {exposure:g}, sigma {noise.sigma:g}", flush=True)
        clean = {split: x * (exposure / largest) for split, x in images.items()}
        found = measure(noise, clean, out / f"exposure-{exposure:g}-sigma-{noise.sigma:g}")
        names = ("information", "entropy", "noise_entropy")
        bits = {name: getattr(found, name)._asdict() for name in names}
        rows.append({"exposure": exposure, "sigma": noise.sigma, **bits})
    print_table(rows)
    how = {x: FLAGS[x].value for x in ("dataset", "noise", "side", "num_images", "epochs", "seed")}
    disk.write_json(out / "information.json", {**how, "rows": rows})
    plots.write(out / "information.png", draw(rows), bbox_inches="tight")
    print(f"Wrote {out / 'information.json'} and {out / 'information.png'}")


def squares(split):
    """Random squares of the images of a split, which a seed draws: float64 [N, side, side, C]."""
    kind = {"channels": FLAGS.channels, "num_values": 2**FLAGS.bits}
    dataset = FLAGS.dataset or (
        "arrays" if FLAGS.image_file else "folder" if FLAGS.image_dir else "photos"
    )
    size = (64, 64) if dataset == "photos" else None
    images = data.load(dataset, split, size, **chosen_run.image_flags(), **kind)
    count = COUNTS.get(split, FLAGS.num_images)
    if split == "test" and count > images.num_images:
        print(
            f"{count} squares of {images.num_images} images, as if all were independent", flush=True
        )
    batches = images.training_batches(count, FLAGS.seed, crop=FLAGS.side, flip=False)
    return next(batches).astype(np.float64)


def measure(noise, clean, folder):
    """`Information` of held-out clean squares in noise, by a model that is trained in a folder."""
    drawn = [noise.draw(x, 2**16, 3 * FLAGS.seed + i) for i, x in enumerate(clean.values())]
    bits = max(1, int(max(x.max() for x in drawn)).bit_length())
    train, validation, test = (x.astype(arguments.pixel_dtype(2**bits)) for x in drawn)
    expected, remedy = "measurements below 65535", "Choose lower --exposures"
    expect(max(x.max() for x in drawn) < 2**16 - 1, expected, "saturated ones", remedy)
    network = {"topology": pa.networks.topology.flat(2), "filters": FLAGS.filters}
    size = (FLAGS.side, FLAGS.side)
    model = pa.chain([], size, network, channels=FLAGS.channels, bits=bits)
    how = {"batch_size": 16, "learning_rate": 4e-3, "muon_ratio": 12.5, "flip": False}
    settings = pa.Training(epochs=FLAGS.epochs, steps_per_epoch=STEPS, **how)
    with pa.training.Stop() as stop:
        try:
            pa.train(model, settings, train, validation, folder, seed=FLAGS.seed, stop=stop)
        except pa.training.Stopped:
            print("\nStopped. The same command goes on.", flush=True)
            sys.exit(128 + stop.signal)
    model = chosen_run.in_numpy(folder)
    return information.estimate(model, test, noise, clean["test"], seed=FLAGS.seed)


def print_table(rows):
    """A row for each exposure and sigma, in bits per pixel."""
    titles = ("information, at most", "entropy, at most", "entropy of noise")
    print(f"\n{'exposure':>9}{'sigma':>7}", *(f"{title:>26}" for title in titles))
    for exposure, sigma, *bits in (row.values() for row in rows):
        found = ((x["per_pixel"], *x["per_pixel_interval"]) for x in bits)
        cells = (f"{'{:.4f} ({:.4f} to {:.4f})'.format(*x):>26}" for x in found)
        print(f"{exposure:9g}{sigma:7g}", *cells)


def draw(rows):
    """A figure of information against exposure, a line for each sigma; of one exposure, against sigma."""
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
    panel.set(xscale="log", xlabel=axis, ylabel="information, bits per pixel (upper bound)")
    panel.set_ylim(bottom=0)
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
    flags.DEFINE_integer("num_images", 256, "Held-out squares.", 2, 2**16)
    flags.DEFINE_integer("filters", 16, "Of the networks.", 1, arguments.LARGEST)
    flags.DEFINE_integer("epochs", 6, f"Of {STEPS} steps of 16 squares.", 1, 10**6)
    flags.DEFINE_integer("seed", 0, "Of squares, noise, training and resamples.", 0, 2**30)


if __name__ == "__main__":
    program.start()
