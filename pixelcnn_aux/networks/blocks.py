"""Residual blocks, and streams of them: the parts of networks."""

from collections.abc import Callable, Sequence
from typing import Any

from pixelcnn_aux.base import arguments, arrays
from pixelcnn_aux.base.arguments import Size, Tensor
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.networks import activations, kernels
from pixelcnn_aux.networks.array_layers import Layers
from pixelcnn_aux.networks.network import Module
from pixelcnn_aux.networks.topology import Topology


def whole(layer: Any, x: Tensor) -> Tensor:
    """Convolves a whole image; scans convolve rows or pixels instead."""
    return layer(x)


class Block(Module):
    """Two convolutions of a stream with dropout between them."""

    is_block = True

    def __init__(self, filters: int, kernel_size: Size, stream: str, dropout: float = 0.0):
        self.filters, self.kernel_size, self.rate = filters, kernel_size, dropout
        self.stream = arguments.choice("stream", stream, kernels.STREAMS)


class GatedResidualBlock(Block):
    """x + a * sigmoid(b), where (a, b) are the halves of a two-layer convolutional network of x.

    ``conv(concat_elu(x))``, plus a 1 x 1 projection of ``concat_elu(concat(skips))`` if there are skips,
    then dropout, then ``conv(concat_elu(.))`` to twice the channels. Whatever conditions the block pixel by
    pixel is a skip, including f_w(X_hat) of equation (3). A condition of the whole image adds to the bias of
    the second convolution, as h does in PixelCNN++.

    Args:
      filters: int, the channels of x and of the output.
      kernel_size: (height, width) of both convolutions.
      stream: "unshifted", "vertical" or "horizontal".
      dropout: float, the rate of dropout before the second convolution (section 3.3).
    """

    activate = staticmethod(activations.concat_elu)
    gate = staticmethod(activations.gated)

    def make(self, layers: Layers) -> None:
        kernel = self.kernel_size, self.stream
        self.conv_in = layers.convolution("conv_in", self.filters, *kernel)
        self.projection = layers.projection("projection", self.filters)
        self.dropout = layers.dropout("dropout", self.rate)
        # The small initial scale makes the block close to the identity.
        size = activations.HALVES * self.filters, *kernel
        self.conv_out = layers.convolution("conv_out", *size, init_scale=0.1, conditional=True)

    def forward(
        self,
        x: Tensor,
        activated: Tensor = None,
        skips: Sequence[Tensor] = (),
        convolve: Callable[..., Tensor] = whole,
    ) -> Tensor:
        """float [B, H, W, filters] -> the same. `activated` is concat_elu(x); `skips` are activated too."""
        y = convolve(self.conv_in, self.activate(x) if activated is None else activated)
        if skips:
            y += self.projection(skips)
        y = self.dropout(self.activate(y))  # [..., 2 filters]
        return x + self.gate(convolve(self.conv_out, y))


class ResidualBlock(Block):
    """x + conv(silu(conv(silu(x)))): a third of the multiplications of a `GatedResidualBlock`.

    A condition of the whole image adds to the bias of the first convolution.

    Args: as for `GatedResidualBlock`, and `stream` may be "masked".
    """

    def make(self, layers: Layers) -> None:
        size = self.filters, self.kernel_size, self.stream
        self.rounded = layers.rounded
        self.conv_in = layers.convolution("conv_in", *size, conditional=True)
        self.dropout = layers.dropout("dropout", self.rate)
        self.conv_out = layers.convolution("conv_out", *size, init_scale=0.1)

    def forward(
        self,
        x: Tensor,
        added: Tensor = None,
        convolve: Callable[..., Tensor] = whole,
    ) -> Tensor:
        """float [..., filters] -> the same; `added` is added to the first convolution's output."""
        y = convolve(self.conv_in, activations.silu(x, self.rounded))
        if added is not None:
            y += arrays.cast(added, y.dtype)
        y = self.dropout(activations.silu(y, self.rounded))
        y = convolve(self.conv_out, y)
        y += x
        return y


def convolutions(step: Any) -> Sequence[Any]:
    """The convolutions of a step of a stream."""
    return (step.conv_in, step.conv_out) if hasattr(step, "conv_in") else (step,)


class Stream(Module):
    """The steps of a topology as layers of one `stream`, one of `kernels.STREAMS`.

    Blocks that are not `gated` are `ResidualBlock`s, whose only skips are those of `after`. All activations
    have `filters` channels.
    """

    def __init__(
        self,
        topology: Topology,
        stream: str,
        filters: int,
        *,
        kernel_size: Size,
        dropout: float,
        gated: bool = True,
    ):
        self.topology, self.stream, self.filters = topology, stream, filters
        self.kernel_size, self.dropout, self.gated = kernel_size, dropout, gated
        self.levels = self.topology.levels()
        fits = gated or all(step.skip is None for step in self.topology.steps)
        expected = "a topology without skips, for blocks that are not gated"
        expect(fits, expected, self.topology, "Leave its skips out, or have gated blocks")

    def make(self, layers: Layers) -> None:
        block = GatedResidualBlock if self.gated else ResidualBlock
        size = self.filters, self.kernel_size, self.stream
        self.steps, self.dtype = [], layers.dtype
        for k, step in enumerate(self.topology.steps):
            name = f"{k}_{step.kind}"
            if step.kind == "block":
                layer = layers.part(name, block(*size, self.dropout))
            elif step.kind == "up":
                layer = layers.transposed(name, *size)
            else:
                layer = layers.convolution(name, *size, stride=2 if step.kind == "down" else 1)
            self.steps.append(layer)

    def forward(
        self,
        first: Tensor,
        before: Sequence[Tensor] | None = None,
        after: Sequence[Tensor] | None = None,
        convolve: Callable[..., Tensor] | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """`Topology.activations` of images; of rows or pixels, which a scan's `convolve` convolves."""
        options: Any = {} if convolve is None else {"convolve": convolve}
        if self.dtype is not None:  # mixed precision
            first = arrays.cast(first, self.dtype)

        def block(layer, x, activated, skips):
            if self.gated:
                return layer(x, activated, skips, **options)
            return layer(x, *skips, **options)

        activate = GatedResidualBlock.activate if self.gated else lambda x: None
        functions: Any = {"block": block, "convolution": convolve or whole, "activate": activate}
        return self.topology.activations(first, self.steps, before, after, **functions)

    def sum_of(self, first: Any) -> list[Any]:
        """Layers whose outputs add up to the last activation of an ungated stream, `first` included."""
        return [first, *(x.conv_out for x in self.steps if isinstance(x, ResidualBlock))]
