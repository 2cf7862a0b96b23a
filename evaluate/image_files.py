"""What images take as lossless files, each its own: PNG and WebP, to compare a model's bits with."""

import concurrent.futures
import io
import json
import zlib

import numpy as np
from PIL import Image

from pixelcnn_aux import arguments
from pixelcnn_aux.runs import disk

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


def mean_bits(model, names, batches, progress):
    """Means of `bits_per_dim` over all images that some factors of a model have.

    Args:
      model: `AuxiliaryModel`.
      names: list of str, the factors'.
      batches: iterable of uint8 [b, H, W, C] of full images.
      progress: function that is called with the number of images done.

    Returns:
      dict, factor name -> {format: bits per dimension of the factor's own image}.
    """
    bits = {(name, image_format): [] for name in names for image_format in FORMATS}
    count = 0
    for batch in batches:
        images = model.auxiliaries(batch)
        for (name, image_format), values in bits.items():
            values.extend(bits_per_dim(image_format, images[name]))
        count += len(batch)
        progress(count)
    return {name: {x: float(np.mean(bits[name, x])) for x in FORMATS} for name in names}


class Records:
    """A file of what `mean_bits` found: compressing takes longer than a small model's evaluation.

    Args:
      file: `pathlib.Path`.
      measured: dict that JSON can hold, which describes the images.
      crc32: int, their checksum: others may have the same description.

    Attributes:
      bits: what `mean_bits` found for these images; None if that is not there.

    Raises:
      OSError: as `disk.explained`.
      ValueError: if the file is damaged.
    """

    def __init__(self, file, measured, crc32):
        self._file, self._key, self._crc32 = file, (measured, FORMATS), crc32
        self._others, self.bits = [], None
        for record in _read(file):
            if (record["measured"], record["settings"]) != self._key:
                self._others.append(record)
            elif record["crc32"] == crc32:
                self.bits = record["bits"]

    def store(self, bits):
        """Stores bits in the place of others of the same description."""
        measured, settings = self._key
        record = {"measured": measured, "settings": settings, "bits": bits, "crc32": self._crc32}
        disk.write_json(self._file, [*self._others, record])


def _read(file):
    with disk.explained(f"to read {file}"):
        text = file.read_bytes() if file.exists() else b"[]"
    try:
        return [_record(**record) for record in json.loads(text)]
    except (RecursionError, TypeError, ValueError) as error:
        raise ValueError(
            f"Expected records of codecs, as JSON, in {file}. Received: a damaged file ({error}). "
            "Remove it."
        ) from error


def _record(measured, settings, bits, crc32=None):  # there was no checksum once
    for by_format in dict(bits).values():
        for image_format, figure in dict(by_format).items():
            arguments.positive(image_format, figure)
    return {"measured": measured, "settings": settings, "bits": bits, "crc32": crc32}


def _file_size(picture, settings):
    file = io.BytesIO()
    picture.save(file, **settings)
    return file.tell()
