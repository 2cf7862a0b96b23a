"""The named arrays of a reference implementation, and the layers that they go into."""

import math
import re
import statistics

import numpy as np

from pixelcnn_aux import arguments, layers


class Variables(dict):
    """Named arrays, each to be used once. `product_axes`, 1s, are those of 1 x 1 kernels before [in, out]."""

    def __init__(self, variables, product_axes=()):
        arguments.instance("variables", variables, dict)
        for name in variables:
            arguments.instance("the name of a variable", name, str)
        super().__init__(variables)
        self.product_axes = product_axes
        self.layers = {}

    def built(self, build, **arguments_of_build):
        """The model that `build` gives, once it is known that the variables are not far too few for it."""
        most = 2 * sum(math.prod(np.shape(array)) for array in self.values())
        with layers.counting_parameters():  # before there is memory for anything
            for name, factor in build(**arguments_of_build).factors.items():
                arguments.at_most_parameters(
                    name, factor.num_parameters, most, "twice those of the variables"
                )
        return build(**arguments_of_build)

    def matching(self, pattern):
        """The matches of all names that match a pattern. Raises ValueError where there is none."""
        matches = [match for name in self if (match := re.fullmatch(pattern, name))]
        if not matches:
            raise ValueError(
                f"Expected variables with names that match {pattern}. "
                f"Received: {len(self)} others. Give all variables of the network."
            )
        return matches

    def count(self, pattern):
        """How many different numbers the group of a pattern matches."""
        return len({match[1] for match in self.matching(pattern)})

    def channels(self, pattern):
        """The size of the last axis of most variables that match a pattern."""
        shapes = [np.shape(self[match[0]]) for match in self.matching(pattern)]
        return max(1, statistics.mode(shape[-1] if shape else 0 for shape in shapes))

    def assign(self, layer, name):
        """Assigns the variables NAME/V, NAME/g and NAME/b to a layer. Raises ValueError for a wrong one."""
        for weight, part in ((layer.v, "V"), (layer.g, "g"), (layer.b, "b")):
            shape = tuple(weight.shape)
            axes = self.product_axes if len(shape) == 2 else ()
            weight.assign(self._floats(f"{name}/{part}", axes + shape).reshape(shape))
        self.layers[name] = layer

    def _floats(self, name, expected):
        """float32 array of the variable of that name, which is finite and of that shape."""
        array = np.asarray(self[name]) if name in self else None
        if array is not None and array.shape == expected and array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                floats = array.astype(np.float32)
            if np.isfinite(floats).all():
                return floats
        received = "none of that name" if array is None else f"{array.dtype} of shape {array.shape}"
        raise ValueError(
            f"Expected finite floats of shape {expected} in {name!r}. Received: {received}. "
            "Give all variables of one network."
        )

    def check(self):
        """Raises ValueError where a variable was not used, or a kernel has no direction."""
        used = {f"{name}/{part}" for name in self.layers for part in "Vgb"}
        left_over = sorted(set(self) - used)
        if left_over:
            raise ValueError(
                "Expected no variables but those of the network. "
                f"Received: also {left_over[:5]}. Leave them out."
            )
        for name, layer in self.layers.items():
            if not np.isfinite(layers.WeightNorm.kernel(layer)).all():
                raise ValueError(
                    f"Expected a direction for each channel in '{name}/V'. "
                    "Received: one of length 0. Give the variable of a trained network."
                )


def normalized_parts(step):
    """dict, the authors' name -> layer, of a step's weight-normalized layers; "" where it is one layer."""
    if not isinstance(step, layers.GatedResidualBlock):
        return {"": step}
    parts = {"/conv1": step.conv_in, "/conv_aux": step.projection, "/conv2": step.conv_out}
    return {name: layer for name, layer in parts.items() if layer.built}
