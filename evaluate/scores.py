"""Scores images by what a model's likelihood tells of them, and tells other sets from those that belong:

    python -m evaluate.scores --workdir cifar10-pyramid --dataset cifar10 --against others.npz

The images of --dataset, prepared as for training, are those that belong. A set --against them is the name of
a data set, a .npz file, as of the data set arrays, a folder of image files, or NAME=PATH of a data set that
takes a path. docs/scores.md explains the scores.

Prints, for each score of the chain and of its factors, the AUROC with its bootstrap interval, and the false
positives at 95 %: the share of a set that a threshold accepts which accepts 95 % of the images that belong.
Writes into WORKDIR:

    scores.csv       a row for each image
    scores.json      the table that is printed, and what was done to the images
    scores.png       histograms of the sets
    scores_map.png   with --map, of one image: where its bits are, beside those that were expected there
"""

import codecs
import csv

import numpy as np
from absl import flags

from evaluate import score_pictures, scored_sets
from pixelcnn_aux import scores
from pixelcnn_aux.commands import chosen_run, plots, program
from pixelcnn_aux.data import lossless_files
from pixelcnn_aux.runs import disk
from pixelcnn_aux.scores import typical

FLAGS = flags.FLAGS


def main():
    if FLAGS.num_training:
        typical.check_installed()  # better told now
    folder, model = chosen_run.load(FLAGS.best)
    images = chosen_run.images(folder, model, FLAGS.split)
    mapped = None if FLAGS.map is None else images.take([FLAGS.map])[0]
    sets = compared_sets(model, images)
    for scored in sets.values():
        print(f"{scored.name}: {len(scored.pixels):,} images, {scored.prepared}", flush=True)
    out = chosen_run.outputs(folder)
    fitted = fit(folder, model) if FLAGS.num_training else None
    found = {}
    for name, scored in sets.items():
        found[name] = scores.score(model, scored.pixels, typical=fitted)
        print(f"Scored {name}", flush=True)
    write(out / "scores.csv", sets, found)
    [_, *others] = found
    exchanged = others[: len(FLAGS.against)] if FLAGS.control else []
    table = detections(found, exchanged, FLAGS.seed)
    print_table(table)
    described = {
        name: {"num_images": len(scored.pixels), "prepared": scored.prepared}
        for name, scored in sets.items()
    }
    measured = {**chosen_run.source(folder), "split": FLAGS.split, "best": FLAGS.best}
    how = {"exact": model.exact, "num_training": FLAGS.num_training, "seed": FLAGS.seed}
    disk.write_json(
        out / "scores.json", {**measured, **how, "sets": described, "detections": table}
    )
    plots.write(out / "scores.png", score_pictures.histograms(found))
    if mapped is not None:
        plots.write(out / "scores_map.png", score_pictures.heat_map(model, mapped))
    print(f"Wrote scores.csv, scores.json and pictures to {out}")


def compared_sets(model, images):
    """dict, name -> `ScoredSet`: the images that belong, those --against them, and those of --control."""
    found = [scored_sets.belonging(images, FLAGS.num_images)]
    [belonging], likelihood = found, model.likelihood
    options = {
        "channels": likelihood.num_channels,
        "num_values": likelihood.num_values,
        "data_dir": FLAGS.data_dir,
        "cache_dir": FLAGS.cache_dir,
    }
    for place in FLAGS.against:
        how = (FLAGS.split, images.image_size, FLAGS.num_images, FLAGS.resize)
        found.append(scored_sets.opened(place, *how, **options))
    if FLAGS.control:
        found.append(scored_sets.resized_twice(belonging))
        if "WebP" in lossless_files.holding(likelihood):  # images of 8 bits, which JPEG has too
            found.append(scored_sets.as_jpeg(belonging))
    names = [scored.name for scored in found]
    if len(set(names)) < len(names):
        raise ValueError(
            f"Expected sets of different names. Received: {', '.join(names)}. Rename a file or a folder."
        )
    return dict(zip(names, found))


