"""The OpenAI PixelCNN++: variables named by kind of layer, counted in the order of creation."""

import collections
import itertools
import re
from typing import Any

from pixelcnn_aux import layers
from pixelcnn_aux.arguments import Size
from pixelcnn_aux.errors import expect
from pixelcnn_aux.interop import variables as named
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.models import pixelcnn_pp


def openai_pixelcnn_pp(
    variables: dict[str, Any],
    image_size: Size = (32, 32),
    *,
    exact: bool = False,
    centered: bool = False,
) -> AuxiliaryModel:
    """The OpenAI PixelCNN++ (Salimans et al., 2017), unconditional.

    Names and shapes tell the numbers of filters, blocks in a segment and mixture components.

    Args:
      variables: dict, "model/KIND_K/NAME" -> array, where KIND is "conv2d", "deconv2d" or "dense" and
        K counts each kind in the order of creation; NAME is "V", "g" or "b". From a checkpoint, give the
        averages, NAME/ExponentialMovingAverage, as NAME: OpenAI evaluates by them.
      image_size: (H, W) of the images that the model samples.
      exact, centered: bool, as for `pixelcnn_pp`.

    Returns:
      `AuxiliaryModel` with one factor, "image".

    Raises:
      ValueError: naming the variable, if one is missing, left over, not finite or of another shape; or if
        they are not those of a PixelCNN++ at three resolutions.
    """
    convolutions = named.count(variables, r"model/conv2d_(\d+)/V")
    # First convolutions and resamplings have 7; 2 streams of 2 are in each of 6 n + 2 blocks.
    blocks, remainder = divmod(convolutions - 15, 24)
    expected = (
        "24 n + 15 convolutions model/conv2d_K/V, as PixelCNN++ with n blocks in a segment has"
    )
    remedy = "Give all variables of such a network, at three resolutions"
    expect(blocks >= 1 and not remainder, expected, convolutions, remedy)
    # The last product gives the parameters; the others are the skips inside the network.
    products = named.matching(variables, r"model/dense_(\d+)/V")
    last = max(products, key=lambda match: int(match[1]))
    model = named.build(
        variables,
        pixelcnn_pp,
        image_size=image_size,
        filters=named.channels(variables, r"model/conv2d_0/V"),
        blocks=blocks,
        num_components=max(1, named.channels(variables, re.escape(last[0])) // 10),
        dropout=0.0,
        exact=exact,
        centered=centered,
    )
    named.assign(variables, named_layers(model.factors["image"].network))
    return model


def named_layers(network):
    """Yields (OpenAI's name without its last part, weight-normalized layer of a PixelCNN).

    They come in the order of creation: step by step, the vertical stream's first.
    """
    blocks = itertools.chain(*zip(network.vertical.steps, network.horizontal.steps))
    steps = [network.above, network.row_above, network.left, *blocks, network.last]
    counts = collections.Counter()
    for layer in itertools.chain(*(named.normalized_parts(step).values() for step in steps)):
        kind = "dense"
        if isinstance(layer, layers.WeightNormConv2D):
            transposed = isinstance(layer, layers.WeightNormConv2DTranspose)
            kind = "deconv2d" if transposed else "conv2d"
        yield f"model/{kind}_{counts[kind]}", layer
        counts[kind] += 1
