"""Shifted convolutions: the causal building blocks of the two streams of a PixelCNN.

A down-shifted convolution sees its own row and the rows above it; a down-right-shifted one sees, in
its own row, only its own column and those to the left (Salimans et al., 2017, section 2). Neither
excludes the pixel itself: the network does that once, by shifting the outputs of its first convolutions.
"""

from typing import Any

from keras import ops

from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.arguments import Size, Tensor
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.serialization import register
from pixelcnn_aux.layers import weight_norm
from pixelcnn_aux.networks import kernels


class _DownShifted:
    def __init__(self, filters, kernel_size, *args, **kwargs):
        super().__init__(filters, kernel_size, *args, **kwargs)
        expected = "an odd kernel width: a down-shifted convolution looks equally far to both sides"
        expect(kernel_size[1] % 2, expected, f"kernel_size={kernel_size}", "Choose one")


@register()
class DownShiftedConv2D(_DownShifted, weight_norm.WeightNormConv2D):
    """[B, H, W, C] -> [B, H / strides, W / strides, filters] from the rows at and above each pixel."""

    stream = "vertical"


@register()
class DownRightShiftedConv2D(weight_norm.WeightNormConv2D):
    """[B, H, W, C] -> [B, H / strides, W / strides, filters] from the pixels above and to the left."""

    stream = "horizontal"


@register()
class DownShiftedConv2DTranspose(_DownShifted, weight_norm.WeightNormConv2DTranspose):
    """[B, H, W, C] -> [B, 2 H, 2 W, filters] from the rows at and above each pixel."""

    stream = "vertical"


@register()
class DownRightShiftedConv2DTranspose(weight_norm.WeightNormConv2DTranspose):
    """[B, H, W, C] -> [B, 2 H, 2 W, filters] from the pixels above and to the left."""

    stream = "horizontal"


@register()
class MaskedConv2D(weight_norm.WeightNormConv2D):
    """[B, H, W, C] -> [B, H, W, filters] from earlier pixels in raster order.

    The masked convolution of van den Oord et al. (2016): a pixel sees the columns to the left in its own row,
    and itself, if `itself`; in the rows above, also as many columns to the right.
    """

    stream = "masked"

    def __init__(self, filters: int, kernel_size: Size, itself: bool = True, **kwargs: Any):
        super().__init__(filters, kernel_size, **kwargs)
        self.itself = arguments.flag("itself", itself)

    def kernel(self) -> Tensor:
        mask = kernels.raster_mask(*self.kernel_size, self.itself)
        return self.normalize(self.v * ops.cast(mask, self.v.dtype))

    def get_config(self):
        return {**super().get_config(), "itself": self.itself}
