"""Residual blocks, and streams of them: what networks consist of."""

from collections.abc import Callable, Sequence
from typing import Any

from pixelcnn_aux.base import arguments, arrays
from pixelcnn_aux.base.arguments import Size, Tensor
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.networks import activations, kernels
from pixelcnn_aux.networks.network import Module
from pixelcnn_aux.networks.topology import Topology


def whole(layer: Any, x: Tensor) -> Tensor:
    """A convolution of whole images; scans have others."""
    return layer(x)


class Block(Module):
    """Two convolutions of a stream, with dropout between them."""

    def __init__(self, filters: int, kernel_size: Size, stream: str, dropout: float = 0.0):
        self.filters, self.kernel_size, self.rate = filters, kernel_size, dropout
        self.stream = arguments.choice("stream", stream, kernels.STREAMS)


class GatedResidualBlock(Block):
    """x + a * sigmoid(b), where (a, b) are the halves of a two-layer convolutional network of x.

    ``conv(concat_elu(x))``, plus a 1 x 1 projection of ``concat_elu(concat(skips))`` if there are skips,
    then dropout, then ``conv(concat_elu(.))`` to twice the channels. All that conditions the block at a
    pixel is a skip, including f_w(X_hat) of equation (3). A condition of the whole image adds to the bias of
    the second convolution, as PixelCNN++'s h does.

    Args:
      filters: int, the channels of x and of the output.
      kernel_size: (height, width) of both convolutions.
      stream: "unshifted", "vertical" or "horizontal".
      dropout: float, the rate of dropout before the second convolution (section 3.3).
    """

    activate = staticmethod(activations.concat_elu)
    gate = staticmethod(activations.gated)

    def make(self, layers: Any) -> None:
        how = self.kernel_size, self.stream
        self.conv_in = layers.convolution("conv_in", self.filters, *how)
        self.projection = layers.projection("projection", self.filters)
        self.dropout = layers.dropout("dropout", self.rate)
        # A small scale at first: every block starts out close to the identity.
        self.conv_out = layers.convolution(
            "conv_out", 2 * self.filters, *how, init_scale=0.1, conditional=True
        )

    def forward(
        self,
        x: Tensor,
        activated: Tensor = None,
        skips: Sequence[Tensor] = (),
        convolve: Callable[..., Tensor] = whole,
        dropout: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """float [B, H, W, filters] -> the same. `activated` is concat_elu(x), and `skips` those of skips."""
        y = convolve(self.conv_in, self.activate(x) if activated is None else activated)
        if skips:
            y += self.projection(skips)
        y = (dropout or self.dropout)(self.activate(y))  # [..., 2 filters]
        return x + self.gate(convolve(self.conv_out, y))


class ResidualBlock(Block):
    """x + conv(silu(conv(silu(x)))): a third of the products of a `GatedResidualBlock` of as many filters.

    A condition of the whole image adds to the bias of the first convolution.

    Args: as for `GatedResidualBlock`, and a `stream` may be "masked".
    """

    def make(self, layers: Any) -> None:
        how = self.kernel_size, self.stream
        self.rounded = layers.rounded
        self.conv_in = layers.convolution("conv_in", self.filters, *how, conditional=True)
        self.dropout = layers.dropout("dropout", self.rate)
        self.conv_out = layers.convolution("conv_out", self.filters, *how, init_scale=0.1)

    def forward(
        self,
        x: Tensor,
        added: Tensor = None,
        convolve: Callable[..., Tensor] = whole,
        dropout: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """float [..., filters] -> the same; `added` is added to the first convolution's output."""
        y = convolve(self.conv_in, activations.silu(x, self.rounded))
        if added is not None:
            y += arrays.cast(added, y.dtype)
        y = (dropout or self.dropout)(activations.silu(y, self.rounded))
        y = convolve(self.conv_out, y)
        y += x
        return y


class Stream(Module):
    """The steps of a topology, as layers of one kind of stream, of `kernels.STREAMS`.

    Blocks that are not `gated` are `ResidualBlock`s: what comes `after` is added to their first convolution,
    and they take no other skips. All activations have `filters` channels.
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
        skips = any(step.skip is not None for step in self.topology.steps)
        expected = "a topology without skips, for blocks that are not gated"
        remedy = "Leave its skips out, or have gated blocks"
        expect(gated or not skips, expected, self.topology, remedy)

    def make(self, layers: Any) -> None:
        kind = GatedResidualBlock if self.gated else ResidualBlock
        size = self.filters, self.kernel_size, self.stream

        def step(name, kind_of_step):
            if kind_of_step == "block":
                return layers.part(name, kind(*size, self.dropout))
            if kind_of_step == "up":
                return layers.transposed(name, *size)
            return layers.convolution(name, *size, strides=2 if kind_of_step == "down" else 1)

        names = ((f"{k}_{step.kind}", step.kind) for k, step in enumerate(self.topology.steps))
        self.steps = [step(*x) for x in names]

    def forward(
        self,
        first: Tensor,
        before: Sequence[Tensor] | None = None,
        after: Sequence[Tensor] | None = None,
        convolve: Callable[..., Tensor] | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """`Topology.activations`. With another `convolve`, `first` is a row of an image."""
        how: Any = {} if convolve is None else {"convolve": convolve}

        def block(layer, x, activated, skips):
            if self.gated:
                return layer(x, activated, skips, **how)
            return layer(x, *skips, **how)

        return self.topology.activations(
            first,
            self.steps,
            before,
            after,
            block=block,
            convolution=convolve or whole,
            activate=GatedResidualBlock.activate if self.gated else lambda x: None,
        )

    def sum_of(self, first: Any) -> list[Any]:
        """The layers whose outputs are added up to its last activation, `first` among them, if not gated."""
        return [first, *(x.conv_out for x in self.steps if isinstance(x, ResidualBlock))]
