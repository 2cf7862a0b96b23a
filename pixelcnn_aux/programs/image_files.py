"""What images take as lossless files, each its own: PNG, WebP, JPEG XL, to compare a model's bits with."""

import concurrent.futures
import importlib.util
import io
import zlib

import numpy as np
from PIL import Image

from pixelcnn_aux.runs import disk, records

_HAS_JPEG_XL = importlib.util.find_spec("pillow_jxl") is not None
if _HAS_JPEG_XL:
    importlib.import_module("pillow_jxl")  # of pillow-jxl-plugin: it adds JPEG XL to Pillow

# Lossless settings of each format: every image is the smallest file that one of them makes of it, since none
# is the best for all images.
FORMATS = {
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
NOTE = (
    "PNG, WebP: lossless, each image the smallest file, by itself, of zlib's strategies default, filtered,\n"
    "Huffman and RLE, or of WebP's qualities 0 and 100 with methods 2, 4 and 6"
)
if _HAS_JPEG_XL:
    FORMATS["JPEG XL"] = [{"format": "JXL", "lossless": True, "effort": 9}]
    NOTE += "; JPEG XL: one file, of effort 9"


def holding(likelihood):
    """The keys of `FORMATS` whose files hold the images of a likelihood: 8-bit grays or RGB, deep grays."""
    channels, num_values = likelihood.num_channels, likelihood.num_values
    if num_values == 256 and channels in (1, 3):
        return list(FORMATS)
    deep = num_values > 256 and channels == 1
    return [x for x in FORMATS if x != "WebP"] if deep else []


def encoded(image, settings):
    """The file, bytes, that one of the settings of `FORMATS` makes of an image."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, **settings)
    return file.getvalue()


def bits_per_dim(image_format, images):
    """Bits per dimension of images as lossless files, each its own, headers counted: float64 [B].

    Args:
      image_format: a key of `FORMATS`. Each image counts as the smallest file of all settings there.
      images: uint8 [B, H, W, C], C of 1 or 3, or uint16 [B, H, W, 1].
    """

    def bits(image):
        pixels = image if image.shape[-1] == 3 else image[..., 0]
        return 8 * min(len(encoded(pixels, x)) for x in FORMATS[image_format]) / image.size

    with concurrent.futures.ThreadPoolExecutor() as pool:  # Pillow's WebP releases Python's lock
        return np.array(list(pool.map(bits, np.asarray(images))))


def mean_bits(model, names, batches, progress):
    """Means of `bits_per_dim` over the images of factors: {factor name: {format that holds them: float}}.

    Args:
      model: `AuxiliaryModel`.
      names: list of str, the factors'.
      batches: iterable of uint8 or uint16 [b, H, W, C] of full images.
      progress: function that is called with the number of images done.
    """
    bits = {name: {x: [] for x in holding(model.factors[name].likelihood)} for name in names}
    count = 0
    for batch in batches:
        images = model.auxiliaries(batch)
        for name, by_format in bits.items():
            for image_format, values in by_format.items():
                values.extend(bits_per_dim(image_format, images[name]))
        count += len(batch)
        progress(count)
    return {name: {k: float(np.mean(x)) for k, x in found.items()} for name, found in bits.items()}


def recorded(file, crc32):
    """What `mean_bits` has found for the images of a checksum, of what `record` has written; None if nothing.

    Raises OSError and ValueError as `records.read`.
    """
    found = records.read(file) if file.exists() else []
    try:
        same = [x["bits"] for x in found if (x["crc32"], x["settings"]) == (crc32, FORMATS)]
        return {name: dict(bits) for name, bits in same[0].items()} if same else None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"Expected records of codecs in {file}. Received: a damaged file ({error!r}). Remove it."
        ) from error


def record(file, measured, crc32, bits):
    """Adds to a file what `mean_bits` found, which takes longer than a small model's evaluation.

    Args:
      file: `pathlib.Path`.
      measured: dict that JSON can hold, which describes the images.
      crc32: int, their checksum.
      bits: what `mean_bits` returns.
    """
    found = records.read(file) if file.exists() else []
    # In the place of others of the same description.
    found = [x for x in found if (x.get("measured"), x["settings"]) != (measured, FORMATS)]
    new = {"measured": measured, "settings": FORMATS, "bits": bits, "crc32": crc32}
    disk.write_json(file, [*found, new])
