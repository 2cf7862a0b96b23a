"""Imports weights of two reference implementations: the paper authors' pyramid, and OpenAI's PixelCNN++.

Both are dicts, name -> array. Layer names and their order of creation follow the published code; numbers of
layers, filters and components are inferred from names and shapes.
"""

import collections
import itertools
import math
import re
import statistics
from typing import Any

import numpy as np

from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.arguments import Size
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.models import pixelcnn_pp, pyramid
from pixelcnn_aux.networks import GatedResidualBlock, kernels
from pixelcnn_aux.networks.array_layers import Convolution


def authors_pyramid(
    variables: dict[str, Any],
    base_size: Size = (8, 8),
    *,
    exact: bool = False,
    centered: bool = False,
) -> AuxiliaryModel:
    """Imports the pyramid that the paper's authors published.

    Their demo has 10 blocks in an embedding; section 4.2 has 15. They shrink the full image directly to each
    scale and round halves to even; the model here halves scale by scale (`HalfResolution`), so that some
    values of auxiliary images differ by 1.

    Args:
      variables: dict, "Resnet/scaleK/NAME" -> array, where scale 0 is the finest and the last one the
        unconditional base; NAME ends in "V", "g" or "b".
      base_size: (H, W) of the base; each finer scale doubles height and width.
      exact, centered: bool, as for `chain`. The authors' factors are not centered.

    Returns:
      `AuxiliaryModel` with a factor for each scale, as from `pyramid`.

    Raises:
      ValueError: for a variable that is missing, left over, not finite or of another shape, which it names;
        or for a base size that the embeddings cannot halve.
    """
    scales = _count(variables, r"Resnet/scale(\d+)/.*")
    depth = embedding_blocks = 1
    if scales > 1:
        depth = _count(variables, r"Resnet/scale\d+/down_block(\d+)_\d+/.*")
        embedding_blocks = _count(variables, r"Resnet/scale\d+/(?:down|up)_block\d+_(\d+)/.*")
    base_size = arguments.size("base_size", base_size)
    model = _build(
        variables,
        pyramid,
        image_size=tuple(length * 2 ** (scales - 1) for length in base_size),
        base_size=base_size,
        filters=_channels(variables, r"Resnet/scale\d+/draw_down\d+/conv1/V"),
        blocks=_count(variables, r"Resnet/scale\d+/draw_down(\d+)/.*"),
        embedding_blocks=embedding_blocks,
        depth=depth,
        num_components=max(1, _channels(variables, r"Resnet/scale\d+/conv_last/V") // 10),
        dropout=0.0,
        exact=exact,
        centered=centered,
    )
    named = {
        name: _authors_layers(factor, scale, embedding_blocks, depth)
        for scale, (name, factor) in enumerate(reversed(model.factors.items()))
    }
    return _assigned(model, variables, named, (1, 1), _normalized_as_authors)


def _authors_layers(factor, scale, embedding_blocks, depth):
    """Yields (the authors' name, layer) of a factor."""
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
        for part, layer in _normalized_parts(step).items():
            yield f"Resnet/scale{scale}/{name}{part}", layer


def _embedding_names(blocks, depth):
    yield "conv_first"
    for way, groups in (("down", depth), ("up", depth + 1)):
        for group in range(groups):
            yield from (f"{way}_block{group}_{k}" for k in range(blocks))
            if group < groups - 1:
                yield f"{way}sample{group}"
    yield "conv_representation"


def _normalized_as_authors(layer, v, g):
    """The `v` and `g` of a transposed convolution that give the kernel which the authors' code computes.

    Their kernel is [height, width, out, in] like ours, but normalized over axes 0, 1 and 2, with `g` along
    the last axis. Those of other layers are unchanged.
    """
    if not layer.transposed:
        return v, g
    with np.errstate(invalid="ignore"):  # zeros give NaN, which `_assigned` rejects
        kernel = g * v / np.sqrt(np.sum(np.square(v), axis=(0, 1, 2)))
    lengths = np.sqrt(np.sum(np.square(kernel), axis=(0, 1, 3), keepdims=True))
    # A kernel of length 0 may have any direction.
    return np.where(lengths == 0, np.float32(1), kernel), np.ravel(lengths)


def openai_pixelcnn_pp(
    variables: dict[str, Any],
    image_size: Size = (32, 32),
    *,
    exact: bool = False,
    centered: bool = False,
) -> AuxiliaryModel:
    """Imports OpenAI's unconditional PixelCNN++ (Salimans et al., 2017).

    Args:
      variables: dict, "model/KIND_K/NAME" -> array, where KIND is "conv2d", "deconv2d" or "dense" and
        K counts each kind in the order of creation; NAME is "V", "g" or "b". From a checkpoint, give the
        averages, NAME/ExponentialMovingAverage, as NAME: OpenAI evaluates with them.
      image_size: (H, W) of the images that the model samples.
      exact, centered: bool, as for `pixelcnn_pp`.

    Returns:
      `AuxiliaryModel` with one factor, "image".

    Raises:
      ValueError: for a variable that is missing, left over, not finite or of another shape, which it names;
        or for variables other than of a PixelCNN++ at three resolutions.
    """
    convolutions = _count(variables, r"model/conv2d_(\d+)/V")
    # 7 initial convolutions and resamplings; 6 n + 2 blocks with 2 convolutions in each of 2 streams.
    blocks, remainder = divmod(convolutions - 15, 24)
    expected = "24 n + 15 convolutions model/conv2d_K/V, as in PixelCNN++ of n blocks in a segment"
    remedy = "Give all variables of such a network, at three resolutions"
    expect(blocks >= 1 and not remainder, expected, convolutions, remedy)
    # The last product gives the parameters; the others are skip connections.
    products = _matching(variables, r"model/dense_(\d+)/V")
    last = max(products, key=lambda match: int(match[1]))
    model = _build(
        variables,
        pixelcnn_pp,
        image_size=image_size,
        filters=_channels(variables, r"model/conv2d_0/V"),
        blocks=blocks,
        num_components=max(1, _channels(variables, re.escape(last[0])) // 10),
        dropout=0.0,
        exact=exact,
        centered=centered,
    )
    return _assigned(model, variables, {"image": openai_layers(model.factors["image"].network)})


def openai_layers(network):
    """Yields (OpenAI's name without its last part, layer of a PixelCNN), in the order of creation."""
    blocks = itertools.chain(*zip(network.vertical.steps, network.horizontal.steps))
    steps = [network.above, network.row_above, network.left, *blocks, network.last]
    counts = collections.Counter()
    for layer in itertools.chain(*(_normalized_parts(step).values() for step in steps)):
        prefix = "dense"
        if isinstance(layer, Convolution):
            prefix = "deconv2d" if layer.transposed else "conv2d"
        yield f"model/{prefix}_{counts[prefix]}", layer
        counts[prefix] += 1


def _matching(variables, pattern):
    """Matches of the variable names that match a pattern. Raises ValueError for no matches."""
    arguments.instance("variables", variables, dict)
    for name in variables:
        arguments.instance("the name of a variable", name, str)
    matches = [match for name in variables if (match := re.fullmatch(pattern, name))]
    expected, received = f"variables with names that match {pattern}", f"{len(variables)} others"
    expect(matches, expected, received, "Give all variables of the network")
    return matches


def _count(variables, pattern):
    """Number of distinct values of the pattern's group among variable names."""
    return len({match[1] for match in _matching(variables, pattern)})


def _channels(variables, pattern):
    """Most frequent size of the last axis among variables that match a pattern."""
    shapes = [np.shape(variables[match[0]]) for match in _matching(variables, pattern)]
    return max(1, statistics.mode(shape[-1] if shape else 0 for shape in shapes))


def _build(variables, constructor, **kwargs):
    """constructor(**kwargs), a model; ValueError if it has far more parameters than the variables."""
    limit = 2 * sum(math.prod(np.shape(array)) for array in variables.values())
    model = constructor(**kwargs)
    for name, factor in model.factors.items():  # before allocating memory
        count, why = factor.num_parameters, "twice those of the variables"
        arguments.at_most_parameters(name, count, limit, why)
    return model


def _assigned(model, variables, named, product_axes=(), converted=lambda layer, v, g: (v, g)):
    """The model with all variables, NAME/V, NAME/g and NAME/b, as weights.

    `named` is a dict, name of a factor -> pairs (NAME, layer). `converted` gives a layer's `v` and `g`.
    """
    used = set()
    for factor_name, named_layers in named.items():
        factor, weights = model.factors[factor_name], {}
        for name, layer in named_layers:
            own = {}
            for kind, part in (("v", "V"), ("g", "g"), ("b", "b")):
                shape = factor.shapes[f"{layer.path}/{kind}"].shape
                axes = product_axes if len(shape) == 2 else ()
                used.add(key := f"{name}/{part}")
                own[kind] = _floats(variables, key, axes + shape).reshape(shape)
            own["v"], own["g"] = converted(layer, own["v"], own["g"])
            with np.errstate(all="ignore"):
                kernel = kernels.normalized(layer.arranged(own["v"]), own["g"])
            expected, remedy = (
                f"a direction for each channel in '{name}/V'",
                "Give trained variables",
            )
            expect(np.isfinite(kernel).all(), expected, "one of length 0", remedy)
            weights |= {f"{layer.path}/{kind}": x for kind, x in own.items()}
        model.factors[factor_name] = factor.with_weights(weights)
    left_over = sorted(set(variables) - used)[:5]
    expected, received = "no variables but those of the network", f"also {left_over}"
    expect(not left_over, expected, received, "Leave them out")
    return model


def _floats(variables, name, shape):
    """float32 array of a variable. Raises ValueError unless it is finite and of that shape."""
    array, received = np.zeros(0), "none of that name"
    if name in variables:
        array = np.asarray(variables[name])
        received = f"{array.dtype} of shape {array.shape}"
    fits = array.shape == shape and array.dtype.kind == "f"
    with np.errstate(over="ignore"):
        floats = array.astype(np.float32) if fits else np.array(np.nan)
    expected = f"finite floats of shape {shape} in {name!r}"
    expect(np.isfinite(floats).all(), expected, received, "Give all variables of one network")
    return floats


def _normalized_parts(step):
    """A step's weight-normalized layers: dict, authors' name -> layer; "" for a single layer."""
    if not isinstance(step, GatedResidualBlock):
        return {"": step}
    parts = {"/conv1": step.conv_in, "/conv_aux": step.projection, "/conv2": step.conv_out}
    return {name: layer for name, layer in parts.items() if layer is not None}
