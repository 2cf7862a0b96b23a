"""Drawing images from factors and from chains of them, exactly, near the cost of one evaluation.

It needs TensorFlow, which factors and chains do not: they import it where they draw.
"""

from pixelcnn_aux.sampling.chain import (
    can_complete,
    draw,
    draw_factor,
    kept_pixels,
    names_from,
    sample,
)
from pixelcnn_aux.sampling.factor import Sampler, noise, scan
