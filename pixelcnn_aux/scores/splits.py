"""Bits per dimension over a split of a data set."""

import math

import numpy as np

from pixelcnn_aux.summaries import bits_kinds


def summarize(model, batches, *, progress=lambda count: None, condition=None):
    """Means over batches of images, which may differ in size, of bits per dimension of the full image.

    Each of `summaries.bits_kinds` -> {"factors": {name: float}, "total": float, "std_error": float}: the
    standard error of the total's mean over independent images; None for one image.
    """
    found, exact, count = {kind: {} for kind in bits_kinds(model)}, model.with_exact(True), 0
    for images in batches:
        here = None if condition is None else condition[count : count + len(images)]
        for bits, batch_bits in zip(found.values(), exact.bound_and_exact(images, here)):
            for name, values in batch_bits.items():
                bits.setdefault(name, []).append(np.asarray(values, dtype=np.float64))
        count += len(images)
        progress(count)
    for kind, bits in found.items():
        *factors, total = (np.concatenate(values) for values in bits.values())
        means = {name: float(values.mean()) for name, values in zip(bits, factors)}
        std_error = float(total.std(ddof=1)) / math.sqrt(count) if count > 1 else None
        found[kind] = {"factors": means, "total": sum(means.values()), "std_error": std_error}
    return found


def mean_bits(model, batches, condition=None):
    """The most exact mean of `summarize`: float."""
    return summarize(model, batches, condition=condition)[bits_kinds(model)[-1]]["total"]


def shares(model):
    """dict, factor name -> float: the number of values of its image over that of the full image."""
    size = model.image_size or [math.prod(transform.ratio for transform in model.transforms)] * 2
    dims = {
        name: math.prod(size) * model.factors[name].likelihood.num_channels
        for name, size in model.sizes(size).items()
    }
    [*_, full] = dims.values()
    return {name: own / full for name, own in dims.items()}
