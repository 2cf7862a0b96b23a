"""The named arrays of a reference implementation, and the layers that they go into."""

import math
import re
import statistics

import numpy as np

from pixelcnn_aux import arguments, layers
from pixelcnn_aux.errors import expect


def matching(variables, pattern):
    """The matches of all names of variables that match a pattern: at least one."""
    arguments.instance("variables", variables, dict)
    for name in variables:
        arguments.instance("the name of a variable", name, str)
    matches = [match for name in variables if (match := re.fullmatch(pattern, name))]
    expected, received = f"variables with names that match {pattern}", f"{len(variables)} others"
    expect(matches, expected, received, "Give all variables of the network")
    return matches


def count(variables, pattern):
    """The number of different values that the group of a pattern matches."""
    return len({match[1] for match in matching(variables, pattern)})


def channels(variables, pattern):
    """The size of the last axis of most variables that match a pattern."""
    shapes = [np.shape(variables[match[0]]) for match in matching(variables, pattern)]
    return max(1, statistics.mode(shape[-1] if shape else 0 for shape in shapes))


def build(variables, constructor, **kwargs):
    """constructor(**kwargs), a model, unless it has far more parameters than the variables."""
    most = 2 * sum(math.prod(np.shape(array)) for array in variables.values())
    with layers.counting_parameters():  # before there is memory for anything
        for name, factor in constructor(**kwargs).factors.items():
            arguments.at_most_parameters(
                name, factor.num_parameters, most, "twice those of the variables"
            )
    return constructor(**kwargs)


def assign(variables, named_layers, product_axes=(), convert=None):
    """Assigns the variables NAME/V, NAME/g and NAME/b to each layer: all variables, if they fit.

    Args:
      variables: dict, name -> array.
      named_layers: iterable of (NAME, `layers.WeightNorm`).
      product_axes: tuple of 1s, the axes of a variable before the [in, out] of a 1 x 1 kernel.
      convert: function that changes a layer after the assignment.
    """
    used = set()
    for name, layer in named_layers:
        for weight, part in ((layer.v, "V"), (layer.g, "g"), (layer.b, "b")):
            shape = tuple(weight.shape)
            axes = product_axes if len(shape) == 2 else ()
            used.add(key := f"{name}/{part}")
            weight.assign(_floats(variables, key, axes + shape).reshape(shape))
        if convert is not None:
            convert(layer)
        direction = np.isfinite(layers.WeightNorm.kernel(layer)).all()
        expected, remedy = f"a direction for each channel in '{name}/V'", "Give trained variables"
        expect(direction, expected, "one of length 0", remedy)
    left_over = sorted(set(variables) - used)[:5]
    expected, received = "no variables but those of the network", f"also {left_over}"
    expect(not left_over, expected, received, "Leave them out")


def _floats(variables, name, shape):
    """float32 array of a variable, which is finite and of that shape."""
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


def normalized_parts(step):
    """dict, the authors' name -> layer, of a step's weight-normalized layers; "" for a step of one layer."""
    if not isinstance(step, layers.GatedResidualBlock):
        return {"": step}
    parts = {"/conv1": step.conv_in, "/conv_aux": step.projection, "/conv2": step.conv_out}
    return {name: layer for name, layer in parts.items() if layer.built}
