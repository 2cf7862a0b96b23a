"""Shifted convolutions: the causal building blocks of the two streams of a PixelCNN.

A down-shifted convolution sees its own row and the rows above it; a down-right-shifted one sees, in
its own row, only its own column and those to the left (Salimans et al., 2017, section 2). Neither
excludes the pixel itself: the network does that once, by shifting what its first convolutions give.
"""

from keras import ops

from pixelcnn_aux.layers import weight_norm


def shift_down(x):
    """Moves an image one row down, zeros entering above: [B, H, W, C] -> [B, H, W, C]."""
    batch, height, width, channels = ops.shape(x)
    x = ops.slice(x, (0, 0, 0, 0), (batch, height - 1, width, channels))
    return ops.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0)))


def shift_right(x):
    """Moves an image one column right, zeros entering on the left: [B, H, W, C] -> [B, H, W, C]."""
    batch, height, width, channels = ops.shape(x)
    x = ops.slice(x, (0, 0, 0, 0), (batch, height, width - 1, channels))
    return ops.pad(x, ((0, 0), (0, 0), (1, 0), (0, 0)))


class _Down:
    def __init__(self, filters, kernel_size, *args, **kwargs):
        super().__init__(filters, kernel_size, *args, **kwargs)
        if kernel_size[1] % 2 == 0:
            raise ValueError(
                "Expected an odd kernel width: a down-shifted convolution looks equally far to "
                f"both sides. Received: kernel_size={kernel_size}"
            )


class DownShiftedConv2D(_Down, weight_norm.WeightNormConv2D):
    """[B, H, W, C] -> [B, H / strides, W / strides, filters] from the rows at and above each pixel.

    Args as for `WeightNormConv2D`; the kernel's width is odd.
    """

    def margins(self):
        height, width = self.kernel_size
        return (height - 1, 0), (width // 2, width // 2)


class DownRightShiftedConv2D(weight_norm.WeightNormConv2D):
    """[B, H, W, C] -> [B, H / strides, W / strides, filters] from the pixels above and to the left.

    Args as for `WeightNormConv2D`.
    """

    def margins(self):
        height, width = self.kernel_size
        return (height - 1, 0), (width - 1, 0)


class DownShiftedConv2DTranspose(_Down, weight_norm.WeightNormConv2DTranspose):
    """[B, H, W, C] -> [B, 2 H, 2 W, filters] from the rows at and above each pixel.

    Args as for `WeightNormConv2DTranspose`; the kernel's width is odd.
    """

    def margins(self):
        height, width = self.kernel_size
        return (0, height - 1), (width // 2, width // 2)


class DownRightShiftedConv2DTranspose(weight_norm.WeightNormConv2DTranspose):
    """[B, H, W, C] -> [B, 2 H, 2 W, filters] from the pixels above and to the left.

    Args as for `WeightNormConv2DTranspose`.
    """

    def margins(self):
        height, width = self.kernel_size
        return (0, height - 1), (0, width - 1)
