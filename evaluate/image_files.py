"""What images take as lossless files, each its own: PNG and WebP, to compare a model's bits with."""

import concurrent.futures
import io
import zlib

import numpy as np
from PIL import Image

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


def can_hold(likelihood):
    """Whether the images that a likelihood models can be PNG and WebP files: 8-bit grays or RGB."""
    return likelihood.num_channels in (1, 3) and likelihood.num_values == 256


def bits_per_dim(image_format, images):
    """Bits per dimension of images as lossless files, each its own, headers counted.

    Args:
      image_format: a key of `FORMATS`. Each image counts as the smallest file of all settings there.
      images: uint8 [B, H, W, C], C of 1 or 3.

    Returns:
      float64 [B].
    """

    def bits(image):
        picture = Image.fromarray(image if image.shape[-1] == 3 else image[..., 0])
        smallest = min(_file_size(picture, settings) for settings in FORMATS[image_format])
        return 8 * smallest / image.size

    with concurrent.futures.ThreadPoolExecutor() as pool:  # Pillow's WebP releases Python's lock
        return np.array(list(pool.map(bits, np.asarray(images))))


def _file_size(picture, settings):
    file = io.BytesIO()
    picture.save(file, **settings)
    return file.tell()
