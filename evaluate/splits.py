"""Bits per dimension over a split of a data set, whose last batch may be ragged."""

import math

import numpy as np


def bound_and_exact(model, batches, progress=lambda count: None):
    """Bits per dimension of every image of a split, factor by factor: the paper's, and the exact ones.

    Args:
      model: `AuxiliaryModel`, exact or not.
      batches: iterable of uint8 [b, H, W, C], of any b.
      progress: function that is called with the number of images done.

    Returns:
      Two dicts, factor name -> float64 [N], and "total": see `AuxiliaryModel.bound_and_exact`.
    """
    model = model.with_exact(True)
    found, count = ({}, {}), 0
    for images in batches:
        for bits, of_batch in zip(found, model.bound_and_exact(images)):
            for name, values in of_batch.items():
                bits.setdefault(name, []).append(np.asarray(values, dtype=np.float64))
        count += len(images)
        progress(count)
    return tuple({name: np.concatenate(values) for name, values in bits.items()} for bits in found)


def summarize(bits):
    """Means over the images of one of `bound_and_exact`'s dicts: {"factors", "total", "std_error"}.

    "std_error" is that of the total's mean, the images taken as independent draws; None of one image.
    """
    count = len(bits["total"])
    factors = {name: float(values.mean()) for name, values in bits.items() if name != "total"}
    std_error = float(bits["total"].std(ddof=1)) / math.sqrt(count) if count > 1 else None
    return {"factors": factors, "total": sum(factors.values()), "std_error": std_error}


def mean_bits(model, batches):
    """Exact bits per dimension, the mean over images. Args as for `bound_and_exact`."""
    _, exact = bound_and_exact(model, batches)
    return summarize(exact)["total"]


def shares(model):
    """dict, factor name -> float: the dimensions of its image over those of the full image.

    Bits per dimension of a factor's own image, times this, are its part of the total.
    """
    dims = {
        name: math.prod(size) * model.factors[name].likelihood.num_channels
        for name, size in model.sizes().items()
    }
    [*_, full] = dims.values()
    return {name: own / full for name, own in dims.items()}
