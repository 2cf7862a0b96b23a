"""Pictures of images of any channels and pixel values, side by side."""

import math
import pathlib

import numpy as np
from PIL import Image

from pixelcnn_aux.runs import disk

ENLARGED = 3  # pixels a pixel


def shown(image, num_values):
    """The colors that an image is shown in: uint8 [..., h, w, 3].

    Three channels are shown as colors, and any other number as grays, the mean over them.

    Args:
      image: uint8 [..., h, w, c].
      num_values: int, its pixel values are below it; the largest is shown as 255.
    """
    scaled = np.asarray(image, np.float64) * 255 / max(num_values - 1, 1)
    if scaled.shape[-1] != 3:
        scaled = np.repeat(scaled.mean(axis=-1, keepdims=True), 3, axis=-1)
    return np.round(scaled).astype(np.uint8)


def write(path, tiles):
    """Writes a PNG file of tiles, as of `grid`, in about as many rows as columns; as `disk.replacing`."""
    picture = grid(tiles, math.ceil(math.sqrt(len(tiles))), ENLARGED)
    with disk.replacing(pathlib.Path(path), disk.AGAIN) as opened:
        Image.fromarray(picture).save(opened, "PNG")


def grid(tiles, columns, enlarged):
    """A picture of tiles side by side.

    Args:
      tiles: list of lists of one length, of images uint8 [h, w, 3]: shown one above the other, in the size
        (H, W) of the first one.
      columns: int, tiles in a row; the last row is filled up with white ones.
      enlarged: int, how many pixels wide and high a pixel is shown.

    Returns:
      uint8 [rows * images * (H + 2) * enlarged, columns * (W + 2) * enlarged, 3].
    """
    height, width, _ = tiles[0][0].shape

    def framed(image):  # [H + 2, W + 2, 3], in a white frame
        resized = Image.fromarray(image).resize((width, height), Image.Resampling.NEAREST)
        return np.pad(resized, ((1, 1), (1, 1), (0, 0)), constant_values=255)

    tiles = [np.concatenate([framed(image) for image in tile]) for tile in tiles]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[k : k + columns], axis=1) for k in range(0, len(tiles), columns)]
    return np.concatenate(rows).repeat(enlarged, axis=0).repeat(enlarged, axis=1)
