"""Transforms and a likelihood that are not the package's own, as its users register them."""

import keras
from keras import ops

import pixelcnn_aux as pa


@keras.saving.register_keras_serializable(package="tests")
class Coin(pa.likelihoods.Likelihood):
    """One channel of two values, with one parameter: the logit of 1."""

    num_channels = 1
    num_values = 2
    num_params = 1
    noise_size = 1

    def _log_prob(self, params, images):
        sign = 1 - 2 * ops.cast(images, params.dtype)
        return -ops.softplus(sign * params)[..., 0]

    def _noise(self, uniforms, mode):
        return ops.log(uniforms) - ops.log1p(-uniforms)

    def _draw(self, params, noise, log_scale_shift):
        return ops.cast(params + noise > 0, "int32")


@keras.saving.register_keras_serializable(package="tests")
class Bright(pa.auxiliary.Transform):
    """1 where the red of an image is above a threshold."""

    channels = 1
    num_values = 2

    def __init__(self, threshold=127):
        self.threshold = threshold

    def __call__(self, images):
        return ops.cast(images[..., :1] > self.threshold, "uint8")

    def likelihood(self):
        return Coin()

    def get_config(self):
        return {"threshold": self.threshold}


@keras.saving.register_keras_serializable(package="tests")
class SmallGray(pa.auxiliary.Transform):
    """A gray of two values, of three channels of two values."""

    channels, num_values = 1, 2

    def __call__(self, images):
        weighted = ops.cast(images, "int32") * ops.convert_to_tensor([3, 5, 1], "int32")
        return ops.cast(ops.sum(weighted, axis=-1, keepdims=True) // 5, "uint8")

    def fixed_sum(self, num_values):
        return pa.sums.FixedSum([[[3, 5, 1]]], step=5, num_values=num_values)
