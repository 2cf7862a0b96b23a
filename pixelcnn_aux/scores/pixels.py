"""Where in an image its bits are, and where a model expected them."""

import math
from typing import NamedTuple

import numpy as np
from keras import ops

from pixelcnn_aux.arguments import ArrayLike
from pixelcnn_aux.model import AuxiliaryModel


class PixelBits(NamedTuple):
    """Of each pixel of one image, float64 [h, w], in bits: sums over channels."""

    bits: np.ndarray  # -log2 of its probability given the pixels before it
    entropy: np.ndarray  # what these were expected to be


def pixel_bits(
    model: AuxiliaryModel, image: ArrayLike, condition: ArrayLike | None = None
) -> dict[str, PixelBits]:
    """What each pixel of an image takes, and what the model expected it to take, scale by scale.

    Over the number of the full image's values, sums of `bits`, and of these less `entropy`, are the scores
    `bits` and `bits_less_entropy`.

    Args:
      model: `AuxiliaryModel`.
      image: uint8 [H, W, C].
      condition: as for `AuxiliaryModel.log_prob`, of one image.

    Returns:
      dict, name of a factor -> `PixelBits` of its own image.

    Raises:
      ValueError: as `AuxiliaryModel.log_prob`.
      NotImplementedError: for a likelihood that does not tell the probabilities of a channel's values.
    """
    found = model.pixel_nats(np.asarray(image)[np.newaxis], condition)
    return {name: PixelBits(_bits(-x.log_prob), _bits(x.entropy)) for name, x in found.items()}


def _bits(nats):
    [found] = np.asarray(ops.convert_to_numpy(nats), np.float64) / math.log(2.0)
    return found
