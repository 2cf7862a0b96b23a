"""Pictures of scores: histograms of several sets, and where in an image its bits are."""

import numpy as np
from matplotlib.figure import Figure

import pixelcnn_aux as pa
from pixelcnn_aux import image_grid

BINS = 40
# Quantiles between which scores are shown: single ones would flatten all others.
SHOWN = (0.005, 0.995)


def histograms(found):
    """A figure of a row for each score, and a column for each factor and for the chain.

    Args:
      found: dict, name of a set -> its `scores.Scores`.
    """
    [some, *_] = found.values()
    columns = list(some["bits"])
    figure = Figure(figsize=(2.6 * len(columns), 0.6 + 1.7 * len(some)), layout="constrained")
    panels = figure.subplots(len(some), len(columns), squeeze=False)
    for row, (score, by_factor) in zip(panels, some.items()):
        for panel, name in zip(row, columns):
            if name not in by_factor:
                panel.set_axis_off()
                continue
            values = {key: scores[score][name] for key, scores in found.items()}
            ends = np.quantile(np.concatenate(list(values.values())), SHOWN)
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
    """A figure of a row for each factor: its image, each pixel's bits and their entropy, and the difference.

    Args:
      model: `AuxiliaryModel`.
      image: uint8 [H, W, C]. A conditional model is told nothing else of it.
    """
    own, rows = model.auxiliaries(image[np.newaxis]), pa.scores.pixel_bits(model, image)
    figure = Figure(figsize=(11, 0.4 + 2.6 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), 4, squeeze=False)
    for row, (name, (bits, entropy)) in zip(panels, rows.items()):
        most, difference = max(bits.max(), entropy.max()), bits - entropy
        num_values = model.factors[name].likelihood.num_values
        row[0].imshow(image_grid.shown(np.asarray(own[name][0]), num_values))
        row[0].set_title(name, fontsize=9)
        for panel, title, x, least, largest, colors in (
            (row[1], "bits", bits, 0, most, "viridis"),
            (row[2], "entropy", entropy, 0, most, "viridis"),
            (row[3], "bits less entropy", difference, *_around_zero(difference), "RdBu_r"),
        ):
            drawn = panel.imshow(x, colors, vmin=least, vmax=largest)
            panel.set_title(f"{title}: {x.mean():.3f} a pixel", fontsize=9)
            figure.colorbar(drawn, ax=panel, shrink=0.8)
        for panel in row:
            panel.set_axis_off()
    return figure


def _around_zero(x):
    most = np.abs(x).max()
    return -most, most
