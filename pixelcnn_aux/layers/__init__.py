"""Keras layers over the definitions of `networks`, for Keras models of them.

Weight-normalized and shifted (causal) convolutions, and residual blocks. `ModuleLayer` makes one of any
module.
"""

from pixelcnn_aux.layers.gated_residual_block import (
    GatedResidualBlock as GatedResidualBlock,
    ResidualBlock as ResidualBlock,
)
from pixelcnn_aux.layers.module_layer import ModuleLayer as ModuleLayer
from pixelcnn_aux.layers.weight_norm import (
    DownRightShiftedConv2D as DownRightShiftedConv2D,
    DownRightShiftedConv2DTranspose as DownRightShiftedConv2DTranspose,
    DownShiftedConv2D as DownShiftedConv2D,
    DownShiftedConv2DTranspose as DownShiftedConv2DTranspose,
    MaskedConv2D as MaskedConv2D,
    WeightNormConv2D as WeightNormConv2D,
    WeightNormConv2DTranspose as WeightNormConv2DTranspose,
    WeightNormDense as WeightNormDense,
)
