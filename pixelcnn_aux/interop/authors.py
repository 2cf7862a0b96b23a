"""The pyramid that the paper's authors published: variables named by scale and by layer."""

from typing import Any

import numpy as np

from pixelcnn_aux import arguments, layers
from pixelcnn_aux.arguments import Size
from pixelcnn_aux.interop.variables import Variables, normalized_parts
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.models import pyramid


def authors_pyramid(
    variables: dict[str, Any],
    base_size: Size = (8, 8),
    exact: bool = False,
    centered: bool = False,
) -> AuxiliaryModel:
    """The pyramid that the paper's authors published.

    Scales, filters, blocks, the embeddings' depth and mixture components are read off names and shapes: their
    demo has 10 blocks in an embedding, where section 4.2 has 15. They shrink the full image to each scale at
    once and round halves to even, and the model here halves scale by scale, `HalfResolution`: some values of
    auxiliary images differ by 1.

    Args:
      variables: dict, "Resnet/scaleK/NAME" -> array, where scale 0 is the finest and the last one the
        unconditional base; NAME ends in "V", "g" or "b".
      base_size: (H, W) of the base; each scale before it has twice the height and width.
      exact: bool, as for `chain`.
      centered: bool, likewise; what weights mean depends on it, and the authors' are not centered.

    Returns:
      `AuxiliaryModel` with a factor for each scale, as of `pyramid`.

    Raises:
      ValueError: naming the variable, where one is missing, left over, not finite or of another shape;
        or for a base size that the embeddings cannot halve.
    """
    variables = Variables(variables, product_axes=(1, 1))
    scales = variables.count(r"Resnet/scale(\d+)/.*")
    depth = embedding_blocks = 1
    if scales > 1:
        depth = variables.count(r"Resnet/scale\d+/down_block(\d+)_\d+/.*")
        embedding_blocks = variables.count(r"Resnet/scale\d+/(?:down|up)_block\d+_(\d+)/.*")
    base_size = arguments.size("base_size", base_size)
    num_params = variables.channels(r"Resnet/scale\d+/conv_last/V")
    model = variables.built(
        pyramid,
        image_size=tuple(length * 2 ** (scales - 1) for length in base_size),
        base_size=base_size,
        filters=variables.channels(r"Resnet/scale\d+/draw_down\d+/conv1/V"),
        blocks=variables.count(r"Resnet/scale\d+/draw_down(\d+)/.*"),
        embedding_blocks=embedding_blocks,
        depth=depth,
        num_components=max(1, num_params // 10),
        dropout=0.0,
        exact=exact,
        centered=centered,
    )
    for scale, factor in enumerate(reversed(model.factors.values())):
        for name, layer in _named_layers(factor, embedding_blocks, depth):
            variables.assign(layer, f"Resnet/scale{scale}/{name}")
            if isinstance(layer, layers.WeightNormConv2DTranspose):
                _normalize_as_authors(layer)
    variables.check()
    return model


def _named_layers(factor, embedding_blocks, depth):
    """Pairs of a name under a scale of the authors' and the weight-normalized layer of a factor."""
    network, embedding = factor.network, factor.embedding
    steps = [("conv_down", network.above), ("conv_down_2", network.row_above)]
    steps.append(("conv_down_right", network.left))
    for name, stream in (("draw_down", network.vertical), ("draw_down_right", network.horizontal)):
        steps += [(f"{name}{k}", step) for k, step in enumerate(stream.steps)]
    steps.append(("conv_last", network.last))
    if embedding is not None:
        names = _embedding_names(embedding_blocks, depth)
        steps += zip(names, [embedding.first, *embedding.stream.steps], strict=True)
    for name, step in steps:
        for part, layer in normalized_parts(step).items():
            yield name + part, layer


def _embedding_names(blocks, depth):
    yield "conv_first"
    for way, groups in (("down", depth), ("up", depth + 1)):
        for group in range(groups):
            yield from (f"{way}_block{group}_{k}" for k in range(blocks))
            if group < groups - 1:
                yield f"{way}sample{group}"
    yield "conv_representation"


def _normalize_as_authors(layer):
    """Gives a transposed convolution the kernel that the authors' code makes of its `v` and `g`.

    Their kernel is [height, width, out, in] like ours, but they normalize it over axes 0, 1 and 2 and apply
    `g` along the last one.
    """
    v, g = layer.v.numpy(), layer.g.numpy()
    # Zeros have a length of 0: the kernel is NaN then, which the last check refuses.
    with np.errstate(invalid="ignore"):
        kernel = g * v / np.sqrt(np.sum(np.square(v), axis=(0, 1, 2)))
    lengths = np.sqrt(np.sum(np.square(kernel), axis=(0, 1, 3), keepdims=True))
    # A kernel of zeros has length 0, and any direction.
    layer.v.assign(np.where(lengths == 0, 1.0, kernel))
    layer.g.assign(np.ravel(lengths))
