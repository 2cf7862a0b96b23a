"""One stream of a network: the layers that a topology asks for, evaluated one after another."""

import keras

from pixelcnn_aux import arguments, layers
from pixelcnn_aux.networks.topology import Topology
from pixelcnn_aux.serialization import register


@register()
class Stream(keras.layers.Layer):
    """The steps of a topology as layers of one kind of stream.

    Args:
      topology: a `Topology`.
      stream: "unshifted", "vertical" or "horizontal".
      filters: int, the channels of every activation.
      kernel_size: (height, width) of all convolutions.
      dropout: float, the rate in the blocks.
      gated: bool, whether blocks are `GatedResidualBlock`s; if not, they are `ResidualBlock`s, which take no
        skips and shift nothing.
    """

    def __init__(self, topology, stream, filters, kernel_size, dropout, gated=True, **kwargs):
        super().__init__(**kwargs)
        self.topology = Topology.make(topology)
        self.stream = arguments.choice("stream", stream, layers.STREAMS)
        self.filters = filters = arguments.whole("filters", filters)
        self.kernel_size = kernel_size = arguments.size("kernel_size", kernel_size)
        self.dropout = dropout = arguments.rate("dropout", dropout, layers.MAX_DROPOUT)
        self.gated = arguments.flag("gated", gated)
        if not gated and (
            stream != "unshifted" or any(x.skip is not None for x in self.topology.steps)
        ):
            raise ValueError(
                "Expected an unshifted topology without skips, for blocks that are not gated. Received: "
                f"{stream}, {self.topology}. Leave its skips out, or have gated blocks."
            )
        dtype = self.dtype_policy
        convolution, transposed = layers.STREAMS[stream]

        def layer(index, kind):
            name = f"{index}_{kind}"
            if kind == "block" and not gated:
                return layers.ResidualBlock(filters, kernel_size, dropout, dtype=dtype, name=name)
            if kind == "block":
                return layers.GatedResidualBlock(
                    filters, kernel_size, stream, dropout, dtype=dtype, name=name
                )
            if kind == "down":
                return convolution(filters, kernel_size, strides=2, dtype=dtype, name=name)
            if kind == "up":
                return transposed(filters, kernel_size, dtype=dtype, name=name)
            return convolution(filters, kernel_size, dtype=dtype, name=name)

        self.steps = [layer(k, step.kind) for k, step in enumerate(self.topology.steps)]

    def build(self, *shapes):
        """Leaves it to the layers, which are built as they are called."""

    def parts(self):
        """The layers that the stream consists of."""
        return self.steps

    def get_config(self):
        return {
            **super().get_config(),
            "topology": self.topology,
            "stream": self.stream,
            "filters": self.filters,
            "kernel_size": list(self.kernel_size),
            "dropout": self.dropout,
            "gated": self.gated,
        }

    def call(self, first, before=None, after=None, cache=None, training=None):
        """All activations of the stream.

        Args:
          first: float [..., filters], activation 0.
          before, after: lists with an activated tensor (concat_elu) for each activation, which the
            block that computes it takes as a skip besides its own: in the order before, own, after.
          cache: what evaluates the layers where `first` is a row or a pixel that follows others. Of the
            coarser resolutions, not every row and pixel has activations: those it lacks are None.

        Returns:
          (activations, activated): lists of float [..., filters], and of their concat_elu, which many
          blocks may share; None each where blocks are not gated.
        """
        activations, activated = [first], [self._activated(first)]
        levels = self.topology.levels()
        coarsest = max(levels)  # of the resolutions that have activations here
        for k, (step, layer) in enumerate(zip(self.topology.steps, self.steps), start=1):
            x = activations[-1]
            if min(levels[k - 1 : k + 1]) > coarsest:  # neither its input nor its output is here
                x = None
            elif step.kind == "block" and not self.gated:
                x = layer(x, training=training)
            elif step.kind == "block":
                skips = [before[k]] if before else []
                skips += [] if step.skip is None else [activated[step.skip]]
                skips += [after[k]] if after else []
                x = layer(x, activated[-1], skips=skips or None, cache=cache, training=training)
            else:
                x = layer(x, cache=cache)
                if x is None:
                    coarsest = levels[k] - 1
            activations.append(x)
            activated.append(self._activated(x))
        return activations, activated

    def _activated(self, x):
        return None if x is None or not self.gated else layers.concat_elu(x)
