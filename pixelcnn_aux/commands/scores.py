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
from pixelcnn_aux.commands import chosen_run, jobs, plots
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
    images: dict  # of arguments of `chosen_run.part`
    indices: list[int]  # of the images in their split
    prepared: str  # how they came to their size
    sizes: tuple = ()  # (H, W) of each resizing, in order
    as_jpeg: bool = False


def main():
    if FLAGS.num_training:
        typical.check_installed()  # before any work
    folder, model = chosen_run.load(FLAGS.best)
    images = chosen_run.images(folder, model, FLAGS.split)
    mapped = None if FLAGS.map is None else images.take([FLAGS.map])[0]
    sets = compared_sets(folder, model, images)
    for scored in sets.values():
        print(f"{scored.name}: {len(scored.indices):,} images, {scored.prepared}", flush=True)
    out = chosen_run.outputs(folder)
    fitted = None
    if FLAGS.num_training:
        fitted = scores.Typical(
            run(training(folder, model), model, images, "training", bits_only=True)
        )
    found = {}
    for number, (name, scored) in enumerate(sets.items()):
        by_factor = run(scored, model, images, f"set-{number}", bits_only=False)
        found[name] = by_factor | (fitted.scores(by_factor) if fitted else {})
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
            name: {"num_images": len(scored.indices), "prepared": scored.prepared}
            for name, scored in sets.items()
        },
    }
    disk.write_json(out / "scores.json", {**measured, "detections": table})
    plots.write(out / "scores.png", histograms(found))
    if mapped is not None:
        plots.write(out / "scores_map.png", heat_map(model, mapped))
    print(f"Wrote scores.csv, scores.json and pictures to {out}")


def run(scored, model, images, name, bits_only):
    """The `Scores` of a set, as jobs compute them; --shards has a folder of this name for it."""
    settings = {"sizes": scored.sizes, "as_jpeg": scored.as_jpeg, "bits_only": bits_only}
    function = functools.partial(shard_scores, images=scored.images, **settings)
    folder = FLAGS.shards and pathlib.Path(FLAGS.shards, name)
    found = jobs.run_images(function, scored.indices, model, images, folder=folder, best=FLAGS.best)
    nested: dict = {}
    for key, values in found.joined().items():
        score, _, factor = key.partition("/")
        nested.setdefault(score, {})[factor] = values
    return nested


def shard_scores(model, indices, *, images, sizes, as_jpeg, bits_only):
    """`scores.score`, or `scores.bits`, of some images as a `ScoredSet` has them: a shard's."""
    chosen = list(chosen_run.part(indices, **images).pixels)
    for size in sizes:
        chosen = [fit(image, size) for image in chosen]
    if as_jpeg:
        chosen = [in_jpeg(image) for image in chosen]
    compute = scores.bits if bits_only else scores.score
    found = compute(model, np.stack(chosen))
    return {
        f"{score}/{name}": x for score, by_factor in found.items() for name, x in by_factor.items()
    }


def compared_sets(folder, model, images):
    """dict, name -> `ScoredSet`: the images that belong, those --against them, and those of --control."""
    source = chosen_run.images_from(folder, model, FLAGS.split)
    own, size, likelihood = belonging(source, images), images.image_size, model.likelihood
    found = [own]
    for place in FLAGS.against:
        name, dataset, where = find_set(place)
        kept = {
            key: source[key] for key in ("split", "data_dir", "cache_dir", "channels", "num_values")
        }
        found.append(of_size(name, {"name": dataset, "image_size": None, **where, **kept}, size))
    if FLAGS.control:
        # A little more than 5/4 of the size, and back.
        larger = tuple(length * 5 // 4 + 1 for length in size)
        name, prepared = (
            f"{own.name} resized twice",
            f"{own.name} resized to {_by(larger)}, and back",
        )
        found.append(own._replace(name=name, prepared=prepared, sizes=(larger, size)))
        if "WebP" in lossless_files.holding(likelihood):  # images of 8 bits, which JPEG has too
            name, prepared = (
                f"{own.name} as JPEG",
                f"{own.name} as JPEG files of quality {JPEG_QUALITY}",
            )
            found.append(own._replace(name=name, prepared=prepared, as_jpeg=True))
    names = [scored.name for scored in found]
    are_unique, remedy = len(set(names)) == len(names), "Rename a file or a folder"
    expect(are_unique, "sets of different names", ", ".join(names), remedy)
    return dict(zip(names, found))


def belonging(source, images):
    """The set of `data.Images` as training has them; --num_images evenly over them, if it is set."""
    expected = "images of one size for --dataset, of a model that takes any"
    remedy = "Cut them, and save them as arrays (--dataset arrays)"
    expect(images.image_size is not None, expected, "images of several", remedy)
    name = images.source["dataset"]
    if file := images.source["image_file"]:
        name = pathlib.Path(file).stem
    return _set(name, source, images, "as training has them")


def _set(name, source, images, prepared, num_images=None, **kwargs):
    indices = images.spread_indices(num_images or FLAGS.num_images or images.num_images)
    return ScoredSet(name, {**source, "crc32": images.crc32}, indices, prepared, **kwargs)


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


def of_size(name, source, size):
    """The set of a data set in a size (H, W), to which --resize allows to crop and resize others."""
    images = chosen_run.loaded(**source)
    whole = _set(name, source, images, "as they are")
    sizes = dict.fromkeys(images.pixels[index].shape[:2] for index in whole.indices)
    if set(sizes) == {tuple(size)}:
        return whole
    found = ", ".join([*map(_by, list(sizes)[:MOST_SIZES]), *["..."] * (len(sizes) > MOST_SIZES)])
    remedy = "Resizing leaves traces that scores find: give images of that size, or --resize"
    expect(FLAGS.resize, f"sets of images of {_by(size)}", f"{name}, of {found}", remedy)
    prepared = (
        f"from {found}: the largest centered crop of the same aspect, resized to {_by(size)}, each "
        "pixel the mean of the area that it covers"
    )
    return whole._replace(prepared=prepared, sizes=(size,))


def in_jpeg(image):
    """An image of 8-bit colors or grays as a JPEG file holds it."""
    picture = image if image.shape[-1] == 3 else image[..., 0]
    how = {"format": "JPEG", "quality": JPEG_QUALITY}
    file = io.BytesIO(lossless_files.encoded(picture, how))
    return np.asarray(Image.open(file)).reshape(image.shape)


def _by(size):
    """(H, W) as "H x W"."""
    return " x ".join(map(str, size))


def training(folder, model):
    """The set of --num_training images of the training split of --dataset."""
    expected = "images of the training split, which tell what is typical"
    remedy = "Give a data set that has them, or --num_training 0 to leave out what is typical"
    with restated(expected, "none", remedy, FileNotFoundError, ValueError):
        images = chosen_run.images(folder, model, "train")
    print(
        f"Typical is what is of {min(FLAGS.num_training, images.num_images):,} training images",
        flush=True,
    )
    source = chosen_run.images_from(folder, model, "train")
    return _set("training", source, images, "as training has them", FLAGS.num_training)


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
    jobs.define_flags()
