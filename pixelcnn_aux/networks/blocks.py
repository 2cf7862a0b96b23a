"""Residual blocks, and streams of them: the parts of networks."""

from collections.abc import Callable, Sequence
from typing import Any

from pixelcnn_aux.base import arguments, arrays
from pixelcnn_aux.base.arguments import Size, Tensor
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.networks import activations, kernels
from pixelcnn_aux.networks.array_layers import Layers
from pixelcnn_aux.networks.network import Module, shift_down, shift_right
from pixelcnn_aux.networks.topology import Topology


class Whole:
    """How streams are evaluated on whole images. Scans evaluate them on rows or pixels, by other methods."""

    def first(self, x: Any, above: Any, left: Any = None) -> Any:
        """The first activation: convolutions of the rows above each pixel, and of the pixels to its left."""
        y = shift_down(above(x))
        return y if left is None else y + shift_right(left(x))

    def convolve(
        self, layer: Any, x: Any, projection: Any = None, skips: Sequence[Any] = ()
    ) -> Any:
        """A convolution, plus the projection of activated skips."""
        y = layer(x)
        if skips:
            y += projection(skips)
        return y

    def activation(self, y: Any, x: Any = None) -> Any:
        """The activation after a step: y, which is not used any more, plus the input x of a block."""
        if x is not None:
            y += x
        return y

    def activate(self, function: Callable[..., Any], x: Any) -> Any:
        """A function of an activation, which several later layers take."""
        return function(x)


WHOLE = Whole()


class Block(Module):
    """Two convolutions of a stream with dropout between them."""

    is_block = True
    conv_in: Any
    conv_out: Any
    projection: Any = None

    def __init__(self, filters: int, kernel_size: Size, stream: str, dropout: float = 0.0):
        self.filters, self.kernel_size, self.rate = filters, kernel_size, dropout
        self.stream = arguments.choice("stream", stream, kernels.STREAMS)

    def convolutions(self) -> list[tuple[Any, Any]]:
        """Its convolutions, in their order, each with the projection of skips that are added, or None."""
        return [(self.conv_in, self.projection), (self.conv_out, None)]


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
        scan: Any = WHOLE,
    ) -> Tensor:
        """float [B, H, W, filters] -> the same. `activated` is concat_elu(x); `skips` are activated too."""
        activated = self.activate(x) if activated is None else activated
        y = scan.convolve(self.conv_in, activated, self.projection, skips)
        y = self.dropout(self.activate(y))  # [..., 2 filters]
        return scan.activation(self.gate(scan.convolve(self.conv_out, y)), x)


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
        scan: Any = WHOLE,
    ) -> Tensor:
        """float [..., filters] -> the same; `added` is added to the first convolution's output."""
        y = scan.convolve(self.conv_in, activations.silu(x, self.rounded))
        if added is not None:
            y += arrays.cast(added, y.dtype)
        y = self.dropout(activations.silu(y, self.rounded))
        return scan.activation(scan.convolve(self.conv_out, y), x)


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
        scan: Any = WHOLE,
    ) -> tuple[list[Any], list[Any]]:
        """Evaluates the steps, one after another.

        Args:
          first: activation 0, float [B, H, W, filters]; or what a scan has in place of activations. There,
            those of resolutions without this row or pixel are None.
          before, after: lists with a further skip for the block of each activation, or None. The skips of a
            block are the one of `before`, its own, and the one of `after`.
          scan: `Whole`, or a scan with its methods.

        Returns two lists: the activations, None unless they are `outputs`, and all activated ones, or None.
        """
        options: Any = {} if scan is WHOLE else {"scan": scan}
        if self.dtype is not None:  # mixed precision
            first = arrays.cast(first, self.dtype)

        def activated_or_none(x):
            return scan.activate(GatedResidualBlock.activate, x) if self.gated else None

        activations, activated = [first], [activated_or_none(first)]
        levels, outputs = self.levels, self.topology.outputs
        coarsest = max(levels)  # resolution with activations at this row or pixel
        for k, (step, layer) in enumerate(zip(self.topology.steps, self.steps), start=1):
            x = activations[-1]
            if x is None and levels[k] > coarsest:  # both its input and its output are missing
                pass
            elif step.kind == "block":
                skips = [] if before is None else [before[k]]
                skips += [] if step.skip is None else [activated[step.skip]]
                skips += [] if after is None else [after[k]]
                x = layer(x, *((activated[-1], skips) if self.gated else skips), **options)
            else:
                x = scan.activation(scan.convolve(layer, x))
                coarsest = coarsest if x is not None else levels[k] - 1
            if k - 1 not in outputs:
                activations[-1] = None  # frees memory
            activations.append(x)
            activated.append(None if x is None else activated_or_none(x))
        return activations, activated

    def sum_of(self, first: Any) -> list[Any]:
        """Layers whose outputs add up to the last activation of an ungated stream, `first` included."""
        return [first, *(x.conv_out for x in self.steps if isinstance(x, ResidualBlock))]
