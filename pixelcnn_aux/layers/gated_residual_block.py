"""The residual blocks of `networks` as Keras layers."""

from typing import Any

from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.arguments import Size, Tensor
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.serialization import register
from pixelcnn_aux.layers.module_layer import ModuleLayer
from pixelcnn_aux.networks import blocks
from pixelcnn_aux.networks.network import MAX_DROPOUT


class _Block(ModuleLayer):
    block: type[blocks.Block]

    def __init__(
        self, filters: int, kernel_size: Size, stream: str, dropout: float = 0.0, **kwargs: Any
    ):
        filters, dropout = (
            arguments.whole("filters", filters),
            arguments.rate("dropout", dropout, MAX_DROPOUT),
        )
        module = self.block(filters, arguments.size("kernel_size", kernel_size), stream, dropout)
        super().__init__(module, **kwargs)

    def __call__(self, *args: Any, condition: Tensor = None, **options: Any) -> Any:
        module: Any = self.module
        filters, channels = module.filters, args[0].shape[-1]
        remedy = "Give as many filters, or convolve the tensor before"
        expect(channels == filters, f"{filters} channels", channels, remedy)
        return super().__call__(*args, condition=condition, **options)

    def get_config(self):
        names = "filters", "kernel_size", "stream"
        own = {name: getattr(self.module, name) for name in names}
        return {**super().get_config(), **own, "dropout": self.module.rate}


@register()
class GatedResidualBlock(_Block):
    """float [B, H, W, filters] -> the same: `networks.GatedResidualBlock`.

    Calls take x; maybe concat_elu(x), or None; and maybe a list of the concat_elu of each skip, float
    [..., 2 C_k], the same number in all calls.
    """

    block = blocks.GatedResidualBlock


@register()
class ResidualBlock(_Block):
    """float [B, H, W, filters] -> the same: `networks.ResidualBlock`.

    Calls take x, and maybe a tensor to add to the output of the first convolution.
    """

    block = blocks.ResidualBlock
