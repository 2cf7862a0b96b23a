"""The embedding f_w of an auxiliary image, equation (3)."""

from collections.abc import Sequence
from typing import Any

from pixelcnn_aux import arguments, layers
from pixelcnn_aux.arguments import Size, Tensor
from pixelcnn_aux.inputs import check_multiple
from pixelcnn_aux.networks.network import LazilyBuilt, Stream
from pixelcnn_aux.serialization import register
from pixelcnn_aux.topology import Embeds, Topology


@register()
class Embedding(LazilyBuilt, Embeds):
    """Features of an auxiliary image: one stream of blocks, none of them shifted (section 3.3).

    Args:
      topology: a `Topology`; its outputs are the features, one for each resolution and the finest first.
      filters: int, the channels of the stream and of the features.
      kernel_size: (height, width) of all convolutions.
      dropout: float, the rate in the blocks.
      gated: bool, whether blocks are gated. Those that are not take a third of the products, and no skips.

    Attributes:
      multiple: int; H and W of its images must be multiples of it.
      ratio: int, the height of the finest features over that of the image.
      num_resolutions: int, of the features.
      radius: int, how many pixels it sees in each direction at most; None if it resamples.

    Raises:
      ValueError: for arguments of other types, or out of range, or outputs that are not each half the
        resolution of the one before.
    """

    optional = ("gated",)

    def __init__(
        self,
        topology: Topology | Sequence,
        filters: int,
        kernel_size: Size = (3, 3),
        *,
        dropout: float = 0.0,
        gated: bool = True,
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)
        self.follow(topology, kernel_size)
        kernel_size = self.kernel_size
        self.filters = filters = arguments.whole("filters", filters)
        self.dropout = dropout = arguments.rate("dropout", dropout, layers.MAX_DROPOUT)
        self.gated = gated = arguments.flag("gated", gated)
        full = self.variable_dtype  # as in `PixelCNN`
        self.first = layers.WeightNormConv2D(filters, kernel_size, dtype=full, name="first")
        how = {"kernel_size": kernel_size, "dropout": dropout, "gated": gated}
        how |= {"dtype": self.dtype_policy, "name": "stream"}
        self.stream = Stream(self.topology, "unshifted", filters, **how)

    def call(self, x: Tensor, training: bool | None = None) -> list[Tensor]:
        """float [B, H, W, C], scaled to [-1, 1] -> f_w, list of float [B, h, w, filters], finest first.

        Raises ValueError for H or W that is not a multiple of `multiple`.
        """
        check_multiple(x, self.multiple)
        first = self.first(x)  # [B, H, W, filters]
        activations, _ = self.stream(first, training=training)
        return [activations[index] for index in self.topology.outputs]
