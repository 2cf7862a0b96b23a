"""Networks in NumPy: the embedding, and those of factors, evaluated on whole images or group by group.

They are made from the configuration of the Keras networks of the same names, and built from arrays of their
weights. `scanning` evaluates them pixel by pixel.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from pixelcnn_aux import arguments, sums, topology
from pixelcnn_aux.engine import layers
from pixelcnn_aux.topology import (
    DecidesGroups,
    DecidesInMaskedOrder,
    DecidesInRasterOrder,
    Embeds,
    append_ones,
)

_T = TypeVar("_T")
NETWORKS: dict[str, Any] = {}  # registered name of the Keras class -> class


def register(name: str) -> Callable[[_T], _T]:
    """A decorator that registers a class which evaluates a network of one's own in NumPy.

    It is made from the configuration of the network, and has the attributes of `networks.Network`, `build`,
    a function of `engine.layers.Weights`, and `__call__`, a function of float [B, H, W, C] and a list of
    features that returns the parameters of pixels, float [B, H, W, num_params]. With an attribute `entries`,
    a list of str, configurations with others are refused.

    Args:
      name: str, under which the Keras class is registered, such as "my_package>MyNetwork".
    """

    def decorate(cls: _T) -> _T:
        NETWORKS[name] = cls
        return cls

    return decorate


class Block:
    """A gated residual block; its skips are before, own and after, each if there is one."""

    def __init__(self, weights, path, kind):
        self.conv_in = layers.Convolution(weights, f"{path}/conv_in", kind=kind)
        self.projection = None
        if f"{path}/projection/v" in weights.arrays:
            self.projection = layers.Dense(weights, f"{path}/projection")
        self.conv_out = layers.Convolution(weights, f"{path}/conv_out", kind=kind)

    def kernels(self, channels):
        """The projection's kernels of skips of so many channels, their concat_elus: list of [C, filters]."""
        return topology.kernels_of_parts(self.projection.kernel, channels)

    def __call__(self, x, activated, skips, convolve):
        y = convolve(self.conv_in, activated)
        if skips:
            kernels = self.kernels([skip.shape[-1] for skip in skips])
            y += self.projection.biased(sum(x @ kernel for x, kernel in zip(skips, kernels)))
        return x + layers.gated(convolve(self.conv_out, layers.concat_elu(y)))


def whole(layer, x):
    """The convolution of whole images; scans have others."""
    return layer(x)


class PlainBlock:
    """A residual block without gates; `given` adds to its first convolution."""

    def __init__(self, weights, path, kind):
        self.conv_in = layers.Convolution(weights, f"{path}/conv_in", kind=kind)
        self.conv_out = layers.Convolution(weights, f"{path}/conv_out", kind=kind)
        self.rounded = weights.rounded

    def __call__(self, x, given=0, skips=(), convolve=whole):
        del skips
        y = convolve(self.conv_in, layers.silu(x, self.rounded))
        y += given
        y = convolve(self.conv_out, layers.silu(y, self.rounded))
        y += x
        return y


class Stream:
    """The steps of a topology: see `networks.Stream`."""

    def __init__(self, weights, path, shape, kind, is_gated=True):
        self.topology, self.is_gated = topology.Topology.make(shape), is_gated
        self.levels = self.topology.levels()
        self.steps = []
        for k, step in enumerate(self.topology.steps):
            name = f"{path}/{k}_{step.kind}"
            if step.kind == "block":
                made = (Block if is_gated else PlainBlock)(weights, name, kind)
            elif step.kind == "up":
                made = layers.ConvolutionTranspose(weights, name, kind=kind)
            else:
                stride = 2 if step.kind == "down" else 1
                made = layers.Convolution(weights, name, kind=kind, stride=stride)
            self.steps.append(made)

    def __call__(self, first, before=None, after=None, convolve=whole):
        """`Topology.activations`. With another `convolve`, `first` is a row of an image."""

        def block(layer, x, activated, skips):
            return layer(x, activated, skips, convolve)

        activate = layers.concat_elu if self.is_gated else lambda x: 0
        parts = {"block": block, "convolution": convolve, "activate": activate}
        return self.topology.activations(first, self.steps, before, after, **parts)

    def sum_of(self, first):
        """The layers whose outputs are added up to its last activation, `first` among them."""
        return [first, *(x.conv_out for x in self.steps if isinstance(x, PlainBlock))]


@register("pixelcnn_aux>Embedding")
class Embedding(Embeds):
    """float [B, H, W, C] -> f_w, list of float [B, h, w, filters], finest first."""

    entries = "topology filters kernel_size dropout gated".split()

    def __init__(self, config):
        self.follow(config["topology"], config["kernel_size"])
        self.gated = arguments.flag("gated", config.get("gated", True))

    def build(self, weights):
        self.first = layers.Convolution(weights, "first", kind="unshifted")
        self.stream = Stream(weights, "stream", self.topology, "unshifted", self.gated)

    def __call__(self, x):
        activations, _ = self.stream(self.first(x))
        return [activations[index] for index in self.topology.outputs]

    def sums(self):
        """As of `ParallelPixelCNN`."""
        return [self.stream.sum_of(self.first)]


