"""Scores: what a likelihood tells of whether an image belongs to those that a model was trained on.

    typical = pa.scores.Typical(pa.scores.bits(model, training_images))
    found = pa.scores.score(model, images, typical=typical)
    found["bits_less_entropy"]["total"]  # float64 [N]

    others = pa.scores.score(model, other_images, typical=typical)
    pa.scores.detect(found["bits"]["total"], others["bits"]["total"]).auroc

Each score is of the chain, "total", and of its factors, and grows as images belong less. docs/scores.md says
what each one is, and what it does not tell.
"""

from pixelcnn_aux.scores.detection import Detection as Detection, detect as detect
from pixelcnn_aux.scores.pixels import PixelBits as PixelBits, pixel_bits as pixel_bits
from pixelcnn_aux.scores.statistics import (
    bits as bits,
    bits_less_files as bits_less_files,
    of_classes as of_classes,
    score as score,
)
from pixelcnn_aux.scores.typical import Scores as Scores, Typical as Typical
