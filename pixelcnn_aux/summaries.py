"""Summaries of factors and chains: a line, or a table of layers."""

import itertools
import math
import operator

from pixelcnn_aux.networks import Embedding, PixelCNN, Stream


def _num_weights(*layers):
    return sum(math.prod(weight.shape) for layer in layers for weight in layer.weights)


def factor_line(factor):
    """A factor in one line."""
    kind = "unconditional"
    if factor.embedding is not None:
        kind = f"conditional, {'exact' if factor.exact else 'a bound'}"
    kind = f"{type(factor.likelihood).__name__}, {kind}, {_num_weights(factor):,} parameters"
    return f"<{type(factor).__name__} name={factor.name}: {kind}>"


def model_lines(model):
    """An `AuxiliaryModel`: a line, and one for each factor in the order of sampling."""
    kind, factors = "exact" if model.exact else "a bound", model.factors.values()
    images = f"{_by(*model.image_size)} images" if model.image_size else "images of any size"
    lines = [f"<{type(model).__name__} of {images}: {kind}, {_num_weights(*factors):,} parameters"]
    sizes = model.sizes() if model.image_size else dict.fromkeys(model.factors)
    for factor in factors:
        size = sizes[factor.name]
        lines.append(f"  {_by(*size) + ': ' if size else ''}{factor_line(factor)}")
    return "\n".join(lines) + ">"


def model_table(model):
    """A table of a model's factors in the order of sampling, and notes on it."""
    rows = [("factor", "image", "given", "likelihood", "parameters")]
    sizes = model.sizes() if model.image_size else {}
    ratios = (transform.ratio for transform in model.transforms)
    scales = [*itertools.accumulate(ratios, operator.mul, initial=1)]
    for (name, factor), given in zip(model.factors.items(), ["", *model.factors]):
        kind, output = factor.likelihood, _output(scales.pop(), factor.likelihood.num_channels)
        image = _by(*sizes[name], kind.num_channels) if sizes else output
        rows.append((name, image, given, type(kind).__name__, f"{_num_weights(factor):,}"))
    rows.append(("all", *[""] * 3, f"{_num_weights(*model.factors.values()):,}"))
    lines = [model_lines(model).partition("\n")[0].strip("<"), *aligned(rows)]
    return "\n".join([*lines, *model.notes])


def aligned(rows):
    """Rows of str as lines with columns, the last of which has numbers: list of str."""
    *widths, last = (max(map(len, column)) for column in zip(*rows))
    return ["  ".join([*map(str.ljust, row, widths), row[-1].rjust(last)]) for row in rows]


def factor_table(factor):
    """A table of the layers of a factor, with a row for steps of one kind in a row at one resolution."""
    rows = [("layer", "output", "parameters")]
    parts = {
        "embedding": (factor.embedding, factor.auxiliary_ratio),
        "network": (factor.network, 1),
    }
    for name, (part, scale) in parts.items():
        if part is not None:
            rows.append((f"{name} ({type(part).__name__})", "", f"{_num_weights(part):,}"))
            rows += [(f"  {what}", out, f"{n:,}") for what, out, n in _layers(part, scale)]
    rows.append(("all", "", f"{_num_weights(factor):,}"))
    return "\n".join([factor_line(factor), *aligned(rows)])


def _layers(part, scale):
    """Yields (name, output, parameters) of what a network consists of that sees H / scale x W / scale."""
    for layer in part.layers:
        if isinstance(layer, Stream):
            levels = layer.topology.levels()[1:]
            steps = zip(layer.topology.steps, levels, layer.steps)
            for (kind, level), group in itertools.groupby(steps, lambda x: (x[0].kind, x[1])):
                found = [step for *_, step in group]
                what = f"{len(found)} block{'s' * (len(found) > 1)}" if kind == "block" else kind
                out = _output(scale * 2**level, layer.filters)
                yield f"{layer.name}: {what}", out, _num_weights(*found)
        else:
            known = isinstance(part, (Embedding, PixelCNN))
            out = _output(scale, layer.filters) if known else ""
            yield f"{layer.name} ({type(layer).__name__})", out, _num_weights(layer)


def _output(scale, channels):
    over = "" if scale == 1 else f"/{scale:g}"
    return _by(f"H{over}", f"W{over}", channels)


def _by(*sides):
    return " x ".join(map(str, sides))


def bits_kinds(model):
    """The kinds of bits per dimension of a model: "bound", the paper's, and "exact", or that alone.

    "restricted" is in place of "exact" if only some factors can be exact.
    """
    exact = model.with_exact(True)
    if not _has_exact(exact):
        return ["exact" if exact.exact else "bound"]
    return ["bound", "exact" if exact.exact else "restricted"]


def bits_kind(model):
    """Which of `bits_kinds` the model's own log-likelihoods are."""
    return bits_kinds(model)[-1] if model.exact or _has_exact(model) else "bound"


def _has_exact(model):
    return any(factor.exact for factor in model.factors.values())
