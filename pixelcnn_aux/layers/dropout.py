"""Dropout with few random bits, and masks that can be drawn again."""

from typing import Any

import keras
from keras import ops

from pixelcnn_aux.base import arguments, backend
from pixelcnn_aux.base.arguments import Tensor
from pixelcnn_aux.base.serialization import register
from pixelcnn_aux.networks.network import MAX_DROPOUT


@register()
class Dropout(keras.layers.Layer):
    """Sets elements to zero at a rate, and scales the others to keep the mean.

    It takes 8 random bits per element, a quarter of the bits of a uniform number. Each replica of a
    TensorFlow strategy draws its own masks; under JAX masks do not depend on devices.

    Args:
      rate: float from 0 to 255 / 256, rounded to the nearest multiple of 1 / 256 (attribute `rate`).
    """

    def __init__(self, rate: float, **kwargs: Any):
        super().__init__(**kwargs)
        self._dropped = round(256 * arguments.rate("rate", rate, MAX_DROPOUT))  # values of a byte
        self.rate = self._dropped / 256
        if self._dropped:
            self.seed_generator = keras.random.SeedGenerator()
        self.built = True

    def seed(self, training: bool | None) -> Tensor:
        """The seed of the next mask; None without dropout. A block evaluated twice passes one seed."""
        if not training or not self._dropped:
            return None
        return backend.replica_seed(self.seed_generator.next())

    def call(self, x: Tensor, seed: Tensor = None, training: bool | None = None) -> Tensor:
        seed = self.seed(training) if seed is None else seed
        if seed is None:
            return x
        kept = backend.random_bytes(ops.shape(x), seed) >= self._dropped
        return ops.where(kept, x / (1.0 - self.rate), ops.zeros_like(x))

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}
