"""The modules of `networks` as Keras layers and models, and the maker of their layers."""

import functools
from collections.abc import Sequence
from typing import Any

import keras

from pixelcnn_aux.base.arguments import Size, Tensor
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.serialization import register
from pixelcnn_aux.layers import contexts, shifted, weight_norm
from pixelcnn_aux.layers.dropout import Dropout
from pixelcnn_aux.networks import activations, blocks
from pixelcnn_aux.networks.network import Module, Network

# The convolution of each stream, and the transposed convolution that doubles the resolution.
STREAMS: dict[str, tuple[Any, Any]] = {
    "unshifted": (weight_norm.WeightNormConv2D, weight_norm.WeightNormConv2DTranspose),
    "vertical": (shifted.DownShiftedConv2D, shifted.DownShiftedConv2DTranspose),
    "horizontal": (shifted.DownRightShiftedConv2D, shifted.DownRightShiftedConv2DTranspose),
    "masked": (shifted.MaskedConv2D, None),
}


def made(module: Module, policy: Any, rounded: bool = False) -> Any:
    """A module of `networks` as a Keras model, whose layers are built at their first call."""
    return Maker(policy, rounded).part(None, module)


class Maker:
    """A `networks.LayerMaker` of Keras layers, for floats or, if `rounded`, whole numbers (`rounding`).

    Layers have a dtype policy; those that are `precise` compute in its dtype of variables.
    """

    def __init__(self, policy: Any, rounded: bool):
        self.policy, self.rounded = policy, rounded

    def _layer(self, cls, name, *args, precise=False, **options):
        dtype = self.policy.variable_dtype if precise else self.policy
        return cls(*args, dtype=dtype, name=name, rounded=self.rounded, **options)

    def convolution(
        self, name: str, filters: int, kernel_size: Size, stream: str, **options: Any
    ) -> weight_norm.WeightNormConv2D:
        return self._layer(STREAMS[stream][0], name, filters, kernel_size, **options)

    def transposed(self, name: str, filters: int, kernel_size: Size, stream: str) -> Any:
        return self._layer(STREAMS[stream][1], name, filters, kernel_size)

    def dense(self, name: str, filters: int, **options: Any) -> weight_norm.WeightNormDense:
        return self._layer(weight_norm.WeightNormDense, name, filters, **options)

    def projection(self, name: str, filters: int) -> weight_norm.Projection:
        return self._layer(weight_norm.Projection, name, filters)

    def dropout(self, name: str, rate: float) -> Dropout:
        return Dropout(rate, dtype=self.policy, name=name)

    def part(self, name: str | None, module: Any) -> Any:
        options: Any = {"dtype": self.policy, "name": name}
        for block in (GatedResidualBlock, ResidualBlock):
            if isinstance(module, block.block):
                size = module.filters, module.kernel_size, module.stream, module.rate
                return block(*size, rounded=self.rounded, **options)
        cls: Any = type(module)
        return _keras_class(cls)(module, self, **options)


class _Block(keras.layers.Layer):
    """A block of `networks.blocks` as a layer."""

    block: Any  # its class in `networks.blocks`

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
        """Does nothing: inner layers are built at their first call."""

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
        activated_shape = *x_shape[:-1], activations.HALVES * self.filters
        self.conv_in.build(activated_shape)
        if skips_shape:
            self.projection.build(skips_shape)
        self.conv_out.build(activated_shape)

    def call(
        self,
        x: Tensor,
        activated: Tensor = None,
        skips: Sequence[Tensor] | None = None,
        training: bool | None = None,
    ) -> Tensor:
        """float [B, H, W, filters] -> float [B, H, W, filters].

        `activated` is concat_elu(x), if the caller has it already. `skips` are the concat_elu of each skip,
        float [..., 2 C_k], the same number in all calls.
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
        """float [B, H, W, filters] -> the same. `added` is added to the output of the first convolution."""

        def evaluate(dropout, x, *added):
            return self.forward(x, *added, dropout=dropout)

        return self._evaluated(evaluate, training, x, *([] if added is None else [added]))


@functools.cache
def _keras_class(cls):
    """The Keras class of a subclass of `Module`, with the same name."""
    base = _Network if issubclass(cls, Network) else _Module
    base = _Stream if issubclass(cls, blocks.Stream) else base
    return type(cls.__name__, (base, cls), {"__doc__": cls.__doc__, "__module__": __name__})


class _Made:
    """A module with the layers of a maker."""

    def __init__(self, module, maker, **kwargs):
        super().__init__(**kwargs)
        self.module = module  # without layers
        vars(self).update(vars(module))
        self.make(maker)

    def build(self, *shapes):
        """Does nothing: inner layers are built at their first call."""


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
