"""The gated residual block of PixelCNN++, for every stream of every network."""

import keras
from keras import ops

from pixelcnn_aux.layers import shifted, weight_norm

# How a stream sees its image: its convolution, and the transposed one that doubles the resolution.
STREAMS = {
    "unshifted": (weight_norm.WeightNormConv2D, weight_norm.WeightNormConv2DTranspose),
    "vertical": (shifted.DownShiftedConv2D, shifted.DownShiftedConv2DTranspose),
    "horizontal": (shifted.DownRightShiftedConv2D, shifted.DownRightShiftedConv2DTranspose),
}


def concat_elu(x):
    """ELU of x and of -x, side by side: [..., C] -> [..., 2 C]."""
    return ops.elu(ops.concatenate([x, -x], axis=-1))


class GatedResidualBlock(keras.layers.Layer):
    """x + a * sigmoid(b), where (a, b) are the halves of a two-layer convolutional network of x.

    ``conv(concat_elu(x))``, plus a 1 x 1 projection of ``concat_elu(skip)`` where there is a skip,
    then dropout, then ``conv(concat_elu(.))`` to twice the channels. Whatever conditions the block,
    f_w(X_hat) of equation (3) included, comes in through `skip`. Only the two convolutions know
    whether x is an image [B, H, W, C], a row [B, W, C] or a pixel [B, C].

    Args:
      filters: int, the channels of x and of the output.
      kernel_size: (height, width) of both convolutions.
      stream: "unshifted", "vertical" or "horizontal".
      dropout: float, the rate of dropout before the second convolution (section 3.3).
    """

    def __init__(self, filters, kernel_size, stream, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        if stream not in STREAMS:
            raise ValueError(f"Expected a stream of {sorted(STREAMS)}. Received: stream={stream!r}")
        self.filters = filters
        self.kernel_size = tuple(kernel_size)
        self.stream = stream
        self.rate = dropout
        convolution, _ = STREAMS[stream]
        dtype = self.dtype_policy
        self.conv_in = convolution(filters, kernel_size, dtype=dtype, name="conv_in")
        self.projection = weight_norm.WeightNormDense(filters, dtype=dtype, name="projection")
        self.dropout = keras.layers.Dropout(dropout, dtype=dtype, name="dropout")
        # A small scale at first: every block starts out close to the identity.
        self.conv_out = convolution(
            2 * filters, kernel_size, init_scale=0.1, dtype=dtype, name="conv_out"
        )

    def build(self, x_shape, skip_shape=None):
        if x_shape[-1] != self.filters:
            raise ValueError(
                f"Expected {self.filters} channels, as many as the block's filters: it adds to "
                f"its input. Received: an input of shape {tuple(x_shape)}"
            )
        doubled = (*x_shape[:-1], 2 * self.filters)
        self.conv_in.build(doubled)
        if skip_shape is not None:
            self.projection.build((*skip_shape[:-1], 2 * skip_shape[-1]))
        self.conv_out.build(doubled)

    def call(self, x, skip=None, training=None):
        y = self.conv_in(concat_elu(x))
        if skip is not None:
            y = y + self.projection(concat_elu(skip))
        y = self.dropout(concat_elu(y), training=training)
        a, b = ops.split(self.conv_out(y), 2, axis=-1)
        return x + a * ops.sigmoid(b)

    def compute_output_shape(self, x_shape, skip_shape=None):
        return tuple(x_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "stream": self.stream,
            "dropout": self.rate,
        }
