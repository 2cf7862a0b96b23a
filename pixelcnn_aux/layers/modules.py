"""The modules of `networks` as layers and models of Keras, and the maker of their layers."""

import functools
from collections.abc import Sequence
from typing import Any

import keras

from pixelcnn_aux.base.arguments import Size, Tensor
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.serialization import register
from pixelcnn_aux.layers import contexts, shifted, weight_norm
from pixelcnn_aux.layers.dropout import Dropout
from pixelcnn_aux.networks import blocks
from pixelcnn_aux.networks.network import Module, Network

# The convolution of each kind of stream, and the transposed convolution that doubles the resolution.
STREAMS: dict[str, tuple[Any, Any]] = {
    "unshifted": (weight_norm.WeightNormConv2D, weight_norm.WeightNormConv2DTranspose),
    "vertical": (shifted.DownShiftedConv2D, shifted.DownShiftedConv2DTranspose),
    "horizontal": (shifted.DownRightShiftedConv2D, shifted.DownRightShiftedConv2DTranspose),
    "masked": (shifted.MaskedConv2D, None),
}


def made(module: Module, policy: Any, rounded: bool = False) -> Any:
    """A network of `networks` as a Keras model, whose layers are built as they are called."""
    return Maker(policy, rounded).part(None, module)


class Maker:
    """Makes Keras layers of a dtype policy, for floats or, `rounded`, whole numbers (`rounding`).

    Methods take the name of a layer first. Those that are `precise` compute in the policy's dtype of
    variables. Other arguments are those of the layers.
    """

    def __init__(self, policy: Any, rounded: bool):
        self.policy, self.rounded = policy, rounded

    def _layer(self, kind, name, *args, precise=False, **how):
        dtype = self.policy.variable_dtype if precise else self.policy
        return kind(*args, dtype=dtype, name=name, rounded=self.rounded, **how)

    def convolution(
        self, name: str, filters: int, kernel_size: Size, stream: str, **how: Any
    ) -> weight_norm.WeightNormConv2D:
        """The convolution of a stream, one of `kernels.STREAMS`."""
        return self._layer(STREAMS[stream][0], name, filters, kernel_size, **how)

    def transposed(self, name: str, filters: int, kernel_size: Size, stream: str) -> Any:
        """The transposed convolution of a stream."""
        return self._layer(STREAMS[stream][1], name, filters, kernel_size)

    def dense(self, name: str, filters: int, **how: Any) -> weight_norm.WeightNormDense:
        """A product over the channels of each pixel."""
        return self._layer(weight_norm.WeightNormDense, name, filters, **how)

    def projection(self, name: str, filters: int) -> weight_norm.Projection:
        """A product over the channels of several skips."""
        return self._layer(weight_norm.Projection, name, filters)

    def dropout(self, name: str, rate: float) -> Dropout:
        return Dropout(rate, dtype=self.policy, name=name)

    def part(self, name: str | None, module: Any) -> Any:
        """A module in another one, or a network."""
        how = {"dtype": self.policy, "name": name}
        kind: Any = type(module)
        for block in (GatedResidualBlock, ResidualBlock):
            if issubclass(kind, block.block):
                size = module.filters, module.kernel_size, module.stream, module.rate
                return block(*size, rounded=self.rounded, **how)
        return _keras_class(kind)(module, self, **how)


class _Block(keras.layers.Layer):
    """A block of `networks.blocks` as a layer."""

    block: Any  # its class there

    def __init__(
        self,
        filters: int,
        kernel_size: Size,
        stream: str,
        dropout: float = 0.0,
        rounded: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.block.__init__(self, filters, kernel_size, stream, dropout)
        self.make(Maker(self.dtype_policy, rounded))

    def build(self, *shapes):
        """Leaves it to the layers, which are built as they are called."""

    def _evaluated(self, evaluate, training, *inputs):
        dropout = functools.partial(self.dropout, seed=self.dropout.seed(training))
        return contexts.evaluate_block(functools.partial(evaluate, dropout), *inputs)

    def get_config(self):
        own = {"filters": self.filters, "kernel_size": self.kernel_size, "stream": self.stream}
        own |= {"dropout": self.rate, "rounded": self.conv_in.rounded}
        return {**super().get_config(), **own}


@register()
class GatedResidualBlock(_Block, blocks.GatedResidualBlock):
    __doc__ = blocks.GatedResidualBlock.__doc__
    block = blocks.GatedResidualBlock

    def build(self, x_shape, activated_shape=None, skips_shape=None):
        expected = f"{self.filters} channels, the block's filters: it adds to its input"
        received, remedy = f"an input of shape {tuple(x_shape)}", "Build a block of other filters"
        expect(x_shape[-1] == self.filters, expected, received, remedy)
        if contexts.current().counts is not None:
            return
        doubled = (*x_shape[:-1], 2 * self.filters)
        self.conv_in.build(doubled)
        if skips_shape:
            self.projection.build(skips_shape)
        self.conv_out.build(doubled)

    def call(
        self,
        x: Tensor,
        activated: Tensor = None,
        skips: Sequence[Tensor] | None = None,
        training: bool | None = None,
    ) -> Tensor:
        """float [B, H, W, filters] -> float [B, H, W, filters].

        `activated` is concat_elu(x), if the caller has it already. `skips` are the concat_elu of each skip,
        float [..., 2 C_k], as many in all calls.
        """

        def evaluate(dropout, x, activated, *skips):
            return self.forward(x, activated, [*skips], dropout=dropout)

        activated = self.activate(x) if activated is None else activated
        return self._evaluated(evaluate, training, x, activated, *(skips or ()))


@register()
class ResidualBlock(_Block, blocks.ResidualBlock):
    __doc__ = blocks.ResidualBlock.__doc__
    block = blocks.ResidualBlock

    def call(self, x: Tensor, added: Tensor = None, training: bool | None = None) -> Tensor:
        """float [B, H, W, filters] -> float [B, H, W, filters]; `added` adds to the first convolution's."""

        def evaluate(dropout, x, *added):
            return self.forward(x, *added, dropout=dropout)

        return self._evaluated(evaluate, training, x, *([] if added is None else [added]))


@functools.cache
def _keras_class(kind):
    """The Keras class of a class of modules, which has its name."""
    base = _Network if issubclass(kind, Network) else _Module
    base = _Stream if issubclass(kind, blocks.Stream) else base
    return type(kind.__name__, (base, kind), {"__doc__": kind.__doc__, "__module__": __name__})


class _Made:
    """A module with the layers of a maker."""

    def __init__(self, module, maker, **kwargs):
        super().__init__(**kwargs)
        self.module = module  # as it was described
        vars(self).update(vars(module))
        self.make(maker)

    def build(self, *shapes):
        """Leaves it to the layers, which are built as they are called."""


class _Stream(_Made, keras.layers.Layer):
    def call(self, first, before=None, after=None):
        return self.forward(first, before, after)


class _Module(_Made, keras.Model):
    def __init__(self, module, maker, **kwargs):
        super().__init__(module, maker, autocast=False, **kwargs)

    def call(self, x, training=None):
        return self.forward(x)


class _Network(_Module):
    def call(self, x, features=(), training=None):
        return self.forward(x, features)
