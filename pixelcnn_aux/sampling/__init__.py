"""Drawing images from factors and from chains of them, exactly, near the cost of one evaluation.

Nothing above `sampling` needs TensorFlow to be imported, so that what draws imports it where it draws.
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
