"""Weights of the reference implementations, brought into this package's networks."""

import collections
import re

import numpy as np

from pixelcnn_aux import layers
from pixelcnn_aux.model import pixelcnn_pp


def openai_pixelcnn_pp(variables, image_size=(32, 32)):
    """The OpenAI PixelCNN++ (Salimans et al., 2017), unconditional.

    Filters, blocks in a segment and mixture components are read off names and shapes.

    Args:
      variables: dict, "model/KIND_K/NAME" -> array, where KIND is "conv2d", "deconv2d" or "dense" and
        K counts each kind in the order of creation; NAME is "V", "g" or "b".
      image_size: (H, W) that the model samples.

    Returns:
      `AuxiliaryModel` with one factor, "image".

    Raises:
      ValueError: naming the variable, where one is missing, left over or of another shape; or where
        they are not those of a PixelCNN++ at three resolutions.
    """
    names = re.compile(r"model/conv2d_\d+/V")
    convolutions = sum(bool(names.fullmatch(name)) for name in variables)
    # First convolutions and resamplings have 7; 2 streams of 2 are in each of 6 n + 2 blocks.
    blocks, remainder = divmod(convolutions - 15, 24)
    if blocks < 1 or remainder:
        raise ValueError(
            "Expected 24 n + 15 convolutions model/conv2d_K/V, as PixelCNN++ with n blocks in a "
            f"segment has at three resolutions. Received: {convolutions}"
        )
    variables = _Variables(variables)
    filters = variables.shape("model/conv2d_0/V")[-1]
    num_params = max(variables.shape(name)[-1] for name in variables if "/dense_" in name)
    model = pixelcnn_pp(image_size, filters, blocks, num_components=num_params // 10, dropout=0.0)

    counts = collections.Counter()
    for layer in _in_order_of_creation(model.factors["image"].network):
        kind = _kind(layer)
        variables.assign(layer, f"model/{kind}_{counts[kind]}")
        counts[kind] += 1
    variables.check_all_used()
    return model


def _in_order_of_creation(network):
    """The weight-normalised layers of a PixelCNN, step by step, the vertical stream's first."""
    yield from (network.above, network.row_above, network.left)
    for steps in zip(network.vertical.steps, network.horizontal.steps):
        for step in steps:
            if isinstance(step, layers.GatedResidualBlock):
                parts = (step.conv_in, step.projection, step.conv_out)
                yield from (part for part in parts if part.built)
            else:
                yield step
    yield network.last


def _kind(layer):
    if isinstance(layer, (layers.WeightNormDense, layers.Projection)):
        return "dense"
    if isinstance(layer, layers.WeightNormConv2DTranspose):
        return "deconv2d"
    return "conv2d"


class _Variables(dict):
    """The arrays of an importer, each to be used once."""

    def __init__(self, variables):
        super().__init__(variables)
        self.used = set()

    def shape(self, name):
        if name not in self:
            raise ValueError(f"Expected a variable {name!r}. Received none of that name.")
        return np.shape(self[name])

    def assign(self, layer, name):
        for weight, part in ((layer.v, "V"), (layer.g, "g"), (layer.b, "b")):
            variable = f"{name}/{part}"
            shape, expected = self.shape(variable), tuple(weight.shape)
            array = np.asarray(self[variable])
            if shape != expected or array.dtype.kind != "f" or not np.isfinite(array).all():
                raise ValueError(
                    f"Expected finite floats of shape {expected} in {variable!r}. "
                    f"Received: {array.dtype} of shape {shape}"
                )
            weight.assign(array)
            self.used.add(variable)

    def check_all_used(self):
        left_over = sorted(set(self) - self.used)
        if left_over:
            raise ValueError(
                f"Expected no variables but those of the network. Received also: {left_over[:5]}"
            )