def fit(folder, model):
    """`scores.Typical` of images of the training split of --dataset."""
    try:
        images = chosen_run.images(folder, model, "train")
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(
            f"Expected images of the training split, which tell what is typical. Received: none ({error}). "
            "Give a data set that has them, or --num_training 0 to leave out what is typical."
        ) from error
    pixels = images.spread(FLAGS.num_training)
    print(f"Typical is what is of {len(pixels):,} training images", flush=True)
    return scores.Typical(scores.bits(model, pixels))


def columns(found):
    """Pairs of a score and a factor, or "total", of a `Scores`."""
    return [(score, name) for score, by_factor in found.items() for name in by_factor]


def write(path, sets, found):
    """Writes the table of all images: a row for each."""
    with disk.replacing(path, disk.AGAIN) as opened:
        table = csv.writer(codecs.getwriter("utf-8")(opened), lineterminator="\n")
        for position, (name, scored) in enumerate(sets.items()):
            names = columns(found[name])
            if not position:
                table.writerow(["set", "index", *(f"{score}_{factor}" for score, factor in names)])
            values = zip(*(found[name][score][factor] for score, factor in names))
            for index, row in zip(scored.indices, values):
                table.writerow([name, index, *map("{:.6f}".format, row)])


def detections(found, exchanged, seed):
    """How well each score tells the other sets from the first one: dict that JSON can hold.

    Args:
      found: dict, name of a set -> its `Scores`.
      exchanged: list of names of sets that are also compared with labels exchanged at random.
      seed: int, of the bootstrap, and of the exchange.

    Returns:
      dict, name of a set -> score -> factor or "total" -> the fields of a `scores.Detection`.
    """
    (_, belonging), *others = found.items()

    def of_all(detect, other):
        return {
            score: {factor: detect(x, other[score][factor]) for factor, x in by_factor.items()}
            for score, by_factor in belonging.items()
        }

    def detect(x, other):
        return scores.detect(x, other, seed)._asdict()

    def detect_exchanged(x, other):
        both = np.random.default_rng(seed).permutation(np.concatenate([x, other]))
        return detect(both[: len(x)], both[len(x) :])

    table = {name: of_all(detect, other) for name, other in others}
    controls = {f"{name}, exchanged": of_all(detect_exchanged, found[name]) for name in exchanged}
    return {**table, **controls}


def print_table(table):
    """Rows of a score each: the AUROC and its interval, and the false positives, for each set."""
    for name, by_score in table.items():
        print(f"\n{name:48} {'AUROC':>7} {'interval':>15} {'false positives':>17} {'interval':>15}")
        for score, factor in columns(by_score):
            found = by_score[score][factor]
            cells = [
                f"{found[key]:{width}.3f} ({low:.3f}, {high:.3f})".rjust(width)
                for key, width in (("auroc", 7), ("false_positives", 17))
                for low, high in [found[f"{key}_interval"]]
            ]
            print(f"{score:32}{factor:16}", *cells)


def define_flags():
    chosen_run.define_flags()
    chosen_run.define_part("Only so many of each set, evenly over it")
    flags.DEFINE_multi_string(
        "against", [], "A set to be told apart: a data set, a .npz file, a folder, or NAME=PATH."
    )
    flags.DEFINE_bool("resize", False, "Crops and resizes sets --against of other sizes.")
    control = (
        "Also what tells nothing of what images show: the sets with their labels exchanged at random, and "
        "the images of --dataset against themselves resized twice, and as JPEG."
    )
    flags.DEFINE_bool("control", False, control)
    training = (
        "Training images that tell what is typical, evenly over their split; 0 leaves that out."
    )
    flags.DEFINE_integer("num_training", 1000, training, lower_bound=0)
    flags.DEFINE_integer("map", None, "The image of --dataset, by its index, that is mapped.", 0)
    flags.DEFINE_integer("seed", 0, "Of the bootstrap, and of exchanged labels.", 0)


if __name__ == "__main__":
    program.start()
