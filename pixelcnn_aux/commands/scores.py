"""Scores images by a model's likelihood, and compares other sets with images that belong:

    pixelcnn-aux scores --workdir cifar10-pyramid --dataset cifar10 --against others.npz

The images of --dataset, prepared as for training, are those that belong. A set --against them is the name of
a data set, a .npz file, as for the data set arrays, a folder of image files, or NAME=PATH of a data set that
takes a path. docs/scores.md explains the scores.

Prints, for each score of the chain and of its factors, the AUROC with its bootstrap interval, and the false
positives at 95 %: the share of a set that a threshold accepts which accepts 95 % of the images that belong.
Writes into WORKDIR:

    scores.csv       a row for each image
    scores.json      the table that is printed, and what was done to the images
    scores.png       histograms of the sets
    scores_map.png   with --map, of one image: the bits of its pixels, beside the expected ones
"""

import codecs
import csv
import io
import math
import pathlib
from typing import NamedTuple

import numpy as np
from absl import flags
from PIL import Image

from pixelcnn_aux import data, image_grid, scores
from pixelcnn_aux.base import disk
from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.base.resizing import fit
from pixelcnn_aux.commands import chosen_run, plots
from pixelcnn_aux.data import lossless_files
from pixelcnn_aux.scores import typical

FLAGS = flags.FLAGS

JPEG_QUALITY = 75  # Pillow's default
MOST_SIZES = 3  # that an error or a description lists
BINS = 40  # of a histogram
QUANTILES = (0.005, 0.995)  # the ends of a histogram: single scores would flatten all others


class ScoredSet(NamedTuple):
    """Images of one size."""

    name: str
    pixels: np.ndarray  # uint8 or uint16 [N, H, W, C]
    indices: list[int]  # of the images in their split
    prepared: str  # how they came to their size


def main():
    if FLAGS.num_training:
        typical.check_installed()  # before any work
    folder, model = chosen_run.load(FLAGS.best)
    images = chosen_run.images(folder, model, FLAGS.split)
    mapped = None if FLAGS.map is None else images.take([FLAGS.map])[0]
    sets = compared_sets(model, images)
    for scored in sets.values():
        print(f"{scored.name}: {len(scored.pixels):,} images, {scored.prepared}", flush=True)
    pixels = sum(math.prod(scored.pixels.shape[:3]) for scored in sets.values())
    model = chosen_run.for_work(model, pixels)
    out = chosen_run.outputs(folder)
    fitted = fit_typical(folder, model) if FLAGS.num_training else None
    found = {}
    for name, scored in sets.items():
        found[name] = scores.score(model, scored.pixels, typical=fitted)
        print(f"Scored {name}", flush=True)
    write_table(out / "scores.csv", sets, found)
    [_, *others] = found
    exchanged = others[: len(FLAGS.against)] if FLAGS.control else []
    table = detections(found, exchanged, FLAGS.seed)
    print_table(table)
    measured = {
        **chosen_run.source(folder),
        "split": FLAGS.split,
        "best": FLAGS.best,
        "exact": model.exact,
        "num_training": FLAGS.num_training,
        "seed": FLAGS.seed,
        "sets": {
            name: {"num_images": len(scored.pixels), "prepared": scored.prepared}
            for name, scored in sets.items()
        },
    }
    disk.write_json(out / "scores.json", {**measured, "detections": table})
    plots.write(out / "scores.png", histograms(found))
    if mapped is not None:
        plots.write(out / "scores_map.png", heat_map(model, mapped))
    print(f"Wrote scores.csv, scores.json and pictures to {out}")


def compared_sets(model, images):
    """dict, name -> `ScoredSet`: the images that belong, those --against them, and those of --control."""
    own, likelihood = belonging(images, FLAGS.num_images), model.likelihood
    kind = {"channels": likelihood.num_channels, "num_values": likelihood.num_values}
    places = {"data_dir": FLAGS.data_dir, "cache_dir": FLAGS.cache_dir}
    found = [own]
    for place in FLAGS.against:
        name, dataset, where = find_set(place)
        other = data.load(dataset, FLAGS.split, None, **where, **places, **kind)
        found.append(of_size(name, other, images.image_size))
    if FLAGS.control:
        found.append(resized_twice(own))
        if "WebP" in lossless_files.holding(likelihood):  # images of 8 bits, which JPEG has too
            found.append(as_jpeg(own))
    names = [scored.name for scored in found]
    are_unique, remedy = len(set(names)) == len(names), "Rename a file or a folder"
    expect(are_unique, "sets of different names", ", ".join(names), remedy)
    return dict(zip(names, found))


