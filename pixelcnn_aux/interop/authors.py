"""The pyramid that the paper's authors published: variables named by scale and by layer."""

from typing import Any

import numpy as np

from pixelcnn_aux import arguments, layers
from pixelcnn_aux.arguments import Size
from pixelcnn_aux.interop import variables as named
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.models import pyramid


def authors_pyramid(
    variables: dict[str, Any],
    base_size: Size = (8, 8),
    *,
    exact: bool = False,
    centered: bool = False,
) -> AuxiliaryModel:
    """The pyramid that the paper's authors published.

    Names and shapes tell the numbers of scales, filters, blocks and mixture components, and the embeddings'
    depth: the authors' demo has 10 blocks in an embedding, section 4.2 has 15. The authors shrink the full
    image to each scale at once and round halves to even; the model here halves scale by scale
    (`HalfResolution`), so that some values of auxiliary images differ by 1.

    Args:
      variables: dict, "Resnet/scaleK/NAME" -> array, where scale 0 is the finest and the last one the
        unconditional base; NAME ends in "V", "g" or "b".
      base_size: (H, W) of the base; each scale before it has twice the height and width.
      exact, centered: bool, as for `chain`. The authors' weights are of factors that are not centered.

    Returns:
      `AuxiliaryModel` with a factor for each scale, as from `pyramid`.

    Raises:
      ValueError: naming the variable, if one is missing, left over, not finite or of another shape; or for a
        base size that the embeddings cannot halve.
    """
    scales = named.count(variables, r"Resnet/scale(\d+)/.*")
    depth = embedding_blocks = 1
    if scales > 1:
        depth = named.count(variables, r"Resnet/scale\d+/down_block(\d+)_\d+/.*")
        blocks = r"Resnet/scale\d+/(?:down|up)_block\d+_(\d+)/.*"
        embedding_blocks = named.count(variables, blocks)
    base_size = arguments.size("base_size", base_size)
    num_params = named.channels(variables, r"Resnet/scale\d+/conv_last/V")
    model = named.build(
        variables,
        pyramid,
        image_size=tuple(length * 2 ** (scales - 1) for length in base_size),
        base_size=base_size,
        filters=named.channels(variables, r"Resnet/scale\d+/draw_down\d+/conv1/V"),
        blocks=named.count(variables, r"Resnet/scale\d+/draw_down(\d+)/.*"),
        embedding_blocks=embedding_blocks,
        depth=depth,
        num_components=max(1, num_params // 10),
        dropout=0.0,
        exact=exact,
        centered=centered,
    )
    layers_by_name = _named_layers(model, embedding_blocks, depth)
    named.assign(variables, layers_by_name, product_axes=(1, 1), convert=_normalize_as_authors)
    return model


def _named_layers(model, embedding_blocks, depth):
    """Yields (the authors' name, weight-normalized layer) of all factors, the finest first."""
    for scale, factor in enumerate(reversed(model.factors.values())):
        network, embedding = factor.network, factor.embedding
        steps = [("conv_down", network.above), ("conv_down_2", network.row_above)]
        steps += [("conv_down_right", network.left), ("conv_last", network.last)]
        streams = {"draw_down": network.vertical, "draw_down_right": network.horizontal}
        for name, stream in streams.items():
            steps += [(f"{name}{k}", step) for k, step in enumerate(stream.steps)]
        if embedding is not None:
            names = _embedding_names(embedding_blocks, depth)
            steps += zip(names, [embedding.first, *embedding.stream.steps], strict=True)
        for name, step in steps:
            for part, layer in named.normalized_parts(step).items():
                yield f"Resnet/scale{scale}/{name}{part}", layer


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

    Their kernel is [height, width, out, in] like ours, but normalized over axes 0, 1 and 2, with `g` along
    the last one.
    """
    if not isinstance(layer, layers.WeightNormConv2DTranspose):
        return
    v, g = layer.v.numpy(), layer.g.numpy()
    with np.errstate(invalid="ignore"):  # of zeros: `assign` refuses a kernel of NaN
        kernel = g * v / np.sqrt(np.sum(np.square(v), axis=(0, 1, 2)))
    lengths = np.sqrt(np.sum(np.square(kernel), axis=(0, 1, 3), keepdims=True))
    # A kernel of zeros has length 0, and any direction.
    layer.v.assign(np.where(lengths == 0, 1.0, kernel))
    layer.g.assign(np.ravel(lengths))
