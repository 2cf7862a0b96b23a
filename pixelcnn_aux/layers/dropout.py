"""Dropout from one random byte an element."""

from typing import Any

import keras
from keras import ops

from pixelcnn_aux import arguments, backend
from pixelcnn_aux.arguments import Tensor
from pixelcnn_aux.serialization import register

MAX_DROPOUT = 255 / 256


@register()
class Dropout(keras.layers.Layer):
    """Sets elements to zero at a rate, and multiplies the others so that their mean stays.

    It takes 8 random bits for an element, a quarter of what a uniform number takes: the rate is exact to
    1 / 256. Each replica of a strategy draws masks of its own.

    Args:
      rate: float from 0 to 255 / 256; what is meant is the nearest multiple of 1 / 256, as the attribute
        `rate` says.

    Raises:
      ValueError: for a rate out of that range.
    """

    def __init__(self, rate: float, **kwargs: Any):
        super().__init__(**kwargs)
        # Of the values of a byte.
        self._dropped = round(256 * arguments.rate("rate", rate, MAX_DROPOUT))
        self.rate = self._dropped / 256
        if self._dropped:
            self.seed_generator = keras.random.SeedGenerator()
        self.built = True

    def seed(self, training: bool | None) -> Tensor:
        """What the next mask is drawn from; None if there is none to draw.

        It is asked for apart from the call, so that a block which is evaluated again draws the same mask.
        """
        return (
            backend.replica_seed(self.seed_generator.next()) if training and self._dropped else None
        )

    def call(self, x: Tensor, seed: Tensor = None) -> Tensor:
        if seed is None:
            return x
        kept = backend.random_bytes(ops.shape(x), seed) >= self._dropped
        return ops.where(kept, x / (1.0 - self.rate), ops.zeros_like(x))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}