def belonging(images, num_images):
    """The set of `data.Images` as training has them; `num_images` evenly over them, or all of None."""
    expected = "images of one size for --dataset, of a model that takes any"
    remedy = "Cut them, and save them as arrays (--dataset arrays)"
    expect(images.image_size is not None, expected, "images of several", remedy)
    indices = images.spread_indices(num_images or images.num_images)
    name = images.source["dataset"]
    if file := images.source["image_file"]:
        name = pathlib.Path(file).stem
    return ScoredSet(name, images.take(indices), indices, "as training has them")


def find_set(place):
    """(name of the set, name of its data set, dict of where its images are) of what --against says."""
    dataset, _, path = place.partition("=")
    if dataset not in data.DATASETS:
        dataset, path = None, place
    if not path:
        return dataset, dataset, {}
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"Expected the name of a data set ({', '.join(data.DATASETS)}), a file of arrays, a folder of "
            f"image files, or NAME=PATH for --against. Received: {place}, which is none. Give one of these."
        )
    flag, kind = ("image_dir", "folder") if path.is_dir() else ("image_file", "arrays")
    return dataset or path.stem, dataset or kind, {flag: path}


def of_size(name, images, size):
    """The set of `data.Images` in a size (H, W), to which --resize allows to crop and resize others."""
    indices = images.spread_indices(FLAGS.num_images or images.num_images)
    chosen = [images.pixels[index] for index in indices]
    sizes = dict.fromkeys(image.shape[:2] for image in chosen)
    if set(sizes) == {tuple(size)}:
        return ScoredSet(name, np.stack(chosen), indices, "as they are")
    found = ", ".join([*map(_by, list(sizes)[:MOST_SIZES]), *["..."] * (len(sizes) > MOST_SIZES)])
    remedy = "Resizing leaves traces that scores find: give images of that size, or --resize"
    expect(FLAGS.resize, f"sets of images of {_by(size)}", f"{name}, of {found}", remedy)
    prepared = (
        f"from {found}: the largest centered crop of the same aspect, resized to {_by(size)}, each "
        "pixel the mean of the area that it covers"
    )
    return ScoredSet(name, np.stack([fit(image, size) for image in chosen]), indices, prepared)


