"""Training: each factor of a model in turn, on one device or many. A run can be stopped, and resumes.

    pa.train(model, pa.Training(epochs=4, ...), images, validation_images, "runs/mine")

`loop` reads from top to bottom: `train`, then a factor, its epochs, their steps and validation. `steps` has
one step, from images to the update of the weights, and `state` everything that it changes and a checkpoint
keeps.
"""

from typing import TYPE_CHECKING

from pixelcnn_aux.base import lazy
from pixelcnn_aux.training.config import (
    Preset as Preset,
    Stop as Stop,
    Stopped as Stopped,
    Training as Training,
)

if TYPE_CHECKING:
    from pixelcnn_aux.training.devices import default_strategy as default_strategy
    from pixelcnn_aux.training.loop import train as train
    from pixelcnn_aux.training.optimizer import BETAS as BETAS, AveragingAdam as AveragingAdam
else:
    _NAMES = {"devices": "default_strategy", "loop": "train", "optimizer": "BETAS AveragingAdam"}
    __getattr__, _PUBLIC = lazy.names(__name__, _NAMES)
