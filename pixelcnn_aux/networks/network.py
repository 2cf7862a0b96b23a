"""The interface of networks, and the streams of layers that this package's networks consist of."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from pixelcnn_aux import backend, layers, serialization
from pixelcnn_aux.arguments import Size, Tensor
from pixelcnn_aux.errors import expect
from pixelcnn_aux.serialization import register
from pixelcnn_aux.topology import Topology


class Described:
    """A layer that keeps each argument of its constructor in an attribute of its name."""

    def get_config(self):
        """Those arguments, and Keras's; a subclass adds what it keeps by another name."""
        config = backend.layer_config(self)
        names = serialization.arguments_of(type(self))
        own = {x: getattr(self, x) for x in names if x not in config and hasattr(self, x)}
        return {**config, **own}


class LazilyBuilt(Described, keras.Model):
    """A Keras model whose layers are built as they are called, also if it is saved by itself."""

    def build(self, x_shape):
        """Leaves it to the layers. Keras keeps the shapes."""

    def build_from_config(self, config):
        """Makes weights for inputs of the shapes that Keras recorded, before it loads them."""
        shapes = config.get("shapes_dict") or {"x_shape": config["input_shape"]}
        self(*(keras.tree.map_shape_structure(ops.zeros, shape) for shape in shapes.values()))

    def parts(self) -> list[Any]:
        """The layers that the network consists of, in the order of its attributes."""
        return self.layers


class Network(LazilyBuilt):
    """From the pixels of an image to the parameters of their distributions, each from earlier pixels alone.

    A subclass is registered with Keras, and defines `call` and the attributes; docs/extending.md has one.

    Attributes:
      num_params: int, the channels of the output.
      multiple: int; H and W must be multiples of it.
      num_resolutions: int, the number of resolutions at which it takes features, each half of the one before.
      side: int, the height of images over that of the finest features.
      radius: int, how many blocks of side x side pixels it sees in each direction; None if that is unknown.
      period: int, the number of rows of blocks after which it repeats itself.
      check_causality: bool, whether a `Factor` of it checks, on small images, what its parameters depend on;
        False for networks that are too large to be evaluated a few times.
    """

    num_params: int
    multiple: int = 1
    num_resolutions: int = 1
    side: int = 1
    radius: int | None = None
    period: int = 1
    check_causality: bool = True

    def build(self, x_shape, features_shape=()):
        """As `LazilyBuilt.build`."""

    def call(
        self, x: Tensor, features: Sequence[Tensor] = (), training: bool | None = None
    ) -> Tensor:
        """Evaluates the network on whole images.

        Args:
          x: float [B, H, W, C], the pixels as `Factor.network_inputs` scales them.
          features: list of float [B, h, w, F], the embedding of the auxiliary image at each of the network's
            resolutions, finest first; empty for an unconditional network.
          training: bool, whether to drop out.

        Returns:
          float [B, H, W, num_params]. The parameters of a pixel depend on pixels of earlier `turns` alone.
        """
        raise NotImplementedError

    def turns(self, size: Size) -> np.ndarray:
        """The turn in which each pixel of (H, W) is decided, int [H, W]: here, raster order."""
        return np.arange(math.prod(size)).reshape(size)


@register()
class Stream(Described, keras.layers.Layer):
    """The steps of a topology, as layers of one kind of stream: "unshifted", "vertical" or "horizontal".

    Blocks that are not `gated` are `ResidualBlock`s, which take no skips and shift nothing. All activations
    have `filters` channels.
    """

    def __init__(self, topology, stream, filters, *, kernel_size, dropout, gated=True, **kwargs):
        super().__init__(**kwargs)
        self.topology, self.stream, self.filters = Topology.make(topology), stream, filters
        self.kernel_size, self.dropout, self.gated = kernel_size, dropout, gated
        skips = any(step.skip is not None for step in self.topology.steps)
        expected = "a topology without skips, for blocks that are not gated"
        remedy = "Leave its skips out, or have gated blocks"
        expect(gated or not skips, expected, self.topology, remedy)
        size, (convolution, transposed) = (filters, kernel_size), layers.STREAMS[stream]

        def layer(kind, **how):
            if kind == "block":
                block = layers.GatedResidualBlock if gated else layers.ResidualBlock
                return block(*size, stream=stream, dropout=dropout, **how)
            if kind == "up":
                return transposed(*size, **how)
            return convolution(*size, strides=2 if kind == "down" else 1, **how)

        self.steps = [
            layer(step.kind, dtype=self.dtype_policy, name=f"{k}_{step.kind}")
            for k, step in enumerate(self.topology.steps)
        ]

    def build(self, *shapes):
        """Leaves it to the layers, which are built as they are called."""

    def parts(self):
        return self.steps

    def call(self, first, before=None, after=None, training=None):
        """`Topology.activations` and their concat_elu, if gated."""

        def block(layer, x, activated, skips):
            if not self.gated:
                return layer(x, *skips, training=training)
            return layer(x, activated, skips=skips or None, training=training)

        return self.topology.activations(
            first,
            self.steps,
            before,
            after,
            block=block,
            convolution=lambda layer, x: layer(x),
            activate=lambda x: layers.concat_elu(x) if self.gated else None,
        )
