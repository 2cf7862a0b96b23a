"""Bits per dimension over a split of a data set."""

import math

import numpy as np

from pixelcnn_aux.summaries import bits_kinds


def bits(model, batches, condition=None):
    """Bits per dimension of each image of batches [b, H, W, C], with conditions [N, ...] of all of them.

    dict, such as "exact/total" -> float64 [N]: a kind of `summaries.bits_kinds`, and a factor or "total".
    """
    exact, found, count = model.with_exact(True), {}, 0
    for images in batches:
        here = None if condition is None else condition[count : count + len(images)]
        for kind, by_name in zip(bits_kinds(model), exact.bound_and_exact(images, here)):
            for name, values in by_name.items():
                found.setdefault(f"{kind}/{name}", []).append(np.asarray(values, np.float64))
        count += len(images)
    return {key: np.concatenate(values) for key, values in found.items()}


def summary(bits):
    """Means of `bits`: each kind -> {"factors": {name: float}, "total": float, "std_error": float}.

    The standard error is that of the total's mean over independent images; None for one image.
    """
    found = {}
    for key, values in bits.items():
        kind, _, name = key.partition("/")
        result = found.setdefault(kind, {"factors": {}})
        if name == "total":
            result["total"] = sum(result["factors"].values())
            count = len(values)
            result["std_error"] = (
                float(values.std(ddof=1)) / math.sqrt(count) if count > 1 else None
            )
        else:
            result["factors"][name] = float(values.mean())
    return found


def mean_bits(model, batches, condition=None):
    """The most exact mean of `summarize`: float."""
    return summary(bits(model, batches, condition))[bits_kinds(model)[-1]]["total"]


def shares(model):
    """dict, factor name -> float: the number of values of its image over that of the full image."""
    size = model.image_size or [math.prod(transform.ratio for transform in model.transforms)] * 2
    dims = {
        name: math.prod(size) * model.factors[name].likelihood.num_channels
        for name, size in model.sizes(size).items()
    }
    [*_, full] = dims.values()
    return {name: own / full for name, own in dims.items()}
