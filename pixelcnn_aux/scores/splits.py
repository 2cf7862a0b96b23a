"""Bits per dimension over a split of a data set."""

import math

import numpy as np


def bits(model, batches, condition=None):
    """Bits per dimension of each image of batches, with conditions [N, ...]: dict of float64 [N].

    The keys are a kind of `bits_kinds`, and a factor or "total", such as "exact/total".
    """
    exact = model.with_exact(True)
    parts: dict = {}
    count = 0
    for images in batches:
        part = None if condition is None else condition[count : count + len(images)]
        for kind, by_name in zip(bits_kinds(model), exact.bound_and_exact(images, part)):
            for name, values in by_name.items():
                parts.setdefault(f"{kind}/{name}", []).append(np.asarray(values, np.float64))
        count += len(images)
    return {key: np.concatenate(values) for key, values in parts.items()}


def summary(bits):
    """Means of `bits`: dict, kind -> {"factors": {name: float}, "total": float, "std_error": float}.

    The standard error is that of the total's mean over independent images; None for one image.
    """
    by_kind: dict = {}
    for key, values in bits.items():
        kind, _, name = key.partition("/")
        means = by_kind.setdefault(kind, {"factors": {}})
        if name != "total":
            means["factors"][name] = float(values.mean())
            continue
        error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
        means |= {"total": sum(means["factors"].values()), "std_error": error}
    return by_kind


def mean_bits(model, batches, condition=None):
    """The total of `summary`, of exact bits if there are any: float."""
    return summary(bits(model, batches, condition))[bits_kinds(model)[-1]]["total"]


def shares(model):
    """dict, factor name -> float: the number of values in its image over the number in the full image."""
    size = model.image_size or [math.prod(transform.ratio for transform in model.transforms)] * 2
    dims = {
        name: math.prod(size) * model.factors[name].likelihood.num_channels
        for name, size in model.sizes(size).items()
    }
    [*_, full] = dims.values()
    return {name: own / full for name, own in dims.items()}


def bits_kinds(model):
    """Kinds of bits per dimension: the paper's "bound", if it differs, and "exact", or "restricted"."""
    # "restricted": only some factors can be exact.
    exact = model.with_exact(True)
    if not _has_exact(exact):
        return ["exact" if exact.exact else "bound"]
    return ["bound", "exact" if exact.exact else "restricted"]


def bits_kind(model):
    """The one of `bits_kinds` of the model's own log-likelihoods."""
    return bits_kinds(model)[-1] if model.exact or _has_exact(model) else "bound"


def _has_exact(model):
    return any(factor.exact for factor in model.factors.values())
