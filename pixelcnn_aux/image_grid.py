"""Conversion of images to RGB, and grids of images."""

import itertools
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from pixelcnn_aux.base import disk

SIDE = 96  # pixels: smaller images are enlarged to about this
SUFFIXES = (".png", ".jpg", ".webp", ".pdf")  # of `write`
_PERCENTILES = 0.5, 99.5  # of the values of images, between which those of many values are shown
_FONT_SIZE, _MARGIN = 15, 8  # pixels, of labels


def window(name, images, num_values):
    """The (low, high) to show a list of arrays with: percentiles above 256 values, which it prints."""
    if num_values <= 256:
        return 0, num_values - 1
    low, high = np.percentile(np.concatenate([np.ravel(x) for x in images]), _PERCENTILES)
    percentiles = "percentiles {} and {}".format(*_PERCENTILES)
    print(f"{name}: shown from {low:,.0f} to {high:,.0f} of {num_values - 1:,}, {percentiles}")
    return low, high


def to_rgb(image, num_values, window=None):
    """Images [..., h, w, c] of `num_values` values as RGB, uint8; gray unless they have 3 channels.

    `window` has the values (low, high) shown as black and white, by default the least and the largest.
    """
    low, high = window or (0, num_values - 1)
    scaled = (np.asarray(image, np.float64) - low) * 255 / max(high - low, 1)
    scaled = np.clip(scaled, 0, 255)
    if scaled.shape[-1] != 3:
        scaled = np.repeat(scaled.mean(axis=-1, keepdims=True), 3, axis=-1)
    return np.round(scaled).astype(np.uint8)


def grid(tiles, columns):
    """Tiles in rows of `columns`, each enlarged to about `SIDE`: uint8 [H, W, 3]."""
    # A tile is a list of images, uint8 [h, w, 3], stacked vertically and resized to the largest of all.
    height, width, _ = np.max([image.shape for tile in tiles for image in tile], axis=0)
    enlarged = max(1, SIDE // max(height, width))

    def framed(image):  # [H + 2, W + 2, 3], in a white frame
        resized = Image.fromarray(image).resize((width, height), Image.Resampling.NEAREST)
        return np.pad(resized, ((1, 1), (1, 1), (0, 0)), constant_values=255)

    tiles = [np.concatenate([framed(image) for image in tile]) for tile in tiles]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[k : k + columns], axis=1) for k in range(0, len(tiles), columns)]
    return np.concatenate(rows).repeat(enlarged, axis=0).repeat(enlarged, axis=1)


def labeled(rows):
    """A Pillow image of rows (label, images uint8 [N, h, w, 3]), with labels on the left."""
    blank = np.full((1, 1, 3), 255, np.uint8)  # where a row has fewer images
    columns = list(itertools.zip_longest(*(images for _, images in rows), fillvalue=blank))
    images, font = Image.fromarray(grid(columns, len(columns))), ImageFont.load_default(_FONT_SIZE)
    measure = ImageDraw.Draw(images).textbbox
    right = _MARGIN + max(round(measure((0, 0), label, font)[2]) for label, _ in rows)
    picture = ImageOps.expand(images, (right + _MARGIN, 0, 0, 0), "white")
    draw, height = ImageDraw.Draw(picture), picture.height / len(rows)
    for row, (label, _) in enumerate(rows):
        at = right, (row + 0.5) * height
        draw.text(at, label, "black", font, anchor="rm", align="right")
    return picture


def write(path, picture):
    """Writes a Pillow image by `disk.replacing`, in the format of the path's suffix."""
    path = pathlib.Path(path)
    image_format = Image.registered_extensions()[path.suffix.lower()]
    with disk.replacing(path) as opened:
        picture.save(opened, image_format, quality=95, lossless=True)
