"""Scores images by a model's likelihood, and compares other sets with in-distribution images:

    pixelcnn-aux scores --workdir cifar10-pyramid --dataset cifar10 --against others.npz

The images of --dataset, prepared as for training, are in-distribution. A set --against them is the name of a
data set, a .npz file as for the data set arrays, a folder of image files, or NAME=PATH for a data set that
takes a path. docs/scores.md explains the scores.

Prints, for each score of the chain and of its factors, the AUROC with its bootstrap interval, and the false
positives at 95 %: the share of a set accepted by the threshold that accepts 95 % of in-distribution images.
Writes to WORKDIR:

    scores.csv       a row per image
    scores.json      the printed table, and how the images were prepared
    scores.png       histograms of the sets
    scores_map.png   with --map, for one image: the bits of its pixels beside their entropy
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
MAX_SIZES = 3  # listed in an error or a description
BINS = 40  # per histogram
QUANTILES = (0.005, 0.995)  # ends of a histogram, without outliers


class ScoredSet(NamedTuple):
    """Images of one size."""

    name: str
    pixels: np.ndarray  # uint8 or uint16 [N, H, W, C]
    indices: list[int]  # of the images within their split
    prepared: str  # how the images were brought to this size


def main():
    if FLAGS.num_training:
        typical.check_installed()  # fail before any work
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
    results = {}
    for name, scored in sets.items():
        results[name] = scores.score(model, scored.pixels, typical=fitted)
        print(f"Scored {name}", flush=True)
    write_table(out / "scores.csv", sets, results)
    [_, *compared] = results
    exchanged = compared[: len(FLAGS.against)] if FLAGS.control else []
    table = detections(results, exchanged, FLAGS.seed)
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
    plots.write(out / "scores.png", histograms(results))
    if mapped is not None:
        plots.write(out / "scores_map.png", heat_map(model, mapped))
    print(f"Wrote scores.csv, scores.json and pictures to {out}")


def compared_sets(model, images):
    """The in-distribution set, the sets --against it, and the controls: dict, name -> `ScoredSet`."""
    own = belonging(images, FLAGS.num_images)
    folders = {"data_dir": FLAGS.data_dir, "cache_dir": FLAGS.cache_dir}
    sets = [own]
    for place in FLAGS.against:
        name, dataset, path = find_set(place)
        depth = chosen_run.depth(model)
        other = data.load(dataset, FLAGS.split, None, **path, **folders, **depth)
        sets.append(of_size(name, other, images.image_size))
    if FLAGS.control:
        sets.append(resized_twice(own))
        if "WebP" in lossless_files.holding(model.likelihood):  # 8-bit images, which fit JPEG, too
            sets.append(as_jpeg(own))
    names = [scored.name for scored in sets]
    are_unique = len(set(names)) == len(names)
    received, remedy = ", ".join(names), "Rename a file or a folder"
    expect(are_unique, "sets of different names", received, remedy)
    return dict(zip(names, sets))


def belonging(images, num_images):
    """The in-distribution set: `num_images` images spread evenly over `data.Images`, or all if None."""
    expected = "images of one size for --dataset, since the model takes any size"
    remedy = "Cut them, and save them as arrays (--dataset arrays)"
    expect(images.image_size is not None, expected, "images of different sizes", remedy)
    indices = images.spread_indices(num_images or images.num_images)
    name = images.source["dataset"]
    if file := images.source["image_file"]:
        name = pathlib.Path(file).stem
    return ScoredSet(name, images.take(indices), indices, "as training has them")


def find_set(place):
    """Parses a value of --against: (name of the set, name of the data set, dict with its path)."""
    dataset, _, path = place.partition("=")
    if dataset not in data.DATASETS:
        dataset, path = None, place
    if not path:
        return dataset, dataset, {}
    path = pathlib.Path(path)
    expected = (
        f"the name of a data set ({', '.join(data.DATASETS)}), a file of arrays, a folder of image files, "
        "or NAME=PATH for --against"
    )
    expect(path.exists(), expected, place, "Check its spelling", kind=FileNotFoundError)
    flag, default = ("image_dir", "folder") if path.is_dir() else ("image_file", "arrays")
    return dataset or path.stem, dataset or default, {flag: path}


def of_size(name, images, size):
    """The set of `data.Images` at a size (H, W); with --resize, others are cropped and resized."""
    indices = images.spread_indices(FLAGS.num_images or images.num_images)
    pixels = [images.pixels[index] for index in indices]
    sizes = dict.fromkeys(image.shape[:2] for image in pixels)
    if set(sizes) == {tuple(size)}:
        return ScoredSet(name, np.stack(pixels), indices, "as they are")
    listed = ", ".join(map(_by, list(sizes)[:MAX_SIZES])) + ", ..." * (len(sizes) > MAX_SIZES)
    remedy = "Resizing leaves traces that scores detect: give images of that size, or --resize"
    expect(FLAGS.resize, f"sets of images of {_by(size)}", f"{name}, of {listed}", remedy)
    prepared = (
        f"from {listed}: the largest centered crop of the same aspect ratio, resized to {_by(size)}, "
        "each pixel the mean of the area that it covers"
    )
    return ScoredSet(name, np.stack([fit(image, size) for image in pixels]), indices, prepared)


def resized_twice(scored):
    """The set resized to a little more than 5/4 of its size, and back."""
    size = scored.pixels.shape[1:3]
    larger = tuple(length * 5 // 4 + 1 for length in size)
    pixels = np.stack([fit(fit(image, larger), size) for image in scored.pixels])
    prepared = f"{scored.name} resized to {_by(larger)}, and back"
    return scored._replace(name=f"{scored.name} resized twice", pixels=pixels, prepared=prepared)


def as_jpeg(scored):
    """The set, of 8-bit colors or grays, after JPEG compression."""
    options = {"format": "JPEG", "quality": JPEG_QUALITY}
    pixels = np.empty_like(scored.pixels)
    for index, image in enumerate(scored.pixels):
        picture = image if image.shape[-1] == 3 else image[..., 0]
        file = io.BytesIO(lossless_files.encoded(picture, options))
        pixels[index] = np.asarray(Image.open(file)).reshape(image.shape)
    prepared = f"{scored.name} as JPEG files of quality {JPEG_QUALITY}"
    return scored._replace(name=f"{scored.name} as JPEG", pixels=pixels, prepared=prepared)


def _by(size):
    """Formats (H, W) as "H x W"."""
    return " x ".join(map(str, size))


def fit_typical(folder, model):
    """Fits `scores.Typical` to images of the training split of --dataset."""
    expected = "images of the training split, for the typicality scores"
    remedy = "Give a data set with a training split, or --num_training 0 to omit these scores"
    with restated(expected, "none", remedy, FileNotFoundError, ValueError):
        images = chosen_run.images(folder, model, "train")
    pixels = images.spread(FLAGS.num_training)
    print(f"Fitting typicality to {len(pixels):,} training images", flush=True)
    return scores.Typical(scores.bits(model, pixels))


def _columns(by_score):
    """Pairs (score, factor name or "total") of a `Scores`."""
    return [(score, name) for score, by_factor in by_score.items() for name in by_factor]


def write_table(path, sets, results):
    """Writes a CSV table with a row per image."""
    with disk.replacing(path) as opened:
        table = csv.writer(codecs.getwriter("utf-8")(opened), lineterminator="\n")
        columns = _columns(next(iter(results.values())))
        table.writerow(["set", "index", *(f"{score}_{factor}" for score, factor in columns)])
        for name, scored in sets.items():
            values = zip(*(results[name][score][factor] for score, factor in columns))
            for index, row in zip(scored.indices, values):
                table.writerow([name, index, *map("{:.6f}".format, row)])


def detections(results, exchanged, seed):
    """How well scores separate other sets from the first: dict, set -> score -> factor -> dict.

    The sets `exchanged` appear a second time, with all labels exchanged at random.
    """
    (_, own), *others = results.items()
    table = {name: _detect_each(own, other, seed) for name, other in others}
    for name in exchanged:
        table[f"{name}, exchanged"] = _detect_each(own, results[name], seed, exchange=True)
    return table


def _detect_each(own, other, seed, exchange=False):
    """`scores.detect` for each score and factor, after a random exchange of labels if `exchange`."""
    table = {score: {} for score in own}
    for score, factor in _columns(own):
        x, y = own[score][factor], other[score][factor]
        if exchange:
            both = np.random.default_rng(seed).permutation(np.concatenate([x, y]))
            x, y = np.split(both, [len(x)])
        table[score][factor] = scores.detect(x, y, seed)._asdict()
    return table


def print_table(table):
    """Prints AUROC and false positives with their intervals, a row per score, for each set."""
    for name, by_score in table.items():
        print(f"\n{name:48} {'AUROC':>7} {'interval':>15} {'false positives':>17} {'interval':>15}")
        for score, factor in _columns(by_score):
            result = by_score[score][factor]
            cells = [
                f"{result[key]:{width}.3f} ({low:.3f}, {high:.3f})".rjust(width)
                for key, width in (("auroc", 7), ("false_positives", 17))
                for low, high in [result[f"{key}_interval"]]
            ]
            print(f"{score:32}{factor:16}", *cells)


def histograms(results):
    """A figure of the sets' `Scores`: a row per score, a column per factor and for the chain."""
    [first, *_] = results.values()
    columns = list(first["bits"])
    size = (2.6 * len(columns), 0.6 + 1.7 * len(first))
    figure = plots.figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(first), len(columns), squeeze=False)
    for row, (score, by_factor) in zip(panels, first.items()):
        for panel, name in zip(row, columns):
            if name not in by_factor:
                panel.set_axis_off()
                continue
            values = {key: by_score[score][name] for key, by_score in results.items()}
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
    """A figure with a row per factor: its image, and each pixel's bits, entropy and their difference."""
    views = model.auxiliaries(image[np.newaxis])
    rows = scores.pixel_bits(model, image)
    figure = plots.figure(figsize=(11, 0.4 + 2.6 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), 4, squeeze=False)
    for row, (name, (bits, entropy)) in zip(panels, rows.items()):
        difference = bits - entropy
        highest = max(bits.max(), entropy.max())
        largest = np.abs(difference).max()
        num_values = model.factors[name].likelihood.num_values
        row[0].imshow(image_grid.to_rgb(np.asarray(views[name][0]), num_values))
        row[0].set_title(name, fontsize=9)
        for panel, title, x, ends, colors in (
            (row[1], "bits", bits, (0, highest), "viridis"),
            (row[2], "entropy", entropy, (0, highest), "viridis"),
            (row[3], "bits less entropy", difference, (-largest, largest), "RdBu_r"),
        ):
            drawn = panel.imshow(x, colors, vmin=ends[0], vmax=ends[1])
            panel.set_title(f"{title}: {x.mean():.3f} a pixel", fontsize=9)
            figure.colorbar(drawn, ax=panel, shrink=0.8)
        for panel in row:
            panel.set_axis_off()
    return figure


def define_flags():
    chosen_run.define_flags()
    chosen_run.define_part("The number of images per set, spread evenly over it")
    against = "A set to compare: a data set, a .npz file, a folder, or NAME=PATH; repeatable."
    flags.DEFINE_multi_string("against", [], against)
    flags.DEFINE_bool("resize", False, "Crops and resizes sets --against of other sizes.")
    control = (
        "Adds controls that are independent of image content: the sets with labels exchanged at random, and "
        "the images of --dataset against themselves, resized twice and as JPEG."
    )
    flags.DEFINE_bool("control", False, control)
    training = "Training images that define typicality, spread evenly over their split; 0 for none."
    flags.DEFINE_integer("num_training", 1000, training, lower_bound=0)
    flags.DEFINE_integer("map", None, "The index of the image of --dataset to map.", 0)
    flags.DEFINE_integer("seed", 0, "The seed of bootstrap and exchanged labels.", 0)
