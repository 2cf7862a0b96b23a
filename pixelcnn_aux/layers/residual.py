"""The plain residual block, of networks in which nothing is shifted."""

from typing import Any

import keras

from pixelcnn_aux import arguments
from pixelcnn_aux.arguments import Size, Tensor
from pixelcnn_aux.layers import contexts, rounding, weight_norm
from pixelcnn_aux.layers.dropout import Dropout
from pixelcnn_aux.serialization import register


@register()
class ResidualBlock(keras.layers.Layer):
    """x + conv(silu(conv(silu(x)))): a third of the products of a `GatedResidualBlock` of as many filters.

    What is known of the image as a whole adds to the bias of the first convolution
    (`layers.Context`).

    Args:
      filters: int, the channels of x and of the output.
      kernel_size: (height, width) of both convolutions.
      dropout: float, the rate of dropout before the second convolution.
    """

    def __init__(self, filters: int, kernel_size: Size, dropout: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters = filters = arguments.whole("filters", filters)
        self.kernel_size = kernel_size = arguments.size("kernel_size", kernel_size)
        self.rate = dropout
        dtype = self.dtype_policy
        self.conv_in = weight_norm.WeightNormConv2D(
            filters, kernel_size, conditional=True, dtype=dtype, name="conv_in"
        )
        self.dropout = Dropout(dropout, dtype=dtype, name="dropout")
        # A small scale at first: every block starts out close to the identity.
        self.conv_out = weight_norm.WeightNormConv2D(
            filters, kernel_size, init_scale=0.1, dtype=dtype, name="conv_out"
        )

    def build(self, *shapes):
        """Leaves it to the layers, which are built as they are called."""

    def parts(self) -> list[Any]:
        """The layers that the block consists of."""
        return [self.conv_in, self.conv_out]

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        """float [B, H, W, filters] -> float [B, H, W, filters]."""
        seed = self.dropout.seed(training)

        def evaluate(x):
            y = self.dropout(rounding.silu(self.conv_in(rounding.silu(x))), seed=seed)
            return x + self.conv_out(y)

        return contexts.evaluate_block(evaluate, x)

    def compute_output_shape(self, x_shape):
        return tuple(x_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dropout": self.rate,
        }
