"""Images of any channels and pixel values as RGB, and grids of them."""

import numpy as np
from PIL import Image


def to_rgb(image, num_values):
    """uint8 [..., h, w, c] below `num_values` as RGB, 0 to 255; other numbers of channels become gray."""
    scaled = np.asarray(image, np.float64) * 255 / max(num_values - 1, 1)
    if scaled.shape[-1] != 3:
        scaled = np.repeat(scaled.mean(axis=-1, keepdims=True), 3, axis=-1)
    return np.round(scaled).astype(np.uint8)


def grid(tiles, columns, enlarged):
    """A picture of rows of so many tiles, each pixel `enlarged` so many times: uint8 [..., ..., 3].

    A tile is a list of images, uint8 [h, w, 3], one above the other in the size of the first one.
    """
    height, width, _ = tiles[0][0].shape

    def framed(image):  # [H + 2, W + 2, 3], in a white frame
        resized = Image.fromarray(image).resize((width, height), Image.Resampling.NEAREST)
        return np.pad(resized, ((1, 1), (1, 1), (0, 0)), constant_values=255)

    tiles = [np.concatenate([framed(image) for image in tile]) for tile in tiles]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[k : k + columns], axis=1) for k in range(0, len(tiles), columns)]
    return np.concatenate(rows).repeat(enlarged, axis=0).repeat(enlarged, axis=1)
