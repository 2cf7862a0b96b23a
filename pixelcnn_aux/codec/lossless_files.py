"""Sizes of images as lossless PNG, WebP and JPEG XL files, to compare with a model's bits."""

import concurrent.futures
import importlib.util
import io
import zlib

import numpy as np
from PIL import Image

_HAS_JPEG_XL = importlib.util.find_spec("pillow_jxl") is not None
if _HAS_JPEG_XL:
    importlib.import_module("pillow_jxl")  # of pillow-jxl-plugin: adds JPEG XL to Pillow

# Lossless settings of each format; the smallest file counts.
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
    """Keys of `FORMATS` that can store a likelihood's images: 8-bit gray or RGB, or deep gray."""
    channels, num_values = likelihood.num_channels, likelihood.num_values
    if num_values == 256 and channels in (1, 3):
        return list(FORMATS)
    deep = num_values > 256 and channels == 1
    return [x for x in FORMATS if x != "WebP"] if deep else []


def encoded(image, settings):
    """Encodes an image by one of the settings in `FORMATS`: bytes."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, **settings)
    return file.getvalue()


def bits_per_dim(image_format, images):
    """Bits per dimension of images [B, H, W, C], each as its smallest lossless file: float64 [B]."""

    def bits(image):
        pixels = image if image.shape[-1] == 3 else image[..., 0]
        return 8 * min(len(encoded(pixels, x)) for x in FORMATS[image_format]) / image.size

    with concurrent.futures.ThreadPoolExecutor() as pool:  # Pillow's WebP releases Python's lock
        return np.array(list(pool.map(bits, np.asarray(images))))
