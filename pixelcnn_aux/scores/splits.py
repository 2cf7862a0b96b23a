"""Bits per dimension over a split of a data set."""

import math

import numpy as np

from pixelcnn_aux.summaries import bits_kinds


def summarize(model, batches, *, progress=lambda count: None, condition=None):
    """Mean bits per dimension of the full image, over batches of images of any size.

    Returns a dict from each of `summaries.bits_kinds` to {"factors": {name: float}, "total": float,
    "std_error": float}. The standard error is that of the total's mean over independent images; None for one
    image.
    """
    exact, count = model.with_exact(True), 0
    by_kind = {kind: {} for kind in bits_kinds(model)}
    for images in batches:
        part = None if condition is None else condition[count : count + len(images)]
        for bits, batch_bits in zip(by_kind.values(), exact.bound_and_exact(images, part)):
            for name, values in batch_bits.items():
                bits.setdefault(name, []).append(np.asarray(values, dtype=np.float64))
        count += len(images)
        progress(count)
    for kind, bits in by_kind.items():
        *factors, total = (np.concatenate(values) for values in bits.values())
        means = {name: float(values.mean()) for name, values in zip(bits, factors)}
        std_error = float(total.std(ddof=1)) / math.sqrt(count) if count > 1 else None
        by_kind[kind] = {"factors": means, "total": sum(means.values()), "std_error": std_error}
    return by_kind


def mean_bits(model, batches, condition=None):
    """The total of `summarize`, of exact bits if there are any: float."""
    return summarize(model, batches, condition=condition)[bits_kinds(model)[-1]]["total"]


def shares(model):
    """dict, factor name -> float: the number of values in its image over the number in the full image."""
    size = model.image_size or [math.prod(transform.ratio for transform in model.transforms)] * 2
    dims = {
        name: math.prod(size) * model.factors[name].likelihood.num_channels
        for name, size in model.sizes(size).items()
    }
    [*_, full] = dims.values()
    return {name: own / full for name, own in dims.items()}
