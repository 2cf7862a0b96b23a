"""PixelCNN models with auxiliary variables (Kolesnikov & Lampert, ICML 2017) for TensorFlow and Keras.

import pixelcnn_aux as pa

model = pa.load("runs/grayscale-demo-photos")
model.bits_per_dim(images)                       # images: uint8 [B, H, W, 3]
model.sample(2)["image"]                         # uint8 [2, 32, 32, 3]
"""

import contextlib
import importlib
import sys
from typing import TYPE_CHECKING

from pixelcnn_aux.base import lazy

if TYPE_CHECKING:
    from pixelcnn_aux import (
        auxiliary as auxiliary,
        codec as codec,
        conditions as conditions,
        data as data,
        information as information,
        interop as interop,
        jobs as jobs,
        layers as layers,
        likelihoods as likelihoods,
        networks as networks,
        scores as scores,
        sums as sums,
        training as training,
    )
    from pixelcnn_aux.base import (
        arrays as arrays,
        backend as backend,
        serialization as serialization,
    )
    from pixelcnn_aux.factors.factor import Factor as Factor
    from pixelcnn_aux.image_distribution import distribution as distribution
    from pixelcnn_aux.model import AuxiliaryModel as AuxiliaryModel
    from pixelcnn_aux.models import (
        chain as chain,
        grayscale as grayscale,
        grayscale_pyramid as grayscale_pyramid,
        parallel_pyramid as parallel_pyramid,
        pixelcnn_pp as pixelcnn_pp,
        pyramid as pyramid,
        rounded as rounded,
    )
    from pixelcnn_aux.run_files.trained import pretrained as pretrained
    from pixelcnn_aux.runs.loading import load as load
    from pixelcnn_aux.runs.pushing import push as push
    from pixelcnn_aux.training import Training as Training, presets as presets, train as train

__version__ = "0.2.0"

_MODULES = (
    "auxiliary base.arrays base.backend base.serialization codec conditions data information interop jobs "
    "layers likelihoods networks scores sums training training.presets"
)
_NAMES = {  # module: public names in it
    "factors.factor": "Factor",
    "image_distribution": "distribution",
    "model": "AuxiliaryModel",
    "models": "chain grayscale grayscale_pyramid parallel_pyramid pixelcnn_pp pyramid rounded",
    "runs.loading": "load",
    "runs.pushing": "push",
    "run_files.trained": "pretrained",
    "training": "Training train",
}
if not TYPE_CHECKING:  # type checkers would take any name for one of this module's
    __getattr__, _PUBLIC = lazy.names(__name__, _NAMES, _MODULES)

    def __dir__():
        return sorted([*_PUBLIC, "__doc__", "__version__"])


if "keras" in sys.modules or "tensorflow" in sys.modules:
    # No time is left to save, and `keras.saving.load_model` finds all classes that are registered here.
    with contextlib.suppress(ImportError):  # under another backend, where NumPy alone computes
        importlib.import_module("pixelcnn_aux.training.loop")
        importlib.import_module("pixelcnn_aux.factors.keras_factor")
