"""Training: each factor of a model in turn, on one device or many; it can be stopped and goes on.

pa.train(model, pa.Training(epochs=4, ...), images, validation_images, "runs/mine")
"""

from pixelcnn_aux.training.config import Preset, Training
from pixelcnn_aux.training.loop import train
from pixelcnn_aux.training.optimizer import BETAS, AveragingAdam
from pixelcnn_aux.training.stopping import Stop, Stopped
from pixelcnn_aux.training.strategy import default_strategy
