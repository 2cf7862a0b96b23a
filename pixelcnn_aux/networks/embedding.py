"""The embedding f_w of an auxiliary image, equation (3)."""

import keras
from keras import ops

from pixelcnn_aux import arguments, layers
from pixelcnn_aux.networks.stream import Stream, check_sides
from pixelcnn_aux.networks.topology import Topology
from pixelcnn_aux.serialization import register


@register()
class Embedding(keras.Model):
    """Features of an auxiliary image: one stream of blocks, none of them shifted (section 3.3).

    Args:
      topology: a `Topology`; its outputs are the features.
      filters: int, the channels of the stream and of the features.
      kernel_size: (height, width) of all convolutions.
      dropout: float, the rate in the blocks.

    Raises:
      ValueError: for arguments of other types, or out of range.
    """

    def __init__(self, topology, filters, kernel_size=(3, 3), dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.autocast = False
        filters = arguments.whole("filters", filters)
        dropout = arguments.rate("dropout", dropout, layers.MAX_DROPOUT)
        kernel_size = arguments.size("kernel_size", kernel_size)
        self.topology = Topology.make(topology)
        self._arguments = {"filters": filters, "kernel_size": list(kernel_size), "dropout": dropout}
        full, dtype = self.variable_dtype, self.dtype_policy  # as in `PixelCNN`
        self.first = layers.WeightNormConv2D(filters, kernel_size, dtype=full, name="first")
        self.stream = Stream(
            self.topology, "unshifted", filters, kernel_size, dropout, dtype=dtype, name="stream"
        )

    def parts(self):
        """The layers that the network consists of."""
        return [self.first, self.stream]

    def num_parameters(self, channels):
        """int, of all weights that it has or will have, of images of so many channels."""
        return self.first.num_parameters(channels) + self.stream.num_parameters()

    @property
    def num_features(self):
        """int, the channels of the features."""
        return self._arguments["filters"]

    def get_config(self):
        return {**super().get_config(), "topology": self.topology, **self._arguments}

    def get_build_config(self):
        """What its weights were made for, which Keras saves beside the arguments; None without weights."""
        return {"channels": self.first.v.shape[2]} if self.first.built else None

    def build_from_config(self, config):
        """Makes such weights: Keras, before it loads them."""
        channels = arguments.whole("channels", config["channels"])
        side = 2 ** max(self.topology.levels())
        self(ops.zeros([1, side, side, channels], self.variable_dtype))

    def call(self, x, training=None):
        """f_w of scaled images.

        Args:
          x: float [B, H, W, C], an auxiliary image scaled to [-1, 1].

        Returns:
          list of float [B, h, w, filters], one per resolution, finest first.

        Raises:
          ValueError: where the down-sampling does not divide H or W.
        """
        check_sides(x, self.topology)
        activations, _ = self.stream(self.first(x), training=training)
        return [activations[index] for index in self.topology.outputs]
