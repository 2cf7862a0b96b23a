"""A factor's weights as a file, which names the factor that they belong to."""

import json
import re

import numpy as np

from pixelcnn_aux.runs import tensors

# What of a part's description leaves the meaning of weights as it is.
_NO_MATTER = ("name", "trainable", "dtype", "dropout", "exact", "center_units")


def identity(factor):
    """What weights belong to: dict, the name of a `Factor` and the `meaning` of its weights."""
    return {"factor": factor.name, "meaning": meaning(factor)}


def meaning(factor):
    """What says how the weights of a `Factor` are used: dict of descriptions, as JSON gives them back.

    It is the same whatever the precision, and whether or not the factor rules out images.
    """
    from pixelcnn_aux import serialization  # with Keras, which a folder is found without

    parts = {
        "likelihood": factor.likelihood,
        "network": factor.network,
        "embedding": factor.embedding,
        # Else it only rules values out.
        "fixed_sum": factor.fixed_sum if factor.likelihood.centered else None,
    }
    found = {part: _used(serialization.serialize(of)) for part, of in parts.items()}
    if (given := factor.auxiliary_likelihood) is not None:
        channels = {"num_values": given.num_values, "num_channels": given.num_channels}
        found["auxiliary image"] = channels
    if factor.condition is not None:
        found["condition"] = _used(serialization.serialize(factor.condition))
    return json.loads(json.dumps(found))


def _used(description):
    """A description without what is `_NO_MATTER`."""
    if isinstance(description, dict):
        return {key: _used(x) for key, x in description.items() if key not in _NO_MATTER}
    return description


def named(factor):
    """A factor's weights by the names that they have in files: dict, str -> `keras.Variable`.

    Names are the paths of variables, without the numbers by which Keras tells layers of a class apart: these
    depend on what else the process has made. Where several are the same then, they are counted.
    """
    found = {}
    for weight in factor.weights:
        path = re.sub(r"_\d+(?=/|$)", "", weight.path)
        same = sum(name.split(":")[0] == path for name in found)
        found[f"{path}:{same}" if same else path] = weight
    return found


def save(file, factor, **notes):
    """Writes a factor's weights, and notes beside them, as `tensors.write`."""
    arrays = {name: np.asarray(weight.value) for name, weight in named(factor).items()}
    tensors.write(file, arrays, {**identity(factor), **notes})


def load(file, factor):
    """Gives a factor the weights of a file, all or none.

    Raises OSError and ValueError as `tensors.read`, also for another factor's, and for what is not finite.
    """
    arrays, _ = tensors.read(file, identity(factor))
    for name, array in arrays.items():
        if array.dtype.kind != "f" and array.dtype != np.int8:
            raise ValueError(f"{array.dtype} in the array {name}, expected floats, or int8")
        if not np.isfinite(array).all():
            raise ValueError(f"numbers that are not finite in the array {name}")
    tensors.assign(named(factor), arrays)
