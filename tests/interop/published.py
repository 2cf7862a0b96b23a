"""Fixtures of the tests of importers: archives, variables under the authors' names, pickles."""

import functools
import pathlib
from unittest import mock

import numpy as np

import pixelcnn_aux as pa
from pixelcnn_aux.interop import references
from pixelcnn_aux.networks.blocks import GatedResidualBlock
from tests import helpers

DATA = pathlib.Path(__file__).parents[1] / "data"


def archive(name):
    """(an archive's arrays, its variables under the importer's names)."""
    arrays = dict(np.load(DATA / f"{name}.npz", allow_pickle=False))
    variables = {k.removeprefix("var/"): v for k, v in arrays.items() if k.startswith("var/")}
    return arrays, variables


def build_once(test, constructor):
    """Caches the models that importers build until the test ends, since building is slow."""
    build = getattr(references, constructor)

    test.enter_context(mock.patch.object(references, constructor, functools.cache(build)))


# The authors' layers of the autoregressive networks' two streams, with two blocks in each.
VERTICAL = ["draw_down0", "draw_down1"]
HORIZONTAL = ["draw_down_right0", "draw_down_right1"]


@functools.cache
def pyramid(scales, **arguments):
    """A shared pyramid with random weights, for non-square images; tests must not change it."""
    size = (4 * 2 ** (scales - 1), 8 * 2 ** (scales - 1))
    how = {"blocks": 2, "dropout": 0.0, "exact": False, "centered": False, **arguments}
    return helpers.randomized(pa.pyramid(size, (4, 8), **how))


def layer_variables(factor, layer, name):
    """Variables of a layer, or of a block's layers."""
    if isinstance(layer, GatedResidualBlock):
        found = layer_variables(factor, layer.conv_in, f"{name}/conv1")
        found |= layer_variables(factor, layer.conv_out, f"{name}/conv2")
        if layer.projection is not None:
            found |= layer_variables(factor, layer.projection, f"{name}/conv_aux")
        return found
    v, g, b = (factor.weights[f"{layer.path}/{kind}"] for kind in "vgb")
    if v.ndim == 2:
        v = v[None, None]
    if "upsample" in name:
        # Normalization over axes 0, 1, 2 and multiplication by g along axis 3 restore the kernel.
        v = 3 * np.swapaxes(layer.kernel, 2, 3)
        g = np.sqrt(np.sum(np.square(v / 3), axis=(0, 1, 2)))
    return {f"{name}/V": v, f"{name}/g": g, f"{name}/b": b}


def authors_variables(model, embedding_names=()):
    """A pyramid's variables under the authors' names."""
    found = {}
    for scale, factor in enumerate([*model.factors.values()][::-1]):
        network, scale = factor.network, f"Resnet/scale{scale}"
        steps = [*zip(VERTICAL, network.vertical.steps, strict=True)]
        steps += zip(HORIZONTAL, network.horizontal.steps, strict=True)
        steps += [("conv_down", network.above), ("conv_down_2", network.row_above)]
        steps += [("conv_down_right", network.left), ("conv_last", network.last)]
        if factor.embedding:
            steps.append(("conv_first", factor.embedding.first))
            steps += zip(embedding_names, factor.embedding.stream.steps, strict=True)
        for name, layer in steps:
            found |= layer_variables(factor, layer, f"{scale}/{name}")
    return found


@functools.cache
def reference():
    """(archive of the authors' numbers, shared model of its variables); tests must not change it."""
    arrays, variables = archive("authors_pyramid")
    return arrays, variables, pa.interop.authors_pyramid(variables)


def python_2_pickle(variables):
    """A list of (name, array), pickled as by Python 2 with protocol 2: all strings are bytes."""

    def string(data):
        if len(data) < 256:
            return b"U" + bytes([len(data)]) + data
        return b"T" + len(data).to_bytes(4, "little") + data

    def number(value):
        return b"J" + value.to_bytes(4, "little", signed=True)

    def pair(name, array):
        dtype = b"cnumpy\ndtype\n" + string(array.dtype.str[1:].encode()) + b"K\0K\1\x87R"
        dtype += b"(K\3" + string(b"<") + b"NNN" + number(-1) + number(-1) + b"K\0tb"
        shape = b"(" + b"".join(map(number, array.shape)) + b"t"
        empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85" + string(b"b")
        state = b"(K\1" + shape + dtype + b"\x89" + string(array.tobytes()) + b"t"
        return string(name.encode()) + empty + b"\x87R" + state + b"b\x86"

    pairs = [pair(f"{name}:0", array) for name, array in variables.items()]
    return b"\x80\x02](" + b"".join(pairs) + b"e."


class Reduced:
    """An object pickled as a call of a function, such as one that runs a command."""

    def __init__(self, *parts):
        self.parts = parts

    def __reduce__(self):
        return self.parts
