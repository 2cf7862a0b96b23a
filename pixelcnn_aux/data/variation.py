"""Augments photographs, so that a model of few generalizes to other sources."""

import io
import math

import numpy as np
from PIL import Image, ImageFilter

from pixelcnn_aux.data import training_batches

_FILTERS = [
    *(Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.HAMMING),
    *(Image.Resampling.BICUBIC, Image.Resampling.LANCZOS),
]
_UNCHANGED = 0.4  # share of squares that are only cropped


def varied(image: np.ndarray, side: int, key: int) -> np.ndarray:
    """Crops a square from a photograph and augments it as another camera or program might have left it.

    At random, it is shrunk down to half its size, converted to gray, toned, sharpened, given noise or grain,
    and compressed by JPEG before or after.

    Args:
      image: uint8 [H, W, C], of 1 or 3 channels.
      side: int, of the square.
      key: int, the seed of all draws.

    Returns:
      uint8 [side, side, C].
    """
    draws = np.random.Generator(np.random.Philox(key=key))
    position = draws.random(2)
    if draws.random() < _UNCHANGED:
        return training_batches.square(image, side, *position)

    def chance(share):
        return draws.random() < share

    source_side = side
    if chance(0.5):
        source_side = min(int(side * draws.uniform(1, 2)), *image.shape[:2])
    picture = Image.fromarray(training_batches.square(image, source_side, *position).squeeze())
    if chance(0.2):
        picture = _as_jpeg(picture, draws)
    picture = picture.resize((side, side), draws.choice(_FILTERS))
    if chance(0.15):
        picture = picture.convert("L").convert(picture.mode)
    if chance(0.4):
        picture = _toned(picture, draws)
    if chance(0.25):
        radius = draws.uniform(0.5, 2)
        percent = int(draws.uniform(20, 150))
        picture = picture.filter(ImageFilter.UnsharpMask(radius, percent, threshold=0))
    if chance(0.35):
        picture = _with_noise(picture, draws)
    if chance(0.2):
        picture = _as_jpeg(picture, draws)
    return np.asarray(picture).reshape(side, side, -1)


def _as_jpeg(picture, draws):
    """Compresses and decodes a picture by JPEG, with randomly aligned blocks."""
    data = io.BytesIO()
    quality = int(draws.uniform(60, 99))
    left, top = draws.integers(0, 8, 2)
    pixels = np.asarray(picture)
    margins = ((top, 0), (left, 0), (0, 0))[: pixels.ndim]
    moved = Image.fromarray(np.pad(pixels, margins, "edge"))
    moved.save(data, "JPEG", quality=quality, subsampling=int(draws.integers(0, 3)))
    return Image.open(data).crop((left, top, *moved.size))


def _toned(picture, draws):
    channels = len(picture.getbands())
    gamma, contrast = np.exp(draws.normal(0, 0.25, 2))
    cast = np.exp(draws.normal(0, 0.08, channels))
    values = (np.arange(256) / 255) ** gamma
    values = ((values - 0.5) * contrast * cast[:, np.newaxis] + 0.5) * 255
    return picture.point(values.clip(0, 255).round().astype(int).ravel().tolist())


def _with_noise(picture, draws):
    """Adds noise, or grain of a few pixels, to each channel separately or to all alike."""
    pixels = np.asarray(picture, np.float32)
    shape = (*pixels.shape[:2], *(draws.choice([1, n]) for n in pixels.shape[2:]))
    noise = draws.normal(0, 1, shape)
    if draws.random() < 0.5:
        for axis in range(2):
            noise = (noise + np.roll(noise, 1, axis)) / math.sqrt(2)
    strength = np.exp(draws.uniform(math.log(0.4), math.log(10)))
    return Image.fromarray((pixels + strength * noise).clip(0, 255).round().astype(np.uint8))