@register("pixelcnn_aux>PixelCNN")
class PixelCNN(DecidesInRasterOrder):
    """float [B, H, W, C], features -> parameters, float [B, H, W, num_params]: see `networks.PixelCNN`."""

    entries = "topology filters num_params vertical_kernel horizontal_kernel dropout".split()

    def __init__(self, config):
        self.follow(config["topology"])
        self.num_params = config["num_params"]

    def build(self, weights):
        self.above, self.row_above = (
            layers.Convolution(weights, name, kind="vertical") for name in ("above", "row_above")
        )
        self.left = layers.Convolution(weights, "left", kind="horizontal")
        self.vertical, self.horizontal = (
            Stream(weights, kind, self.topology, kind) for kind in ("vertical", "horizontal")
        )
        self.last = layers.Dense(weights, "last")

    def __call__(self, x, features):
        x = append_ones(x)
        given = self.given(features)
        down, right = ((0, 0), (1, 0), (0, 0), (0, 0)), ((0, 0), (0, 0), (1, 0), (0, 0))
        first = np.pad(self.above(x)[:, :-1], down)
        _, vertical = self.vertical(first, after=given)
        first = np.pad(self.row_above(x)[:, :-1], down) + np.pad(self.left(x)[:, :, :-1], right)
        activations, _ = self.horizontal(first, before=vertical, after=given)
        return self.last(layers.elu(activations[-1]))

    def given(self, features):
        """The concat_elu of the features that condition each activation; None without features."""
        features = [x if x is None else layers.concat_elu(x) for x in features]
        return [features[level] for level in self.vertical.levels] if features else None


@register("pixelcnn_aux>ParallelPixelCNN")
class ParallelPixelCNN(DecidesGroups):
    """A network that decides groups of pixels: see `networks.ParallelPixelCNN`."""

    entries = "blocks filters num_params parts kernel_size dropout".split()
    multiple = num_resolutions = 1

    def __init__(self, config):
        self.divide(config["parts"], config["blocks"], config["kernel_size"])
        self.num_params = config["num_params"]

    def build(self, weights):
        self.rounded, indices = weights.rounded, range(len(self.groups))
        self.firsts = [layers.Convolution(weights, f"{k}_first", kind="unshifted") for k in indices]
        self.streams = [
            Stream(weights, f"{k}_stream", shape, "unshifted", is_gated=False)
            for k, shape in enumerate(self.topologies)
        ]
        self.lasts = [layers.Dense(weights, f"{k}_last") for k in indices]

    def __call__(self, x, features):
        return self.all_params(x, features)

    def sums(self):
        """Lists of layers whose outputs are added up."""
        return [stream.sum_of(first) for stream, first in zip(self.streams, self.firsts)]

    def inputs(self, layer, features):
        """The kind of each channel of a first layer's input, with so many features; False of other layers."""
        known = ["one"] + ["feature"] * features
        return layer in self.firsts and known + ["pixel"] * (layer.channels - len(known))

    def known_at_first(self, lattice, features):
        """The inputs of the first group's network: list of float [B, h, w, ...]."""
        ones = np.ones((*lattice, 1), self.lasts[0].kernel.dtype)
        return [ones, *(layers.silu(x, self.rounded) for x in features)]

    def group_params(self, k, known):
        """The parameters of group k, given `known_at_first` and all pixels before: float [B, h, w, P]."""
        x = self.firsts[k](np.concatenate(known, axis=-1))
        for block in self.streams[k].steps:
            x = block(x)
        return self.lasts[k](layers.silu(x, self.rounded))


@register("pixelcnn_aux>MaskedPixelCNN")
class MaskedPixelCNN(DecidesInMaskedOrder):
    """A network of masked convolutions: see `networks.MaskedPixelCNN`."""

    entries = "blocks filters num_params kernel_size side dropout".split()

    def __init__(self, config):
        self.mask(config["blocks"], config["kernel_size"], config["side"])
        self.num_params = config["num_params"]

    def build(self, weights):
        self.rounded = weights.rounded
        self.first = layers.Convolution(weights, "first", kind="masked", itself=False)
        paths = (f"{k}_given" for k in range(1 + self.blocks))
        # An unconditional network has none.
        self.given = [layers.Dense(weights, x) for x in paths if f"{x}/v" in weights.arrays]
        self.stream = Stream(weights, "stream", self.topology, "masked", is_gated=False)
        self.last = layers.Dense(weights, "last")

    def __call__(self, x, features):
        size, features = x.shape[1:3], [layers.silu(f, self.rounded) for f in features]

        def given(k):  # one at a time, since it is as large as an activation
            found = (np.split(self.given[k](f), self.side**2, axis=-1) for f in features)
            return sum(sums.from_places(parts, self.side, size) for parts in found)

        return self.params(self.first(append_ones(x)), map(given, range(1 + self.blocks)))

    def params(self, x, given, convolve=whole):
        """Evaluates all after the first convolution; `given`, an iterator, adds to it and to each block."""
        x += next(given)
        for block in self.stream.steps:
            x = block(x, next(given), convolve=convolve)
        return self.last(layers.silu(x, self.rounded))

    def sums(self):
        """As of `ParallelPixelCNN`."""
        added = self.stream.sum_of(self.first), *([x.conv_in] for x in self.stream.steps)
        return [[*layers, *self.given[k : k + 1]] for k, layers in enumerate(added)]

    def inputs(self, layer, features):
        """As of `ParallelPixelCNN`."""
        return layer is self.first and ["pixel"] * (layer.channels - 1) + ["one"]
