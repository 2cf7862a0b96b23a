"""Scores: how well an image fits the training distribution of a model.

    typical = pa.scores.Typical(pa.scores.bits(model, training_images))
    scores = pa.scores.score(model, images, typical=typical)
    scores["bits_less_entropy"]["total"]  # float64 [N]

    others = pa.scores.score(model, other_images, typical=typical)
    pa.scores.detect(scores["bits"]["total"], others["bits"]["total"]).auroc

Each score has an entry for the chain, "total", and for each factor. A higher score means a worse fit;
docs/scores.md explains all scores.
"""

from pixelcnn_aux.scores.detection import Detection as Detection, detect as detect
from pixelcnn_aux.scores.statistics import (
    PixelBits as PixelBits,
    bits as bits,
    bits_less_files as bits_less_files,
    of_classes as of_classes,
    pixel_bits as pixel_bits,
    score as score,
)
from pixelcnn_aux.scores.typical import Scores as Scores, Typical as Typical
