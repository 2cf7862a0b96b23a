"""Rounding the weights of a rounded factor, so that rounding them again is exact wherever they are loaded."""

import itertools
import math
from typing import NamedTuple

import numpy as np

from pixelcnn_aux import rounding
from pixelcnn_aux.errors import expect


class _Quantized(NamedTuple):
    """The rounded weights of a layer, float64, and the largest numbers that it computes."""

    kernel: np.ndarray
    bias: np.ndarray
    largest_sum: float  # in units
    largest_output: float


def quantized(factor):
    """The rounded arrays of an `engine.Factor`: dict, part -> dict, path -> float32, as it has them.

    Raises ValueError, which names the layer, if a sum could reach 2 ** 24 of its units, and would not be
    exact.
    """
    network, embedding, found = factor.network, factor.embedding, {}
    parts, added = {"network": network.layers()}, network.sums()
    if embedding is not None:
        parts["embedding"] = [embedding.first, *embedding.stream.layers()]
        added = [*added, embedding.stream.sum_of(embedding.first)]
    for layer in itertools.chain(*parts.values()):
        found[layer] = _of_layer(layer, *_inputs(factor, layer))
        _check_exact(layer.path, found[layer].largest_sum)
    for layers in added:
        largest = sum(found[layer].largest_output for layer in layers)
        _check_exact(" + ".join(layer.path for layer in layers), largest * rounding.SUMS)
    arrays = {}
    for part, layers in parts.items():
        arrays[part] = {}
        for layer in layers:
            v = found[layer].kernel.astype(np.float32)
            norm = np.sqrt(np.square(v).sum(axis=tuple(range(v.ndim - 1))))
            named = {"v": v, "g": norm, "b": found[layer].bias.astype(np.float32)}
            arrays[part] |= {f"{layer.path}/{name}": x for name, x in named.items()}
    return arrays


def _inputs(factor, layer):
    """The inputs of a layer: the units in 1, and the most units of each channel, or of all."""
    kind, embedding = factor.likelihood, factor.embedding
    if embedding is not None and layer is embedding.first:
        values = factor.auxiliary_likelihood.num_values
        return 2.0 ** math.ceil(math.log2(values)), values - 1
    features = 0 if embedding is None else embedding.first.filters
    if not (given := factor.network.inputs(layer, features)):
        return rounding.ACTIVATIONS, rounding.MOST
    units, pixels = max(rounding.ACTIVATIONS, 2.0 ** math.ceil(math.log2(kind.num_values))), 1.0
    if kind.centered:
        units, pixels = rounding.ACTIVATIONS, (kind.num_values - 1) / kind.unit
    most = {"one": 1.0, "feature": rounding.MOST / rounding.ACTIVATIONS, "pixel": pixels}
    return units, units * np.array([most[x] for x in given])


def _of_layer(layer, units, most):
    """`_Quantized` weights of a layer, for inputs as from `_inputs`."""
    v, g, bias = (np.float64(x) for x in layer.raw)
    inputs = tuple(range(v.ndim - 1))
    kernel = v * (g / np.sqrt(np.square(v).sum(axis=inputs)))
    per_kernel = rounding.kernel_units(kernel, bias).astype(np.float64)
    whole, per_bias = np.round(kernel * per_kernel), rounding.ACTIVATIONS * per_kernel
    bias = np.round(bias * per_bias) / per_bias
    sums = (np.abs(whole) * np.reshape(most, (-1, 1))).sum(axis=inputs)
    sums += np.abs(bias) * units * per_kernel
    return _Quantized(whole / per_kernel, bias, sums.max(), (sums / (units * per_kernel)).max())


def _check_exact(path, most):
    expected = f"sums of less than 2 ** 24 units in {path}, which are exact in float32"
    remedy = "Give it fewer channels, or smaller weights"
    expect(most < rounding.EXACT, expected, f"up to {most:,.0f}", remedy)
