"""The embedding f_w of an auxiliary image, equation (3)."""

from collections.abc import Sequence
from typing import Any

from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.arguments import Size, Tensor
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.image_checks import check_multiple
from pixelcnn_aux.base.serialization import register
from pixelcnn_aux.networks.array_layers import Layers
from pixelcnn_aux.networks.blocks import Stream
from pixelcnn_aux.networks.network import MAX_DROPOUT, Module
from pixelcnn_aux.networks.topology import Topology


@register()
class Embedding(Module):
    """Features of an auxiliary image, from one stream of unshifted blocks (section 3.3).

    Args:
      topology: a `Topology`, whose outputs are the features, one for each resolution, finest first.
      filters: int, the channels of the stream and of the features.
      kernel_size: (height, width) of all convolutions.
      dropout: float, the rate in the blocks.
      gated: bool, whether blocks are gated. Others take a third of the multiplications, and no skips.
      differences: bool, whether the input has the differences from neighboring pixels beside the pixels,
        which show the last bits of wide values.

    Attributes:
      multiple: int; H and W of its images must be multiples of it.
      ratio: int, the height of the finest features over the height of the image.
      num_resolutions: int, resolutions of the features.
      radius: int, the receptive field in each direction, in pixels; None if it resamples.

    Raises:
      ValueError: for arguments of wrong types or out of range, or outputs that are not each half the
        resolution of the one before.
    """

    optional = ("gated", "differences")

    def __init__(
        self,
        topology: Topology | Sequence,
        filters: int,
        kernel_size: Size = (3, 3),
        *,
        dropout: float = 0.0,
        gated: bool = True,
        differences: bool = False,
    ):
        self.topology = Topology.make(topology)
        self.kernel_size = arguments.size("kernel_size", kernel_size)
        self.filters = arguments.whole("filters", filters)
        self.dropout = arguments.rate("dropout", dropout, MAX_DROPOUT)
        self.gated = arguments.flag("gated", gated)
        self.differences = arguments.flag("differences", differences)
        levels = self.topology.levels()
        # The finest features may be finer than the auxiliary image: as fine as x.
        finest, outputs = min(levels), [levels[index] for index in self.topology.outputs]
        self.num_resolutions = len(outputs)
        expected = "outputs at resolutions that are each half the one before, from the finest on"
        received = f"resolutions divided by {[2.0**level for level in outputs]}"
        halved = outputs == [*range(finest, finest + self.num_resolutions)]
        expect(halved, expected, received, "Choose others")
        self.multiple, self.ratio = 2 ** max(levels), 2**-finest
        convolutions = 1 + 2 * len(self.topology.steps)
        radius = max(self.kernel_size) // 2 * convolutions + self.differences
        self.radius = None if any(levels) else radius

    def make(self, layers: Layers) -> None:
        size = self.filters, self.kernel_size
        self.first = layers.convolution("first", *size, "unshifted", precise=True)
        options: Any = {"kernel_size": self.kernel_size, "dropout": self.dropout}
        stream = Stream(self.topology, "unshifted", self.filters, gated=self.gated, **options)
        self.stream = layers.part("stream", stream)

    def forward(self, x: Tensor) -> list[Tensor]:
        """f_w of `Factor.embedding_input`: [B, H, W, C] -> list of [B, h, w, filters], finest first.

        Raises ValueError if H or W is not a multiple of `multiple`.
        """
        check_multiple(x, self.multiple)
        activations, _ = self.stream(self.first(x))  # of [B, H, W, filters]
        return [activations[index] for index in self.topology.outputs]

    def summed_layers(self) -> list[list[Any]]:
        """See `ParallelPixelCNN.summed_layers`."""
        return [self.stream.sum_of(self.first)]
