"""The OpenAI PixelCNN++: variables named by kind of layer, counted in the order of creation."""

import collections
import itertools
import re
from typing import Any

from pixelcnn_aux import layers
from pixelcnn_aux.arguments import Size
from pixelcnn_aux.interop.variables import Variables, normalized_parts
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.models import pixelcnn_pp


def openai_pixelcnn_pp(
    variables: dict[str, Any],
    image_size: Size = (32, 32),
    exact: bool = False,
    centered: bool = False,
) -> AuxiliaryModel:
    """The OpenAI PixelCNN++ (Salimans et al., 2017), unconditional.

    Filters, blocks in a segment and mixture components are read off names and shapes.

    Args:
      variables: dict, "model/KIND_K/NAME" -> array, where KIND is "conv2d", "deconv2d" or "dense" and
        K counts each kind in the order of creation; NAME is "V", "g" or "b". Of a checkpoint, give the
        averages, NAME/ExponentialMovingAverage, as NAME: it is by them that OpenAI evaluates.
      image_size: (H, W) that the model samples.
      exact, centered: bool, as for `pixelcnn_pp`.

    Returns:
      `AuxiliaryModel` with one factor, "image".

    Raises:
      ValueError: naming the variable, where one is missing, left over, not finite or of another shape;
        or where they are not those of a PixelCNN++ at three resolutions.
    """
    variables = Variables(variables)
    convolutions = sum(bool(re.fullmatch(r"model/conv2d_\d+/V", name)) for name in variables)
    # First convolutions and resamplings have 7; 2 streams of 2 are in each of 6 n + 2 blocks.
    blocks, remainder = divmod(convolutions - 15, 24)
    if blocks < 1 or remainder:
        raise ValueError(
            "Expected 24 n + 15 convolutions model/conv2d_K/V, as PixelCNN++ with n blocks in a "
            f"segment has at three resolutions. Received: {convolutions}. "
            "Give all variables of such a network."
        )
    filters = variables.channels(r"model/conv2d_0/V")
    # The last of them gives the parameters; the others are the skips inside the network.
    last = max(variables.matching(r"model/dense_(\d+)/V"), key=lambda match: int(match[1]))
    num_params = variables.channels(re.escape(last[0]))
    model = variables.built(
        pixelcnn_pp,
        image_size=image_size,
        filters=filters,
        blocks=blocks,
        num_components=max(1, num_params // 10),
        dropout=0.0,
        exact=exact,
        centered=centered,
    )
    for name, layer in named_layers(model.factors["image"].network):
        variables.assign(layer, name)
    variables.check()
    return model


def named_layers(network):
    """Pairs of OpenAI's name, without its last part, and the weight-normalized layer of a PixelCNN.

    In their order of creation, step by step, the vertical stream's first.
    """
    blocks = itertools.chain(*zip(network.vertical.steps, network.horizontal.steps))
    steps = [network.above, network.row_above, network.left, *blocks, network.last]
    counts = collections.Counter()
    for layer in itertools.chain(*(normalized_parts(step).values() for step in steps)):
        kind = "conv2d"
        if isinstance(layer, (layers.WeightNormDense, layers.Projection)):
            kind = "dense"
        elif isinstance(layer, layers.WeightNormConv2DTranspose):
            kind = "deconv2d"
        yield f"model/{kind}_{counts[kind]}", layer
        counts[kind] += 1
