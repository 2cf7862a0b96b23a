"""Keras layers, which are trained: weight-normalized, shifted (causal), and residual blocks.

`modules` builds the networks of `pixelcnn_aux.networks` from them.
"""

from pixelcnn_aux.layers.contexts import (
    Context as Context,
    context as context,
    counting_parameters as counting_parameters,
    current as current,
)
from pixelcnn_aux.layers.dropout import Dropout as Dropout
from pixelcnn_aux.layers.modules import (
    GatedResidualBlock as GatedResidualBlock,
    Maker as Maker,
    ResidualBlock as ResidualBlock,
    made as made,
)
from pixelcnn_aux.layers.shifted import (
    DownRightShiftedConv2D as DownRightShiftedConv2D,
    DownRightShiftedConv2DTranspose as DownRightShiftedConv2DTranspose,
    DownShiftedConv2D as DownShiftedConv2D,
    DownShiftedConv2DTranspose as DownShiftedConv2DTranspose,
    MaskedConv2D as MaskedConv2D,
)
from pixelcnn_aux.layers.weight_norm import (
    Projection as Projection,
    WeightNorm as WeightNorm,
    WeightNormConv2D as WeightNormConv2D,
    WeightNormConv2DTranspose as WeightNormConv2DTranspose,
    WeightNormDense as WeightNormDense,
    normalized_layers as normalized_layers,
)
