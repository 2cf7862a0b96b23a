"""PixelCNN models with auxiliary variables (Kolesnikov & Lampert, ICML 2017) for TensorFlow and Keras.

import pixelcnn_aux as pa

model = pa.load("runs/grayscale-demo-photos")
model.bits_per_dim(images)                       # images: uint8 [B, H, W, 3]
model.sample([[0, 0], [0, 1]])["image"]          # uint8 [2, 32, 32, 3]
"""

from pixelcnn_aux.programs import quiet  # before TensorFlow is imported

# isort: split
from pixelcnn_aux import (
    auxiliary,
    backend,
    codec,
    data,
    interop,
    layers,
    likelihoods,
    networks,
    serialization,
    sums,
    training,
)
from pixelcnn_aux.chain import AuxiliaryModel
from pixelcnn_aux.factor import Factor
from pixelcnn_aux.models import chain, grayscale, grayscale_pyramid, pixelcnn_pp, pyramid
from pixelcnn_aux.runs.loading import load
from pixelcnn_aux.training import Training, presets, train
from pixelcnn_aux.zoo import pretrained
