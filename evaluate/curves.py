"""Draws the learning curves of runs together: python -m evaluate.curves --workdir runs/a runs/b.

From the metrics.csv of each factor: bits per dimension of the factor's own image, in training and validation,
against the images that were seen and against hours of training. Prints the last and the best ones as a table.
With --whole there is one curve for each run: of the full image, by all factors.
"""

import pathlib

import numpy as np
from absl import flags
from matplotlib import figure, lines, ticker

import pixelcnn_aux as pa
from evaluate import common
from pixelcnn_aux import checks, evaluation, zoo
from pixelcnn_aux.programs import plots, program
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.training import metrics

FLAGS = flags.FLAGS

_AXES = {  # label -> its value in a row
    "images seen": lambda row: row["images"],
    "hours of training": lambda row: row["seconds"] / 3600,
}
_THIN = {"linewidth": 0.8, "alpha": 0.7}  # training
_THICK = {"linewidth": 2.0}  # validation


def main(*others):
    if FLAGS.out:
        plots.check("--out", FLAGS.out)
    folders = [zoo.find(path) for path in (*FLAGS.workdir, *others)] or [zoo.newest()]
    folder_of = labels(folders)
    runs = {label: read(folder) for label, folder in folder_of.items()}
    print_table(runs)
    if FLAGS.whole:
        runs = {
            label: {"full image": of_chain(folder_of[label], run)} for label, run in runs.items()
        }
    out = pathlib.Path(FLAGS.out or common.outputs(folders[0]) / "curves.png")
    plots.write(out, draw(runs))
    print(f"Wrote {out}")


def labels(folders):
    """dict, label -> folder: the names of the folders, or their whole paths if two have the same name.

    Raises ValueError where a folder is given twice.
    """
    resolved = [folder.resolve() for folder in folders]
    if len(set(resolved)) < len(resolved):
        raise ValueError(
            f"Expected each --workdir once. Received: {', '.join(map(str, folders))}. Leave one out."
        )
    names = [folder.name for folder in resolved]
    return dict(zip(names if len(set(names)) == len(names) else map(str, folders), folders))


def read(folder):
    """The figures of a run: dict, factor -> rows as of `metrics.read`, of those that have any.

    Raises:
      FileNotFoundError: if `folder` is no run.
      ValueError: if no factor has figures, or the run is one of another version.
    """
    run = RunFolder(folder)
    description = run.config()["model"]
    try:
        names = [factor["config"]["name"] for factor in description["config"]["factors"]]
        checks.check_names(names)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"Expected the description of a model in {folder}. Received: one without names of factors "
            f"({error!r}). If it was made by another version, train again."
        ) from error
    rows = {name: metrics.read(run[name].metrics) for name in names}
    rows = {name: of_factor for name, of_factor in rows.items() if of_factor}
    if not rows:
        raise ValueError(
            f"Expected a run with figures of one epoch at least in {folder}, as "
            f"{run[names[0]].metrics}. Received: none. Train it for an epoch first."
        )
    return rows


def of_chain(folder, factors):
    """`whole` of the run in a folder, from what `read` gives."""
    training = {name: RunFolder(folder)[name].recorded_training() for name in factors}
    images = {
        name: found["epochs"] * found["steps_per_epoch"] * found["batch_size"]
        for name, found in training.items()
        if found
    }
    return whole(factors, evaluation.shares(pa.load(folder)), images)


def whole(factors, shares, images):
    """The figures of a chain: rows as `read` gives them, whose bits are per dimension of the full image.

    Factors are trained independently of one another. A row is of when each of them has done the same part of
    its training, and has the images and seconds of all factors together.

    Args:
      factors: what `read` gives.
      shares: `evaluation.shares` of the model.
      images: dict, factor -> int, how many it will have seen when its training is done. Where rows go on
        after that, it is done with the last one.

    Raises:
      ValueError: unless all factors have figures, of some part of their training that is the same.
    """
    if missing := [name for name in shares if name not in factors]:
        raise ValueError(
            f"Expected figures of all factors for --whole. Received: none of {', '.join(missing)}. Train "
            "them, or leave out --whole."
        )
    parts = {
        name: np.array([row["images"] for row in rows])
        / max(rows[-1]["images"], images.get(name, 0))
        for name, rows in factors.items()
    }
    # Outside of these some factor has no figures, or none yet.
    start, end = max(part[0] for part in parts.values()), min(part[-1] for part in parts.values())
    points = np.unique(np.concatenate([*parts.values()]))
    points = points[(start <= points) & (points <= end)]
    if not len(points):
        raise ValueError(
            "Expected factors that have done the same part of their training for --whole. Received: "
            f"{', '.join(f'{name} {part[-1]:.0%}' for name, part in parts.items())}. Train on, or leave out "
            "--whole."
        )

    def total(key, weights):
        return sum(
            weights[name] * np.interp(points, parts[name], [row[key] for row in rows])
            for name, rows in factors.items()
        )

    once = dict.fromkeys(factors, 1.0)
    columns = {key: total(key, once) for key in ("images", "seconds")}
    columns |= {key: total(key, shares) for key in ("bits_per_dim", "val_bits_per_dim")}
    return [dict(zip(columns, values)) for values in zip(*columns.values())]


