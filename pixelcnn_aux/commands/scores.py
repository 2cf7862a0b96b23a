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
import functools
import io
import pathlib
from typing import NamedTuple

import numpy as np
from absl import flags
from PIL import Image

from pixelcnn_aux import data, image_grid, scores
from pixelcnn_aux.base import disk
from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.base.resizing import fit
from pixelcnn_aux.codec import lossless_files
from pixelcnn_aux.commands import chosen_run, jobs, plots
from pixelcnn_aux.scores import typical

FLAGS = flags.FLAGS

JPEG_QUALITY = 75  # Pillow's default
MAX_SIZES = 3  # listed in an error or a description
BINS = 40  # per histogram
QUANTILES = (0.005, 0.995)  # ends of a histogram, without outliers


class ScoredSet(NamedTuple):
    """Images of one size."""

    name: str
    source: dict  # arguments of `chosen_run.part`
    indices: list[int]  # of the images within their split
    prepared: str  # how the images were brought to this size
    sizes: tuple = ()  # (H, W) of each resizing, in order
    as_jpeg: bool = False  # whether they are compressed then


def main():
    if FLAGS.num_training:
        typical.check_installed()  # fail before any work
    folder, model = chosen_run.load(FLAGS.best)
    images = chosen_run.images(folder, model, FLAGS.split)
    mapped = None if FLAGS.map is None else images.take([FLAGS.map])[0]
    sets = compared_sets(folder, model, images)
    for scored in sets.values():
        print(f"{scored.name}: {len(scored.indices):,} images, {scored.prepared}", flush=True)
    out = chosen_run.outputs(folder)
    fitted = None
    if FLAGS.num_training:
        bits = compute(training(folder, model), model, images, "training", bits_only=True)
        fitted = scores.Typical(bits)
    results = {}
    for number, (name, scored) in enumerate(sets.items()):
        results[name] = compute(scored, model, images, f"set-{number}", bits_only=False)
        if fitted:
            results[name] |= fitted.scores(results[name])
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
            name: {"num_images": len(scored.indices), "prepared": scored.prepared}
            for name, scored in sets.items()
        },
    }
    disk.write_json(out / "scores.json", {**measured, "detections": table})
    plots.write(out / "scores.png", histograms(results))
    if mapped is not None:
        plots.write(out / "scores_map.png", heat_map(model, mapped))
    print(f"Wrote scores.csv, scores.json and pictures to {out}")


def compute(scored, model, images, name, bits_only):
    """Runs the job of a set: its `Scores`. `name` is that of its folder in --shards."""
    settings = {"sizes": scored.sizes, "as_jpeg": scored.as_jpeg, "bits_only": bits_only}
    call = functools.partial(shard_scores, source=scored.source, **settings)
    folder = FLAGS.shards and pathlib.Path(FLAGS.shards, name)
    shards = jobs.run_images(call, scored.indices, model, images, folder=folder, best=FLAGS.best)
    by_score: dict = {}
    for key, values in shards.joined().items():
        score, _, factor = key.partition("/")
        by_score.setdefault(score, {})[factor] = values
    return by_score


def shard_scores(model, indices, *, source, sizes, as_jpeg, bits_only):
    """`scores.score`, or `scores.bits`, of the images of a shard, prepared as those of its set."""
    pixels = list(chosen_run.part(indices, **source).pixels)
    for size in sizes:
        pixels = [fit(image, size) for image in pixels]
    if as_jpeg:
        pixels = [after_jpeg(image) for image in pixels]
    by_score = (scores.bits if bits_only else scores.score)(model, np.stack(pixels))
    return {f"{score}/{name}": by_score[score][name] for score, name in _columns(by_score)}


