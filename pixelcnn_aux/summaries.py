"""Summaries of factors and models: a line, or a table of layers."""

import itertools
import math
import operator

from pixelcnn_aux.networks import Embedding, PixelCNN

_STREAMS = ("vertical", "horizontal", "stream")


def _num_weights(factor, prefix=""):
    weights = factor.shapes.items()
    return sum(math.prod(weight.shape) for path, weight in weights if path.startswith(prefix))


def factor_line(factor):
    """One line about a factor."""
    facts = [type(factor.likelihood).__name__, "unconditional"]
    if factor.is_conditional:
        facts[1:] = "conditional", "exact" if factor.exact else "a bound"
    if factor.condition is not None:
        facts[1] = f"conditional on {factor.condition}"
    facts += ["whole numbers"] * factor.rounded
    facts.append(f"{factor.num_parameters:,} parameters")
    return f"<{type(factor).__name__} name={factor.name}: {', '.join(facts)}>"


def model_lines(model):
    """A line about an `AuxiliaryModel`, and one per factor in the order of sampling."""
    kind, factors = "exact" if model.exact else "a bound", model.factors.values()
    kind += f", conditional on {model.condition}" if model.condition else ""
    images = f"{_by(*model.image_size)} images" if model.image_size else "images of any size"
    lines = [f"<{type(model).__name__} of {images}: {kind}, {_parameters(model):,} parameters"]
    sizes = model.sizes() if model.image_size else dict.fromkeys(model.factors)
    for factor in factors:
        size = sizes[factor.name]
        lines.append(f"  {_by(*size) + ': ' if size else ''}{factor_line(factor)}")
    return "\n".join(lines) + ">"


def model_table(model):
    """A table of a model's factors in the order of sampling, and the model's notes."""
    rows = [("factor", "image", "given", "likelihood", "parameters")]
    sizes = model.sizes() if model.image_size else {}
    ratios = (transform.ratio for transform in model.transforms)
    scales = [*itertools.accumulate(ratios, operator.mul, initial=1)]
    for (name, factor), given in zip(model.factors.items(), ["", *model.factors]):
        likelihood, scale = factor.likelihood, scales.pop()
        channels = likelihood.num_channels
        image = _by(*sizes[name], channels) if sizes else _output(scale, channels)
        count = f"{factor.num_parameters:,}"
        rows.append((name, image, given, type(likelihood).__name__, count))
    rows.append(("all", *[""] * 3, f"{_parameters(model):,}"))
    lines = [model_lines(model).partition("\n")[0].strip("<"), *aligned(rows)]
    return "\n".join([*lines, *model.notes])


def aligned(rows):
    """Aligns rows of str in columns, the last one of numbers: list of lines."""
    *widths, last = (max(map(len, column)) for column in zip(*rows))
    return ["  ".join([*map(str.ljust, row, widths), row[-1].rjust(last)]) for row in rows]


def _parameters(model):
    return sum(factor.num_parameters for factor in model.factors.values())


def factor_table(factor):
    """A table of a factor's layers, with one row for consecutive steps of one kind and resolution."""
    rows = [("layer", "output", "parameters")]
    for name, part in reversed(factor.definitions.items()):
        scale = factor.auxiliary_ratio if name == "embedding" else 1
        rows.append(
            (f"{name} ({type(part).__name__})", "", f"{_num_weights(factor, f'{name}/'):,}")
        )
        rows += [(f"  {layer}", out, f"{n:,}") for layer, out, n in _layers(factor, name, scale)]
    rows.append(("all", "", f"{factor.num_parameters:,}"))
    return "\n".join([factor_line(factor), *aligned(rows)])


def _layers(factor, part, scale):
    """Yields (name, output, parameters) of the layers of a network with inputs of H / scale x W / scale."""
    names = dict.fromkeys(
        path.split("/")[1] for path in factor.shapes if path.startswith(f"{part}/")
    )
    module = factor.definitions[part]
    for name in names:
        path = f"{part}/{name}"
        topology = module.topology if name in _STREAMS and hasattr(module, "topology") else None
        if topology is None:
            filters = factor.shapes.get(f"{path}/b")
            has_output = isinstance(module, (Embedding, PixelCNN)) and filters is not None
            out = _output(scale, *filters.shape) if has_output else ""
            yield name, out, _num_weights(factor, f"{path}/")
            continue
        steps = zip(topology.steps, topology.levels()[1:], itertools.count())
        for (kind, level), group in itertools.groupby(steps, lambda x: (x[0].kind, x[1])):
            paths = [f"{path}/{k}_{kind}/" for *_, k in group]
            if kind == "block":
                kind = f"{len(paths)} block{'s' * (len(paths) > 1)}"
            out = _output(scale * 2**level, module.filters)
            yield f"{name}: {kind}", out, sum(_num_weights(factor, x) for x in paths)


def _output(scale, channels):
    over = "" if scale == 1 else f"/{scale:g}"
    return _by(f"H{over}", f"W{over}", channels)


def _by(*sides):
    return " x ".join(map(str, sides))
