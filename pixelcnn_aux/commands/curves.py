"""Draws the learning curves of runs together: pixelcnn-aux curves --workdir runs/a runs/b.

Plots each factor's metrics.csv: training and validation bits per dimension of the factor's own image, against
images seen and hours of training. Prints a table of the last and the best figures. With --whole each run has
one curve, for the full image and all factors together. --level adds a published figure, as "PixelCNN++=2.92".
"""

import pathlib

import numpy as np
from absl import flags

import pixelcnn_aux as pa
from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.commands import chosen_run, plots
from pixelcnn_aux.run_files import metrics_table, trained
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.scores import splits

FLAGS = flags.FLAGS
ARGUMENTS = ["WORKDIR..."]

_AXES = {  # label -> function of a row
    "images seen": lambda row: row["images"],
    "hours of training": lambda row: row["seconds"] / 3600,
}
_THICK = {"linewidth": 2.0}
_AT_THE_END = dict(xytext=(0, -2), textcoords="offset points", ha="right", va="top", fontsize=8)
_STYLES = {  # column of metrics.csv -> line style
    "bits_per_dim": {"linewidth": 0.8, "alpha": 0.7, "label": "training"},
    "val_bits_per_dim": {**_THICK, "label": "validation, and its best"},
}


def main(*workdirs):
    plots.check("--out", FLAGS.out)
    levels = list(map(read_level, FLAGS.level))
    folders = [trained.find(path) for path in (*FLAGS.workdir, *workdirs)] or [trained.newest()]
    folders = dict(zip(labels(folders), folders))
    runs = {label: read(folder) for label, folder in folders.items()}
    print_table(runs)
    for label, folder in folders.items() if FLAGS.whole else ():
        images = {}
        for name in runs[label]:
            if settings := RunFolder(folder)[name].recorded_training():
                steps = settings["epochs"] * settings["steps_per_epoch"]
                images[name] = steps * settings["batch_size"]
        rows = whole(runs[label], splits.shares(pa.load(folder)), images)
        runs[label] = {"full image": rows}
    out = pathlib.Path(FLAGS.out or chosen_run.outputs(next(iter(folders.values()))) / "curves.png")
    plots.write(out, draw(runs, levels=levels))
    print(f"Wrote {out}")


def read_level(text):
    """Parses NAME=BITS: (name, bits per dimension). Raises ValueError for other text."""
    name, _, bits = text.rpartition("=")
    with restated("--level as NAME=BITS", text, "Give a name and a number above 0"):
        return name, arguments.positive("BITS", float(bits))


def labels(folders):
    """The folders' names, or their paths if names clash. Raises ValueError for duplicates."""
    resolved = [folder.resolve() for folder in folders]
    are_unique = len(set(resolved)) == len(resolved)
    expect(are_unique, "each --workdir once", ", ".join(map(str, folders)), "Omit duplicates")
    names = [RunFolder(folder).name for folder in resolved]
    return names if len(set(names)) == len(names) else list(map(str, folders))


def read(folder):
    """The metrics of a run: dict, name of each factor with metrics -> rows of `metrics_table.read`."""
    from pixelcnn_aux.factors import checks

    run = RunFolder(folder)
    description = run.config()["model"]
    expected, received = f"the description of a model in {folder}", "one without factor names"
    remedy = "If another version made it, train again"
    with restated(expected, received, remedy, KeyError, TypeError, ValueError):
        names = [factor["config"]["name"] for factor in description["config"]["factors"]]
        checks.check_names(names)
    rows_by_factor = {
        name: rows for name in names if (rows := metrics_table.read(run[name].metrics))
    }
    expected = f"a run in {folder} with at least one epoch of metrics, in {run[names[0]].metrics}"
    expect(rows_by_factor, expected, "none", "Train it for an epoch first")
    return rows_by_factor