def compared_sets(folder, model, images):
    """The in-distribution set, the sets --against it, and the controls: dict, name -> `ScoredSet`."""
    source = chosen_run.images_options(folder, model, FLAGS.split)
    size = images.image_size
    own = belonging(source, images)
    sets = [own]
    shared = ("split", "data_dir", "cache_dir", "channels", "num_values")
    for place in FLAGS.against:
        name, dataset, path = find_set(place)
        options = {"name": dataset, "image_size": None, **path}
        sets.append(of_size(name, options | {key: source[key] for key in shared}, size))
    if FLAGS.control:
        larger = tuple(length * 5 // 4 + 1 for length in size)  # a little more than 5/4
        twice = own._replace(prepared=f"{own.name} resized to {_by(larger)}, and back")
        sets.append(twice._replace(name=f"{own.name} resized twice", sizes=(larger, size)))
        if "WebP" in lossless_files.holding(model.likelihood):  # 8-bit images, which fit JPEG, too
            jpeg = own._replace(prepared=f"{own.name} as JPEG files of quality {JPEG_QUALITY}")
            sets.append(jpeg._replace(name=f"{own.name} as JPEG", as_jpeg=True))
    names = [scored.name for scored in sets]
    are_unique = len(set(names)) == len(names)
    received, remedy = ", ".join(names), "Rename a file or a folder"
    expect(are_unique, "sets of different names", received, remedy)
    return dict(zip(names, sets))


def belonging(source, images):
    """The in-distribution set: --num_images spread evenly over `data.Images`, or all."""
    expected = "images of one size for --dataset, since the model takes any size"
    remedy = "Cut them, and save them as arrays (--dataset arrays)"
    expect(images.image_size is not None, expected, "images of different sizes", remedy)
    name = images.source["dataset"]
    if file := images.source["image_file"]:
        name = pathlib.Path(file).stem
    return _set(name, source, images, "as training has them")


def _set(name, source, images, prepared, num_images=None):
    indices = images.spread_indices(num_images or FLAGS.num_images or images.num_images)
    return ScoredSet(name, {**source, "crc32": images.crc32}, indices, prepared)


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


def of_size(name, source, size):
    """The set of a data set at a size (H, W); with --resize, others are cropped and resized."""
    images = chosen_run.loaded(**source)
    whole = _set(name, source, images, "as they are")
    sizes = dict.fromkeys(images.pixels[index].shape[:2] for index in whole.indices)
    if set(sizes) == {tuple(size)}:
        return whole
    listed = ", ".join(map(_by, list(sizes)[:MAX_SIZES])) + ", ..." * (len(sizes) > MAX_SIZES)
    remedy = "Resizing leaves traces that scores detect: give images of that size, or --resize"
    expect(FLAGS.resize, f"sets of images of {_by(size)}", f"{name}, of {listed}", remedy)
    prepared = (
        f"from {listed}: the largest centered crop of the same aspect ratio, resized to {_by(size)}, "
        "each pixel the mean of the area that it covers"
    )
    return whole._replace(prepared=prepared, sizes=(size,))


def after_jpeg(image):
    """An image, of 8-bit colors or grays, after JPEG compression."""
    picture = image if image.shape[-1] == 3 else image[..., 0]
    options = {"format": "JPEG", "quality": JPEG_QUALITY}
    file = io.BytesIO(lossless_files.encoded(picture, options))
    return np.asarray(Image.open(file)).reshape(image.shape)


def _by(size):
    """Formats (H, W) as "H x W"."""
    return " x ".join(map(str, size))


def training(folder, model):
    """The set of --num_training images of the training split of --dataset."""
    expected = "images of the training split, for the typicality scores"
    remedy = "Give a data set with a training split, or --num_training 0 to omit these scores"
    with restated(expected, "none", remedy, FileNotFoundError, ValueError):
        images = chosen_run.images(folder, model, "train")
    source = chosen_run.images_options(folder, model, "train")
    scored = _set("training", source, images, "as training has them", FLAGS.num_training)
    print(f"Fitting typicality to {len(scored.indices):,} training images", flush=True)
    return scored


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
    flags.DEFINE_integer("map", None, "The image of --dataset, by its index, that is mapped.", 0)
    flags.DEFINE_integer("seed", 0, "Of the bootstrap, and of exchanged labels.", 0)
    jobs.define_flags()
