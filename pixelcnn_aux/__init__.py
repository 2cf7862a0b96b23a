"""PixelCNN models with auxiliary variables (Kolesnikov & Lampert, ICML 2017) for TensorFlow and Keras.

import pixelcnn_aux as pa

model = pa.load("runs/grayscale-demo-photos")
model.bits_per_dim(images)                       # images: uint8 [B, H, W, 3]
model.sample([[0, 0], [0, 1]])["image"]          # uint8 [2, 32, 32, 3]
"""

import importlib

from pixelcnn_aux import quiet  # before TensorFlow is imported

# isort: split
from pixelcnn_aux import (
    auxiliary,
    backend,
    data,
    interop,
    layers,
    likelihoods,
    networks,
    serialization,
)
from pixelcnn_aux.chain import AuxiliaryModel, load
from pixelcnn_aux.factor import Factor
from pixelcnn_aux.models import chain, grayscale, grayscale_pyramid, pixelcnn_pp, pyramid

# What needs TensorFlow, and is imported when it is asked for: name -> module.
_TENSORFLOW = {
    "train": "pixelcnn_aux.training",
    "Training": "pixelcnn_aux.training",
    "presets": "pixelcnn_aux.presets",
}


def __getattr__(name):
    if name not in _TENSORFLOW:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    backend.require_tensorflow(f"pixelcnn_aux.{name}")
    module = importlib.import_module(_TENSORFLOW[name])
    return getattr(module, name, module)
