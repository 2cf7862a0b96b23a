"""Keras layers: weight-normalized, shifted and gated. Written in `keras.ops`, as Keras's own are."""

from pixelcnn_aux.backend import concat_elu
from pixelcnn_aux.layers.dropout import MAX_DROPOUT, Dropout
from pixelcnn_aux.layers.gated import (
    STREAMS,
    GatedResidualBlock,
    Projection,
    rematerialized_blocks,
)
from pixelcnn_aux.layers.shifted import (
    DownRightShiftedConv2D,
    DownRightShiftedConv2DTranspose,
    DownShiftedConv2D,
    DownShiftedConv2DTranspose,
    ShiftedConv2D,
    ShiftedConv2DTranspose,
    shift_down,
    shift_right,
)
from pixelcnn_aux.layers.weight_norm import (
    WeightNorm,
    WeightNormConv2D,
    WeightNormConv2DTranspose,
    WeightNormDense,
    given_kernels,
    initialization_from_data,
    is_planning,
    normalized_layers,
    planned,
    product,
    stacked_kernels,
)
