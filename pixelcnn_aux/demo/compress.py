"""Compresses a picture, and opens what was compressed.

Actions are generators of `Shown`.
"""

import math
import time

import numpy as np

from pixelcnn_aux.codec import container, tiles
from pixelcnn_aux.data import lossless_files
from pixelcnn_aux.demo import uploads
from pixelcnn_aux.demo.draw import since
from pixelcnn_aux.demo.heat import of_bits
from pixelcnn_aux.demo.shown import Figure, Shown, Table
from pixelcnn_aux.demo.work import followed
from pixelcnn_aux.image_grid import shown

DEFAULT = "photographs"  # the model that makes the smallest files of photographs
NAME = "picture.png"  # what a file calls its picture


def compress(models, name, picture):
    """Compresses a picture by a model, beside other lossless files, and decompresses it again.

    Args:
      models: `Models`.
      name: str, of one of them.
      picture: uint8 [H, W, 3].
    """
    picture = uploads.chosen(picture)
    yield Shown(f"Loading {name}", 0)
    codec, start = models.codec(name), time.monotonic()
    size = codec.model.image_size
    images = picture[np.newaxis] if size is None else tiles.cut(picture, size)
    named = [(NAME, *picture.shape[:2])]
    steps = followed(
        lambda report: codec.compress(images, pictures=named, progress=report),
        math.prod(images.shape[:3]),
    )
    data = yield from _telling("Compressing", steps)
    took, figures = since(start), (Figure("The picture", [picture]),)
    tables = (_sizes(name, data, picture), _bits(container.read(data), picture.size))
    check = "Decompressing, to see that it comes back, and where its bits are"
    [(again, heat)] = yield from _opened(codec, data, check, figures, tables)
    if not np.array_equal(again, picture):
        raise RuntimeError(
            "Expected the picture as it was. Received: another one. Tell the authors of this program."
        )
    text = f"Compressed in {took}; the file gives back the same pixels"
    yield Shown(text, None, (*figures, heat), tables, data)


def decompress(models, data, contents):
    """Opens a compressed file.

    Args:
      models: `Models`.
      data, contents: as `uploads.compressed` returns them.
    """
    yield Shown("Loading the model of the file", 0)
    codec, start = models.codec_of(contents), time.monotonic()
    found = yield from _opened(codec, data, "Decompressing")
    num_values, channels = codec.model.likelihood.num_values, codec.model.likelihood.num_channels
    pictures = [shown(pixels, num_values) for pixels, _ in found]
    figures = Figure("What is in the file", pictures), *(heat for _, heat in found)
    values = channels * sum(height * width for _, height, width in tiles.sizes(contents))
    text = f"Decompressed {len(data):,} bytes by {contents.name} in {since(start)}"
    yield Shown(text, None, figures, (_bits(contents, values),))


def _opened(codec, data, text, *found):
    """Yields `Shown` as a file is decompressed; returns [(pixels [H, W, C], a `Figure` of their bits)]."""
    contents = container.read(data)
    if contents.size is None:
        total = sum(height * width for _, height, width in contents.pictures)
    else:
        total = contents.count * math.prod(contents.size)
    steps = followed(lambda report: codec.decompress_with_bits(data, report), total)
    images, bits = yield from _telling(text, steps, *found)
    pictures = tiles.pictures(contents, images)
    heats = tiles.pictures(contents, [x[..., np.newaxis] for x in bits])
    return [(np.asarray(x), of_bits(y[..., 0])) for (_, x), (_, y) in zip(pictures, heats)]


def _telling(text, steps, *found):
    """Yields `Shown` of what was found before as `followed` work goes on; returns what that does."""
    while True:
        try:
            share = next(steps)
        except StopIteration as end:
            return end.value
        yield Shown(text, share, *found)


def _sizes(name, data, picture):
    """`Table` of the bytes of a file, and of others of the same picture."""
    sizes = {name: len(data)}
    for kind in lossless_files.FORMATS:
        [bits] = lossless_files.bits_per_dim(kind, picture[np.newaxis])
        sizes[kind] = round(bits * picture.size / 8)
    rows = [[x, f"{size:,}", f"{8 * size / picture.size:.3f}"] for x, size in sizes.items()]
    return Table("Files", ["file", "bytes", "bits per dimension"], rows)


def _bits(contents, values):
    """`Table` of the bits of each factor, and of each of so many values of pictures."""
    rows = [[x, f"{bits:,}", f"{bits / values:.3f}"] for x, bits in contents.bits.items()]
    return Table("Bits by scale", ["factor", "bits", "bits per dimension"], rows)
