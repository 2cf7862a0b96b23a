"""Exact means over a split of a data set, and what image codecs need for the same images."""

import io
import math
import multiprocessing.pool
import zlib

import numpy as np
from PIL import Image


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


# Lossless settings of each codec: every image is the smallest file that one of them makes of it, since none
# is the best for all images.
CODECS = {
    "PNG": [
        {"format": "PNG", "optimize": True, "compress_type": strategy}
        for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE)
    ],
    "WebP": [
        {"format": "WEBP", "lossless": True, "quality": quality, "method": method}
        for quality in (0, 100)
        for method in (2, 4, 6)
    ],
}
CODECS_NOTE = (
    "PNG, WebP: lossless, each image the smallest file, by itself, of zlib's strategies default, filtered,\n"
    "Huffman and RLE, or of WebP's qualities 0 and 100 with methods 2, 4 and 6"
)


def codecs_apply(likelihood):
    """Whether the images that a likelihood models can be PNG and WebP files: 8-bit grays or RGB."""
    return likelihood.num_channels in (1, 3) and likelihood.num_values == 256


def codec_bits_per_dim(codec, images):
    """Bits per dimension of images as lossless files, each its own, headers counted.

    Args:
      codec: a key of `CODECS`. Each image counts as the smallest file of all settings there.
      images: uint8 [B, H, W, C], C of 1 or 3.

    Returns:
      float64 [B].
    """

    def bits(image):
        picture = Image.fromarray(image if image.shape[-1] == 3 else image[..., 0])
        return 8 * min(_file_size(picture, settings) for settings in CODECS[codec]) / image.size

    with multiprocessing.pool.ThreadPool() as pool:  # Pillow's WebP releases Python's lock
        return np.array(pool.map(bits, np.asarray(images)))


def _file_size(picture, settings):
    file = io.BytesIO()
    picture.save(file, **settings)
    return file.tell()
