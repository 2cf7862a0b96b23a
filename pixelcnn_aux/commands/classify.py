"""Classifies images by class-conditional models and Bayes' rule: pixelcnn-aux classify --workdir runs/mine.

Prints the accuracy and the expected calibration error (ten bins of confidence) of the whole chain and of its
leading factors, which show, for instance, how much 8 x 8 pixels tell about the class. Writes both to
WORKDIR/classify.json, and a reliability diagram (accuracy against confidence) to WORKDIR/classify.png.
"""

import functools

import numpy as np
from absl import flags

from pixelcnn_aux.base import disk
from pixelcnn_aux.commands import chosen_run, jobs, plots

FLAGS = flags.FLAGS

BINS = 10


def main():
    folder, model = chosen_run.load(FLAGS.best)
    images = chosen_run.images(folder, model, FLAGS.split)
    count = min(images.num_images, FLAGS.num_images or images.num_images)
    labels = images.condition(model.condition, slice(count))
    out = chosen_run.outputs(folder)
    source = {**chosen_run.images_options(folder, model, FLAGS.split), "crc32": images.crc32}
    shard_nats = functools.partial(nats_by_class, images=source)
    shards = jobs.run_images(shard_nats, range(count), model, images, best=FLAGS.best)
    nats = shards.joined()
    calibrations = results(nats, labels)
    for name, result in calibrations.items():
        print(
            f"up to {name:16} accuracy {result['accuracy']:.4f}, "
            f"calibration error {result['calibration_error']:.4f}"
        )
    names = model.class_names()
    by_class = (f"{names[label]} {x:.3f}" for label, x in result["by_class"].items())
    print(f"accuracy by class: {', '.join(by_class)}")
    measured = {**chosen_run.source(folder), "split": FLAGS.split, "num_images": count}
    disk.write_json(out / "classify.json", {**measured, "best": FLAGS.best, "up_to": calibrations})
    plots.write(out / "classify.png", diagram(calibrations), bbox_inches="tight")
    print(f"Wrote {out / 'classify.json'} and {out / 'classify.png'}")


def nats_by_class(model, indices, *, images):
    """`AuxiliaryModel.log_probs_by_class` of the images of a shard."""
    nats = model.log_probs_by_class(chosen_run.part(indices, **images).pixels)
    return {name: np.asarray(x) for name, x in nats.items()}


def results(nats, labels):
    """`calibration` up to and including each factor, over labeled images: dict, factor name -> dict."""
    is_labeled = labels >= 0
    cumulative = 0.0
    calibrations = {}
    for name, x in nats.items():
        cumulative = cumulative + x[is_labeled].astype(np.float64)
        calibrations[name] = calibration(cumulative, labels[is_labeled])
    return calibrations


def calibration(nats, labels):
    """Accuracy, calibration error and bins of log-likelihoods given each class, [N, K]: dict."""
    probs = np.exp(nats - nats.max(axis=1, keepdims=True))
    confidence = probs.max(axis=1) / probs.sum(axis=1)
    is_correct = nats.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    rows = [
        {
            "share": float(np.mean(bins == k)),
            "confidence": float(confidence[bins == k].mean()),
            "accuracy": float(is_correct[bins == k].mean()),
        }
        for k in np.unique(bins)
    ]
    error = sum(row["share"] * abs(row["accuracy"] - row["confidence"]) for row in rows)
    return {
        "accuracy": float(is_correct.mean()),
        "by_class": {int(k): float(is_correct[labels == k].mean()) for k in np.unique(labels)},
        "calibration_error": error,
        "bins": rows,
    }


def diagram(calibrations):
    """A figure of `results`: a line per factor, above the diagonal where it is underconfident."""
    figure = plots.figure(figsize=(4, 4))
    panel = figure.subplots()
    panel.plot([0, 1], [0, 1], color="gray", linewidth=0.8)
    for name, result in calibrations.items():
        points = [(row["confidence"], row["accuracy"]) for row in result["bins"]]
        panel.plot(*zip(*points), marker="o", markersize=3, label=f"up to {name}")
    panel.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    panel.legend()
    return figure


def define_flags():
    chosen_run.define_flags()
    chosen_run.define_part()
    jobs.define_flags()
