"""Draws the learning curves of runs together: pixelcnn-aux curves --workdir runs/a runs/b.

From the metrics.csv of each factor: bits per dimension of the factor's own image, in training and validation,
against the images that were seen and against hours of training. Prints the last and the best ones as a table.
With --whole there is one curve for each run: of the full image, by all factors. --level adds the figures of
others, as "PixelCNN++=2.92".
"""

import pathlib

import numpy as np
from absl import flags

import pixelcnn_aux as pa
from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.commands import chosen_run, plots
from pixelcnn_aux.runs import metrics, trained
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.scores import splits

FLAGS = flags.FLAGS
ARGUMENTS = ["WORKDIR..."]

_AXES = {  # label: function of a row
    "images seen": lambda row: row["images"],
    "hours of training": lambda row: row["seconds"] / 3600,
}
_THICK = {"linewidth": 2.0}
_AT_THE_END = {"xytext": (0, 2), "textcoords": "offset points", "ha": "right", "fontsize": 8}
_KINDS = {  # column of a table of metrics: how it is drawn
    "bits_per_dim": {"linewidth": 0.8, "alpha": 0.7, "label": "training"},
    "val_bits_per_dim": {**_THICK, "label": "validation, and its best"},
}


def main(*others):
    plots.check("--out", FLAGS.out)
    levels = list(map(read_level, FLAGS.level))
    folders = [trained.find(path) for path in (*FLAGS.workdir, *others)] or [trained.newest()]
    folders = dict(zip(labels(folders), folders))
    runs = {label: read(folder) for label, folder in folders.items()}
    print_table(runs)
    for label, folder in folders.items() if FLAGS.whole else ():
        images = {}
        for name in runs[label]:
            if of := RunFolder(folder)[name].recorded_training():
                images[name] = of["epochs"] * of["steps_per_epoch"] * of["batch_size"]
        rows = whole(runs[label], splits.shares(pa.load(folder)), images)
        runs[label] = {"full image": rows}
    out = pathlib.Path(FLAGS.out or chosen_run.outputs(next(iter(folders.values()))) / "curves.png")
    plots.write(out, draw(runs, levels=levels))
    print(f"Wrote {out}")


def read_level(text):
    """(name, bits per dimension) of the text NAME=BITS. Raises ValueError for another one."""
    name, _, bits = text.rpartition("=")
    with restated("--level as NAME=BITS", text, "Give a name and a number above 0"):
        return name, arguments.positive("BITS", float(bits))


def labels(folders):
    """The names of folders, or their paths if two have the same name. Raises ValueError for duplicates."""
    resolved = [folder.resolve() for folder in folders]
    are_unique = len(set(resolved)) == len(resolved)
    expect(are_unique, "each --workdir once", ", ".join(map(str, folders)), "Leave one out")
    names = [RunFolder(folder).name for folder in resolved]
    return names if len(set(names)) == len(names) else list(map(str, folders))


def read(folder):
    """The metrics of a run: dict, factor -> rows as of `metrics.read`, of the factors that have any."""
    from pixelcnn_aux.factors import checks

    run = RunFolder(folder)
    description = run.config()["model"]
    expected, received = f"the description of a model in {folder}", "one without names of factors"
    remedy = "If it was made by another version, train again"
    with restated(expected, received, remedy, KeyError, TypeError, ValueError):
        names = [factor["config"]["name"] for factor in description["config"]["factors"]]
        checks.check_names(names)
    found = {name: rows for name in names if (rows := metrics.read(run[name].metrics))}
    expected = f"a run with metrics of one epoch at least in {folder}, as {run[names[0]].metrics}"
    expect(found, expected, "none", "Train it for an epoch first")
    return found


def whole(factors, shares, images):
    """The metrics of a chain: rows as of `read`, whose bits are per dimension of the full image.

    A row is of the moment when each of the factors has done the same part of its training, whose images are
    `images` or, if they are more, those of its metrics. It has the images and seconds of all together.
    """
    missing = ", ".join(name for name in shares if name not in factors)
    remedy = "Train them, or leave out --whole"
    expect(not missing, "metrics of all factors for --whole", f"none of {missing}", remedy)
    seen = {name: np.array([row["images"] for row in rows]) for name, rows in factors.items()}
    parts = {name: x / max(x[-1], images.get(name, 0)) for name, x in seen.items()}
    # Outside of this range some factor has no metrics, or none yet.
    start, end = max(part[0] for part in parts.values()), min(part[-1] for part in parts.values())
    points = np.unique(np.concatenate([*parts.values()]))
    points = points[(start <= points) & (points <= end)]
    expected = "factors that have done the same part of their training for --whole"
    done = ", ".join(f"{name} {part[-1]:.0%}" for name, part in parts.items())
    expect(len(points), expected, done, "Train on, or leave out --whole")
    columns = {
        key: sum(
            (shares[name] if key.endswith("bits_per_dim") else 1)
            * np.interp(points, parts[name], [row[key] for row in rows])
            for name, rows in factors.items()
        )
        for key in ("images", "seconds", "bits_per_dim", "val_bits_per_dim")
    }
    return [dict(zip(columns, values)) for values in zip(*columns.values())]


