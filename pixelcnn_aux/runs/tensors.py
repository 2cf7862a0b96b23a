"""Sealed files of arrays, in the format safetensors, and a factor's weights as such a file.

The seal is the SHA-256 of the file with zeros in place of its 64 digits, which are part of the metadata. It
is compared before anything in the file is interpreted. Any reader of safetensors reads the file.
"""

import hashlib
import json
import math
import re

import numpy as np
import safetensors
import safetensors.numpy

from pixelcnn_aux.base import disk, serialization

_NO_DIGEST = "0" * 64
# One entry of metadata, since safetensors writes several in any order.
_NOTES = "pixelcnn_aux"
_SEAL = re.compile(rb'\\"sha256\\": \\"([0-9a-f]{64})\\"')
_LONGEST_HEADER = 2**24  # bytes, many times what a model needs
# The parts of a description that do not change the meaning of weights.
_NO_MATTER = ("name", "trainable", "dtype", "dropout", "exact", "center_units")


def write(file, arrays, notes, then=disk.RETRY):
    """Writes a dict, name -> np.ndarray, with notes, a dict that JSON can hold; as `disk.replacing`."""
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    metadata = {_NOTES: json.dumps({"sha256": _NO_DIGEST, **notes})}
    contents = memoryview(safetensors.numpy.save(arrays, metadata))
    start, end = _seal(contents).span(1)
    digest = _digest(contents, start, end).encode()
    with disk.replacing(file, then) as opened:
        for part in (contents[:start], digest, contents[end:]):
            opened.write(part)


def read(file, expected_notes=None):
    """(arrays, notes) of a file, as `write` was given them. ValueError for damage, and other notes."""
    contents = disk.contents(file)
    found, expected = _notes(contents), expected_notes or {}
    received = {key: found.get(key) for key in expected}
    if differences := disk.differences(expected, received, most=2):
        raise ValueError(f"it belongs to another factor: {differences:.300}")
    try:
        return safetensors.numpy.load(contents), found
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise ValueError(_summary(error)) from error


def notes(file):
    """The notes of a file. Raises OSError and ValueError as `read`."""
    return _notes(disk.contents(file))


def count(file):
    """int, how many numbers a file has, from its header alone; None for a damaged file."""
    try:
        with disk.opened(file), safetensors.safe_open(file, "numpy") as opened:
            shapes = [opened.get_slice(name).get_shape() for name in opened.keys()]
    except (OSError, safetensors.SafetensorError):
        return None
    return sum(map(math.prod, shapes))


def assign(variables, arrays):
    """Assigns arrays to Keras variables of the same names and shapes, all or, with ValueError, none."""
    expected = {name: tuple(variable.shape) for name, variable in variables.items()}
    received = {name: array.shape for name, array in arrays.items()}
    for name in {**expected, **received}:
        if expected.get(name) != received.get(name):
            shapes = (str(of.get(name, "nothing")) for of in (received, expected))
            raise ValueError(f"another network: {' instead of '.join(shapes)} as {name:.200}")
    for name, variable in variables.items():
        variable.assign(arrays[name].astype(variable.dtype))


def _seal(contents):
    """The place of the digest in the bytes of a file: a match of `_SEAL`, or None."""
    length = int.from_bytes(contents[:8], "little")
    return _SEAL.search(contents, 8, 8 + min(length, _LONGEST_HEADER))


def _digest(contents, start, end):
    """The SHA-256, in hexadecimal, of bytes with zeros from `start` to `end`."""
    digest = hashlib.sha256(memoryview(contents)[:start])
    digest.update(_NO_DIGEST.encode())
    digest.update(memoryview(contents)[end:])
    return digest.hexdigest()


def _notes(contents):
    """The notes in the bytes of a file. Raises ValueError if the seal is broken."""
    seal = _seal(contents)
    if not seal:
        raise ValueError("no file of sealed arrays")
    if _digest(contents, *seal.span(1)) != seal[1].decode():
        raise ValueError("its bytes are not those that were written: their checksum differs")
    length = int.from_bytes(contents[:8], "little")
    try:
        found = json.loads(json.loads(contents[8 : 8 + length])["__metadata__"][_NOTES])
        del found["sha256"]
        return found
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(_summary(error)) from error


def _summary(error):
    return f"{type(error).__name__}: {error}".splitlines()[0]


def save_weights(file, factor, **notes):
    """Writes a factor's weights, with notes, as `write`."""
    weights = serialization.named_weights(factor.as_keras())
    arrays = {name: np.asarray(weight.value) for name, weight in weights.items()}
    write(file, arrays, {**identity(factor), **notes})


def read_weights(file, expected_notes):
    """The arrays of a file of weights. Raises as `read`, also for numbers not finite."""
    arrays, _ = read(file, expected_notes)
    for name, array in arrays.items():
        if array.dtype.kind != "f" and array.dtype != np.int8:
            raise ValueError(f"{array.dtype} in the array {name}, expected floats, or int8")
        if not np.isfinite(array).all():
            raise ValueError(f"numbers that are not finite in the array {name}")
    return arrays


def identity(factor):
    """The notes by which weights are known to be a factor's: its name, and the `meaning` of its weights."""
    return {"factor": factor.name, "meaning": meaning(factor)}


def meaning(factor):
    """How a factor's weights are used, whatever its precision and exactness: dict, as JSON gives it back."""

    def used(description):
        if isinstance(description, dict):
            return {key: used(x) for key, x in description.items() if key not in _NO_MATTER}
        return description

    config = factor.get_config()
    found = {part: used(config[part]) for part in ("likelihood", "network", "embedding")}
    # Of a likelihood that is not centered, the sum only rules values out.
    found["fixed_sum"] = used(config["fixed_sum"]) if factor.likelihood.centered else None
    if (given := factor.auxiliary_likelihood) is not None:
        channels = {"num_values": given.num_values, "num_channels": given.num_channels}
        found["auxiliary image"] = channels
    if factor.condition is not None:
        found["condition"] = used(config["condition"])
    return json.loads(json.dumps(found))


def fingerprint(model):
    """The SHA-256, in hexadecimal, of a model's description and weights."""
    digest = hashlib.sha256(json.dumps(model.description(), sort_keys=True).encode())
    for factor in model.factors.values():
        for weight in factor.weights:
            digest.update(np.ascontiguousarray(weight).data)
    return digest.hexdigest()
