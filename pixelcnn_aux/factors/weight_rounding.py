"""Rounding of a rounded factor's weights, which a second rounding on any machine leaves unchanged."""

import itertools
import math

import numpy as np

from pixelcnn_aux.base import rounding
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.networks import kernels

_TOLERANCE = 2.0**-8  # units: far more than errors of normalization


def rounded_weights(factor):
    """Rounded weights of a rounded factor, path -> float32; and whether they were whole before.

    Raises ValueError for inexact sums.
    """
    layers = factor.layers()
    factor = factor.with_layers(layers)
    modules, weights, largest, changes = factor.modules, {}, {}, []
    for layer in layers.made_layers.values():
        inputs = _inputs(factor, layer)
        kernel, bias, largest_sum, largest[layer], change = _of_layer(layers, layer, *inputs)
        changes.append(change)
        _check_exact(layer.path, largest_sum)
        v = kernel.astype(np.float32)
        norm = np.sqrt(np.square(v).sum(axis=tuple(range(v.ndim - 1))))
        named = {"v": v, "g": norm, "b": bias.astype(np.float32)}
        weights |= {f"{layer.path}/{name}": x for name, x in named.items()}
    for layers in itertools.chain(*(part.summed_layers() for part in modules.values())):
        most = rounding.SUMS * sum(largest[layer] for layer in layers)
        _check_exact(" + ".join(layer.path for layer in layers), most)
    return weights, max(changes) < _TOLERANCE


def _inputs(factor, layer):
    """A layer's input units per 1, and the largest number of units of each channel, or of all."""
    likelihood, embedding = factor.likelihood, factor.embedding
    if embedding is not None and layer is embedding.first:
        auxiliary = factor.auxiliary_likelihood
        kinds = [_pixel_units(auxiliary)]
        if embedding.differences:
            kinds += [_difference_units(auxiliary, likelihood.unit)] * 2
        return _same_units(np.repeat(kinds, auxiliary.num_channels, axis=0))
    features = 0 if embedding is None else embedding.first.filters
    if not (sources := factor.network.input_kinds(layer, features)):
        return rounding.ACTIVATIONS, rounding.MOST
    pixel = _pixel_units(likelihood)
    if likelihood.centered:
        pixel = _difference_units(likelihood, likelihood.unit)
    activation = rounding.ACTIVATIONS, rounding.MOST
    kinds = {"one": (rounding.ACTIVATIONS,) * 2, "feature": activation, "pixel": pixel}
    return _same_units([kinds[source] for source in sources])


def _same_units(channels):
    """(units, largest) of each channel -> the most units, and the largest number of those by channel."""
    units = max(units for units, _ in channels)
    return units, np.array([units / own * largest for own, largest in channels])


def _pixel_units(likelihood):
    """The units per 1 of pixels that are not centered, and the largest number of units."""
    units = 2.0 ** math.ceil(math.log2(likelihood.num_values))
    if units <= rounding.PIXELS:
        return units, likelihood.num_values - 1
    return rounding.PIXELS, rounding.PIXELS


def _difference_units(likelihood, unit):
    """The units per 1 of differences between pixels in `unit`, and the largest number of units."""
    units = rounding.deviation_units(unit)
    return units, min((likelihood.num_values - 1) / unit * units, rounding.FARTHEST)


def _of_layer(layers, layer, units, most):
    """A layer's rounded kernel and bias, largest sum in units, largest output, and change: float64."""
    v, g, bias = (np.float64(x) for x in layers.raw(layer.path, layer))
    inputs, kernel = tuple(range(v.ndim - 1)), kernels.normalized(v, g)
    per_kernel = rounding.kernel_units(kernel, bias).astype(np.float64)
    whole, per_bias = np.round(kernel * per_kernel), rounding.ACTIVATIONS * per_kernel
    whole_bias = np.round(bias * per_bias)
    pairs = (kernel * per_kernel, whole), (bias * per_bias, whole_bias)
    change, bias = max(np.abs(x - y).max() for x, y in pairs), whole_bias / per_bias
    sums = (np.abs(whole) * np.reshape(most, (-1, 1))).sum(axis=inputs)
    sums += np.abs(bias) * units * per_kernel
    return whole / per_kernel, bias, sums.max(), (sums / (units * per_kernel)).max(), change


def _check_exact(path, most):
    expected = f"sums of less than 2 ** 24 units in {path}, which are exact in float32"
    remedy = "Give it fewer channels, or smaller weights"
    expect(most < rounding.EXACT, expected, f"up to {most:,.0f}", remedy)