def whole(factors, shares, images):
    """The metrics of a chain: rows as in `read`, with bits per dimension of the full image.

    A row stands for the moment when every factor has completed the same fraction of its training, and has the
    images and seconds of all together. `images` are each factor's planned images, if more than it has seen.
    """
    missing = ", ".join(name for name in shares if name not in factors)
    remedy = "Train them, or omit --whole"
    expect(not missing, "metrics of all factors for --whole", f"none of {missing}", remedy)
    seen = {name: np.array([row["images"] for row in rows]) for name, rows in factors.items()}
    fractions = {name: x / max(x[-1], images.get(name, 0)) for name, x in seen.items()}
    # Outside this range some factor has no metrics.
    start = max(x[0] for x in fractions.values())
    end = min(x[-1] for x in fractions.values())
    points = np.unique(np.concatenate([*fractions.values()]))
    points = points[(start <= points) & (points <= end)]
    expected = "factors that have completed the same fraction of their training for --whole"
    done = ", ".join(f"{name} {x[-1]:.0%}" for name, x in fractions.items())
    expect(len(points), expected, done, "Train on, or omit --whole")
    columns = {
        key: sum(
            (shares[name] if key.endswith("bits_per_dim") else 1)
            * np.interp(points, fractions[name], [row[key] for row in rows])
            for name, rows in factors.items()
        )
        for key in ("images", "seconds", "bits_per_dim", "val_bits_per_dim")
    }
    return [dict(zip(columns, values)) for values in zip(*columns.values())]


def best(rows):
    """The row with the fewest validation bits."""
    return min(rows, key=lambda row: row["val_bits_per_dim"])


def print_table(runs):
    """Prints each factor's progress and bits per dimension, for each run."""
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
    """A figure of {label: metrics of `read`}: a row of panels per factor, a column per axis.

    Each of `levels`, pairs of `read_level`, is a line across all panels.
    """
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    factors = list(dict.fromkeys(name for run in runs.values() for name in run))
    [first_row, *_], *_ = (rows for run in runs.values() for rows in run.values())
    styles = {key: style for key, style in _STYLES.items() if key in first_row}
    colors = {label: f"C{index}" for index, label in enumerate(runs)}  # ten, then repeated
    figure = plots.figure(figsize=(10, 0.8 + 2.8 * len(factors)), layout="constrained")
    panels = figure.subplots(len(factors), len(axes), squeeze=False, sharey="row")
    for row, name in zip(panels, factors):
        curves = {colors[label]: run[name] for label, run in runs.items() if name in run}
        for panel, value in zip(row, axes.values()):
            for color, rows in curves.items():
                xs = list(map(value, rows))
                for key, style in styles.items():
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
        # Ignore the first tenth of the epochs, whose bits would flatten the curves.
        later = (x for rows in curves.values() for x in rows[len(rows) // 10 :])
        top = max(x["val_bits_per_dim"] for x in later)
        bottom, _ = panel.get_ylim()
        panel.set_ylim(bottom, top + 0.05 * (top - bottom))
        row[0].set_ylabel(f"{name}: bits per dimension")
    for panel, label in zip(panels[-1], axes):
        panel.set_xlabel(label)
    names = [Line2D([], [], color=color, label=x, **_THICK) for x, color in colors.items()]
    lines = [Line2D([], [], color="gray", **style) for style in styles.values()]
    lines[-1].set_marker("o")
    options = {"frameon": False, "fontsize": 9}
    figure.legend(handles=names, loc="outside upper center", ncols=3, **options)
    panels[0][-1].legend(handles=lines, loc="best", **options)
    return figure


def define_flags():
    flags.DEFINE_multi_string("workdir", [], "Runs, or trained models; the newest run if unset.")
    flags.DEFINE_bool("whole", False, "Draws one curve per run, for the full image.")
    flags.DEFINE_multi_string("level", [], "NAME=BITS: a dashed line at BITS; repeatable.")
    flags.DEFINE_string("out", None, "The picture; curves.png in the first WORKDIR if unset.")
