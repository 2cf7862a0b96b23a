"""Exact means over a split of a data set, and what image codecs need for the same images."""

import io
import math
import multiprocessing.pool

import numpy as np
from PIL import Image


def bits_per_dim(model, batches, progress=lambda count: None):
    """Bits per dimension of every image of a split, factor by factor.

    Args:
      model: `AuxiliaryModel`.
      batches: iterable of uint8 [b, H, W, C], of any b.
      progress: function that is called with the number of images done.

    Returns:
      dict, factor name -> float64 [N], and "total": see `AuxiliaryModel.bits_per_dim`.
    """
    bits, count = {}, 0
    for images in batches:
        for name, values in model.bits_per_dim(images).items():
            bits.setdefault(name, []).append(np.asarray(values, dtype=np.float64))
        count += len(images)
        progress(count)
    return {name: np.concatenate(values) for name, values in bits.items()}


def summarize(bits):
    """Means of `bits_per_dim`'s result over the images: {"factors", "total", "std_error"}.

    "std_error" is that of the total's mean, the images taken as independent draws.
    """
    count = len(bits["total"])
    factors = {name: float(values.mean()) for name, values in bits.items() if name != "total"}
    spread = float(bits["total"].std(ddof=1)) if count > 1 else math.nan
    return {
        "factors": factors,
        "total": sum(factors.values()),
        "std_error": spread / math.sqrt(count),
    }


# Lossless settings, the slowest and smallest of each.
CODECS = {
    "PNG": {"format": "PNG", "optimize": True},
    "WebP": {"format": "WEBP", "lossless": True, "quality": 100, "method": 6},
}


def codec_bits_per_dim(codec, images):
    """Bits per dimension of RGB images as lossless files, each its own, headers counted.

    Args:
      codec: a key of `CODECS`.
      images: uint8 [B, H, W, 3].

    Returns:
      float64 [B].
    """

    def bits(image):
        file = io.BytesIO()
        Image.fromarray(image).save(file, **CODECS[codec])
        return 8 * file.tell() / image.size

    with multiprocessing.pool.ThreadPool() as pool:  # Pillow's WebP releases Python's lock
        return np.array(pool.map(bits, np.asarray(images)))