def best(rows):
    """The row with the fewest bits in validation."""
    return min(rows, key=lambda row: row["val_bits_per_dim"])


def print_table(runs):
    """A row for each factor of each run: its progress, and its bits per dimension."""
    width = max(map(len, runs))

    def line(label, factor, *cells):
        print(f"{label:{width}}  {factor:16}", *(f"{cell:>12}" for cell in cells))

    line("run", "factor", "epochs", "images", "hours", "training", "validation", "best", "in epoch")
    for label, factors in runs.items():
        for name, rows in factors.items():
            last, lowest = rows[-1], best(rows)
            bits = (last["bits_per_dim"], last["val_bits_per_dim"], lowest["val_bits_per_dim"])
            done = last["epoch"], f"{last['images']:,}", f"{last['seconds'] / 3600:.2f}"
            line(label, name, *done, *(f"{x:.4f}" for x in bits), lowest["epoch"])


def draw(runs, axes=_AXES, levels=()):
    """A figure of {label: metrics as of `read`}: a row of panels for each factor, a column for each axis.

    Each of `levels`, pairs as of `read_level`, is a line across all panels.
    """
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    factors = list(dict.fromkeys(name for run in runs.values() for name in run))
    [some_row, *_], *_ = (rows for run in runs.values() for rows in run.values())
    kinds = {key: style for key, style in _KINDS.items() if key in some_row}
    colors = {label: f"C{index}" for index, label in enumerate(runs)}  # ten, and again
    figure = plots.figure(figsize=(10, 0.8 + 2.8 * len(factors)), layout="constrained")
    panels = figure.subplots(len(factors), len(axes), squeeze=False, sharey="row")
    for row, name in zip(panels, factors):
        curves = {colors[label]: run[name] for label, run in runs.items() if name in run}
        for panel, value in zip(row, axes.values()):
            for color, rows in curves.items():
                xs = list(map(value, rows))
                for key, style in kinds.items():
                    panel.plot(xs, [row[key] for row in rows], color=color, **style)
                lowest = best(rows)
                panel.plot(value(lowest), lowest["val_bits_per_dim"], "o", color=color)
            for label, bits in levels:
                panel.axhline(bits, color="gray", linestyle="--", linewidth=0.8)
                panel.annotate(label, (1, bits), xycoords=("axes fraction", "data"), **_AT_THE_END)
            panel.set_xlim(left=0)
            panel.xaxis.set_major_locator(MaxNLocator(10 // len(axes), steps=[1, 2, 5, 10]))
            panel.xaxis.set_major_formatter("{x:,.10g}")
            panel.grid(alpha=0.25)
            panel.spines[["top", "right"]].set_visible(False)
        # From a tenth of the epochs on: the first ones would flatten the others.
        later = (x for rows in curves.values() for x in rows[len(rows) // 10 :])
        highest = max(x["val_bits_per_dim"] for x in later)
        least, _ = panel.get_ylim()
        panel.set_ylim(least, highest + 0.05 * (highest - least))
        row[0].set_ylabel(f"{name}: bits per dimension")
    for panel, label in zip(panels[-1], axes):
        panel.set_xlabel(label)
    names = [Line2D([], [], color=color, label=x, **_THICK) for x, color in colors.items()]
    meanings = [Line2D([], [], color="gray", **style) for style in kinds.values()]
    meanings[-1].set_marker("o")
    options = {"frameon": False, "fontsize": 9}
    figure.legend(handles=names, loc="outside upper center", ncols=3, **options)
    panels[0][-1].legend(handles=meanings, loc="best", **options)
    return figure


def define_flags():
    workdir = "A run, or the name of a trained model; others may follow. The newest run if unset."
    flags.DEFINE_multi_string("workdir", [], workdir)
    flags.DEFINE_bool("whole", False, "Draws one curve for each run, of the full image.")
    level = "NAME=BITS: a dashed line at so many bits per dimension; may be repeated."
    flags.DEFINE_multi_string("level", [], level)
    flags.DEFINE_string("out", None, "The picture; curves.png in the first WORKDIR if unset.")
