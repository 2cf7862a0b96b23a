"""PixelCNN models with auxiliary variables (Kolesnikov & Lampert, ICML 2017) for TensorFlow and Keras.

import pixelcnn_aux as pa

model = pa.load("runs/grayscale-demo-photos")
model.bits_per_dim(images)                       # images: uint8 [B, H, W, 3]
model.sample([[0, 0], [0, 1]])["image"]          # uint8 [2, 32, 32, 3]
"""

import importlib
import pkgutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixelcnn_aux import (
        auxiliary as auxiliary,
        backend as backend,
        codec as codec,
        conditions as conditions,
        data as data,
        interop as interop,
        layers as layers,
        likelihoods as likelihoods,
        networks as networks,
        scores as scores,
        serialization as serialization,
        sums as sums,
        training as training,
    )
    from pixelcnn_aux.factor import Factor as Factor
    from pixelcnn_aux.model import AuxiliaryModel as AuxiliaryModel
    from pixelcnn_aux.models import (
        chain as chain,
        grayscale as grayscale,
        grayscale_pyramid as grayscale_pyramid,
        parallel_pyramid as parallel_pyramid,
        pixelcnn_pp as pixelcnn_pp,
        pyramid as pyramid,
    )
    from pixelcnn_aux.rounded_factor import rounded as rounded
    from pixelcnn_aux.runs.loading import load as load
    from pixelcnn_aux.runs.pushing import push as push
    from pixelcnn_aux.runs.trained import pretrained as pretrained
    from pixelcnn_aux.training import Training as Training, presets as presets, train as train

__version__ = "0.2.0"

_MODULES = (
    *("auxiliary", "backend", "codec", "conditions", "data", "interop", "layers", "likelihoods"),
    *("networks", "scores", "serialization", "sums", "training"),
)
# Each public name, and the module that it is or is in, which is imported once somebody asks for it: an
# import of TensorFlow takes seconds, and programs have it be quiet first.
_PUBLIC = {
    **{name: f"pixelcnn_aux.{name}:" for name in _MODULES},
    "presets": "pixelcnn_aux.training.presets:",
    "AuxiliaryModel": "pixelcnn_aux.model:AuxiliaryModel",
    "Factor": "pixelcnn_aux.factor:Factor",
    "chain": "pixelcnn_aux.models:chain",
    "grayscale": "pixelcnn_aux.models:grayscale",
    "grayscale_pyramid": "pixelcnn_aux.models:grayscale_pyramid",
    "parallel_pyramid": "pixelcnn_aux.models:parallel_pyramid",
    "pixelcnn_pp": "pixelcnn_aux.models:pixelcnn_pp",
    "pyramid": "pixelcnn_aux.models:pyramid",
    "rounded": "pixelcnn_aux.rounded_factor:rounded",
    "load": "pixelcnn_aux.runs.loading:load",
    "push": "pixelcnn_aux.runs.pushing:push",
    "Training": "pixelcnn_aux.training:Training",
    "train": "pixelcnn_aux.training:train",
    "pretrained": "pixelcnn_aux.runs.trained:pretrained",
}


if not TYPE_CHECKING:  # by which any name would be one of this module's

    def __getattr__(name):
        if name not in _PUBLIC:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return pkgutil.resolve_name(_PUBLIC[name])


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})


if "keras" in sys.modules or "tensorflow" in sys.modules:
    # No seconds are left to save, and `keras.saving.load_model` finds all classes that are registered here.
    importlib.import_module("pixelcnn_aux.training")
