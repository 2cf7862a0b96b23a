"""Trains the factors of a model one after another, on one or many devices. Stopped runs resume.

    pa.train(model, pa.Training(epochs=4, ...), images, validation_images, "runs/mine")

`loop` reads top to bottom: `train`, one factor, its epochs, their steps and validation. `steps` has the
training step, from images to updated weights, and `state` everything that a step changes and a checkpoint
stores.
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