def resized_twice(scored):
    """A set resized to a little more than 5/4 of its size, and back."""
    size = scored.pixels.shape[1:3]
    larger = tuple(length * 5 // 4 + 1 for length in size)
    pixels = np.stack([fit(fit(image, larger), size) for image in scored.pixels])
    prepared = f"{scored.name} resized to {_by(larger)}, and back"
    return scored._replace(name=f"{scored.name} resized twice", pixels=pixels, prepared=prepared)


def as_jpeg(scored):
    """A set of 8-bit colors or grays as JPEG files hold it."""
    how, pixels = {"format": "JPEG", "quality": JPEG_QUALITY}, np.empty_like(scored.pixels)
    for index, image in enumerate(scored.pixels):
        picture = image if image.shape[-1] == 3 else image[..., 0]
        file = io.BytesIO(lossless_files.encoded(picture, how))
        pixels[index] = np.asarray(Image.open(file)).reshape(image.shape)
    prepared = f"{scored.name} as JPEG files of quality {JPEG_QUALITY}"
    return scored._replace(name=f"{scored.name} as JPEG", pixels=pixels, prepared=prepared)


def _by(size):
    """(H, W) as "H x W"."""
    return " x ".join(map(str, size))


def fit_typical(folder, model):
    """`scores.Typical` of images of the training split of --dataset."""
    expected = "images of the training split, which tell what is typical"
    remedy = "Give a data set that has them, or --num_training 0 to leave out what is typical"
    with restated(expected, "none", remedy, FileNotFoundError, ValueError):
        images = chosen_run.images(folder, model, "train")
    pixels = images.spread(FLAGS.num_training)
    print(f"Typical is what is of {len(pixels):,} training images", flush=True)
    return scores.Typical(scores.bits(model, pixels))


def _columns(found):
    """Pairs of a score and a factor, or "total", of a `Scores`."""
    return [(score, name) for score, by_factor in found.items() for name in by_factor]


def write_table(path, sets, found):
    """Writes the CSV table of all images: a row for each."""
    with disk.replacing(path) as opened:
        table = csv.writer(codecs.getwriter("utf-8")(opened), lineterminator="\n")
        for position, (name, scored) in enumerate(sets.items()):
            names = _columns(found[name])
            if not position:
                table.writerow(["set", "index", *(f"{score}_{factor}" for score, factor in names)])
            values = zip(*(found[name][score][factor] for score, factor in names))
            for index, row in zip(scored.indices, values):
                table.writerow([name, index, *map("{:.6f}".format, row)])


def detections(found, exchanged, seed):
    """How well scores tell other sets, also `exchanged`, from the first: set -> score -> factor -> dict."""
    (_, belonging), *others = found.items()

    def detect(x, other, exchange):
        if exchange:
            both = np.random.default_rng(seed).permutation(np.concatenate([x, other]))
            x, other = both[: len(x)], both[len(x) :]
        return scores.detect(x, other, seed)._asdict()

    def of_all(other, exchange=False):
        return {
            score: {name: detect(x, other[score][name], exchange) for name, x in by_factor.items()}
            for score, by_factor in belonging.items()
        }

    table = {name: of_all(other) for name, other in others}
    return table | {f"{name}, exchanged": of_all(found[name], True) for name in exchanged}


def print_table(table):
    """Rows of a score each: the AUROC and its interval, and the false positives, for each set."""
    for name, by_score in table.items():
        print(f"\n{name:48} {'AUROC':>7} {'interval':>15} {'false positives':>17} {'interval':>15}")
        for score, factor in _columns(by_score):
            found = by_score[score][factor]
            cells = [
                f"{found[key]:{width}.3f} ({low:.3f}, {high:.3f})".rjust(width)
                for key, width in (("auroc", 7), ("false_positives", 17))
                for low, high in [found[f"{key}_interval"]]
            ]
            print(f"{score:32}{factor:16}", *cells)


def histograms(found):
    """A figure of the `Scores` of sets: a row for each score, a column for each factor and for the chain."""
    [some, *_] = found.values()
    columns = list(some["bits"])
    figure = plots.figure(figsize=(2.6 * len(columns), 0.6 + 1.7 * len(some)), layout="constrained")
    panels = figure.subplots(len(some), len(columns), squeeze=False)
    for row, (score, by_factor) in zip(panels, some.items()):
        for panel, name in zip(row, columns):
            if name not in by_factor:
                panel.set_axis_off()
                continue
            values = {key: scores[score][name] for key, scores in found.items()}
            ends = np.quantile(np.concatenate(list(values.values())), QUANTILES)
            for key, x in values.items():
                inside = x[(ends[0] <= x) & (x <= ends[1])]
                panel.hist(inside, BINS, range=ends, density=True, histtype="step", label=key)
            panel.set_title(f"{score} {name}", fontsize=8)
            panel.set_yticks([])
            panel.tick_params(labelsize=7)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    return figure


def heat_map(model, image):
    """A figure of a row for each factor: its image, and of each pixel bits, entropy, and the difference."""
    own, rows = model.auxiliaries(image[np.newaxis]), scores.pixel_bits(model, image)
    figure = plots.figure(figsize=(11, 0.4 + 2.6 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), 4, squeeze=False)
    for row, (name, (bits, entropy)) in zip(panels, rows.items()):
        difference = bits - entropy
        most, farthest = max(bits.max(), entropy.max()), np.abs(difference).max()
        num_values = model.factors[name].likelihood.num_values
        row[0].imshow(image_grid.to_rgb(np.asarray(own[name][0]), num_values))
        row[0].set_title(name, fontsize=9)
        for panel, title, x, ends, colors in (
            (row[1], "bits", bits, (0, most), "viridis"),
            (row[2], "entropy", entropy, (0, most), "viridis"),
            (row[3], "bits less entropy", difference, (-farthest, farthest), "RdBu_r"),
        ):
            drawn = panel.imshow(x, colors, vmin=ends[0], vmax=ends[1])
            panel.set_title(f"{title}: {x.mean():.3f} a pixel", fontsize=9)
            figure.colorbar(drawn, ax=panel, shrink=0.8)
        for panel in row:
            panel.set_axis_off()
    return figure


def define_flags():
    chosen_run.define_flags()
    chosen_run.define_part("Only so many of each set, evenly over it")
    against = "A set to compare: a data set, a .npz file, a folder, or NAME=PATH."
    flags.DEFINE_multi_string("against", [], against)
    flags.DEFINE_bool("resize", False, "Crops and resizes sets --against of other sizes.")
    control = (
        "Adds controls, which are independent of image content: the sets with their labels exchanged at "
        "random, and the images of --dataset against themselves resized twice, and as JPEG."
    )
    flags.DEFINE_bool("control", False, control)
    training = "Training images that define what is typical, evenly over their split; 0 for none."
    flags.DEFINE_integer("num_training", 1000, training, lower_bound=0)
    flags.DEFINE_integer("map", None, "The image of --dataset, by its index, that is mapped.", 0)
    flags.DEFINE_integer("seed", 0, "Of the bootstrap, and of exchanged labels.", 0)
