"""Weight-normalized layers: every kernel is ``g * v / |v|``, with a length `g` and a bias `b` per channel.

A down-shifted convolution sees its own row and the rows above it; a down-right-shifted one sees, in its own
row, only its own column and those to the left (Salimans et al., 2017, section 2). Neither excludes the pixel
itself: a network does that once, by shifting the outputs of its first convolutions.
"""

from typing import Any, ClassVar

from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.arguments import Size, Tensor
from pixelcnn_aux.base.serialization import register
from pixelcnn_aux.layers.module_layer import ModuleLayer
from pixelcnn_aux.networks.array_layers import Layers
from pixelcnn_aux.networks.network import Module


class _One(Module):
    """A module of one layer."""

    def __init__(self, method: str, options: dict[str, Any]):
        self.method, self.options = method, options

    def make(self, layers: Layers) -> None:
        self.layer = getattr(layers, self.method)("layer", **self.options)

    def forward(self, x: Tensor, *args: Any) -> Tensor:
        return self.layer(x)


class _WeightNorm(ModuleLayer):
    """A weight-normalized layer: its weights are `v`, `g` and `b`."""

    method: ClassVar[str]  # of `networks.Layers`

    def __init__(self, config, options, **kwargs):
        filters = arguments.whole("filters", config["filters"], 1, arguments.MAX_PER_PIXEL)
        super().__init__(_One(self.method, {"filters": filters, **options}), **kwargs)
        self._config = config

    v = property(lambda self: self.by_path["layer/v"])
    g = property(lambda self: self.by_path["layer/g"])
    b = property(lambda self: self.by_path["layer/b"])

    def get_config(self):
        return {**super().get_config(), **self._config}


@register()
class WeightNormDense(_WeightNorm):
    """A product over the channels of each pixel, as a 1 x 1 convolution: [..., C] -> [..., filters].

    Args:
      filters: int, the number of output channels.
      init_scale: float, the first `g`.
    """

    method = "dense"

    def __init__(self, filters: int, *, init_scale: float = 1.0, **kwargs: Any):
        options = {"init_scale": arguments.positive("init_scale", init_scale)}
        super().__init__({"filters": filters, **options}, options, **kwargs)


@register()
class WeightNormConv2D(_WeightNorm):
    """A zero-padded convolution that keeps the image's size, or divides it by its stride.

    [B, H, W, C] -> [B, H / strides, W / strides, filters].

    Args: as for `WeightNormDense`, and
      kernel_size: (height, width).
      strides: int, 1 or 2. H and W must be multiples of it.
    """

    method, stream = "convolution", "unshifted"

    def __init__(
        self,
        filters: int,
        kernel_size: Size,
        strides: int = 1,
        *,
        init_scale: float = 1.0,
        **kwargs: Any,
    ):
        options: dict[str, Any] = {"stream": self.stream}
        options |= {"kernel_size": arguments.size("kernel_size", kernel_size)}
        options |= {"stride": arguments.whole("strides", strides, 1, 2)}
        options |= {"init_scale": arguments.positive("init_scale", init_scale)}
        config = {"filters": filters, "kernel_size": kernel_size, "strides": strides}
        super().__init__({**config, "init_scale": init_scale}, options, **kwargs)


@register()
class DownShiftedConv2D(WeightNormConv2D):
    """[B, H, W, C] -> [B, H / strides, W / strides, filters] from the rows at and above each pixel."""

    stream = "vertical"


@register()
class DownRightShiftedConv2D(WeightNormConv2D):
    """[B, H, W, C] -> [B, H / strides, W / strides, filters] from the pixels above and to the left."""

    stream = "horizontal"


@register()
class MaskedConv2D(_WeightNorm):
    """[B, H, W, C] -> [B, H, W, filters] from earlier pixels in raster order.

    The masked convolution of van den Oord et al. (2016): a pixel sees the columns to the left in its own row,
    and itself, if `itself`; in the rows above, also as many columns to the right.
    """

    method = "convolution"

    def __init__(self, filters: int, kernel_size: Size, itself: bool = True, **kwargs: Any):
        options: Any = {"kernel_size": arguments.size("kernel_size", kernel_size)}
        options["itself"] = arguments.flag("itself", itself)
        super().__init__({"filters": filters, **options}, options | {"stream": "masked"}, **kwargs)


@register()
class WeightNormConv2DTranspose(_WeightNorm):
    """The transpose of a stride-2 convolution: [B, H, W, C] -> [B, 2 H, 2 W, filters].

    `v` is [height, width, filters, C], normalized over all axes but that of `filters`.

    Args:
      filters: int, the number of output channels.
      kernel_size: (height, width), at least 2 x 2.
    """

    method, stream = "transposed", "unshifted"

    def __init__(self, filters: int, kernel_size: Size, **kwargs: Any):
        size = {"kernel_size": arguments.size("kernel_size", kernel_size)}
        super().__init__({"filters": filters, **size}, size | {"stream": self.stream}, **kwargs)


@register()
class DownShiftedConv2DTranspose(WeightNormConv2DTranspose):
    """[B, H, W, C] -> [B, 2 H, 2 W, filters] from the rows at and above each pixel."""

    stream = "vertical"


@register()
class DownRightShiftedConv2DTranspose(WeightNormConv2DTranspose):
    """[B, H, W, C] -> [B, 2 H, 2 W, filters] from the pixels above and to the left."""

    stream = "horizontal"
