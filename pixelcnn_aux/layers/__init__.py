"""Keras layers, written in `keras.ops`: weight-normalized, shifted (causal), and residual blocks."""

from pixelcnn_aux.backend import concat_elu as concat_elu
from pixelcnn_aux.layers.contexts import (
    Context as Context,
    context as context,
    counting_parameters as counting_parameters,
    current as current,
)
from pixelcnn_aux.layers.residual_blocks import (
    MAX_DROPOUT as MAX_DROPOUT,
    STREAMS as STREAMS,
    Dropout as Dropout,
    GatedResidualBlock as GatedResidualBlock,
    Projection as Projection,
    ResidualBlock as ResidualBlock,
)
from pixelcnn_aux.layers.shifted import (
    DownRightShiftedConv2D as DownRightShiftedConv2D,
    DownRightShiftedConv2DTranspose as DownRightShiftedConv2DTranspose,
    DownShiftedConv2D as DownShiftedConv2D,
    DownShiftedConv2DTranspose as DownShiftedConv2DTranspose,
    MaskedConv2D as MaskedConv2D,
    shift_down as shift_down,
    shift_right as shift_right,
)
from pixelcnn_aux.layers.straight_through import silu as silu
from pixelcnn_aux.layers.weight_norm import (
    WeightNorm as WeightNorm,
    WeightNormConv2D as WeightNormConv2D,
    WeightNormConv2DTranspose as WeightNormConv2DTranspose,
    WeightNormDense as WeightNormDense,
    normalized_layers as normalized_layers,
    product as product,
)
