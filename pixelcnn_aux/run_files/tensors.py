"""Sealed files of arrays, in the safetensors format, and files of a factor's weights.

The seal, in the metadata, is the SHA-256 of the file with zeros in place of the seal's 64 digits. It is
verified before anything else in the file is interpreted. Any safetensors reader can read the file.
"""

import hashlib
import json
import math
import re

import numpy as np
import safetensors
import safetensors.numpy

from pixelcnn_aux.base import disk

_NO_DIGEST = "0" * 64
# The only metadata entry, since safetensors writes entries in any order.
_NOTES = "pixelcnn_aux"
_SEAL = re.compile(rb'\\"sha256\\": \\"([0-9a-f]{64})\\"')
_LARGEST = 1e16  # in size, of a weight: sums of squares are finite in float32
_LONGEST_HEADER = 2**24  # bytes, many times a model's header
# Entries of a description that do not change the meaning of weights.
_IRRELEVANT = ("name", "trainable", "dtype", "dropout", "exact", "center_units")


def write(file, arrays, notes, then=disk.RETRY):
    """Writes arrays, dict name -> np.ndarray, and notes, a JSON-compatible dict, as `disk.replacing`."""
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    metadata = {_NOTES: json.dumps({"sha256": _NO_DIGEST, **notes})}
    contents = memoryview(safetensors.numpy.save(arrays, metadata))
    start, end = _seal(contents).span(1)
    digest = _digest(contents, start, end).encode()
    with disk.replacing(file, then) as opened:
        for part in (contents[:start], digest, contents[end:]):
            opened.write(part)


def read(file, expected_notes=None):
    """Reads (arrays, notes) as written by `write`. Raises ValueError for damage, and other notes."""
    contents = disk.contents(file)
    notes, expected = _notes(contents), expected_notes or {}
    received = {key: notes.get(key) for key in expected}
    if differences := disk.differences(expected, received, most=2):
        raise ValueError(f"it belongs to another factor: {differences:.300}")
    try:
        return safetensors.numpy.load(contents), notes
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise ValueError(_summary(error)) from error


def notes(file):
    """Reads a file's notes. Raises OSError and ValueError as `read`."""
    return _notes(disk.contents(file))


def count(file):
    """Number of array elements in a file, from its header alone: int, or None for a damaged file."""
    try:
        with disk.opened(file), safetensors.safe_open(file, "numpy") as opened:
            shapes = [opened.get_slice(name).get_shape() for name in opened.keys()]
    except (OSError, safetensors.SafetensorError):
        return None
    return sum(map(math.prod, shapes))


def assign(variables, arrays):
    """Assigns arrays to Keras variables of the same names and shapes; all, or none with ValueError."""
    expected = {name: tuple(variable.shape) for name, variable in variables.items()}
    received = {name: array.shape for name, array in arrays.items()}
    for name in {**expected, **received}:
        if expected.get(name) != received.get(name):
            shapes = (str(of.get(name, "nothing")) for of in (received, expected))
            raise ValueError(f"another network: {' instead of '.join(shapes)} as {name:.200}")
    for name, variable in variables.items():
        variable.assign(arrays[name].astype(variable.dtype))


def _seal(contents):
    """Finds the digest in a file's bytes: a match of `_SEAL`, or None."""
    length = int.from_bytes(contents[:8], "little")
    return _SEAL.search(contents, 8, 8 + min(length, _LONGEST_HEADER))


def _digest(contents, start, end):
    """Hexadecimal SHA-256 of bytes with zeros from `start` to `end`."""
    digest = hashlib.sha256(memoryview(contents)[:start])
    digest.update(_NO_DIGEST.encode())
    digest.update(memoryview(contents)[end:])
    return digest.hexdigest()


def _notes(contents):
    """Notes in a file's bytes. Raises ValueError if the seal is broken."""
    seal = _seal(contents)
    if not seal:
        raise ValueError("no file of sealed arrays")
    if _digest(contents, *seal.span(1)) != seal[1].decode():
        raise ValueError("its bytes have changed: their checksum differs")
    length = int.from_bytes(contents[:8], "little")
    try:
        notes = json.loads(json.loads(contents[8 : 8 + length])["__metadata__"][_NOTES])
        del notes["sha256"]
        return notes
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(_summary(error)) from error


def _summary(error):
    return f"{type(error).__name__}: {error}".splitlines()[0]


def save_weights(file, factor, **notes):
    """Writes a factor's weights, with notes."""
    arrays = {f"{factor.name}/{path}": x for path, x in factor.weights.items()}
    write(file, arrays, {**identity(factor), **notes})


def with_arrays(factor, arrays):
    """A factor with the arrays of a file of weights. Raises ValueError for those of another factor.

    Weights are named FACTOR/network/PATH and FACTOR/embedding/PATH. Files of earlier versions have the class
    of the network in place of "network". Training leaves whole numbers unrounded, and they are rounded here.
    """
    weights = {}
    for path, x in arrays.items():
        _, part, *rest = path.split("/")
        part = "embedding" if part == "embedding" else "network"
        weights["/".join((part, *rest))] = x
    if misfit := factor.misfit(weights):
        raise ValueError(misfit)
    factor = factor.with_weights(weights)
    for path, x in factor.kernels().items():
        if not np.isfinite(x).all():
            raise ValueError(f"{path.replace('/kernel', '/v')}, which cannot be normalized")
    return factor.with_rounded_weights() if factor.rounded else factor


def read_weights(file, expected_notes):
    """Reads the arrays of a file of weights. Raises as `read`, and ValueError for non-finite numbers."""
    arrays, _ = read(file, expected_notes)
    for name, array in arrays.items():
        if array.dtype.kind != "f" and array.dtype != np.int8:
            raise ValueError(f"{array.dtype} in the array {name}, expected floats, or int8")
        if not float(np.abs(array).max(initial=0)) < _LARGEST:  # nor NaN
            raise ValueError(f"numbers that are not finite in float32, in the array {name}")
    return arrays


def identity(factor):
    """Notes that identify a factor's weights: its name, and their `meaning`."""
    return {"factor": factor.name, "meaning": meaning(factor)}


def meaning(factor):
    """How a factor uses its weights, regardless of precision and exactness: dict, as parsed from JSON."""

    def relevant(description):
        if isinstance(description, dict):
            return {k: relevant(x) for k, x in description.items() if k not in _IRRELEVANT}
        return description

    config = factor.get_config()
    parts = {part: relevant(config[part]) for part in ("likelihood", "network", "embedding")}
    # If the likelihood is not centered, the sum only excludes values.
    parts["fixed_sum"] = relevant(config["fixed_sum"]) if factor.likelihood.centered else None
    if (auxiliary := factor.auxiliary_likelihood) is not None:
        channels = {"num_values": auxiliary.num_values, "num_channels": auxiliary.num_channels}
        parts["auxiliary image"] = channels
    if factor.condition is not None:
        parts["condition"] = relevant(config["condition"])
    return json.loads(json.dumps(parts))


def fingerprint(model):
    """Hexadecimal SHA-256 of a model's description and weights."""
    digest = hashlib.sha256(json.dumps(model.description(), sort_keys=True).encode())
    for factor in model.factors.values():
        for weight in factor.weights.values():
            digest.update(np.ascontiguousarray(weight).data)
    return digest.hexdigest()