def best(rows):
    """The row with the fewest bits in validation."""
    return min(rows, key=lambda row: row["val_bits_per_dim"])


def print_table(runs):
    """A row for each factor of each run: how far it is, and its bits per dimension."""
    width = max(map(len, runs))

    def line(label, factor, *cells):
        print(f"{label:{width}}  {factor:16}", *(f"{cell:>12}" for cell in cells))

    titles = ("epochs", "images", "hours", "training", "validation", "best", "in epoch")
    line("run", "factor", *titles)
    for label, factors in runs.items():
        for name, rows in factors.items():
            last, lowest = rows[-1], best(rows)
            line(
                *(label, name, last["epoch"], f"{last['images']:,}"),
                f"{last['seconds'] / 3600:.2f}",
                *(f"{last[key]:.4f}" for key in ("bits_per_dim", "val_bits_per_dim")),
                *(f"{lowest['val_bits_per_dim']:.4f}", lowest["epoch"]),
            )


def draw(runs):
    """A figure of runs, each in a color of its own: a row for each factor, a column for each of `_AXES`.

    Args:
      runs: dict, label -> what `read` gives.
    """
    factors = list(dict.fromkeys(name for run in runs.values() for name in run))
    colors = {label: f"C{index}" for index, label in enumerate(runs)}  # ten, and again
    drawn = figure.Figure(figsize=(10, 0.8 + 2.8 * len(factors)), layout="constrained")
    panels = drawn.subplots(len(factors), len(_AXES), squeeze=False, sharey="row")
    for panels_of_factor, name in zip(panels, factors):
        curves = [(colors[label], run[name]) for label, run in runs.items() if name in run]
        for panel, value in zip(panels_of_factor, _AXES.values()):
            for color, rows in curves:
                _draw_curves(panel, rows, value, color)
            panel.set_xlim(left=0)
            panel.xaxis.set_major_locator(ticker.MaxNLocator(5))
            panel.xaxis.set_major_formatter("{x:,.10g}")
            panel.grid(alpha=0.25)
            panel.spines[["top", "right"]].set_visible(False)
        panels_of_factor[0].set_ylabel(f"{name}: bits per dimension")
        # From a tenth of the epochs on: the first ones would flatten all that follows.
        later = [row["val_bits_per_dim"] for _, rows in curves for row in rows[len(rows) // 10 :]]
        highest = max(later)
        least, _ = panels_of_factor[0].get_ylim()
        panels_of_factor[0].set_ylim(least, highest + 0.05 * (highest - least))
    for panel, label in zip(panels[-1], _AXES):
        panel.set_xlabel(label)
    of_runs = [
        lines.Line2D([], [], color=color, label=label, **_THICK) for label, color in colors.items()
    ]
    kinds = [
        lines.Line2D([], [], color="gray", label="training", **_THIN),
        lines.Line2D([], [], color="gray", label="validation, and its best", marker="o", **_THICK),
    ]
    options = {"frameon": False, "fontsize": 9}
    drawn.legend(handles=of_runs, loc="outside upper center", ncols=3, **options)
    panels[0][-1].legend(handles=kinds, loc="best", **options)
    return drawn


def _draw_curves(panel, rows, value, color):
    xs = [value(row) for row in rows]
    panel.plot(xs, [row["bits_per_dim"] for row in rows], color=color, **_THIN)
    panel.plot(xs, [row["val_bits_per_dim"] for row in rows], color=color, **_THICK)
    lowest = best(rows)
    panel.plot(value(lowest), lowest["val_bits_per_dim"], "o", color=color)


def define_flags():
    flags.DEFINE_multi_string(
        "workdir",
        [],
        "What training left, or the name of a trained model; others may follow. The newest run if unset.",
    )
    flags.DEFINE_bool("whole", False, "Draws one curve for each run, of the full image.")
    flags.DEFINE_string("out", None, "The picture; curves.png in the first WORKDIR if unset.")


if __name__ == "__main__":
    define_flags()
    program.run(main, ["WORKDIR..."])
